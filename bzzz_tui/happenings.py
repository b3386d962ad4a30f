"""What is worth a line in the list of events: differences, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.model import FabricState, MemberState
from bzzz_tui.wording import Tone, ago, clean


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth a line in the event list."""

    at: str
    """Wall-clock time of the answering node, for people."""
    tone: Tone
    text: str


def cluster_lines(before: Status | None, status: Status) -> list[tuple[Tone, str]]:
    """Return what is new about leadership and fabric; members are left to `member_line`."""
    lines: list[tuple[Tone, str]] = []
    if before is None or before.term != status.term or before.leader != status.leader:
        lines.append(_leader_line(status))
    elif status.leader_serving and not before.leader_serving and status.leader:
        lines.append((Tone.OK, f"{clean(status.leader)} serves: its first write is durable"))
    if before is not None and before.fabric.state is not status.fabric.state:
        tone = Tone.OK if status.fabric.state is FabricState.CONNECTED else Tone.WARN
        lines.append((tone, f"fabric is {status.fabric.state.value}"))
    return lines


def member_line(
    member: MemberStatus, was: MemberState | None, *, first: bool
) -> tuple[Tone, str] | None:
    """Return what is new about a member, or None.

    Args:
        member: As it is now.
        was: Its state before; None: it was not known.
        first: Whether nothing at all was known before: then being well is no news.
    """
    if was is member.state or (first and member.state is MemberState.ALIVE):
        return None
    name = clean(member.name)
    match member.state:
        case MemberState.ALIVE:
            return Tone.OK, f"{name} is alive" if was else f"{name} joined"
        case MemberState.SUSPECT if member.heard_ms_ago is None:
            return Tone.WARN, f"{name} was not heard yet"
        case MemberState.SUSPECT:
            return Tone.WARN, f"{name} is suspect: unheard for {ago(member.heard_ms_ago)}"
        case MemberState.DEAD:
            return Tone.BAD, f"{name} is held to be dead"
        case MemberState.LEFT:
            return Tone.MUTED, f"{name} left"


def _leader_line(status: Status) -> tuple[Tone, str]:
    if status.leader is None:
        return Tone.BAD, f"no leader (last term {status.term})"
    return Tone.ACCENT, f"{clean(status.leader)} leads in term {status.term}"
