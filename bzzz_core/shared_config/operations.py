"""The configuration on the agent's API.

    GET  /v1/config            what is in force, where from, what waits for a restart
    PUT  /v1/config            set values in the node's file or for the whole cluster
    POST /v1/config/validate   say whether values could be set, and change nothing
    POST /v1/config/test       the same, and try them against this node (`trial`)
    POST /v1/config/reload     read all sources anew
    GET  /v1/config/history    who changed what for the whole cluster

A change may name the revision that it was made for; if that is not the present one, it is refused.
Who calls is known by its token; the name in `by` is what the caller says of itself, and the audit
says both ("anna by API with token monitor").
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from bzzz_core.api.operations import By, Call, Operation
from bzzz_core.config.leaf import catalogue
from bzzz_core.config.live import LiveConfig, Outcome
from bzzz_core.config.report import (
    Difference,
    Setting,
    differences,
    is_overridden,
    settings,
)
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import leaf_of
from bzzz_core.config.value import from_text
from bzzz_core.errors import ConfigError, TransportError
from bzzz_core.shared_config.follower import ConfigFollower
from bzzz_core.shared_config.keeper import Answer
from bzzz_core.shared_config.node_sources import NodeSources
from bzzz_core.shared_config.record import Change, Wish, history_of, key_of
from bzzz_core.shared_config.trial import Check, trial

_ASK_MS: Final = 10_000
Typed = Annotated[str, msgspec.Meta(max_length=65_536)]
Changes = Annotated[dict[Typed, Typed | None], msgspec.Meta(min_length=1, max_length=100)]


class ConfigDocument(msgspec.Struct, frozen=True):
    """What is in force on one node."""

    file: str
    revision: str
    """Of the node's file; names its content."""
    cluster_revision: int
    settings: tuple[Setting, ...]
    waiting: tuple[Difference, ...]
    """What a restart is due for: the value in force, and the wanted one."""
    refused: str
    """Why the newest configuration was not taken; empty if it was."""


class Put(msgspec.Struct, frozen=True):
    """Values to be set, as text; null takes one out."""

    changes: Changes
    scope: Literal["node", "cluster"] = "node"
    revision: str | int | None = None
    """The revision that the change is made for; null: whichever it is."""
    by: By = ""
    request: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Unique name, so that asking twice changes once; for the cluster's values only."""


class PutAnswer(msgspec.Struct, frozen=True):
    """What became of it."""

    revision: str | int
    applied: tuple[Difference, ...] = ()
    waiting: tuple[Difference, ...] = ()
    refused: str = ""
    notes: tuple[str, ...] = ()


class Test(msgspec.Struct, frozen=True):
    """Values to be tried, as text; without any, what the node's sources say now."""

    changes: Annotated[dict[Typed, Typed | None], msgspec.Meta(max_length=100)] = {}


class TestAnswer(msgspec.Struct, frozen=True):
    """What came of a trial."""

    ok: bool
    """Whether an agent could run with it."""
    checks: tuple[Check, ...]
    revision: str
    """Of the node's file as it would be."""
    applied: tuple[Difference, ...] = ()
    """What the running agent would take at once."""
    waiting: tuple[Difference, ...] = ()
    """What would wait for a restart."""
    refused: str = ""


class Reload(msgspec.Struct, frozen=True):
    """Who wants the sources to be read anew."""

    by: By = ""


class HistoryQuery(msgspec.Struct, frozen=True):
    """Which changes to tell."""

    key: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    """Of one value only."""


class Past(msgspec.Struct, frozen=True):
    """One change of the cluster-wide configuration."""

    number: int
    key: str
    address: str
    before: Any
    after: Any
    at: str
    by: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigApi:
    """Answers for one agent."""

    sources: NodeSources
    live: LiveConfig
    follower: ConfigFollower
    wish: Callable[[bytes, int], Awaitable[bytes]]
    """Puts `keeper.WRITE` to the leader, with a limit in milliseconds."""

    def operations(self) -> list[Operation]:
        """Return what is offered."""
        return [
            Operation(
                "GET",
                "/v1/config",
                self._get,
                "config:read",
                "What is in force on this node, and where from",
                answers=ConfigDocument,
            ),
            Operation(
                "PUT",
                "/v1/config",
                self._put,
                "config:write",
                "Set values in this node's file or for the whole cluster",
                takes=Put,
                answers=PutAnswer,
            ),
            Operation(
                "POST",
                "/v1/config/validate",
                self._validate,
                "config:read",
                "Say whether values could be set, and change nothing",
                takes=Put,
                answers=PutAnswer,
            ),
            Operation(
                "POST",
                "/v1/config/test",
                self._test,
                "config:write",  # It tells whether a file is there that a reference names.
                "Say whether values could be set, and try them against this node",
                takes=Test,
                needs_body=False,
                answers=TestAnswer,
            ),
            Operation(
                "POST",
                "/v1/config/reload",
                self._reload,
                "config:write",
                "Read all sources of the configuration anew",
                takes=Reload,
                needs_body=False,
                answers=PutAnswer,
            ),
            Operation(
                "GET",
                "/v1/config/history",
                self._history,
                "config:read",
                "Who changed what for the whole cluster",
                query=HistoryQuery,
                answers=list[Past],
            ),
        ]

    async def _get(self, call: Call) -> ConfigDocument:
        del call
        try:
            loaded = self.sources.start().loaded
        except ConfigError:  # What is in force is known all the same, and `refused` says why.
            loaded, _ = self.sources.own.load_what_can_be(())
        return ConfigDocument(
            file=str(self.sources.own.path),
            revision=loaded.digest,
            cluster_revision=self.follower.number,
            settings=settings(self.live.current, loaded.origins),
            waiting=differences(self.live.waiting),
            refused=self.live.refused,
        )

    async def _put(self, call: Call) -> PutAnswer:
        put = call.read(Put)
        if put.scope == "cluster":
            return await self._put_cluster(put, call.actor(put.by))
        if isinstance(put.revision, int):
            raise ConfigError("the revision of a node's file is a text")
        # In a thread: a command that holds the file waits for this loop's answer.
        written = await asyncio.to_thread(self.sources.change, put.changes, expected=put.revision)
        outcome = await self.live.reload(call.actor(put.by))
        notes = [f"{written.comments_lost} comments lost"] if written.comments_lost else []
        if written.backup:
            notes.append(f"the file of the older schema is {written.backup}")
        return _answer(written.loaded.digest, outcome, notes)

    async def _put_cluster(self, put: Put, actor: str) -> PutAnswer:
        if isinstance(put.revision, str):
            raise ConfigError("the revision of the cluster-wide configuration is a number")
        wish = Wish(
            changes=_as_json(put.changes),
            by=actor,
            request=put.request if len(put.request) >= 8 else secrets.token_hex(8),  # noqa: PLR2004
            expected=put.revision,
        )
        body = await self.wish(msgspec.msgpack.encode(wish), _ASK_MS)
        try:
            number = msgspec.msgpack.decode(body, type=Answer).number
        except ValueError as exc:
            raise TransportError("the leader's answer is malformed") from exc
        await self.follower.fetch()
        outcome = await self.live.reload(f"{actor}, cluster-wide revision {number}")
        return _answer(number, outcome, self._overridden(put.changes))

    async def _validate(self, call: Call) -> PutAnswer:
        """Say what would be applied and what would wait, were the values in the node's file."""
        put = call.read(Put)
        loaded = self.sources.would_be(put.changes)
        outcome = self.live.would_take(loaded.config)
        return _answer(loaded.digest, outcome, [])

    async def _test(self, call: Call) -> TestAnswer:
        changes = call.read(Test).changes
        # In a thread: a vault is opened, files and ports are tried.
        loaded = await asyncio.to_thread(self.sources.would_be, changes)
        checks = await asyncio.to_thread(trial, loaded.config, running=self.live.current)
        outcome = self.live.would_take(loaded.config)
        return TestAnswer(
            ok=not outcome.refused and all(one.state != "failed" for one in checks),
            checks=checks,
            revision=loaded.digest,
            applied=differences(outcome.applied),
            waiting=differences(outcome.waiting),
            refused=outcome.refused,
        )

    async def _reload(self, call: Call) -> PutAnswer:
        outcome = await self.live.reload(call.actor(call.read(Reload).by))
        return _answer(self.sources.start().loaded.digest, outcome, [])

    async def _history(self, call: Call) -> list[Past]:
        key = call.asked(HistoryQuery).key
        if key is not None:
            leaf_of(catalogue(AgentConfig), key)
        return [_past(change) for change in history_of(await self.follower.fetch(), key)]

    def _overridden(self, changes: Mapping[str, str | None]) -> list[str]:
        origins = self.sources.start().loaded.origins
        leaves = catalogue(AgentConfig)
        found = [is_overridden(origins[key], leaves[key]) for key in changes]
        return [words for words in found if words]


def _as_json(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    leaves = catalogue(AgentConfig)
    found: dict[str, str | None] = {}
    for key, typed in changes.items():
        leaf = leaf_of(leaves, key)
        value = None if typed is None else from_text(leaf, typed, key)
        found[key] = None if typed is None else msgspec.json.encode(value).decode()
    return found


def _answer(revision: str | int, outcome: Outcome, notes: list[str]) -> PutAnswer:
    return PutAnswer(
        revision=revision,
        applied=differences(outcome.applied),
        waiting=differences(outcome.waiting),
        refused=outcome.refused,
        notes=(*notes, *outcome.failed),
    )


def _past(change: Change) -> Past:
    return Past(
        number=change.number,
        key=key_of(change.address) or "",
        address=change.address,
        before=_value(change.before),
        after=_value(change.after),
        at=change.at,
        by=change.by,
        node=change.node,
    )


def _value(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
