"""What a run did, on disk before the next thing is done: one JSON object a line.

Rules: append-only, 0600, redacted. Intents and results are fsynced, each with all lines before it;
a step that has only begun, or that had nothing to change, waits for nobody. A journal tells what
was done, never what is true: a later run probes anew.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from bzzz_core.clock import utc_instant
from bzzz_core.config.secrets import Secret
from bzzz_core.errors import NotWritten
from bzzz_core.trust import private_files

SUFFIX = ".ndjson"
RUN_PLACES: Final = ("journal", "runs")
"""Directories of a cluster in which files or directories begin with a run's name."""
_TIME: Final = "%Y-%m-%dT%H%M%S"
_BEGUN: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}(?=-)")
_SHORTEST = 6
"""A shorter secret is not replaced: it would cut words apart and tell by that what it is."""


class Redactor:
    """Replaces known secrets in texts, also base64- and URL-encoded."""

    def __init__(self, known: Iterable[Secret] = ()) -> None:
        """Take the secrets that must not appear."""
        forms = {form for secret in known for form in _forms(secret.reveal())}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text with stars for every secret."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text


class Journal:
    """The file of one run."""

    def __init__(self, directory: Path, run_id: str) -> None:
        """Take the place; the file is made on entering."""
        self._path = directory / f"{run_id}{SUFFIX}"
        self._descriptor = -1

    @property
    def path(self) -> Path:
        """Return the journal's file."""
        return self._path

    def __enter__(self) -> Self:
        """Create the file; a run never continues another's.

        Raises:
            NotWritten: It cannot be made.
        """
        with _written(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            private_files.sync_directory(self._path.parent)  # its name must last as its lines do
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def write(self, at: str, entry: Any, *, durable: bool = True) -> None:
        """Append one entry: it outlives this process, and if `durable` the machine on return.

        What was written before is durable with it.

        Raises:
            NotWritten: It cannot be written; the entries before it are whole.
        """
        line = msgspec.json.encode({"at": at, **msgspec.to_builtins(entry)}) + b"\n"
        with _written(self._path):
            private_files.append_whole(self._descriptor, line)
            if not durable:
                return
            os.fsync(self._descriptor)


def new_run_id(cluster: Path) -> str:
    """Return a name for a run: when it began, and something that no other has.

    The order of names is that of the beginnings, also where the clock was set back: the time in a
    name is later than that of every run that the cluster's directory knows.

    Args:
        cluster: The operator's directory of the cluster; it need not be there.
    """
    known = (path.name for place in RUN_PLACES for path in cluster.glob(f"{place}/*"))
    last = max((found[0] for name in known if (found := _BEGUN.match(name))), default="")
    begun = utc_instant().strftime(_TIME)
    with suppress(ValueError, OverflowError):  # a time that cannot be is before all others
        begun = max(begun, (_moment(last) + timedelta(seconds=1)).strftime(_TIME))
    return f"{begun}-{secrets.token_hex(3)}"


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise  # two runs of one name: a mistake of our own
    except OSError as exc:
        raise NotWritten(f"{path}: {exc.strerror}; nothing is begun without a journal") from exc


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _forms(value: str) -> set[str]:
    if len(value) < _SHORTEST:
        return set()
    encoded = base64.b64encode(value.encode()).decode("ascii").rstrip("=")
    safe = encoded.replace("+", "-").replace("/", "_")
    quoted = {urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)}
    return {value, encoded, safe, *quoted}
