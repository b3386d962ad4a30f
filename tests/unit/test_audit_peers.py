"""Voters learn how audits go on, notice what contradicts that, and say so to both sides."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.auditing import messages
from bzzz_core.auditing.holder import AuditHolder
from bzzz_core.auditing.messages import AskHeld, AskPage, Heard, Held, Tell
from bzzz_core.auditing.peers import TELL_MS, AuditPeers
from bzzz_core.auditing.reports import verify
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import (
    ClusterConfig,
    NetworkConfig,
    NodeEntry,
    Paths,
    ResourcesConfig,
    SecurityConfig,
    SystemConfig,
)
from bzzz_core.errors import PermissionDenied, RequestInvalid, TransportError, TrustError
from bzzz_core.fabric.layout import audit_subject, permissions
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.model import ClusterId, NodeId
from bzzz_core.ports import Message
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.trust.audit_chain import Author
from bzzz_core.trust.audit_ledger import STEPS_MAX, Told
from bzzz_core.trust.keys import IdentityKey
from tests.fakes import virtual_time
from tests.fakes.audits import acts
from tests.fakes.virtual_time import VirtualClock, pass_s

CLUSTER = ClusterId("c1")
NOWHERE = "file:/nowhere"
NAMES = ("bzzz-1", "bzzz-2", "bzzz-3", "edge")


class Desk(AuditDesk):
    """Writes at once: the fabric's time is virtual, a thread's is not."""

    def note(self, what: str, *, actor: str, **fields: object) -> None:
        self.chain.record(what, actor=actor, **fields)

    async def settled(self) -> None:
        return


class Node:
    """One agent's part in the mutual watch."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.home = cluster.home / name
        for folder in ("data", "logs"):
            (self.home / folder).mkdir(parents=True)
        self.name, self.cluster = name, cluster
        self.key = cluster.keys[name]
        self.config = AgentConfig(
            system=SystemConfig(node_name=name),
            network=NetworkConfig(address="192.0.2.1"),
            security=SecurityConfig(directory=str(self.home), api_token=NOWHERE),
            resources=ResourcesConfig(
                paths=Paths(data=str(self.home / "data"), logs=str(self.home / "logs"))
            ),
            cluster=ClusterConfig(id=CLUSTER, name="c", nodes=cluster.nodes),
        )
        self.id = NodeId(self.config.me.id)
        self.fabric = cluster.hub.attach(
            self.id, allowed=permissions(self.id, voter=name != "edge")
        )
        self.tasks: list[asyncio.Task[None]] = []
        self.build()

    def build(self) -> None:
        """Begin as an agent does when it starts."""
        audit = Audit(
            self.home / "logs" / "audit",
            node=self.name,
            author=Author(CLUSTER, self.key),
            now=lambda: "then",
        )
        self.audit = audit
        desk, clock = Desk(audit, clock=VirtualClock()), VirtualClock()
        self.holder = AuditHolder(
            config=lambda: self.config,
            fabric=self.fabric,
            clock=clock,
            desk=desk,
            now=lambda: "now",
        )
        self.peers = AuditPeers(
            config=lambda: self.config,
            fabric=self.fabric,
            clock=clock,
            desk=desk,
            holder=self.holder,
        )

    def start(self) -> None:
        work = [self.peers.run()]
        if self.name != "edge":
            work.append(self.holder.hold())
        self.tasks = [asyncio.create_task(one) for one in work]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        self.audit.close()

    async def restart(self) -> None:
        await self.stop()
        self.build()
        self.start()

    def told(self) -> list[dict[str, Any]]:
        return acts(self.home / "logs")


class Cluster:
    """Three voters and an edge on one hub."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.hub = MemoryHub(clock=VirtualClock())
        self.keys = {name: IdentityKey.generate() for name in NAMES}
        self.nodes = tuple(
            NodeEntry(
                id=key.node_id,
                name=name,
                public_key=base64.b64encode(key.public_key).decode(),
                address="192.0.2.1",
                voter=name != "edge",
            )
            for name, key in self.keys.items()
        )
        self.of = {name: Node(self, name) for name in NAMES}

    async def held(self, of: str, by: str) -> Held:
        found = await self.of[of].peers.held(self.of[of].id)
        answer = found[by]
        assert answer is not None
        return answer


def play(tmp_path: Path, story: Callable[[Cluster], Awaitable[None]]) -> None:
    async def scene() -> None:
        cluster = Cluster(tmp_path)
        async with AsyncExitStack() as stack:
            for node in cluster.of.values():
                node.start()
                stack.push_async_callback(node.stop)
            await pass_s(1)
            await story(cluster)

    virtual_time.run(scene())


def test_voters_are_told_once_a_minute_and_only_of_what_is_new(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        edge = cluster.of["edge"]
        edge.audit.record("act", actor="a")
        await pass_s(6)
        for voter in NAMES[:3]:
            assert (await cluster.held("edge", voter)).heads[-1].head.seq == 2
        asked = edge.fabric._asked
        await pass_s(10 * TELL_MS // 1000)
        assert edge.fabric._asked == asked, "an idle audit costs nothing"
        for _ in range(3):
            edge.audit.record("act", actor="a")
        await pass_s(TELL_MS // 1000)
        held = await cluster.held("edge", "bzzz-1")
        assert [(one.head.seq, one.linked) for one in held.heads] == [(2, True), (5, True)]
        assert edge.peers.alarms == ()

    play(tmp_path, story)


def test_a_voter_that_was_away_is_led_over_everything_it_missed(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        node, away = cluster.of["bzzz-1"], cluster.of["bzzz-2"]
        node.audit.record("act", actor="a")
        await pass_s(6)
        await away.stop()
        for _ in range(3):
            many = [node.audit.act("act", "a", {}) for _ in range(STEPS_MAX)]
            node.audit.write(many)
        await pass_s(TELL_MS // 1000)
        away.build()
        away.start()
        await pass_s(TELL_MS // 1000)
        held = await cluster.held("bzzz-1", "bzzz-2")
        assert held.heads[-1].head == node.audit.head()
        assert all(one.linked for one in held.heads)
        assert len(held.heads) > 3

    play(tmp_path, story)


def cut(node: Node, left: int) -> None:
    path = node.audit.files.segments()[-1]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))


@pytest.mark.parametrize(("more", "kind"), [(0, "rollback"), (1, "rollback"), (4, "fork")])
def test_a_chain_that_was_cut_is_noticed_by_every_voter_and_by_the_node(
    tmp_path: Path, more: int, kind: str
) -> None:
    """`more`: entries that the node has written since, before it is told."""

    async def story(cluster: Cluster) -> None:
        node = cluster.of["bzzz-1"]
        for _ in range(5):
            node.audit.record("act", actor="a")
        await pass_s(6)
        await node.stop()
        cut(node, 3)
        node.build()
        for _ in range(more):
            node.audit.record("another act", actor="a")
        node.start()
        await pass_s(10)
        assert any("another audit of this node" in alarm for alarm in node.peers.alarms)
        for name in ("bzzz-2", "bzzz-3"):
            (alarm,) = cluster.of[name].peers.alarms
            assert f"bzzz-1 contradicts what it told ({kind} at entry {3 + more})" in alarm
            (noted,) = (one for one in cluster.of[name].told() if one["what"].endswith("diction"))
            assert (noted["kind"], noted["held"], noted["told"]) == (kind, 6, 3 + more)
        found = await verify(cluster.of["bzzz-3"].peers, "bzzz-1")
        assert not found.ok
        assert [one.against[0].kind for one in found.peers] == [kind, kind]
        own = await verify(node.peers, "bzzz-1")
        assert own.report is not None
        assert own.report.fault is not None
        assert own.report.fault.kind in ("truncate", "fork")
        for name in ("bzzz-2", "bzzz-3"):
            voter = cluster.of[name]
            await voter.restart()
            await pass_s(6)
            assert len(voter.peers.alarms) == 1, "it outlives a restart"
            assert voter.peers.conflicts() == 1
            assert await voter.holder.accept(node.id, by="root") == 1
            assert voter.peers.alarms == ()
            with pytest.raises(RequestInvalid):
                await voter.holder.accept(node.id, by="root")
        await pass_s(2 * TELL_MS // 1000)
        assert node.peers.alarms == ()
        assert (await verify(node.peers, "bzzz-1")).ok

    play(tmp_path, story)


def test_an_audit_that_is_gone_is_noticed_by_its_node(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        node = cluster.of["bzzz-1"]
        node.audit.record("act", actor="a")
        await pass_s(6)
        await node.stop()
        node.audit.files.segments()[-1].unlink()
        node.build()
        node.start()
        await pass_s(6)
        assert "(rollback)" in node.peers.alarms[0]

    play(tmp_path, story)


def test_a_peer_verifies_the_files_of_a_voter_that_still_runs(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        node, peer = cluster.of["bzzz-1"], cluster.of["bzzz-2"]
        for number in range(600):
            node.audit.record("act", actor="a", number=number)
        await pass_s(6)
        found = await verify(peer.peers, "bzzz-1")
        assert found.ok, found
        assert found.report is not None
        assert found.report.entries == 601
        assert [one.peer for one in found.report.confirmed] == ["bzzz-2", "bzzz-3"]
        path = node.audit.files.segments()[0]
        path.write_bytes(path.read_bytes().replace(b'"number":300}', b'"number":301}'))
        found = await verify(peer.peers, node.id)
        assert not found.ok
        assert found.report is not None
        assert found.report.fault is not None
        assert (found.report.fault.kind, found.report.fault.seq) == ("edit", 302)
        edge = await verify(peer.peers, "edge")
        assert (edge.ok, edge.report) == (False, None)
        assert "no voter" in edge.why

    play(tmp_path, story)


def test_nobody_speaks_for_another_or_says_the_same_twice(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        edge, voter = cluster.of["edge"], cluster.of["bzzz-1"]
        edge.audit.record("act", actor="a")
        await pass_s(6)
        subject = audit_subject(voter.id, edge.id)

        async def ask(question: messages.Question, kind: Any) -> Any:
            data = await edge.fabric.request(subject, messages.ask(question), timeout_ms=1_000)
            return messages.answered(data, kind)

        held = await ask(AskHeld(edge.id), Held)
        head = edge.audit.head()
        assert head is not None
        said = Told(head=head, nonce=held.nonce, since=0).signed(edge.key, voter.id)
        assert (await ask(Tell(said), Heard)).verdict == "known"
        with pytest.raises(TrustError, match="not given out"):
            await ask(Tell(said), Heard)
        held = await ask(AskHeld(edge.id), Held)
        other = Told(head=head, nonce=held.nonce, since=0).signed(IdentityKey.generate(), voter.id)
        with pytest.raises(TrustError, match="false signature"):
            await ask(Tell(other), Heard)
        with pytest.raises(PermissionDenied, match="only voters"):
            await ask(AskPage(), Held)
        with pytest.raises(RequestInvalid):
            messages.answered(await edge.fabric.request(subject, b"x", timeout_ms=1_000), Held)
        rejected = [one for one in voter.told() if one["what"] == "audit telling rejected"]
        assert [one["sender"] for one in rejected] == ["edge", "edge"]
        with pytest.raises(TransportError):
            messages.answered(b"nonsense", Held)

    play(tmp_path, story)


def test_what_a_stranger_sends_is_refused_and_a_flood_is_dropped(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        voter = cluster.of["bzzz-1"]
        stranger = NodeId("z" * 26)
        fabric = cluster.hub.attach(stranger)
        subject = audit_subject(voter.id, stranger)
        data = await fabric.request(subject, messages.ask(AskHeld(voter.id)), timeout_ms=1_000)
        with pytest.raises(PermissionDenied):
            messages.answered(data, Held)
        for _ in range(1_000):
            voter.holder._hear(Message(subject, b"x", "_INBOX.x.1"))
        assert voter.holder._questions.qsize() <= 64
        await pass_s(1)
        assert len([one for one in voter.told() if one["what"] == "refused"]) <= 66

    play(tmp_path, story)


def test_what_commands_left_is_audited_within_a_minute(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        node = cluster.of["bzzz-1"]
        node.audit.record("act", actor="a")
        node.audit.files.append_pending(b'{"at":"t","actor":"root","what":"config file changed"}\n')
        await pass_s(TELL_MS // 1000)
        assert node.told()[-1]["what"] == "config file changed"
        assert not node.audit.files.pending.exists()

    play(tmp_path, story)
