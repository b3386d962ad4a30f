"""The status document as text for `bzzz-agent status`."""

from __future__ import annotations

import asyncio

from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import resolve


def ask(config: AgentConfig) -> Status:
    """Fetch the status of the agent that runs with this configuration on this machine."""

    async def fetch() -> Status:
        host = config.network.api_host
        place = f"[{host}]" if ":" in host else host
        token = resolve(config.security.api_token)
        async with ApiClient(f"http://{place}:{config.network.ports.api}", token=token) as client:
            return await client.status()

    return asyncio.run(fetch())


def render(status: Status) -> str:
    """Return the document as lines that also read well aloud."""
    leader = status.leader or "none"
    if status.leader and not status.leader_serving:
        leader += " (elected, not serving yet)"
    lines = [
        f"node     {status.node} ({status.role}), version {status.version}, up {status.uptime_s} s",
        f"cluster  {status.cluster.name}, term {status.term}, leader {leader}",
        f"fabric   {status.fabric.state}, quorum {status.fabric.quorum} of {status.fabric.voters}",
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
