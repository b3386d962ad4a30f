"""What is replicated: the cluster-wide values, and who changed which of them when. Pure.

The whole is one record of the control stream, so that several values change together or not at all
(a detection time and the heartbeat it depends on). Its `number` grows by one with each change and
is what compare-and-set compares. Each value lies under its UCXL address,

    ucxl://any:any@<cluster>:config/resources/log_level

and a value is JSON. What is a node's own can never be set here, nor where a secret is: a foreign
reference could make a node send another of its files away.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from bzzz_core.config.layers import ClusterValues
from bzzz_core.config.leaf import Leaf, catalogue
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import leaf_of
from bzzz_core.config.value import shown
from bzzz_core.errors import AddressError, ConfigError, IntegrityError, RevisionConflict
from bzzz_core.ucxl.address import Address, parse

RECORD_KEY: Final = "_config"
HISTORY_MAX: Final = 500
"""Older changes are forgotten here; the audit of each node keeps them."""
VALUES_MAX: Final = 1_000
_RECORD_BYTES_MAX: Final = 700_000
_ANY: Final = "any"
_TASK: Final = "config"

Text = Annotated[str, msgspec.Meta(max_length=4_096)]
Json = Annotated[str, msgspec.Meta(max_length=65_536)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Change(msgspec.Struct, frozen=True):
    """One value that was changed."""

    number: Number
    address: Text
    before: Json | None
    """As JSON; None: it was not set."""
    after: Json | None
    at: Annotated[str, msgspec.Meta(max_length=40)]
    by: Annotated[str, msgspec.Meta(max_length=200)]
    """Who, as the command said."""
    node: Annotated[str, msgspec.Meta(max_length=64)]
    """The node that asked; the broker vouches for this."""
    request: Annotated[str, msgspec.Meta(max_length=64)]
    """Unique name of the wish, so that asking twice changes once."""
    trace: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Of the request that wished for it, so that all nodes log its effects under one number."""


class SharedConfig(msgspec.Struct, frozen=True):
    """The record."""

    cluster: Annotated[str, msgspec.Meta(max_length=128)]
    """Identity of the cluster, so that another one's record is never taken for ours."""
    number: Number = 0
    values: Annotated[dict[Text, Json], msgspec.Meta(max_length=VALUES_MAX)] = {}
    history: Annotated[tuple[Change, ...], msgspec.Meta(max_length=HISTORY_MAX)] = ()
    """The newest changes, oldest first."""


class Wish(msgspec.Struct, frozen=True):
    """Values that somebody wants to be changed, all or none."""

    changes: Annotated[dict[Text, Json | None], msgspec.Meta(min_length=1, max_length=100)]
    """Key -> value as JSON; None takes it out."""
    by: Annotated[str, msgspec.Meta(max_length=200)]
    request: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    expected: Number | None = None
    """The number that the wish was made for; None: whichever it is."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SharedConfig)


def encode(shared: SharedConfig) -> bytes:
    """Return the record as bytes.

    Raises:
        ConfigError: It has grown too large.
    """
    content = _encoder.encode(shared)
    if len(content) > _RECORD_BYTES_MAX:
        raise ConfigError(f"the cluster-wide configuration is over {_RECORD_BYTES_MAX} bytes")
    return content


def decode(content: bytes, *, cluster: str) -> SharedConfig:
    """Return the record that bytes hold.

    Raises:
        IntegrityError: They hold none, or another cluster's.
    """
    try:
        shared = _decoder.decode(content)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError("the cluster-wide configuration is damaged") from exc
    if shared.cluster != cluster:
        raise IntegrityError("this is the configuration of another cluster")
    return shared


def address_of(cluster_name: str, key: str) -> str:
    """Return the UCXL address of a leaf."""
    path = tuple(key.split("."))
    return str(Address(agent=_ANY, role=_ANY, project=cluster_name, task=_TASK, path=path))


def key_of(address: str) -> str | None:
    """Return the leaf that an address of a configuration names; None if it names none."""
    try:
        found = parse(address)
    except AddressError:
        return None
    if found.task != _TASK or found.is_pattern:
        return None
    return ".".join(str(segment) for segment in found.path)


def values_of(shared: SharedConfig) -> ClusterValues:
    """Return the values by key; one that this release cannot read is left out."""
    values: dict[str, Any] = {}
    for address, text in shared.values.items():
        key = key_of(address)
        if key is not None:
            try:
                values[key] = msgspec.json.decode(text)
            except (ValueError, RecursionError):
                continue
    return ClusterValues(shared.number, values)


def check_shared(leaf: Leaf) -> None:
    """Check that a leaf may be set for the whole cluster.

    Raises:
        ConfigError: It may not; the message says why.
    """
    if leaf.holds_reference:
        raise ConfigError(f"{leaf.key}: where a secret is, each node says for itself")
    if leaf.of_node:
        raise ConfigError(f"{leaf.key} is each node's own and is never set for the whole cluster")


def changed(
    shared: SharedConfig, wish: Wish, *, cluster_name: str, node: str, at: str, trace: str = ""
) -> SharedConfig:
    """Return the record after a wish; the same one if it changes nothing, or was done before.

    Raises:
        ConfigError: A key is unknown, or not the cluster's to set.
        RevisionConflict: The record is not the one that the wish was made for.
    """
    if any(change.request == wish.request for change in shared.history):
        return shared
    if wish.expected is not None and wish.expected != shared.number:
        raise RevisionConflict(
            f"the cluster-wide configuration is at revision {shared.number}, not at"
            f" {wish.expected}; look again"
        )
    values, done = dict(shared.values), []
    for key, value in wish.changes.items():
        check_shared(leaf_of(catalogue(AgentConfig), key))
        address = address_of(cluster_name, key)
        before = values.get(address)
        if before != value:
            done.append(
                Change(
                    number=shared.number + 1,
                    address=address,
                    before=before,
                    after=value,
                    at=at,
                    by=wish.by,
                    node=node,
                    request=wish.request,
                    trace=trace,
                )
            )
        if value is None:
            values.pop(address, None)
        else:
            values[address] = value
    if not done:
        return shared
    history = (*shared.history, *done)[-HISTORY_MAX:]
    return msgspec.structs.replace(shared, number=shared.number + 1, values=values, history=history)


def trace_of(shared: SharedConfig) -> str:
    """Return the trace of the newest change; empty if it has none."""
    return shared.history[-1].trace if shared.history else ""


def history_of(shared: SharedConfig, key: str | None) -> tuple[Change, ...]:
    """Return the changes of one leaf, or of all, newest first, as they may be shown."""
    return tuple(
        msgspec.structs.replace(
            change, before=_shown_json(change.before), after=_shown_json(change.after)
        )
        for change in reversed(shared.history)
        if key is None or key_of(change.address) == key
    )


def _shown_json(text: str | None) -> str | None:
    return None if text is None else str(shown(text))
