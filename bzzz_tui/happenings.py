"""What is worth a line in the list of events: differences, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.model import FabricState, MemberState
from bzzz_tui.monitor.times import time_of_day
from bzzz_tui.wording import Tone, ago, clean


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth a line in the event list."""

    at: str
    """When, by the answering node's wall clock, for people; empty: that is not known."""
    tone: Tone
    text: str


def noticed_at(before: Status | None, status: Status) -> str:
    """Return when what is new was noticed; empty for what was so before anybody watched."""
    return "" if before is None else time_of_day(status.at, today=status.at)


def cluster_lines(before: Status | None, status: Status) -> list[Happening]:
    """Return what is new about leadership and fabric; members are left to `member_line`."""
    at, lines = noticed_at(before, status), []
    if before is None or before.term != status.term or before.leader != status.leader:
        lines.append(_leader_line(status, at))
    elif status.leader_serving and not before.leader_serving and status.leader:
        words = f"{clean(status.leader)} serves: its first write is durable"
        lines.append(Happening(at, Tone.OK, words))
    if before is not None and before.fabric.state is not status.fabric.state:
        tone = Tone.OK if status.fabric.state is FabricState.CONNECTED else Tone.WARN
        lines.append(Happening(at, tone, f"fabric is {status.fabric.state.value}"))
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


def _leader_line(status: Status, at: str) -> Happening:
    if status.leader is None:
        return Happening(at, Tone.BAD, f"no leader (last term {status.term})")
    began = time_of_day(status.leader_since_at, today=status.at)
    words = f"{clean(status.leader)} leads in term {status.term}"
    return Happening(began or at, Tone.ACCENT, words)
