"""Status documents made up for tests: frozen, so that pictures of them never change."""

from __future__ import annotations

import hashlib

import msgspec

from bzzz_core.api.documents import ClusterRef, FabricStatus, MemberStatus, Status
from bzzz_core.model import FabricState, MemberState, NodeId, Term

GIB = 1 << 30


def member(
    number: int, state: MemberState = MemberState.ALIVE, *, voter: bool = True, cpu: float = 12.0
) -> MemberStatus:
    """Return one line of a roster; a node that is not alive has not been heard for 4 s."""
    return MemberStatus(
        name=f"bzzz-{number}",
        node_id=node_id(number),
        state=state,
        voter=voter,
        address=f"10.20.0.{10 + number}",
        version="0.1.0",
        heard_ms_ago=400 if state is MemberState.ALIVE else 4_200,
        uptime_s=11_520 + number,
        cpu_percent=cpu,
        cpu_count=8,
        load_1m=0.3 + number / 10,
        memory_used_bytes=int((2.1 + number / 3) * GIB),
        memory_total_bytes=int(15.6 * GIB),
        broker=f"bzzz-{number}",
    )


def node_id(number: int) -> NodeId:
    """Return a stable id in the form of real ones."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return NodeId(digest.translate(str.maketrans("0189", "wxyz"))[:26])


def status(
    members: tuple[MemberStatus, ...] | None = None,
    *,
    leader: int | None = 2,
    term: int = 42,
    fabric: FabricState = FabricState.CONNECTED,
    serving: bool = True,
    at: str = "2026-11-21T12:00:00.000Z",
    since_at: str = "2026-11-21T08:48:00.000Z",
) -> Status:
    """Return the view of node 1 of a healthy cluster of three, unless told otherwise."""
    roster = members or (member(1, cpu=7.4), member(2, cpu=23.0), member(3, cpu=61.5))
    voters = sum(m.voter for m in roster)
    return Status(
        node="bzzz-1",
        node_id=node_id(1),
        version="0.1.0",
        at=at,
        uptime_s=11_521,
        cluster=ClusterRef(id="c0ffee00c0ffee00", name="honeycomb"),
        leader=None if leader is None else f"bzzz-{leader}",
        leader_id=None if leader is None else node_id(leader),
        leader_serving=serving and leader is not None,
        leader_since_at=None if leader is None else since_at,
        term=Term(term),
        role="follower",
        members=roster,
        fabric=FabricStatus(
            state=fabric,
            broker="bzzz-1",
            stream_leader="bzzz-3",
            voters=voters,
            quorum=voters // 2 + 1,
        ),
    )


def with_state(document: Status, number: int, state: MemberState) -> Status:
    """Return the document with one member in another state."""
    members = tuple(
        msgspec.structs.replace(m, state=state, heard_ms_ago=4_200)
        if m.node_id == node_id(number)
        else m
        for m in document.members
    )
    return msgspec.structs.replace(document, members=members)
