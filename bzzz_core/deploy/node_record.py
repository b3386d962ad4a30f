"""The host's own memory of the last runs: `install/journal.json` below the data directory.

For whoever stands before the machine without the operator's journal: which run, which release, how
it came out. Written only when a run changed something there or failed, by the node's user, in whose
directory it lies.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.deploy import layout
from bzzz_core.deploy.events import HostResult
from bzzz_core.deploy.lease import Owner
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost

RUNS_MAX: Final = 20
_READ: Final = """
getent passwd bzzz >/dev/null && [ -d "$1" ] || exit 9
exec runuser -u bzzz -- sh -c '
mkdir -p -m 750 "$1/install"
cat "$1/install/journal.json" 2>/dev/null || :
' record "$1"
"""


class NodeRun(msgspec.Struct, frozen=True):
    """One run, as the host remembers it."""

    run: str
    at: str
    release: str
    result: str
    changes: int
    who: str
    """The operator: login and machine."""


class NodeRecord(msgspec.Struct, frozen=True):
    """The last runs, oldest first."""

    runs: tuple[NodeRun, ...] = ()


def run_of(owner: Owner, release: str, came: HostResult) -> NodeRun:
    """Return what a host remembers of a run that came out so."""
    return NodeRun(
        run=owner.run,
        at=utc_now(),
        release=release,
        result=came.result.value,
        changes=came.changes,
        who=f"{owner.who} on {owner.host}",
    )


async def remember(host: RemoteHost, data: str, run: NodeRun) -> None:
    """Add a run to what the host remembers; a host without BZZZ remembers nothing.

    Raises:
        CommandFailed: It could not be written.
        HostUnreachable: The host does not answer.
    """
    said = await host.run(_READ, data, what="read the record of runs", check=False)
    if said.status:
        return
    record = with_run(said.stdout, run)
    path = f"{data}/install/journal.json"
    target = Placed(path=path, mode="640", owner=layout.USER, group=layout.USER)
    content = msgspec.json.format(msgspec.json.encode(record)) + b"\n"
    await place(host, target, content)


def with_run(present: bytes, run: NodeRun) -> NodeRecord:
    """Return the record with one more run; one that cannot be read begins anew."""
    try:
        runs = msgspec.json.decode(present, type=NodeRecord).runs
    except msgspec.DecodeError:
        runs = ()
    others = tuple(one for one in runs if one.run != run.run)
    return NodeRecord((*others, run)[-RUNS_MAX:])
