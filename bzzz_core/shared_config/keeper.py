"""The leader's side: the only writer of the cluster-wide configuration.

Wishes come through `LeaderRequests`, one after the other. Each is checked against the record as it
is, against the schema, and against the node that asks: only voters may pass on a wish, because a
node that could set an AI endpoint's URL for all of them would be sent their keys. The record is
written through the leader's lane, so a deposed leader writes nothing.

A read may be answered by a broker that has been cut off (`ports.Records.read`). A number lower than
one that this node has seen gives that away and is not built upon.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from bzzz_core.config.leaf import catalogue
from bzzz_core.config.live import Audit
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import leaf_of, with_values
from bzzz_core.config.value import plain
from bzzz_core.errors import PermissionDenied, QuorumUnavailable, RequestInvalid
from bzzz_core.model import NodeId, Revision
from bzzz_core.ports import Records
from bzzz_core.shared_config.record import (
    RECORD_KEY,
    SharedConfig,
    Wish,
    changed,
    check_shared,
    decode,
    encode,
    history_of,
    key_of,
    values_of,
)
from bzzz_core.telemetry import tracing

READ: Final = "config"
WRITE: Final = "config-set"
"""Names of the two questions to the leader."""


class Known(msgspec.Struct, frozen=True):
    """A question for what is newer than the number that somebody has."""

    number: int = -1


class Answer(msgspec.Struct, frozen=True):
    """The number of the record; and the record, unless the asker has it."""

    number: int
    record: bytes = b""


_encoder = msgspec.msgpack.Encoder()
Document = TypeVar("Document", Known, Wish)


class ConfigKeeper:
    """Answers `READ` and `WRITE` while this node leads."""

    def __init__(
        self,
        *,
        records: Records,
        put: Callable[[str, bytes], Awaitable[Revision]],
        config: Callable[[], AgentConfig],
        may_change: Callable[[NodeId], bool],
        audit: Audit,
        now: Callable[[], str],
    ) -> None:
        """Read nothing yet.

        Args:
            records: The control stream.
            put: Writes a record through the lane of the present leadership.
            config: What this node runs with.
            may_change: Whether a node may pass on wishes.
            audit: Hears of every change and every refusal.
            now: Wall-clock UTC, for people.
        """
        self._records = records
        self._put = put
        self._config = config
        self._may_change = may_change
        self._audit = audit
        self._now = now
        self._number = 0
        self._one_at_a_time = asyncio.Lock()
        self.counters: Counter[str] = Counter()

    @property
    def number(self) -> int:
        """Return the highest number that this node has seen; the leader's digest carries it."""
        return self._number

    def saw(self, number: int) -> None:
        """Note a number that this node learnt as a follower."""
        self._number = max(self._number, number)

    async def answer_read(self, asker: NodeId, body: bytes) -> bytes:
        """Answer `READ`.

        Raises:
            QuorumUnavailable: The record could not be read.
        """
        del asker  # Every enrolled node may know it; there are no secrets in it.
        known = _decode(body, Known)
        shared = await self._read()
        record = encode(shared) if shared.number != known.number else b""
        return _encoder.encode(Answer(shared.number, record))

    async def answer_write(self, asker: NodeId, body: bytes) -> bytes:
        """Answer `WRITE`.

        Raises:
            PermissionDenied: The asking node may not change it.
            ConfigError: What is wished for cannot be.
            RevisionConflict: It was made for another revision.
            QuorumUnavailable: It was not written.
            RequestTimeout: It may have been; asking again under the same name does no harm.
        """
        wish = _decode(body, Wish)
        if not self._may_change(asker):
            self.counters["refused"] += 1
            self._audit("cluster config refused", actor=asker, by=wish.by)
            raise PermissionDenied(
                "only a voter passes on changes of the cluster-wide configuration; run it there"
            )
        async with self._one_at_a_time:
            before = await self._read()
            config = self._config()
            after = changed(
                before,
                understood(config, before, wish),
                cluster_name=config.cluster.name,
                node=asker,
                at=self._now(),
                trace=tracing.current().trace,
            )
            if after is not before:
                await self._put(RECORD_KEY, encode(after))
                self._number = after.number
                self._note(after, wish)
        return _encoder.encode(Answer(after.number))

    async def _read(self) -> SharedConfig:
        cluster = self._config().cluster.id
        record = await self._records.read(RECORD_KEY)
        shared = SharedConfig(cluster)
        if record is not None:
            shared = decode(record.value, cluster=cluster)
        if shared.number < self._number:
            raise QuorumUnavailable(
                "a broker answered with an older cluster-wide configuration than is known"
            )
        self._number = shared.number
        return shared

    def _note(self, shared: SharedConfig, wish: Wish) -> None:
        self.counters["changed"] += 1
        for change in history_of(shared, None):
            if change.number == shared.number:
                self._audit(
                    "cluster config changed",
                    actor=wish.by,
                    asker=change.node,
                    number=change.number,
                    key=key_of(change.address),
                    address=change.address,
                    old=change.before,
                    new=change.after,
                )


def understood(config: AgentConfig, shared: SharedConfig, wish: Wish) -> Wish:
    """Return a wish with its values as the schema understands them, all of them checked.

    They are checked over nothing but defaults. A node whose own file says something that does not
    fit to them refuses them for itself.

    Raises:
        ConfigError: A key is unknown or not the cluster's to set, or the values cannot be.
    """
    leaves = catalogue(AgentConfig)
    values = dict(values_of(shared).values)
    for key, text in wish.changes.items():
        check_shared(leaf_of(leaves, key))
        values.pop(key, None)
        if text is not None:
            values[key] = _from_json(text)
    fresh = {
        key: values.get(key, leaf.default)
        for key, leaf in leaves.items()
        if not leaf.of_node and not leaf.required
    }
    found = plain(with_values(config, fresh))
    return msgspec.structs.replace(
        wish,
        changes={
            key: None if text is None else msgspec.json.encode(found[key]).decode()
            for key, text in wish.changes.items()
        },
    )


def _from_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as exc:
        raise RequestInvalid("a value is no JSON") from exc


def _decode(body: bytes, kind: type[Document]) -> Document:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (ValueError, RecursionError) as exc:
        raise RequestInvalid("this is no question about the configuration") from exc
