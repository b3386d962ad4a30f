"""What the monitor can change in a cluster: how each change is asked, and what is asked first.

A change is confirmed with the names it is about. What destroys wants the name typed where the
profile says `production: true`. The API is asked as any other client asks it.

Rules: pure; who asks and where is `screens.monitor.changing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from bzzz_core.api.documents import MemberStatus
from bzzz_core.errors import ConfigError
from bzzz_core.model import MemberState, voter_count

LEVELS: Final = ("debug", "info", "warning", "error")
_BY: Final = "monitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, ready to be confirmed and asked."""

    title: str
    question: tuple[str, ...]
    """What will happen, for the box that asks."""
    yes: str
    method: str
    path: str
    body: Mapping[str, Any]
    done: str
    """What is answered when it was done."""
    host: str | None = None
    """Whom to ask; None: the host that is watched."""
    destroys: str = ""
    """The name to type where that is demanded; empty: nothing is destroyed."""


def transfer(member: MemberStatus | None) -> Change:
    """Let the leader hand over, to a voter or to the fittest one.

    Raises:
        ConfigError: The node cannot lead.
    """
    if member is not None and (not member.voter or member.state is not MemberState.ALIVE):
        raise ConfigError(f"{member.name} cannot lead: it is no living voter")
    to = "the fittest voter" if member is None else member.name
    return Change(
        title="Hand the leadership over",
        question=(f"The leader hands over to {to}.", "Writes wait for a moment."),
        yes="hand over",
        method="POST",
        path="/v1/leader/transfer",
        body={"by": _BY, **({} if member is None else {"to": member.name})},
        done=f"asked the leader to hand over to {to}",
    )


def log_level(member: MemberStatus, level: str) -> Change:
    """Set the log level of one node.

    Raises:
        ConfigError: No such level.
    """
    if level not in LEVELS:
        raise ConfigError(f"no level is called {level!r}; there are {', '.join(LEVELS)}")
    return Change(
        title="Log level",
        question=(
            f"{member.name} writes {level} and worse into its log,",
            "until it is started again.",
        ),
        yes="set",
        method="PUT",
        path="/v1/logs/level",
        body={"level": level, "by": _BY},
        done=f"{member.name} logs at level {level}",
        host=member.name,
    )


def drain(member: MemberStatus, nodes: int) -> Change:
    """Let one node leave in order; `nodes` belong to the cluster now, this one included."""
    return Change(
        title="Drain",
        question=(f"{member.name} leaves the cluster in order.", *_price(member, nodes)),
        yes="let it leave",
        method="POST",
        path="/v1/leave",
        body={"by": _BY},
        done=f"{member.name} is leaving",
        host=member.name,
        destroys=member.name,
    )


def _price(member: MemberStatus, nodes: int) -> tuple[str, ...]:
    """Return what it means for the others that a node leaves."""
    if not member.voter:
        return ()
    before, after = voter_count(nodes), voter_count(nodes - 1)
    if after == before:
        return ("A voter is replaced first; until then it goes on.",)
    if after == 1:
        return ("One voter will be left: the cluster stands and falls with it.",)
    return (f"{after} voters will be left, of which {after // 2} may be lost.",)


def undrain(member: MemberStatus) -> Change:
    """Call a node's leaving off."""
    return Change(
        title="Undrain",
        question=(f"{member.name} stays in the cluster.",),
        yes="let it stay",
        method="DELETE",
        path="/v1/leave",
        body={"by": _BY},
        done=f"{member.name} stays",
        host=member.name,
    )


def remove(member: MemberStatus) -> Change:
    """Withdraw the trust in a node."""
    return Change(
        title="Remove",
        question=(
            f"The trust in {member.name} is withdrawn at once and for ever.",
            "It can only come back as a new node.",
        ),
        yes="remove",
        method="POST",
        path=f"/v1/nodes/{quote(member.name, safe='')}/revoke",
        body={"by": _BY},
        done=f"{member.name} is trusted no more",
        destroys=member.name,
    )


def halt(cluster: str) -> Change:
    """Stop all work everywhere."""
    return Change(
        title="Emergency stop",
        question=(
            f"All work of {cluster} stops, on every node, within seconds.",
            "It stays stopped over restarts, until it is resumed.",
        ),
        yes="stop everything",
        method="POST",
        path="/v1/halt",
        body={"by": _BY, "reason": "stopped from the monitor"},
        done=f"all work of {cluster} is stopped",
        destroys=cluster,
    )


def resume(cluster: str) -> Change:
    """Let work go on after an emergency stop."""
    return Change(
        title="Resume",
        question=(f"Work of {cluster} goes on.",),
        yes="resume",
        method="DELETE",
        path="/v1/halt",
        body={"by": _BY},
        done=f"{cluster} works again",
    )
