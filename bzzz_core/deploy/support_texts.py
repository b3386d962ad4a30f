"""What every support bundle begins with: versions, and the operator's last answers."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core import __version__
from bzzz_core.clock import utc_now
from bzzz_core.config.profile_places import cluster_directory, home
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy import last_answers
from bzzz_core.deploy.support import Scrubber, secrets_of, write
from bzzz_core.errors import ConfigError

_LIBRARIES: Final = ("textual", "rich", "asyncssh", "pydantic", "msgspec", "cryptography")
_VARIABLES: Final = ("TERM", "COLORTERM", "LANG", "LC_ALL", "NO_COLOR", "SSH_CONNECTION")
"""Which of these are set tells what a terminal can do; other variables may be secrets."""
_SESSION_BYTES_MAX: Final = 1_000_000


def versions() -> str:
    """Return what runs here, as JSON."""
    known = {}
    for name in _LIBRARIES:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            known[name] = ""
    document = {
        "at": utc_now(),
        "bzzz": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": known,
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def write_bundle(
    target: Path, *, cluster: str | None, answers: Path | None = None, base: Path | None = None
) -> tuple[int, str]:
    """Write a bundle about a cluster; return how many files are in it, and the cluster's name.

    Args:
        target: The archive.
        cluster: The cluster's name; None: the only one there is.
        answers: An answers file, whose secrets are looked for too.
        base: The operator's directory; None: the user's own.

    Raises:
        ConfigError: No cluster or several, the answers cannot be read, or nothing can be written.
    """
    spec = None if answers is None else load_answers(answers)
    name = cluster or (spec.cluster.name if spec else _only(base or home()))
    directory = cluster_directory(name, base)
    if not directory.is_dir() and spec is None:
        raise ConfigError(f"nothing was set up here that is called {name}; name it by --cluster")
    texts = {"versions.json": versions()}
    session = (base or home()) / "setup-session.json"
    kept: object = None
    if session.is_file():
        with session.open("rb") as file:
            texts["session.json"] = file.read(_SESSION_BYTES_MAX).decode(errors="replace")
        kept = _document(texts["session.json"])
    last = last_answers.path_of(name, base)
    if last.is_file():
        texts[last.name] = last.read_text(encoding="utf-8", errors="replace")
        spec = spec or _readable(last)
    scrub = Scrubber(secrets_of(spec, directory, texts=kept))
    return write(target, texts, cluster=directory, scrub=scrub), name


def _document(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _readable(path: Path) -> ClusterSpec | None:
    try:
        return load_answers(path)
    except ConfigError:
        return None


def _only(base: Path) -> str:
    found = sorted(path.name for path in (base / "clusters").glob("*") if path.is_dir())
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError("no cluster was set up from here yet")
    raise ConfigError(f"several clusters were set up from here ({', '.join(found)}): --cluster")
