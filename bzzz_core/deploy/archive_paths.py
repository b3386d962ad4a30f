"""Whether the paths in a foreign archive stay in the directory that it is unpacked in.

Each link for itself may look harmless and two of them lead out together: `..` behind a link is the
parent of what the link leads to, not of where it stands. So no path may pass through a link; a link
to another link, as shared libraries have them, is fine, because that one was judged too.
"""

from __future__ import annotations

from collections.abc import Collection


def inside(path: str) -> bool:
    """Return whether a path stays in the directory that it begins in, if no link is on its way."""
    depth = 0
    if path.startswith("/") or "\0" in path or "\n" in path:
        return False
    for part in _parts(path):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def through_link(path: str, links: Collection[str]) -> bool:
    """Return whether a path passes through one of these links before it comes to its last part.

    Args:
        path: From the archive's own directory, and `inside` of it.
        links: The names of all links of the archive, without `.` and `..`.
    """
    at: list[str] = []
    for part in _parts(path)[:-1]:
        if part == "..":
            at.pop()
            continue
        at.append(part)
        if "/".join(at) in links:
            return True
    return False


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]
