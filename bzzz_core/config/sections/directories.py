"""Which directories can be BZZZ's own: what is the system's, and what lies in what. Pure.

Setup gives a directory for data or logs to the user `bzzz`, and an uninstall may remove it. So none
may be anybody else's, whatever an answers file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_THEMSELVES: Final = frozenset(
    (
        *("/", "/media", "/mnt", "/opt", "/srv", "/var", "/var/cache", "/var/lib", "/var/local"),
        *("/var/log", "/var/mail", "/var/opt", "/var/spool", "/var/www", "/usr/local"),
    )
)
"""Others put things beside ours there; a directory below may be ours."""
_WITH_ALL_BELOW: Final = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run"),
    *("/sbin", "/sys", "/tmp", "/usr", "/var/lock", "/var/run", "/var/tmp"),  # noqa: S108  refused
    *("/home", "/root"),
    *("/opt/bzzz", "/var/lib/bzzz-models"),
    *("/var/lib/apt", "/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/dnf"),
    *("/var/lib/rpm", "/var/lib/systemd", "/var/lib/libvirt", "/var/log/journal"),
)
"""Nothing below is ours. The services do not even see /home and /root (`ProtectHome=`)."""


def system_directory(path: str) -> str:
    """Return the directory of the system that a path is, or lies in; "": it may be ours."""
    parts = _parts(path)
    whole = "/" + "/".join(parts)
    if ".." in parts:
        return ".."
    if whole in _THEMSELVES:
        return whole
    if whole.startswith("/usr/local/"):
        return ""
    return next((top for top in _WITH_ALL_BELOW if _within(parts, _parts(top))), "")


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
