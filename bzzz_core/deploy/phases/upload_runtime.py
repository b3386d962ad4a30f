"""Sends a Python of our own to a host that has none that fits, and unpacks it beside the others.

It appears under its name only when it is complete and has run: with its version and with every
module of the standard library that we need.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.phases.upload_release import LEFT_CLEAN, TAKE_PLACE, UNPACK_S_MAX, telling
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Upload the Python runtime"
_UNPACK: Final = (
    """
set -eu
umask 022
archive=$1 sum=$2 target=$3 minor=$4
[ -e "$archive" ] || [ ! -x "$target/bin/python3" ] || exit 0
printf '%s  %s\\n' "$sum" "$archive" | sha256sum -c --status \\
  || { echo "the archive was damaged on the way" >&2; exit 65; }
install -d -m 0755 -o root -g root "${target%/*/*}" "${target%/*}"
"""
    + LEFT_CLEAN
    + """
unpack
said=$("$part/bin/python3" -I -S -c '
import sys
import asyncio, bz2, ctypes, decimal, http.client, json, lzma, sqlite3, ssl, uuid, zlib
print("%d.%d" % sys.version_info[:2])') || { echo "the runtime does not run here" >&2; exit 66; }
[ "$said" = "$minor" ] || { echo "the runtime is Python $said, not $minor" >&2; exit 66; }
"$part/bin/python3" -I -m compileall -q --invalidation-mode unchecked-hash "$part/lib" \\
  >/dev/null 2>&1 || :
"""
    + TAKE_PLACE
)


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the upload, unless the host needs none or has it."""
    runtime = goal.release.runtime
    if runtime is None or runtime.name in (goal.facts.runtimes or ()):
        return ()
    megabytes = runtime.size_bytes / 1_000_000
    return (
        Change(
            phase="upload_runtime",
            action="create",
            target=f"{layout.RUNTIMES}/{runtime.name}",
            before="absent",
            after=runtime.archive_sha256,
            sentence=f"upload the Python runtime {runtime.name} ({megabytes:.1f} MB) and unpack it,"
            " for the host has no Python that fits",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Send, compare, unpack, try, and put it under its name."""
    del changes
    runtime, local = goal.release.runtime, work.releases[host.name].runtime
    assert runtime is not None, "the plan has looked"
    assert local is not None, "it came with the release"
    async with work.uploads:
        archive = await host.upload(local, telling(host.name, work))
    work.say(host.name, "unpacking")
    job = Job(
        step="upload_runtime",
        what="unpack the Python runtime",
        script=_UNPACK,
        arguments=(
            *(archive, runtime.archive_sha256),
            *(f"{layout.RUNTIMES}/{runtime.name}", runtime.python.minor),
        ),
        timeout_s=UNPACK_S_MAX,
    )
    await host.run_unit(job)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing more to look at: it has run before it got its name."""
    del host, goal, work
