"""A disk that is full: no file of this process gets longer than so many bytes."""

from __future__ import annotations

import resource
from types import TracebackType
from typing import Self


class FullDisk:
    """Full from `fill` to the end of the block; a write that crosses the limit takes a part."""

    def __init__(self) -> None:
        """Leave all room."""
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    def fill(self, bytes_max: int = 0) -> None:
        """Let no file get longer than that."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, self._before[1]))
