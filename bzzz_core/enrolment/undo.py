"""Taking back what a failed founding wrote, so that the next one starts where this one did.

Only what was not there before is taken away, and nothing at all once a configuration lies there: a
node lives in the place then, perhaps another command's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def undone_on_failure(
    directories: Sequence[Path], *, around: Sequence[Path], unless: Path
) -> Iterator[None]:
    """Remove what appeared in `directories` inside the block, if it ends by an exception.

    Args:
        directories: Nobody else's (`private_files.refuse_shared`): all that is new below them goes.
        around: Directories in which others may be at work; they go if they were missing and are
            empty, as do the parents that any of them lacked.
        unless: A file whose presence after the failure keeps everything.
    """
    before = {path for directory in directories for path in _below(directory)}
    missing = [
        parent
        for directory in (*directories, *around)
        for parent in (directory, *directory.parents)
        if not parent.exists()
    ]
    try:
        yield
    except BaseException:
        if not unless.exists():
            for directory in directories:
                _remove([path for path in _below(directory) if path not in before])
            _remove(missing)
        raise


def _below(directory: Path) -> list[Path]:
    return list(directory.rglob("*"))


def _remove(paths: Sequence[Path]) -> None:
    """Remove files and empty directories, the deepest first; what resists stays."""
    for path in sorted(set(paths), key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
