"""Rights that exist at a voter's own broker only: keeping the streams, and the system account.

What a node may do at every broker is `fabric.layout`. Here is what only the machine itself may do,
with its own keys: snapshot and restore streams, move replicas, ask for peers and remove them. At
the brokers of others the same keys have none of these rights.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.fabric.layout import Permissions, inbox_prefix, stream_api
from bzzz_core.model import NodeId

REMOVE_PEER: Final = "$JS.API.SERVER.REMOVE"
RESCUE: Final = "$JS.API.META.RESCUE"
META_STEP_DOWN: Final = "$JS.API.META.LEADER.STEPDOWN"
ASK_PEERS: Final = "$SYS.REQ.SERVER.PING.JSZ"
SNAPSHOT_FLOW: Final = "$JS.SNAPSHOT.>"
"""Where chunks of a restore go, and where chunks of a snapshot are acknowledged."""
_VERBS: Final = (
    "INFO",
    "UPDATE",
    "LEADER.STEPDOWN",
    "PEER.REMOVE",
    "SNAPSHOT",
    "RESTORE",
    "DELETE",
)

MAINTENANCE: Final = (
    "$JS.API.STREAM.LIST",
    *(stream_api(verb, "*") for verb in _VERBS),
    SNAPSHOT_FLOW,
)
"""What a voter may publish at its own broker beyond what it may everywhere."""


def system_permissions(node: NodeId) -> Permissions:
    """Return what a voter's system identity may do; it hears nothing but answers."""
    inbox = f"{inbox_prefix(node)}.>"
    return Permissions(
        publish=(ASK_PEERS, REMOVE_PEER, META_STEP_DOWN, RESCUE, inbox), subscribe=(inbox,)
    )
