"""The documents that an agent tells of, and what became of them since any revision. Pure.

Theory of operation
-------------------
Every change gives its row the next revision and moves it to the end of its collection. What differs
since revision r is then the rows at the end that have a greater one; rows that went are remembered
by the revision at which they did. So whoever stood at r, long ago or just now, is brought up to
date by one delta that names each document once, in its present form: a slow reader costs nothing,
and there is no history to bound but that of rows that went. Once that is full its oldest are
forgotten; who stands before them gets everything anew.

A document may be replaced without becoming another (`sign`): the newest is told to whoever gets
everything, and nobody else hears of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

GONE_MAX: Final = 10_000
"""Rows that went, of all collections together: some 100 bytes each."""

Told: TypeAlias = dict[str, dict[str, msgspec.Struct]]


@dataclass(slots=True)
class _Row:
    revision: int
    sign: object
    document: msgspec.Struct


@dataclass(slots=True)
class _Collection:
    rows: OrderedDict[str, _Row] = field(default_factory=OrderedDict)
    """In the order of their revisions."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of some collections since a revision."""

    changed: Told
    gone: dict[str, tuple[str, ...]]

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.changed or self.gone)


class Board:
    """Collections of documents by id."""

    def __init__(self, *, changed: Callable[[], None], gone_max: int = GONE_MAX) -> None:
        """Hold nothing; `changed` is called after each change, and must not raise."""
        self.revision = 0
        """Of the newest change."""
        self._told = changed
        self._gone_max = gone_max
        self._collections: dict[str, _Collection] = {}
        self._gone: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._floor = 0
        """Whoever stands before this revision missed rows that went."""

    def put(
        self,
        collection: str,
        key: str,
        document: msgspec.Struct,
        *,
        sign: object | None = None,
    ) -> bool:
        """Hold a document, in place of the one under the same key; return whether it is another.

        Args:
            collection: Which.
            key: Its id there.
            document: What is told.
            sign: What of it counts: with the sign of before, nobody is told. None: all of it.
        """
        changed = self._put(collection, key, document, sign)
        if changed:
            self._told()
        return changed

    def update(
        self,
        collection: str,
        documents: Iterable[tuple[str, msgspec.Struct, object | None]],
        gone: Iterable[str] = (),
    ) -> bool:
        """Put many (key, document, sign) and remove others; return whether anything changed."""
        changed = False
        self._collections.setdefault(collection, _Collection())
        for key, document, sign in documents:
            changed |= self._put(collection, key, document, sign)
        for key in gone:
            changed |= self._remove(collection, key)
        if changed:
            self._told()
        return changed

    def replace(self, collection: str, documents: Mapping[str, msgspec.Struct]) -> bool:
        """Make these the documents of a collection; an empty one is told as empty."""
        new = collection not in self._collections
        gone = self.keys(collection) - documents.keys()
        rows = ((key, document, None) for key, document in documents.items())
        changed = self.update(collection, rows, gone)
        if new and not changed:
            self._told()
        return changed

    def remove(self, collection: str, key: str) -> bool:
        """Hold a document no longer; return whether it was there."""
        changed = self._remove(collection, key)
        if changed:
            self._told()
        return changed

    def keys(self, collection: str) -> frozenset[str]:
        """Return the ids of a collection."""
        found = self._collections.get(collection)
        return frozenset(found.rows) if found else frozenset()

    def renew(self, collection: str, key: str, document: msgspec.Struct) -> None:
        """Hold a younger form of a document that is there; nobody is told."""
        found = self._collections.get(collection)
        row = found.rows.get(key) if found else None
        if row is not None:
            row.document = document

    def due(self, collection: str, revision: int | None) -> tuple[str, ...]:
        """Return the ids of the documents that whoever stands at a revision has to be told.

        All of them, if that is no longer known, or None.
        """
        found = self._collections.get(collection)
        if found is None:
            return ()
        if revision is None or not self._floor <= revision <= self.revision:
            return tuple(found.rows)
        return tuple(_newer(found, revision))

    def everything(self, topics: Iterable[str]) -> Told:
        """Return all documents of those of these collections that there are."""
        return {
            topic: {key: row.document for key, row in self._collections[topic].rows.items()}
            for topic in topics
            if topic in self._collections
        }

    def since(self, revision: int, topics: Iterable[str]) -> Difference | None:
        """Return what is different since a revision; None: that is no longer known."""
        if not self._floor <= revision <= self.revision:
            return None
        changed: Told = {}
        gone: dict[str, tuple[str, ...]] = {}
        for topic in topics:
            found = self._collections.get(topic)
            newer = _newer(found, revision) if found else {}
            if newer:
                changed[topic] = newer
        for (topic, key), when in reversed(self._gone.items()):
            if when <= revision:
                break
            if topic in topics:
                gone[topic] = (*gone.get(topic, ()), key)
        return Difference(changed, gone)

    def _put(
        self, collection: str, key: str, document: msgspec.Struct, sign: object | None
    ) -> bool:
        rows = self._collections.setdefault(collection, _Collection()).rows
        sign = document if sign is None else sign
        row = rows.get(key)
        if row is not None and (row.sign is sign or row.sign == sign):
            row.document = document
            return False
        self.revision += 1
        if row is None:
            self._gone.pop((collection, key), None)
            rows[key] = _Row(self.revision, sign, document)
        else:
            row.revision, row.sign, row.document = self.revision, sign, document
            rows.move_to_end(key)
        return True

    def _remove(self, collection: str, key: str) -> bool:
        found = self._collections.get(collection)
        if found is None or found.rows.pop(key, None) is None:
            return False
        self.revision += 1
        self._gone[collection, key] = self.revision
        if len(self._gone) > self._gone_max:
            _, self._floor = self._gone.popitem(last=False)
        return True


def _newer(collection: _Collection, revision: int) -> dict[str, msgspec.Struct]:
    newer = {}
    for key, row in reversed(collection.rows.items()):
        if row.revision <= revision:
            break
        newer[key] = row.document
    return newer
