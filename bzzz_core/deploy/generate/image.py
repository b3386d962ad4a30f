"""The image that the operator names. None is published, so every generator has to be told one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from bzzz_core.errors import ConfigError

PullPolicy = Literal["always", "missing", "never"]

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_HOST: Final = (
    r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:\d)|\[[0-9a-fA-F:]+\])"
)
_REFERENCE: Final = re.compile(
    rf"(?:(?P<registry>{_HOST}(?::\d{{1,5}})?)/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
_CHARACTERS_MAX: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as the orchestrator is to fetch it."""

    reference: str
    """`registry/path:tag@sha256:digest`; registry, tag and digest may be missing."""
    pull: PullPolicy = "missing"
    pull_secret: str | None = None
    """Name of the Kubernetes Secret with the registry's login."""

    @property
    def pinned(self) -> bool:
        """Return whether it names one content, whatever the registry says later."""
        return "@sha256:" in self.reference


def image(reference: str, *, pull: str = "missing", pull_secret: str | None = None) -> Image:
    """Return an image by the words of a command line.

    Raises:
        ConfigError: It is no reference to an image, or a word beside it cannot be.
    """
    if len(reference) > _CHARACTERS_MAX or not _REFERENCE.fullmatch(reference):
        raise ConfigError(
            f"--image: {reference[:80]!r} is no image; write REGISTRY/PATH:TAG, and better"
            " REGISTRY/PATH@sha256:DIGEST"
        )
    if pull not in get_args(PullPolicy):
        raise ConfigError(f"--pull-policy: one of {', '.join(get_args(PullPolicy))}")
    if pull_secret is not None and not re.fullmatch(
        r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", pull_secret
    ):
        raise ConfigError(f"--pull-secret: {pull_secret[:80]!r} is no name of a Secret")
    return Image(reference=reference, pull=pull, pull_secret=pull_secret)  # type: ignore[arg-type]
