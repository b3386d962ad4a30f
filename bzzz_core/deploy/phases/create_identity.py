"""Lets the node make its keys, on the node and as its own user. They never leave it.

What comes back is public: the node's id, its public keys, and its certificate requests. It is kept
beside the configuration, so that a later probe knows the node without touching its keys.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Enrolled, Kind
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work
from bzzz_core.errors import CommandFailed, TrustError
from bzzz_core.trust.keys import node_id_of

TITLE: Final = "Create the node's keys"
_KEYS: Final = (layout.IDENTITY_KEY, layout.NODE_KEY, layout.ROUTE_KEY, layout.SYSTEM_KEY)
AS_NODE: Final = """
set -eu
site=$1 python=$2
shift 2
cd "$site"
exec runuser -u bzzz -- env LC_ALL=C "$python" -s -m bzzz_core.cli "$@"
"""
"""Runs our own program in a release as the node's user; `$3` ... are its arguments."""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the making of keys, unless all are there and the node's answer with them."""
    missing = [key for key in _KEYS if goal.facts.path(key).kind is not Kind.FILE]
    if goal.enrolled is not None and not missing:
        return ()
    again = goal.enrolled is not None
    return (
        Change(
            phase="create_identity",
            action="replace" if again else "create",
            target=layout.IDENTITY_KEY,
            before=goal.enrolled.node_id if goal.enrolled else "absent",
            after="made on the node",
            secret=True,
            sentence="make the node's missing keys, on the node"
            if again
            else "make the node's keys, on the node",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Make missing keys and remember what the node says about itself."""
    del changes
    done = await host.run(
        AS_NODE,
        *(layout.site_path(goal.release.version), goal.python.path),
        *("node", "init", "--directory", layout.SECRETS),
        what="make the node's keys",
    )
    enrolled = decode_enrolled(host.name, done.stdout)
    content = msgspec.json.format(msgspec.json.encode(enrolled)) + b"\n"
    place_at = Placed(path=layout.ENROLMENT, mode="640", group=layout.USER)
    await place(host, place_at, content)
    work.enrolled[host.name] = enrolled


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at: `apply` has checked the node's answer."""
    del host, goal, work


def decode_enrolled(host: str, output: bytes) -> Enrolled:
    """Return the node's answer, whose id must follow from its key.

    Raises:
        CommandFailed: It is not such an answer.
    """
    try:
        enrolled = msgspec.json.decode(output.strip().splitlines()[-1], type=Enrolled)
        expected = node_id_of(base64.b64decode(enrolled.public_key, validate=True))
    except (msgspec.DecodeError, IndexError, binascii.Error, ValueError, TrustError) as exc:
        raise CommandFailed(f"{host}: the node's answer cannot be read: {exc}") from exc
    if expected != enrolled.node_id:
        raise CommandFailed(f"{host}: the node's id does not follow from its key")
    return enrolled
