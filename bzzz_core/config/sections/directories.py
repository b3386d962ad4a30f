"""Which directories can be BZZZ's own: what is the system's, and what lies in what. Pure.

Setup gives a directory for data or logs to the user `bzzz`, and an uninstall may remove it. So none
may be anybody else's, whatever an answers file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FREE: Final = ("/var/local", "/var/opt")
"""For whatever a host's owner puts there. Beside these it is /srv, /opt, /mnt, /media and /NAME."""
_BY_NAME: Final = (
    *("/var/backups", "/var/cache", "/var/lib", "/var/log", "/var"),
    "/usr/local",
)
"""What stands in these belongs to whom it is named for (/var/lib/postgresql) or has a meaning
(/var/spool, /usr/local/bin on root's PATH). Nobody can list them all: so ours bear our name."""
_OUR_NAME: Final = "bzzz"
_THEMSELVES: Final = frozenset(("/", "/media", "/mnt", "/opt", "/srv", *_FREE, *_BY_NAME))
"""Others put things beside ours there; a directory below may be ours."""
_WITH_ALL_BELOW: Final = (
    *("/bin", "/boot", "/dev", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/nix"),
    *("/ostree", "/proc", "/run", "/sbin", "/snap", "/sys", "/sysroot", "/tmp"),  # noqa: S108  refused
    *("/home", "/root"),
    *("/opt/bzzz", "/var/lib/bzzz-models"),
)
"""Nothing below is ours. The services do not even see /home and /root (`ProtectHome=`)."""

NEVER_REMOVED: Final = tuple(
    sorted({*_THEMSELVES, *_WITH_ALL_BELOW, "/usr"} - {f"/opt/{_OUR_NAME}"})
)
"""Directories that no uninstall removes, whatever a note on a host says."""


def system_directory(path: str) -> str:
    """Return the directory of the system that a path is, or lies in; "": it may be ours."""
    parts = _parts(path)
    whole = "/" + "/".join(parts)
    if ".." in parts:
        return ".."
    if whole in _THEMSELVES:
        return whole
    for top in _WITH_ALL_BELOW:
        if _within(parts, _parts(top)):
            return top
    if any(_within(parts, _parts(top)) for top in _FREE):
        return ""
    for top in _BY_NAME:
        depth = len(_parts(top))
        if _within(parts, _parts(top)):
            return "" if parts[depth].startswith(_OUR_NAME) else f"{top}/{parts[depth]}"
    return "/usr" if parts[0] == "usr" else ""


def clashes(named: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the names of two directories of which one is, or lies in, the other."""
    given = [(name, _parts(path)) for name, path in named.items() if path]
    for number, (name, parts) in enumerate(given):
        for other, there in given[:number]:
            if _within(parts, there) or _within(there, parts):
                return other, name
    return None


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _within(parts: list[str], top: list[str]) -> bool:
    return parts[: len(top)] == top
