"""What the API offers on leadership: who leads and why, the history, and the operator's wishes.

    GET  /v1/leader             who leads, as this node sees it; always answered
    GET  /v1/leader/history     the leaderships of the cluster and the votes of this node
    POST /v1/leader/transfer    {"to": name, id or null}: the leader hands over
    POST /v1/leader/elect       this node stands, for want of a leader
    POST /v1/leader/release     {"node": name or id}: this node trusts a voter's votes again

A node that does not lead asks the leader (`LeaderRequests`) for a transfer, and for the history if
it cannot read it. A transfer names the term that it ends: asked twice, it happens once. Wishes are
for voters: an edge's certificate must not be able to keep leadership on the move.

What was wished is audited where its API was called, once it is done or refused, under the name that
the caller gave; the leader audits besides which node asked.

Histories name nodes by id; here they get the names that operators know. Of nodes that are gone the
registry still knows them; such a name says so, for another node may bear it by now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from bzzz_core.api.operations import Call, Operation
from bzzz_core.config.schema import AgentConfig
from bzzz_core.election.history import Leadership as Story
from bzzz_core.election.history import conclude, decode_records, encode_records
from bzzz_core.election.machine import View
from bzzz_core.election.quorum import QuorumWatch
from bzzz_core.election.wishes import TAKEOVER_MS
from bzzz_core.enrolled import votes
from bzzz_core.enrolment.registry import Registry
from bzzz_core.errors import (
    BzzzError,
    NotLeader,
    PermissionDenied,
    RateLimited,
    RequestInvalid,
    TransferFailed,
)
from bzzz_core.leader_documents import (
    ElectWish,
    HistoryDocument,
    LeaderDocument,
    NameOf,
    NodeNamed,
    QuarantineNote,
    TransferWish,
    WishDocument,
    decision_of,
    document_of,
)
from bzzz_core.leadership import Leadership
from bzzz_core.model import NodeId, Term

_TRANSFER_MS_MAX: Final = TAKEOVER_MS + 5_000
_HISTORY_MS_MAX: Final = 2_000
_ANYBODY: Final = "the fittest"


def guarded(operations: Iterable[Operation], quorum: QuorumWatch) -> list[Operation]:
    """Return operations that refuse to answer while the operator wants no stale answers."""

    def guard(operation: Operation) -> Operation:
        async def handler(call: Call) -> object:
            quorum.check()
            return await operation.handler(call)

        return replace(operation, handler=handler)

    return [guard(operation) for operation in operations]


class Requests(Protocol):
    """Asks the leader, and answers for it."""

    def serve(self, operation: str, handler: Callable[[NodeId, bytes], Awaitable[bytes]]) -> None:
        """Let `handler` answer while this node leads."""
        ...

    async def ask(self, operation: str, body: bytes, *, timeout_ms: int) -> bytes:
        """Return the leader's answer."""
        ...


class LeaderOperations:
    """Answers for one node."""

    def __init__(
        self,
        leadership: Leadership,
        *,
        config: Callable[[], AgentConfig],
        registry: Callable[[], Registry | None],
        requests: Requests,
        audit: Callable[..., None],
    ) -> None:
        """Answer nothing yet.

        Args:
            leadership: This node's part in it.
            config: This node's configuration with the registry laid over it, as it is now.
            registry: Who belongs to the cluster, and who did; None: not written yet.
            requests: Asks the leader; begins to answer for it here.
            audit: Told of what operators do.
        """
        self._leadership = leadership
        self._config = config
        self._registry = registry
        self._me = NodeId(config().me.id)
        self._requests = requests
        self._audit = audit
        requests.serve("leader-transfer", self._hand_over)
        requests.serve("leader-history", self._tell_history)

    def operations(self) -> list[Operation]:
        """Return what the API mounts."""
        return [
            Operation(
                "GET",
                "/v1/leader",
                self.show,
                "leader:read",
                "Who leads, as this node sees it",
                answers=LeaderDocument,
            ),
            Operation(
                "GET",
                "/v1/leader/history",
                self.history,
                "leader:read",
                "The leaderships of the cluster and the votes of this node",
                answers=HistoryDocument,
            ),
            Operation(
                "POST",
                "/v1/leader/transfer",
                self.transfer,
                "leader:write",
                "Let the leader hand over, to a named voter or the fittest",
                takes=TransferWish,
                needs_body=False,
                answers=WishDocument,
            ),
            Operation(
                "POST",
                "/v1/leader/elect",
                self.elect,
                "leader:write",
                "Let this node stand, for want of a leader",
                takes=ElectWish,
                needs_body=False,
                answers=WishDocument,
            ),
            Operation(
                "POST",
                "/v1/leader/release",
                self.release,
                "leader:write",
                "Let this node trust a voter's votes again",
                takes=NodeNamed,
                answers=dict[str, bool],
            ),
        ]

    async def show(self, _call: Call) -> LeaderDocument:
        """Answer `GET /v1/leader`."""
        view, clerk = self._leadership.view(), self._leadership.clerk
        leader = view.leader if view else None
        term = view.term if view else Term(0)
        story = next((one for one in clerk.leaderships() if one.term == term), None)
        policies = self._config().cluster
        voters = self._leadership.voters
        return LeaderDocument(
            node=self._name(self._me),
            role=str(view.role) if view else "follower",
            leader=self._name(leader) if leader else None,
            leader_id=leader,
            term=term,
            serving=bool(view and leader and view.served),
            since_at=(story.began_at if story else None) if leader else None,
            token=view.sequence if view else 0,
            cause=story.cause if story and leader else "",
            voters=tuple(sorted(self._name(voter.node) for voter in voters.voters)),
            voters_number=voters.number,
            majority=voters.majority,
            failover=policies.failover,
            waits_for_operator=bool(view and view.waits_for_operator),
            without_quorum=policies.without_quorum,
            stale=not self._leadership.quorum.is_held(),
            quarantined=tuple(
                QuarantineNote(
                    self._name(each.node),
                    each.offence,
                    each.reason,
                    each.at,
                    until_released=each.until_ms is None,
                )
                for each in clerk.convictions()
            ),
            counters=dict(clerk.counters),
        )

    async def history(self, _call: Call) -> HistoryDocument:
        """Answer `GET /v1/leader/history`."""
        stale = self._leadership.quorum.check()
        stories, complete = await self._stories()
        name_of = self._names()
        return HistoryDocument(
            node=name_of(self._me),
            complete=complete,
            stale=stale,
            leaderships=tuple(document_of(story, name_of) for story in stories),
            decisions=tuple(
                decision_of(one, self._me, name_of) for one in self._leadership.clerk.decisions()
            ),
        )

    async def transfer(self, call: Call) -> WishDocument:
        """Answer `POST /v1/leader/transfer`."""
        wish = call.read(TransferWish)
        async with self._audited("leader transfer", call.actor(wish.by), to=wish.to or _ANYBODY):
            return await self._transfer(wish)

    async def _transfer(self, wish: TransferWish) -> WishDocument:
        self._check_votes(self._me, "leader transfer")
        to = self._find(wish.to) if wish.to is not None else None
        view = self._leadership.view()
        if view is None or view.leader is None:
            raise NotLeader("nobody leads; `bzzz-agent leader elect` on a voter starts an election")
        question = msgspec.msgpack.encode((view.term, to))
        answer = await self._requests.ask("leader-transfer", question, timeout_ms=_TRANSFER_MS_MAX)
        leader, term = msgspec.msgpack.decode(answer, type=tuple[NodeId, Term])
        return WishDocument(self._name(leader), term)

    async def elect(self, call: Call) -> WishDocument:
        """Answer `POST /v1/leader/elect`."""
        async with self._audited("leader election", call.actor(call.read(ElectWish).by)):
            self._check_votes(self._me, "leader elect")
            election = self._leadership.election
            if election is None:
                raise TransferFailed("this node takes no part in elections yet; ask another voter")
            return self._outcome(await election.wishes.stand())

    async def release(self, call: Call) -> dict[str, bool]:
        """Answer `POST /v1/leader/release`."""
        named = call.read(NodeNamed)
        async with self._audited("leader release", call.actor(named.by), node=named.node):
            node = self._find(named.node)
            election = self._leadership.election
            if election is None or not election.pardon(node):
                raise RequestInvalid(f"{self._name(node)} is not in quarantine here")
        return {"released": True}

    @asynccontextmanager
    async def _audited(self, what: str, actor: str, **fields: object) -> AsyncIterator[None]:
        """Write down what an operator wished, and whether it was refused."""
        try:
            yield
        except BzzzError as exc:
            self._audit(f"{what} refused", actor=actor, reason=str(exc), **fields)
            raise
        self._audit(what, actor=actor, **fields)

    def _check_votes(self, node: NodeId, what: str) -> None:
        """Let voters alone move leadership.

        Raises:
            PermissionDenied: The node is none.
        """
        if votes(self._config(), node):
            return
        voters = sorted(entry.name for entry in self._config().cluster.nodes if entry.voter)
        raise PermissionDenied(f"`{what}` is for voters; run it on one of {', '.join(voters)}")

    # ---- for the other nodes

    async def _hand_over(self, asker: NodeId, body: bytes) -> bytes:
        """Hand over, once, however often it is asked for the same term."""
        try:
            term, to = msgspec.msgpack.decode(body, type=tuple[Term, NodeId | None])
        except ValueError as exc:
            raise RequestInvalid("a transfer names a term and perhaps a node") from exc
        election = self._leadership.election
        if election is None:
            raise NotLeader("this node does not lead")
        view = election.view()
        if view.term <= term and to != self._me:
            view = await self._hand_to(to, asker, view.term)
        return msgspec.msgpack.encode((view.leader, view.term))

    async def _hand_to(self, to: NodeId | None, asker: NodeId, term: Term) -> View:
        fields = {"to": to or _ANYBODY, "term": term}
        election = self._leadership.election
        assert election is not None, "the caller has looked"
        try:
            self._check_votes(asker, "leader transfer")
            if to is not None and self._leadership.voters.find(to) is None:
                raise TransferFailed(f"{self._name(to)} has no vote, so it cannot lead")
            view = await election.wishes.transfer(to)
        except RateLimited:
            raise  # Whoever asks goes on asking until it is done or their time is over.
        except BzzzError as exc:
            self._audit("leadership transfer refused", actor=asker, reason=str(exc), **fields)
            raise
        self._audit("leadership transferred", actor=asker, **fields)
        return view

    async def _tell_history(self, _asker: NodeId, _body: bytes) -> bytes:
        election = self._leadership.election
        if election is None:
            raise NotLeader("this node does not lead")
        stories, _ = await election.history()
        return encode_records(stories)

    async def _stories(self) -> tuple[tuple[Story, ...], bool]:
        election = self._leadership.election
        if election is not None:
            return await election.history()
        try:
            answer = await self._requests.ask("leader-history", b"", timeout_ms=_HISTORY_MS_MAX)
            return decode_records(answer), True
        except BzzzError:
            return conclude(self._leadership.clerk.leaderships()), False

    # ---- names

    def _outcome(self, view: View) -> WishDocument:
        assert view.leader is not None, "a wish ends with a leader, or fails"
        return WishDocument(self._name(view.leader), view.term)

    def _members(self) -> dict[NodeId, str]:
        return {NodeId(node.id): node.name for node in self._config().cluster.nodes}

    def _names(self) -> NameOf:
        """Return what tells the names of nodes, as of now; many are looked up at once."""
        registry, names = self._registry(), {}
        for node in registry.nodes if registry else ():
            names[node.id] = node.name if node.member else f"{node.name} ({node.state})"
        names.update(self._members())
        return lambda node: names.get(node, node)

    def _name(self, node: NodeId) -> str:
        return self._names()(node)

    def _find(self, wanted: str) -> NodeId:
        members = self._members()
        for node, name in members.items():
            if wanted in {node, name}:
                return node
        known = ", ".join(sorted(members.values()))
        raise RequestInvalid(f"there is no node {wanted}; there are {known}")
