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
from bzzz_core.deploy.remote import Completed, RemoteHost
from bzzz_core.errors import BzzzError, CommandFailed

LEAVE_S_MAX: Final = 300
STILL_S_MAX: Final = 60
"""A broker that ends may take 40 s; all else that a leave waits for goes on by seconds, unless
something is wrong."""
_USAGE: Final = 2
_SITE: Final = f"{layout.CURRENT}/site"


async def leave(host: RemoteHost, python: str) -> None:
    """Let a node leave its cluster, and return when it is no member any more.

    It may take long where much is stored; but where nothing moves, somebody has to look, and is
    told at what.

    Raises:
        CommandFailed: It did not come to that, with the reason; it may leave later.
        HostUnreachable: The connection is gone.
    """
    limits = ("--wait-s", str(LEAVE_S_MAX))
    done = await _leave(host, python, *limits, "--still-s", str(STILL_S_MAX))
    if done.status == _USAGE:  # A release before that option.
        done = await _leave(host, python, *limits)
    if done.status:
        raise CommandFailed(
            f"{host.name}: leave the cluster: status {done.status}: {done.complaint}; nothing was"
            " removed from it: give the command again when that is mended"
        )


async def _leave(host: RemoteHost, python: str, *limits: str) -> Completed:
    # No unit: a run that was cut off would keep the next one from this host until it has ended.
    return await host.run(
        AS_NODE,
        *(_SITE, python, "leave", *limits),
        what="leave the cluster",
        timeout_s=LEAVE_S_MAX + 30,
        check=False,
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
        except BzzzError as exc:
            said = str(exc)
        else:
            return
    raise CommandFailed(f"the node was not revoked: {said}")
