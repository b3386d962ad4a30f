"""Starting a detached run: files first, then a process in a session of its own."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bzzz_core.config.profile_places import cluster_directory
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.detached.place import Run, live_runs, make_run
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import PreconditionFailed
from bzzz_core.trust import private_files


def start(
    spec: ClusterSpec, wishes: Wishes, *, hold: bool = False, base: Path | None = None
) -> Run:
    """Start applying answers, detached, and return at once.

    Args:
        spec: The answers; what they refer to by relative paths is looked for from here.
        wishes: What is asked beyond them; the plan's hash, if a person saw one.
        hold: Whether it waits for a word about hosts that failed, while somebody watches.
        base: The operator's directory; None: the user's own.

    Raises:
        PreconditionFailed: A run of this cluster is at work already.
    """
    with _alone(cluster_directory(spec.cluster.name, base)):
        refuse_second(spec.cluster.name, base)
        run = make_run(spec, wishes, hold=hold, base=base)
        with run.locked() as lock, private_files.append(run.log) as log:
            # -P: a module of the directory that somebody stands in is none of ours.
            process = subprocess.Popen(  # noqa: S603  our own program
                [
                    *(sys.executable, "-P", "-m", "bzzz_core.deploy.detached.engine"),
                    *(str(run.path.resolve()), str(lock.fileno())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while we live
    return run


def refuse_second(cluster: str, base: Path | None = None) -> None:
    """Return if no run of a cluster is at work.

    Raises:
        PreconditionFailed: One is.
    """
    for run in live_runs(base, cluster=cluster):
        raise PreconditionFailed(
            f"run {run.id} of cluster {cluster} is at work; follow it: {attach_command(run)}"
        )


def attach_command(run: Run) -> str:
    """Return the command that follows a run."""
    return f"bzzz-tui setup --attach {run.id}"


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let nobody else start a run of the cluster meanwhile."""
    private_files.private_directory(directory)
    runs = directory / "runs"
    private_files.private_directory(runs)
    descriptor = os.open(runs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
