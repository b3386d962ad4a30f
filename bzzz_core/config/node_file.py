"""The node's file as something that is changed: read, edit, check, replace in one step.

Nobody ever sees half a file, its mode and owner stay, and two who change it at once do so one after
the other. What is not valid is never written. A file of an older schema is kept beside the new one.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bzzz_core.config.changes import Changed
from bzzz_core.config.document import parse, read_text
from bzzz_core.config.edit import Edited, edited
from bzzz_core.config.layers import ClusterValues
from bzzz_core.config.leaf import catalogue
from bzzz_core.config.migrate import migrated
from bzzz_core.config.migrations import AGENT_MIGRATIONS
from bzzz_core.config.schema import SCHEMA_VERSION, AgentConfig
from bzzz_core.config.sources import AgentSources, Loaded, digest_of, leaf_of, refuse_open, to_yaml
from bzzz_core.config.value import from_text, lay, lookup, plain, shown
from bzzz_core.errors import ConfigError, RevisionConflict
from bzzz_core.trust import private_files

_NOTHING: Final = ClusterValues()


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of a file."""

    loaded: Loaded
    comments_lost: int
    backup: Path | None
    """The file of the older schema, if it was of one."""
    changed: tuple[Changed, ...]
    """What the file says of the keys, before and after; None: nothing."""


def change(
    sources: AgentSources,
    changes: Mapping[str, str | None],
    *,
    cluster: ClusterValues = _NOTHING,
    expected: str | None = None,
    check: Callable[[AgentConfig], None] = lambda _config: None,
    then: Callable[[Rewritten], None] = lambda _written: None,
) -> Rewritten:
    """Set values in a node's file, all of them or none.

    Args:
        sources: The file and what lies over it.
        changes: Key -> text as typed; None takes the key out of the file.
        cluster: What lies below the file.
        expected: The digest of the file that the changes were made for; None: whichever it is.
        check: Raises ConfigError if what is valid must not be written all the same.
        then: Called once it is written, while `being_changed` still says so: an agent's watch
            leaves it to this to tell the agent who changed what.

    Raises:
        ConfigError: A key is unknown, the result cannot be, or the file cannot be written.
        RevisionConflict: The file is not the expected one any more.
    """
    with _alone(sources.path):
        refuse_open(sources.path)
        text = read_text(sources.path)
        if expected is not None and digest_of(text) != expected:
            raise RevisionConflict(f"{sources.path} has changed since it was read; look again")
        new, version = _edited(sources, text, changes)
        loaded = sources.check(new.text, cluster)
        check(loaded.config)
        backup = None
        if new.text != text:
            backup = _keep(sources.path, text, version) if version < SCHEMA_VERSION else None
            _replace(sources.path, new.text)
        written = Rewritten(loaded, new.comments_lost, backup, _changed(text, loaded, changes))
        then(written)
    return written


def being_changed(path: Path) -> bool:
    """Return whether `change` is at work now, in any process, on a file of this directory."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def would_be(
    sources: AgentSources,
    changes: Mapping[str, str | None],
    *,
    cluster: ClusterValues = _NOTHING,
) -> Loaded:
    """Return what would be loaded after `change`, which is not done.

    Raises:
        ConfigError: As `change`.
    """
    new, _ = _edited(sources, read_text(sources.path), changes)
    return sources.check(new.text, cluster)


def _edited(
    sources: AgentSources, text: str, changes: Mapping[str, str | None]
) -> tuple[Edited, int]:
    """Return the text after the changes, and the schema version it was of before."""
    leaves = catalogue(AgentConfig)
    document = parse(text, str(sources.path))
    data, version = migrated(document, AGENT_MIGRATIONS, newest=SCHEMA_VERSION)
    wanted = copy.deepcopy(data)
    for key, typed in changes.items():
        leaf = leaf_of(leaves, key)
        if typed is None:
            _take_out(wanted, leaf.path)
        else:
            lay(wanted, leaf.path, from_text(leaf, typed, key))
    return edited(document, _understood(sources, wanted, changes)), version


def _changed(text: str, loaded: Loaded, changes: Mapping[str, str | None]) -> tuple[Changed, ...]:
    before, after = parse(text, "").data, loaded.document.data
    paths = {key: leaf_of(catalogue(AgentConfig), key).path for key in changes}
    return tuple(
        Changed(key, shown(lookup(before, path)), shown(lookup(after, path)))
        for key, path in paths.items()
    )


def _understood(
    sources: AgentSources, wanted: dict[str, Any], changes: Mapping[str, str | None]
) -> dict[str, Any]:
    """Return `wanted` with the changed values as the schema understands them: 9090, not "9090"."""
    leaves = catalogue(AgentConfig)
    covering = {name for key in changes for name in leaves[key].environment}
    environment = {n: text for n, text in sources.environment.items() if n not in covering}
    bare = AgentSources(path=sources.path, environment=environment)
    understood = plain(bare.check(to_yaml(wanted)).config)
    for key, typed in changes.items():
        if typed is not None:
            lay(wanted, leaves[key].path, understood[key])
    return wanted


def _take_out(data: dict[str, Any], path: tuple[str, ...]) -> None:
    """Remove a key, and the sections that it leaves empty."""
    above = lookup(data, path[:-1]) if len(path) > 1 else data
    if not isinstance(above, dict):
        return
    above.pop(path[-1], None)
    if not above and len(path) > 1:
        _take_out(data, path[:-1])


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep others who change a file of this directory waiting."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(f"{path.parent}: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _keep(path: Path, text: str, version: int) -> Path:
    """Put the file of an older schema beside the new one, under a name that no other file has.

    The first one is what the old release left, the later ones what somebody put back.
    """
    first = path.with_name(f"{path.name}.v{version}")
    backup = first
    for number in itertools.count(2):
        if not backup.exists():
            _write(backup, text, path.stat())
            break
        if _holds(backup, text):
            break
        backup = first.with_name(f"{first.name}.{number}")
    return backup


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def _replace(path: Path, text: str) -> None:
    real = path.resolve()
    _write(real, text, real.stat())


def _write(path: Path, text: str, like: os.stat_result) -> None:
    """Write a file in one step, durable on return, with the mode and the owner of another one."""
    mine = (os.geteuid(), os.getegid())
    owner = (like.st_uid, like.st_gid)
    try:
        private_files.replace(
            path,
            text.encode(),
            mode=stat.S_IMODE(like.st_mode),
            owner=None if owner == mine else owner,
        )
    except OSError as exc:
        raise ConfigError(
            f"{path} cannot be written: {exc.strerror}; run this as its owner, usually root"
        ) from exc
