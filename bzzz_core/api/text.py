"""The status document as text for `bzzz-agent status`."""

from __future__ import annotations

import msgspec

from bzzz_core.api.client import call
from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import TransportError

_TIMEOUT_S = 3.0


def ask(config: AgentConfig) -> Status:
    """Fetch the status of the agent that runs with this configuration on this machine.

    Raises:
        BzzzError: As `api.client.call`, or the answer is none that this version understands.
    """
    answer = call(config, "GET", "/v1/status", timeout_s=_TIMEOUT_S)
    try:
        return msgspec.convert(answer, Status)
    except msgspec.ValidationError as exc:
        raise TransportError(f"the agent's answer is not understood: {exc}") from exc


def render(status: Status) -> str:
    """Return the document as lines that also read well aloud."""
    leader = status.leader or "none"
    if status.leader and not status.leader_serving:
        leader += " (elected, not serving yet)"
    fabric = status.fabric
    lines = [
        f"node     {status.node} ({status.role}), version {status.version}, up {status.uptime_s} s",
        f"cluster  {status.cluster.name}, term {status.term}, leader {leader}",
        f"fabric   {fabric.state}, majority {fabric.quorum} of {fabric.voters} voters",
        *(f"ALARM    {alarm}" for alarm in status.alarms),
        "",
        f"{'member':<20} {'state':<8} {'cpu':>6} {'memory':>8} {'heard':>8}  address",
    ]
    lines += [_member_line(member) for member in status.members]
    return "\n".join(lines)


def _member_line(member: MemberStatus) -> str:
    cpu = "n/a" if member.cpu_percent is None else f"{member.cpu_percent:.0f} %"
    used, total = member.memory_used_bytes, member.memory_total_bytes
    memory = "n/a" if used is None or not total else f"{100 * used / total:.0f} %"
    heard = "never" if member.heard_ms_ago is None else f"{member.heard_ms_ago / 1000:.1f} s"
    return f"{member.name:<20} {member.state:<8} {cpu:>6} {memory:>8} {heard:>8}  {member.address}"
