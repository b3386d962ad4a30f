"""Checks, alerts and halt as the answering node tells of them, and how documents are read. Pure.

Documents that this version cannot read are passed over and counted: they come from another version
or from somebody who means ill, and neither may stop the monitor.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, TypeVar

import msgspec

from bzzz_core.api import event_documents as events
from bzzz_core.api.documents import MemberStatus
from bzzz_core.api.event_documents import AlertDocument, CheckDocument, HaltDocument

NAMES: Final = (events.CHECKS, events.ALERTS, events.HALT)
Document = TypeVar("Document", bound=msgspec.Struct)
Encoded = Mapping[str, msgspec.Raw]


class Collected:
    """The collections besides status and members."""

    def __init__(self) -> None:
        """Start knowing none of them."""
        self.checks: dict[str, CheckDocument] = {}
        self.alerts: dict[str, AlertDocument] = {}
        self.halt: HaltDocument | None = None
        self.known: frozenset[str] = frozenset()
        self.passed_over = 0

    def forget(self) -> frozenset[str]:
        """Know none of them any more; return which were known."""
        known = self.known & frozenset(NAMES)
        self.checks, self.alerts, self.halt, self.known = {}, {}, None, frozenset()
        return known

    def replace(self, documents: Mapping[str, Encoded]) -> frozenset[str]:
        """Take what a snapshot holds instead of what was known; return which are different."""
        before, known = (self.checks, self.alerts, self.halt), self.known
        self.known = frozenset(documents)
        self.checks = self.read_all(documents.get(events.CHECKS, {}), CheckDocument)
        self.alerts = self.read_all(documents.get(events.ALERTS, {}), AlertDocument)
        self.halt = self.read(documents.get(events.HALT, {}).get(events.SELF), HaltDocument)
        after = self.checks, self.alerts, self.halt
        return frozenset(
            name
            for name, was, now in zip(NAMES, before, after, strict=True)
            if was != now or (name in known) != (name in self.known)
        )

    def change(self, delta: events.Delta) -> frozenset[str]:
        """Fold in what differs; return which collections do."""
        changed, gone = delta.changed, delta.gone
        touched = (changed.keys() | gone.keys()) & frozenset(NAMES)
        self.known |= frozenset(changed)
        if events.CHECKS in touched:
            self.checks |= self.read_all(changed.get(events.CHECKS, {}), CheckDocument)
            _drop(self.checks, gone.get(events.CHECKS, ()))
        if events.ALERTS in touched:
            self.alerts |= self.read_all(changed.get(events.ALERTS, {}), AlertDocument)
            _drop(self.alerts, gone.get(events.ALERTS, ()))
        if events.HALT in touched:
            self.halt = self.read(changed.get(events.HALT, {}).get(events.SELF), HaltDocument)
        return frozenset(touched)

    def members(self, documents: Encoded) -> list[MemberStatus]:
        """Return the members among documents; one under another's id is passed over."""
        read = self.read_all(documents, MemberStatus)
        fitting = [member for key, member in read.items() if key == member.node_id]
        self.passed_over += len(read) - len(fitting)
        return fitting

    def read_all(self, documents: Encoded, kind: type[Document]) -> dict[str, Document]:
        """Return the documents that can be read, by id."""
        read = ((key, self.read(raw, kind)) for key, raw in documents.items())
        return {key: document for key, document in read if document is not None}

    def read(self, raw: msgspec.Raw | None, kind: type[Document]) -> Document | None:
        """Return one document; None: there is none, or it cannot be read."""
        if raw is None:
            return None
        try:
            document: Document = _decoder(kind).decode(raw)
        except (ValueError, RecursionError):
            self.passed_over += 1
            return None
        return document


@cache
def _decoder(kind: type[Document]) -> msgspec.json.Decoder[Document]:
    return msgspec.json.Decoder(kind)


def _drop(documents: dict[str, Document], ids: tuple[str, ...]) -> None:
    for key in ids:
        documents.pop(key, None)
