"""The leader's pen: single use, one writer, and no undoing by a restore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from bzzz_core.enrolment.registrar import Registrar
from bzzz_core.enrolment.registry import EnrolledNode, Registry, decode, encode
from bzzz_core.enrolment.token import KnownToken, Tokens
from bzzz_core.errors import Deposed, IntegrityError, NotLeader, RequestTimeout, TokenRefused
from bzzz_core.model import ClusterId, FencingToken, NodeId, Revision, StreamId
from bzzz_core.ports import Record
from bzzz_core.trust.keys import node_id_of

CLUSTER = ClusterId("c")
FIRST = FencingToken(StreamId("s"), Revision(1))
SECOND = FencingToken(StreamId("s"), Revision(9))


def node(number: int, *, voter: bool = False) -> EnrolledNode:
    key = number.to_bytes(32, "big")
    return EnrolledNode(
        id=node_id_of(key), name=f"n{number}", public_key=key, address="127.0.0.1", voter=voter
    )


GENESIS = Registry(cluster=CLUSTER, version=0, nodes=(node(1, voter=True),), node_roots=("pem",))


class Desk:
    """A store of records, a leadership, and a registrar between them."""

    def __init__(self, known: Registry = GENESIS) -> None:
        self.values: dict[str, bytes] = {}
        self.token: FencingToken | None = FIRST
        self.taken: list[int] = []
        self.written: list[str] = []
        self.fail: Exception | None = None
        self.known = known
        self.registrar = Registrar(
            records=self,  # type: ignore[arg-type]
            put=self.put,
            leads=lambda: self.token,
            known=lambda: self.known,
            taken=self.take,
        )

    async def read(self, key: str) -> Record | None:
        value = self.values.get(key)
        return None if value is None else Record(key, value, Revision(1))

    async def put(self, token: FencingToken, key: str, value: bytes) -> Revision:
        if token != self.token:
            raise Deposed("another leader serves")
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        self.values[key] = value
        self.written.append(key)
        return Revision(len(self.written))

    async def take(self, registry: Registry) -> None:
        self.taken.append(registry.version)


def play(scenario: Callable[[Desk], Awaitable[None]], known: Registry = GENESIS) -> Desk:
    desk = Desk(known)
    asyncio.run(scenario(desk))  # type: ignore[arg-type]
    return desk


def test_the_first_leader_writes_the_genesis() -> None:
    """From then on everybody has the same list, with the roots that setup installed."""

    async def scenario(desk: Desk) -> None:
        assert (await desk.registrar.registry()).version == 1
        assert (await desk.registrar.registry()).node_roots == ("pem",)

    desk = play(scenario)
    assert desk.written == ["_nodes"]
    assert desk.taken == [1]


def test_only_the_leader_writes() -> None:
    async def scenario(desk: Desk) -> None:
        desk.token = None
        with pytest.raises(NotLeader):
            await desk.registrar.registry()

    assert play(scenario).written == []


def test_what_is_in_force_is_known_without_waiting_only_under_the_same_leadership() -> None:
    async def scenario(desk: Desk) -> None:
        assert desk.registrar.present() is None, "nothing was read yet"
        registry = await desk.registrar.registry()
        assert desk.registrar.present() is registry
        for token in (SECOND, None):
            desk.token = token
            assert desk.registrar.present() is None

    play(scenario)


def test_a_new_leadership_reads_what_the_one_before_it_wrote() -> None:
    """Between its two leaderships another node may have changed everything."""

    async def scenario(desk: Desk) -> None:
        await desk.registrar.registry()
        elsewhere = decode(desk.values["_nodes"], cluster=CLUSTER).with_node(node(2))
        desk.values["_nodes"] = encode(elsewhere)
        assert (await desk.registrar.registry()).named("n2") is None, "not read for every question"
        desk.token = SECOND
        assert (await desk.registrar.registry()).named("n2") is not None

    play(scenario)


def test_a_write_without_an_answer_is_read_back() -> None:
    async def scenario(desk: Desk) -> None:
        await desk.registrar.registry()
        desk.fail = RequestTimeout("no answer")
        with pytest.raises(RequestTimeout):
            await desk.registrar.change(lambda registry: registry.with_node(node(2)))
        # It had arrived after all.
        desk.values["_nodes"] = encode(
            decode(desk.values["_nodes"], cluster=CLUSTER).with_node(node(2))
        )
        same = await desk.registrar.change(lambda registry: registry.with_node(node(2)))
        assert same.version == 2

    play(scenario)


def test_an_older_record_does_not_undo_what_this_node_knows() -> None:
    """The stream was restored from a snapshot: whoever was revoked since stays out."""
    newer = msgspec.structs.replace(GENESIS.with_node(node(2)), version=7)

    async def scenario(desk: Desk) -> None:
        desk.values["_nodes"] = encode(msgspec.structs.replace(GENESIS, version=3))
        registry = await desk.registrar.registry()
        assert (registry.version, registry.named("n2")) == (8, node(2))

    play(scenario, newer)


def test_of_two_nodes_with_one_token_one_is_taken() -> None:
    """Asked at the same moment; the loser's node is in no registry."""
    token = KnownToken(id="0" * 16, verifier=b"v" * 32, expires_s=100, created_at="", created_by="")

    async def join(desk: Desk, number: int) -> str:
        def step(registry: Registry, tokens: Tokens) -> tuple[Registry, Tokens]:
            claimed = tokens.claimed(token.id, node(number).id, now_s=1, at="")
            return registry.with_node(node(number)), claimed

        try:
            await desk.registrar.change_both(step)
        except TokenRefused:
            return "refused"
        return "taken"

    async def scenario(desk: Desk) -> None:
        await desk.registrar.change_tokens(lambda tokens: tokens.with_new(token, now_s=1))
        results = await asyncio.gather(join(desk, 2), join(desk, 3))
        assert sorted(results) == ["refused", "taken"]
        assert len((await desk.registrar.registry()).members) == 2

    desk = play(scenario)
    assert desk.written[-2:] == ["_tokens", "_nodes"], "a token is used up before it gives"


def test_a_token_stays_used_when_the_second_write_fails() -> None:
    token = KnownToken(id="0" * 16, verifier=b"v" * 32, expires_s=100, created_at="", created_by="")

    async def scenario(desk: Desk) -> None:
        await desk.registrar.change_tokens(lambda tokens: tokens.with_new(token, now_s=1))

        def step(registry: Registry, tokens: Tokens) -> tuple[Registry, Tokens]:
            return registry.with_node(node(2)), tokens.claimed(
                token.id, NodeId(node(2).id), now_s=1, at=""
            )

        original = desk.put

        async def failing(mine: FencingToken, key: str, value: bytes) -> Revision:
            if key == "_nodes":
                raise Deposed("another leader serves")
            return await original(mine, key, value)

        desk.registrar._put = failing
        with pytest.raises(Deposed):
            await desk.registrar.change_both(step)
        desk.registrar._put = original
        desk.token = SECOND
        used = (await desk.registrar.tokens()).find(token.id)
        assert used is not None
        assert used.used_by == node(2).id

    play(scenario)


def test_a_damaged_record_is_an_error_and_nothing_is_written_over_it() -> None:
    async def scenario(desk: Desk) -> None:
        desk.values["_tokens"] = b"\xc1"
        with pytest.raises(IntegrityError):
            await desk.registrar.registry()

    assert play(scenario).written == []
