"""Names on the wire: subjects, the control stream, and who may use which.

One place for both ends of the rule: the broker's permissions are written from here, and the record
adapter spells its subjects from here. A node's rights follow from two facts, its id and whether it
is a voter; nothing else is configurable, so nothing can be configured wrong.

A guard protects records against deposed leaders, not against a hostile voter: whoever holds a
voter's key may publish below `bz.control` without a guard. The threat model trusts voters this far.
"""

from __future__ import annotations

from dataclasses import dataclass

from bzzz_core.model import NodeId

CONTROL_STREAM = "BZZZ_CONTROL"
CONTROL_PREFIX = "bz.control"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that one identity may use; everything else is refused by the broker."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def inbox_prefix(node: NodeId) -> str:
    """Return the prefix of the subjects on which a node, and only it, hears answers."""
    return f"_INBOX_{node}"


def stream_api(verb: str, stream: str) -> str:
    """Return the subject of one JetStream request about one stream."""
    return f"$JS.API.STREAM.{verb}.{stream}"


def permissions(node: NodeId, *, voter: bool) -> Permissions:
    """Return what a node may publish and hear."""
    inbox = f"{inbox_prefix(node)}.>"
    if not voter:
        # An edge reports itself, asks for the roster, and hears digests.
        return Permissions(
            publish=(f"bz.beat.{node}", "bz.ask", inbox), subscribe=("bz.digest", inbox)
        )
    verbs = ("INFO", "CREATE", "UPDATE", "MSG.GET", "LEADER.STEPDOWN")
    return Permissions(
        publish=(
            "bz.el.all",
            "bz.el.to.*",
            f"bz.beat.{node}",
            "bz.ask",
            "bz.digest",
            f"{CONTROL_PREFIX}.>",
            *(stream_api(verb, CONTROL_STREAM) for verb in verbs),
            inbox,
        ),
        subscribe=("bz.el.all", f"bz.el.to.{node}", "bz.beat.*", "bz.ask", "bz.digest", inbox),
    )
