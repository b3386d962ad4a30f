"""Where a detached run keeps what it was asked, what it does, and what it is told.

Each has a directory of its own, 0700, below the cluster's:

    runs/<id>/answers.yaml    what it was started with: references, never secrets
    runs/<id>/wishes.json     what was asked beyond the answers
    runs/<id>/events.ndjson   every event, from the first to the summary
    runs/<id>/orders.ndjson   what its watchers told it, one order a line
    runs/<id>/engine.log      what it said besides, of a bug say
    runs/<id>/lock            locked by the engine as long as it lives
    runs/<id>/attended        locked, shared, by watchers that can answer for hosts that failed

All files are 0600. A lock ends with the process that holds it, however that ends, so nothing here
has to be believed of a dead one. The run's journal has the same id, see `journal.py`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from bzzz_core.config.profile_places import cluster_directory, home
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy import last_answers
from bzzz_core.deploy.journal import new_run_id
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import ConfigError, NotWritten
from bzzz_core.trust import private_files

RUNS: Final = "runs"
KEPT: Final = 10
"""How many runs are kept of a cluster, the newest."""


class Asked(msgspec.Struct, frozen=True):
    """What is asked of a run beyond its answers."""

    wishes: Wishes
    hold: bool
    """Whether it waits for a word about hosts that failed, while somebody watches."""


@dataclass(frozen=True, slots=True)
class Run:
    """One detached run, by its directory."""

    path: Path

    @property
    def id(self) -> str:
        """Return its name; the order of names is that of their beginnings."""
        return self.path.name

    @property
    def cluster(self) -> str:
        """Return the cluster's name."""
        return self.path.parents[1].name

    @property
    def base(self) -> Path:
        """Return the operator's directory."""
        return self.path.parents[3]

    @property
    def answers(self) -> Path:
        """Return the file with the answers."""
        return self.path / "answers.yaml"

    @property
    def events(self) -> Path:
        """Return the file with the events."""
        return self.path / "events.ndjson"

    @property
    def orders(self) -> Path:
        """Return the file with the orders."""
        return self.path / "orders.ndjson"

    @property
    def log(self) -> Path:
        """Return the file with what the engine said besides."""
        return self.path / "engine.log"

    @property
    def lock(self) -> Path:
        """Return the file that the engine locks."""
        return self.path / "lock"

    @property
    def journal(self) -> Path:
        """Return the directory of the cluster's journals."""
        return self.path.parents[1] / "journal"

    def spec(self) -> ClusterSpec:
        """Return the answers.

        Raises:
            ConfigError: They cannot be read.
        """
        return load_answers(self.answers)

    def asked(self) -> Asked:
        """Return what was asked beyond the answers.

        Raises:
            ConfigError: It cannot be read.
        """
        path = self.path / "wishes.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Asked)
        except (OSError, msgspec.DecodeError) as exc:
            raise ConfigError(f"{path}: {exc}") from exc

    @property
    def alive(self) -> bool:
        """Return whether its engine is at work."""
        return _is_locked(self.lock, fcntl.LOCK_SH)

    def locked(self) -> BinaryIO:
        """Lock it, as its engine; closing what is returned, everywhere, unlocks it.

        Whoever looks whether it is `alive` holds the lock for that moment, and is waited for.
        """
        return private_files.lock(self.lock, wait=True)

    @property
    def attended(self) -> bool:
        """Return whether somebody watches who can answer for hosts that failed."""
        return _is_locked(self.path / "attended", fcntl.LOCK_EX)

    @contextmanager
    def attending(self) -> Iterator[None]:
        """Be such a watcher until the block ends."""
        descriptor = os.open(self.path / "attended", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)


def make_run(spec: ClusterSpec, wishes: Wishes, *, hold: bool, base: Path | None) -> Run:
    """Make a new run's directory with all its files, and remove those of old runs.

    Raises:
        NotWritten: It cannot be made; nothing of it is left.
    """
    runs = cluster_directory(spec.cluster.name, base) / RUNS
    run = Run(runs / new_run_id(runs.parent))
    asked = Asked(replace(wishes, run_id=run.id), hold)
    try:
        private_files.private_directory(runs.parent)
        private_files.private_directory(runs)
        run.path.mkdir(mode=0o700)
        private_files.create(run.answers, last_answers.as_yaml(spec).encode())
        private_files.create(run.path / "wishes.json", msgspec.json.encode(asked))
        for path in (run.events, run.orders, run.log, run.lock, run.path / "attended"):
            private_files.create(path, b"")
    except OSError as exc:
        shutil.rmtree(run.path, ignore_errors=True)
        raise NotWritten(f"{run.path}: {exc.strerror}") from exc
    _prune(runs, run)
    return run


def runs_of(cluster: str, base: Path | None = None) -> list[Run]:
    """Return the runs of a cluster, the newest first."""
    return _runs((base or home()) / "clusters", cluster)


def all_runs(base: Path | None = None) -> list[Run]:
    """Return the runs of all clusters, the newest first."""
    return _runs((base or home()) / "clusters", "*")


def live_runs(base: Path | None = None, *, cluster: str | None = None) -> list[Run]:
    """Return the runs that are at work, the newest first."""
    found = all_runs(base) if cluster is None else runs_of(cluster, base)
    return [run for run in found if run.alive]


def find_run(name: str, base: Path | None = None) -> Run:
    """Return the run of a name or of its beginning; of none: the one at work, else the newest.

    Raises:
        ConfigError: There is none, or there are several.
    """
    known = [run for run in all_runs(base) if run.id.startswith(name)]
    live = [run for run in known if run.alive]
    if not known:
        raise ConfigError(f"there is no run {name} here" if name else "there is no run to follow")
    if len(live) > 1 or (name and len(known) > 1):
        names = ", ".join(f"{run.id} (cluster {run.cluster})" for run in (live or known))
        raise ConfigError(f"say which run: {names}")
    return (live or known)[0]


def _runs(clusters: Path, pattern: str) -> list[Run]:
    found = clusters.glob(f"{pattern}/{RUNS}/*/lock")
    return sorted((Run(lock.parent) for lock in found), key=lambda run: run.id, reverse=True)


def _prune(runs: Path, new: Run) -> None:
    old = sorted((path for path in runs.iterdir() if path.is_dir()), reverse=True)[KEPT:]
    for path in old:
        if path != new.path and not Run(path).alive:
            shutil.rmtree(path, ignore_errors=True)


def _is_locked(path: Path, kind: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
