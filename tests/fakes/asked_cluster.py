"""What the API of a made-up cluster answers the monitor's views, and how it can fail to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bzzz_core.api import event_documents as events
from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import AlertDocument, CheckDocument, HaltDocument
from bzzz_core.errors import RequestTimeout
from bzzz_core.model import MemberState
from bzzz_tui.store import Heard
from tests.fakes import statuses

AT = "2026-11-21T12:00:00.000Z"


def alert(
    key: str, severity: str = "warning", subject: str = "bzzz-2", at: str = AT, **more: Any
) -> AlertDocument:
    """Return an alert about a node."""
    told = {"rule": "clock_skew", "node": "bzzz-1", "words": f"{key} was found", **more}
    return AlertDocument(
        id=key,
        severity=severity,  # type: ignore[arg-type]
        subject=subject,
        since_at=at,
        next_step=f"look at {subject}",
        **told,
    )


def check(name: str, state: str = "ok", **more: Any) -> CheckDocument:
    """Return a check and what came of it."""
    told = {"words": f"{name} is {state}", "critical": False, "took_ms": 1.5, **more}
    return CheckDocument(name=name, state=state, checked_at=AT, **told)  # type: ignore[arg-type]


ALERTS = (
    alert("skew", "warning", "bzzz-2", "2026-11-21T11:58:00.000Z", value=0.8, threshold=0.5),
    alert(
        "disk",
        "critical",
        "bzzz-3",
        "2026-11-21T11:40:00.000Z",
        rule="disk_full",
        words="only 1 % of /var/lib/bzzz is left, and what does not fit is refused at once",
    ),
    alert("cert", "info", "bzzz-1", "2026-11-20T23:59:00.000Z", rule="certificate_renewal"),
)
CHECKS = (
    check("broker"),
    check("disk", "critical", critical=True, failures=3, words="1 % of /var/lib/bzzz is left"),
    check("clock", "warning", failures=1, took_ms=120.0),
    check("gpu", "unknown"),
)
HALT = HaltDocument(halted=True, by="mira", at=AT, reason="a worker ran wild", node="bzzz-1")


def told(
    ms: int,
    *,
    status: Status | None = None,
    alerts: tuple[AlertDocument, ...] = ALERTS,
    checks: tuple[CheckDocument, ...] = CHECKS,
    halt: HaltDocument | None = None,
) -> Heard:
    """Return what a node tells that knows of alerts, checks and halt."""
    status = status or statuses.status()
    halt = halt or HaltDocument(halted=False)
    documents: events.Documents = {
        events.STATUS: {events.SELF: _raw(msgspec.structs.replace(status, members=()))},
        events.MEMBERS: {member.node_id: _raw(member) for member in status.members},
        events.ALERTS: {each.id: _raw(each) for each in alerts},
        events.CHECKS: {each.name: _raw(each) for each in checks},
        events.HALT: {events.SELF: _raw(halt)},
    }
    message = events.Snapshot(
        epoch="e1",
        revision=1,
        at=status.at,
        node=status.node,
        node_id=status.node_id,
        version=status.version,
        documents=documents,
    )
    return Heard(source=status.node, message=message, received_ms=ms)


def _raw(document: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


def leader_document(**more: Any) -> dict[str, Any]:
    """Return what `GET /v1/leader` answers."""
    return {
        "node": "bzzz-1",
        "role": "follower",
        "leader": "bzzz-2",
        "leader_id": statuses.node_id(2),
        "term": 42,
        "serving": True,
        "since_at": "2026-11-21T08:48:00.000Z",
        "token": 910,
        "cause": "silence",
        "voters": ["bzzz-1", "bzzz-2", "bzzz-3"],
        "voters_number": 3,
        "majority": 2,
        "failover": "automatic",
        "waits_for_operator": False,
        "without_quorum": "read-only",
        "stale": False,
        "quarantined": [],
        "counters": {},
        **more,
    }


def leadership(term: int, leader: int, began: str, ended: str = "", **more: Any) -> dict[str, Any]:
    """Return one leadership of the history."""
    return {
        "term": term,
        "leader": f"bzzz-{leader}",
        "leader_id": statuses.node_id(leader),
        "token": 10 * term,
        "began_at": began,
        "ended_at": ended,
        "end": "fell silent" if ended else "",
        "cause": "silence",
        "words": "the leader fell silent",
        "predecessor": None,
        "took_ms": 204,
        "state": "known",
        "candidates": [{"name": f"bzzz-{leader}", "score": 17.0}],
        "ballots": [
            {"voter": f"bzzz-{leader}", "given": True, "reason": ""},
            {"voter": "bzzz-1", "given": False, "reason": "it hears the leader still"},
        ],
        **more,
    }


def history_document(**more: Any) -> dict[str, Any]:
    """Return what `GET /v1/leader/history` answers."""
    return {
        "node": "bzzz-1",
        "complete": True,
        "stale": False,
        "leaderships": [
            leadership(41, 3, "2026-11-20T20:00:00.000Z", "2026-11-21T08:47:58.000Z"),
            leadership(42, 2, "2026-11-21T08:48:00.000Z", predecessor="bzzz-3"),
        ],
        "decisions": [
            {
                "at": "2026-11-21T08:47:59.000Z",
                "term": 42,
                "candidate": "bzzz-2",
                "given": True,
                "reason": "",
            },
            {
                "at": "2026-11-21T08:47:57.000Z",
                "term": 42,
                "candidate": "bzzz-3",
                "given": False,
                "reason": "its record is older",
            },
        ],
        **more,
    }


def audit_entry(seq: int, what: str = "config.set", **fields: Any) -> dict[str, Any]:
    """Return one entry of the audit."""
    return {
        "v": 1,
        "seq": seq,
        "at": f"2026-11-21T11:{seq:02}:00.000Z",
        "node": "bzzz-1",
        "actor": "operator mira",
        "what": what,
        "fields": fields or {"key": "node.log_level", "to": "debug"},
        "hash": f"{seq:064x}",
    }


def audit_page(*entries: dict[str, Any]) -> dict[str, Any]:
    """Return what `GET /v1/audit` answers."""
    known = entries or (audit_entry(1, "audit.begun"), audit_entry(2), audit_entry(3, "node.leave"))
    return {"node": "bzzz-1", "entries": list(known), "before": 0}


def verdict(**more: Any) -> dict[str, Any]:
    """Return what `POST /v1/audit/verify` answers: whole, unless told otherwise."""
    report = {
        "node": "bzzz-1",
        "entries": 3,
        "first": 1,
        "last": 3,
        "fault": None,
        "confirmed": [
            {"peer": "bzzz-2", "seq": 3, "at": AT},
            {"peer": "bzzz-3", "seq": 2, "at": AT},
        ],
    }
    peers = [{"peer": "bzzz-2", "answered": True, "against": []}]
    return {"node": "bzzz-1", "ok": True, "report": report, "why": "", "peers": peers, **more}


def faulty() -> dict[str, Any]:
    """Return a report with an entry that was changed."""
    fault = {"kind": "edit", "seq": 2, "place": "f:2", "words": "its hash is another"}
    return {**verdict()["report"], "fault": fault}


@dataclass
class AskedCluster:
    """Answers by path; a test changes them, lets them fail, or holds them back."""

    answers: dict[str, Any] = field(default_factory=dict)
    """Path without its query -> document, or the error to raise."""
    members: dict[str, tuple[MemberStatus, ...] | None] = field(default_factory=dict)
    """Voter -> how it sees the nodes; None: it does not answer."""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, host)."""
    hold: asyncio.Event | None = None
    """While this is not set nothing is answered."""

    def __post_init__(self) -> None:
        """Answer well."""
        self.answers = {
            "/v1/leader": leader_document(),
            "/v1/leader/history": history_document(),
            "/v1/audit": audit_page(),
            "/v1/audit/head": {"node": "bzzz-1", "head": {"seq": 3, "hash": "00", "at": AT}},
            "/v1/audit/verify": verdict(),
            "/health/checks": {"checks": [msgspec.to_builtins(each) for each in CHECKS]},
            **self.answers,
        }

    async def call(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> Any:
        """Answer as an agent does."""
        del body
        self.asked.append((method, path, host))
        if self.hold is not None:
            await self.hold.wait()
        name = path.partition("?")[0]
        if name == "/v1/members":
            seen = self.members.get(host or "", statuses.status().members)
            if seen is None:
                raise RequestTimeout(f"{host}: no answer within 20 s")
            return {"members": msgspec.to_builtins(seen), "next": None}
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def paths(self) -> list[str]:
        """Return what was asked for, without queries."""
        return [path.partition("?")[0] for _, path, _ in self.asked]


def seen(**states: MemberState) -> tuple[MemberStatus, ...]:
    """Return the nodes as a voter sees them: `seen(bzzz_2=MemberState.DEAD)`."""
    by_name = {name.replace("_", "-"): state for name, state in states.items()}
    return tuple(
        msgspec.structs.replace(
            member, state=by_name.get(member.name, member.state), rtt_ms=float(number)
        )
        for number, member in enumerate(statuses.status().members, 1)
    )
