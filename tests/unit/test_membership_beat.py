"""What arrives from the network is parsed strictly, and nothing but our error comes out."""

import contextlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.errors import RequestInvalid, TransportError
from bzzz_core.membership.beat import (
    BEAT_BYTES_MAX,
    DIGEST_BYTES_MAX,
    Capabilities,
    Digest,
    Echo,
    Told,
    decode_asked,
    decode_beat,
    decode_digest,
    decode_page,
    encode,
    size_of,
)
from bzzz_core.membership.machine import Roster
from bzzz_core.membership.pages import Pages
from bzzz_core.model import Gpu, MemberState, NodeId, Sample
from tests.fakes import beats
from tests.fakes.member_cluster import TIMINGS

NODE = NodeId("abc")
BEAT = beats.beat(NODE)
FULL = beats.beat(
    NODE,
    sample=Sample(cpu_percent=1.0, gpus=(Gpu("card", 1, 2, 3.0),)),
    capabilities=Capabilities(("m",), ("python",), ("worker",)),
    echoes=(Echo(NODE, 1, 2, 3),),
    rtt_ms=0.5,
    period_ms=4_000,
    leaving=True,
)


@pytest.mark.parametrize("beat", [BEAT, FULL], ids=["plain", "full"])
def test_a_beat_survives_the_wire(beat: object) -> None:
    assert decode_beat("bz.beat.abc", encode(beat)) == beat  # type: ignore[arg-type]


def test_a_beat_about_somebody_else_is_refused() -> None:
    """The broker vouches for the subject only; a node may not report another one dead or alive."""
    with pytest.raises(TransportError, match="claims to be about abc"):
        decode_beat("bz.beat.xyz", encode(BEAT))


@pytest.mark.parametrize(
    ("decode", "most"),
    [
        (lambda data: decode_beat("bz.beat.abc", data), BEAT_BYTES_MAX),
        (decode_digest, DIGEST_BYTES_MAX),
    ],
)
def test_what_is_too_large_is_refused_unread(decode: Callable[[bytes], object], most: int) -> None:
    with pytest.raises(TransportError, match="over"):
        decode(b"\0" * (most + 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"uptime_s": -1},
        {"node": "n" * 65},
        {"echoes": [["x", 1, 1, 1]] * 9},
        {"capabilities": {"models": ["m"] * 65}},
        {"capabilities": {"languages": ["l" * 129]}},
        {"rtt_ms": -1.0},
        {"period_ms": 10**9},
        {"wire": 0},
    ],
    ids=str,
)
def test_values_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    raw = msgspec.to_builtins(BEAT) | wrong
    with pytest.raises(TransportError, match="malformed"):
        decode_beat("bz.beat.abc", msgspec.msgpack.encode(raw))


def test_a_newer_beat_with_more_to_say_is_understood() -> None:
    """Agents one release apart work together: what is not known is passed over."""
    raw = msgspec.to_builtins(BEAT) | {"mood": "good", "wire": 3}
    beat = decode_beat("bz.beat.abc", msgspec.msgpack.encode(raw))
    assert (beat.name, beat.wire) == (BEAT.name, 3)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for decode in (
        lambda: decode_beat("bz.beat.abc", data),
        lambda: decode_digest(data),
        lambda: decode_page(data),
        lambda: decode_asked(data),
    ):
        with contextlib.suppress(TransportError):
            decode()


def test_a_digest_survives_the_wire() -> None:
    told = Told(NODE, MemberState.ALIVE, 5, BEAT)
    digest = Digest(1, (told,), fingerprint=2**63 - 1, untold=3, versions={"registry": 7})
    assert decode_digest(encode(digest)) == digest
    assert len(encode(digest)) > size_of(told)


def test_a_quiet_digest_is_a_few_bytes() -> None:
    """Every edge reads one each second, all its life."""
    quiet = Digest(86_400, fingerprint=2**63 - 1, versions={"registry": 3, "config": 9})
    assert len(encode(quiet)) < 100


def test_pages_hold_everybody_once_in_order() -> None:
    nodes = [NodeId(f"{number:05}") for number in range(1_000)]
    pages = Pages(Roster(TIMINGS, me=nodes[0], nodes=tuple(nodes), edge=False, now_ms=0))
    seen: list[NodeId] = []
    after, more = NodeId(""), True
    while more:
        page = decode_page(pages.answer(msgspec.msgpack.encode({"after": after}), 0))
        seen += [told.node for told in page.members]
        after, more = seen[-1], page.more
    assert seen == nodes


def test_a_page_is_made_once_until_the_next_digest() -> None:
    """After a power cycle a thousand edges ask at the same time."""
    pages = Pages(Roster(TIMINGS, me=NODE, nodes=(NODE,), edge=False, now_ms=0))
    question = msgspec.msgpack.encode({"after": ""})
    first = pages.answer(question, 0)
    assert pages.answer(question, 5_000) is first
    pages.forget()
    assert pages.answer(question, 5_000) != first


def test_a_malformed_question_is_refused() -> None:
    pages = Pages(Roster(TIMINGS, me=NODE, nodes=(NODE,), edge=False, now_ms=0))
    with pytest.raises(RequestInvalid):
        pages.answer(b"\xc1", 0)
