"""`bzzz-tui setup --answers FILE --generate KIND`: reads what it needs, prints or writes the texts.

No host is asked anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.facts.host import Enrolled
from bzzz_core.deploy.generate import texts
from bzzz_core.deploy.generate.image import image
from bzzz_core.deploy.generate.writing import write
from bzzz_core.deploy.phases.create_identity import decode_enrolled
from bzzz_core.deploy.state import CLUSTER_ID, ClusterState
from bzzz_core.errors import CommandFailed, ConfigError

_BYTES_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The command's options."""

    image: str | None = None
    pull_policy: str | None = None
    pull_secret: str | None = None
    python: str | None = None
    cluster_id: str | None = None
    enrolled: Path | None = None
    output: Path | None = None
    force: bool = False


def run(
    answers: Path,
    kind: str,
    wanted: Wanted,
    *,
    say: Callable[[str], None],
    note: Callable[[str], None],
    base: Path | None = None,
) -> int:
    """Generate, then print the one text or write the files; return the exit code.

    Args:
        answers: The answers file.
        kind: One of `texts.KINDS`, or `all`.
        wanted: The options.
        say: Prints a text as it is.
        note: Prints a line for the person, beside the text.
        base: The operator's directory; None: the user's own.

    Raises:
        ConfigError: Answers or options cannot be, or a file is in the way.
    """
    asked = asked_of(load_answers(answers), wanted, base)
    if kind == texts.ALL:
        files, left_out = texts.generate_all(asked)
        for one in left_out:
            note(f"left out: {one}, for want of what it needs")
    else:
        files = texts.generate(kind, asked)
    if wanted.output is not None:
        changed = write(wanted.output, files, force=wanted.force)
        note(f"{wanted.output}: {len(changed)} of {len(files)} files written")
        return 0
    if len(files) > 1:
        raise ConfigError(f"{kind} is {len(files)} files: give --output DIRECTORY")
    say("".join(files.values()))
    return 0


def asked_of(spec: ClusterSpec, wanted: Wanted, base: Path | None = None) -> texts.Asked:
    """Return what the texts are made of: options go before the answers of `services.image`.

    Raises:
        ConfigError: An option cannot be.
    """
    chosen, answered = None, spec.services.image
    reference = wanted.image or answered.reference
    if reference is not None:
        chosen = image(
            reference,
            pull=wanted.pull_policy or answered.pull_policy,
            pull_secret=wanted.pull_secret or answered.pull_secret,
        )
    python = wanted.python or "/usr/bin/python3"
    if (
        not python.startswith("/")
        or not python.isprintable()
        or any(c in python for c in " %$'\"\\")
    ):
        raise ConfigError(f"--python: {python!r} is no plain path of an interpreter")
    return texts.Asked(
        spec=spec,
        image=chosen,
        python=python,
        cluster_id=_cluster_id(spec, wanted.cluster_id, base),
        enrolled=None if wanted.enrolled is None else _enrolled(spec, wanted.enrolled),
    )


def _cluster_id(spec: ClusterSpec, given: str | None, base: Path | None) -> str | None:
    if given is None:
        return ClusterState(spec.cluster.name, base).cluster_id()
    if not CLUSTER_ID.fullmatch(given):
        raise ConfigError("--cluster-id: 32 hexadecimal digits")
    return given


def _enrolled(spec: ClusterSpec, directory: Path) -> dict[str, Enrolled]:
    found = {}
    for host in spec.hosts:
        path = directory / f"{host.name}.json"
        try:
            with path.open("rb") as file:
                found[host.name] = decode_enrolled(host.name, file.read(_BYTES_MAX))
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc
        except CommandFailed as exc:
            raise ConfigError(f"{path}: {exc}") from exc
    return found
