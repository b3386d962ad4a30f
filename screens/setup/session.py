"""The wizard's memory across crashes: answers and place, in one file of the operator's.

Written whole, in one step, mode 0600, and only with what `Draft` calls safe: no secret, and nothing
that could be one typed into the wrong field.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bzzz_core.config.profile_places import home
from bzzz_core.config.schema import HOSTS_MAX
from bzzz_core.errors import ConfigError
from screens.setup.draft import Draft, HostDraft

_BYTES_MAX: Final = 1_000_000
_STEPS: Final = 8


class Session(msgspec.Struct, frozen=True):
    """What is kept."""

    step: Annotated[int, msgspec.Meta(ge=1, le=_STEPS)]
    reached: Annotated[int, msgspec.Meta(ge=1, le=_STEPS)]
    texts: dict[str, str]
    hosts: Annotated[tuple[HostDraft, ...], msgspec.Meta(max_length=HOSTS_MAX)]
    express: bool = False
    recheck: tuple[int, ...] = ()
    version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1

    def draft(self) -> Draft:
        """Return the answers."""
        return Draft(self.texts, self.hosts)


def session_path() -> Path:
    """Return where the session is kept."""
    return home() / "setup-session.json"


def save(
    draft: Draft,
    *,
    step: int,
    reached: int,
    path: Path,
    express: bool = False,
    recheck: Sequence[int] = (),
) -> None:
    """Keep answers and place.

    Raises:
        ConfigError: The file cannot be written.
    """
    session = Session(
        step=step,
        reached=reached,
        texts=draft.safe_texts(),
        hosts=draft.hosts,
        express=express,
        recheck=tuple(recheck),
    )
    part = path.with_name(f".{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(part, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(msgspec.json.format(msgspec.json.encode(session)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as exc:
        raise ConfigError(f"{path}: the answers cannot be kept: {exc.strerror}") from exc


def load(path: Path) -> Session | None:
    """Return what was kept, or None: nothing, or nothing that this version understands."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_BYTES_MAX), type=Session)
    except (OSError, msgspec.DecodeError):
        return None


def set_aside(path: Path, draft: Draft, *, at: str) -> str:
    """Give a kept session another name before a setup with other answers begins.

    Args:
        path: Where the session is kept.
        draft: The answers that would take its place.
        at: The time, ISO 8601 in UTC; part of the new name.

    Returns:
        What to tell: where it is now, or why it cannot be renamed; "" if nothing is worth keeping.
    """
    kept = load(path)
    empty = kept is not None and not (kept.hosts or kept.texts)
    same = kept is not None and kept.draft().yaml() == draft.yaml()
    if empty or same or not path.is_file():
        return ""
    stamp = at[:19].replace(":", "").replace("-", "")
    target = path.with_name(f"{path.stem}.{stamp}{path.suffix}")
    try:
        path.rename(target)
    except OSError as exc:
        return f"{path} cannot be kept as {target.name}: {exc.strerror}"
    return f"the answers of an earlier setup are kept in {target}"


def forget(path: Path) -> None:
    """Remove the session: setup is done, or starts anew."""
    path.unlink(missing_ok=True)
