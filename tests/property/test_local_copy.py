"""A local copy ends up equal to the store, whatever happened in which order.

The store is a list of messages of which each key's last one stays; a deletion is a mark that may
come and go while nobody looks, and then the copy begins anew.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.fabric.local_copy import LocalCopy
from bzzz_core.model import Revision
from bzzz_core.ports import Change

KEYS = ("p.a", "p.b", "p.c", "other")
Step = tuple[str, str]
steps = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["put", "delete", "own put", "own delete"]), st.sampled_from(KEYS)
        ),
        st.tuples(
            st.sampled_from(["follow", "lag", "restart", "marks vanish", "anew"]), st.just("")
        ),
    ),
    max_size=40,
)


@dataclass
class Model:
    """A store, a copy of what is below "p", and what its handler believes."""

    copy: LocalCopy = field(default_factory=lambda: LocalCopy("p", Counter()))
    messages: dict[str, Change] = field(default_factory=dict)
    last: int = 0
    place: int = 0
    told: list[Change | None] = field(default_factory=list)
    behind: tuple[int, dict[str, Change]] = (0, {})
    """What a replica that lags has."""
    own: dict[str, Change] = field(default_factory=dict)
    """Writes of our own since the copy last began anew."""

    def write(self, key: str, *, value: bool) -> Change:
        self.last += 1
        change = Change(key, b"%d" % self.last if value else None, Revision(self.last))
        self.messages[key] = change
        return change

    def follow(self) -> None:
        self.behind = (self.last, dict(self.messages))
        self.lag()

    def lag(self) -> None:
        last, messages = self.behind
        if last < self.place:
            return
        for change in sorted(messages.values(), key=lambda change: change.revision):
            if change.revision > self.place and change.key.startswith("p."):
                self.copy.take(change)
        self.place = last
        self.copy.caught_up()
        for key, change in self.own.items():
            record = self.copy.get(key)
            assert record is None or record.revision >= change.revision

    def restart(self, *, anew: bool = False) -> None:
        self.place = 0
        self.behind = (self.last, dict(self.messages))
        self.own.clear()
        self.copy.restart(anew=anew)

    def step(self, what: str, key: str) -> None:
        match what:
            case "put" | "delete":
                self.write(key, value=what == "put")
            case "own put" | "own delete":
                self.behind = self.behind if self.last % 2 else (self.last, dict(self.messages))
                change = self.write(key, value=what == "own put")
                self.copy.note(change)
                if key.startswith("p."):
                    self.own[key] = change
            case "follow":
                self.follow()
            case "lag":
                self.lag()
            case "restart":
                self.restart()
            case "marks vanish":
                self.messages = {k: c for k, c in self.messages.items() if c.value is not None}
                self.restart()
            case "anew":
                self.messages, self.last = {}, 0
                self.restart(anew=True)

    def copied(self, key: str) -> bytes | None:
        record = self.copy.get(key)
        return record.value if record else None

    @property
    def stored(self) -> dict[str, bytes]:
        return {
            key: change.value
            for key, change in self.messages.items()
            if change.value is not None and key.startswith("p.")
        }

    @property
    def believed(self) -> dict[str, bytes]:
        known: dict[str, bytes] = {}
        for change in self.told:
            if change is not None and change.value is not None:
                known[change.key] = change.value
            elif change is not None:
                known.pop(change.key, None)
        return known


@settings(max_examples=500)
@given(steps)
def test_a_copy_becomes_the_store(steps: list[Step]) -> None:
    async def body() -> None:
        model = Model()
        model.copy.watch(model.told.append)
        for what, key in steps:
            model.step(what, key)
            if what.startswith("own") and key.startswith("p."):
                assert model.copied(key) == model.stored.get(key)
        model.follow()
        await asyncio.sleep(0)
        copied = {key: model.copied(key) for key in model.copy.keys()}  # noqa: SIM118  no dict
        assert copied == model.stored
        assert model.believed == model.stored
        assert model.told.count(None) == 1
        values = [change.value for change in model.told if change and change.value is not None]
        assert len(values) == len(set(values)) or ("anew", "") in steps
        late: list[Change | None] = []
        model.copy.watch(late.append)
        await asyncio.sleep(0)
        assert {c.key: c.value for c in late if c} == model.stored
        assert late[-1] is None

    asyncio.run(body())


@given(st.lists(st.tuples(st.sampled_from(KEYS[:3]), st.integers(1, 50)), max_size=20))
def test_each_lifetime_ends_once_and_only_the_latest_counts(writes: list[tuple[str, int]]) -> None:
    async def body() -> None:
        copy, told = LocalCopy("p", Counter()), list[Change | None]()
        copy.watch(told.append)
        copy.caught_up()
        ends: dict[str, int] = {}
        for number, (key, ttl) in enumerate(writes, 1):
            copy.take(Change(key, b"x", Revision(number)), ttl)
            ends[key] = ttl
        for now_ms in range(52):
            due = copy.next_expiry_ms
            assert due is None or due >= now_ms
            copy.expire(now_ms)
            assert set(copy.keys()) == {key for key, end in ends.items() if end > now_ms}
        await asyncio.sleep(0)
        gone = [change.key for change in told if change and change.value is None]
        assert sorted(gone) == sorted(ends)

    asyncio.run(body())
