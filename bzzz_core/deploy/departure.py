"""How a node goes while its cluster goes on: it leaves in order, or others withdraw their trust.

Leaving is the node's own act: a voter is replaced first, and nothing is lost. Its identity is
revoked afterwards all the same, for its keys are about to be deleted and must never come back from
a backup. A node that cannot be asked is revoked alone; the leader then gives its vote to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.goal import Sponsor
from bzzz_core.deploy.phases.create_identity import AS_NODE
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.errors import CommandFailed, HostUnreachable

LEAVE_S_MAX: Final = 300
_SITE: Final = f"{layout.CURRENT}/site"


async def leave(host: RemoteHost, python: str) -> None:
    """Let a node leave its cluster, and return when it is no member any more.

    Raises:
        CommandFailed: It did not come to that, with the reason; it may leave later.
        HostUnreachable: The connection is gone.
    """
    await host.run(
        AS_NODE,
        *(_SITE, python, "leave", "--wait-s", str(LEAVE_S_MAX)),
        what="leave the cluster",
        timeout_s=LEAVE_S_MAX + 30,
    )


async def revoke(
    hosts: Mapping[str, RemoteHost], sponsors: tuple[Sponsor, ...], node_id: str
) -> None:
    """Have a voter withdraw the trust in a node, for ever.

    Raises:
        CommandFailed: No voter did, with what the last one said.
    """
    said = "no voter of the cluster is connected"
    for sponsor in sponsors:
        voter = hosts.get(sponsor.name)
        if voter is None:
            continue
        try:
            await voter.run(
                AS_NODE,
                *(_SITE, sponsor.python, "node", "revoke", node_id, "--yes"),
                what="revoke a node",
                timeout_s=45,
            )
        except (CommandFailed, HostUnreachable) as exc:
            said = str(exc)
        else:
            return
    raise CommandFailed(f"the node was not revoked: {said}")
