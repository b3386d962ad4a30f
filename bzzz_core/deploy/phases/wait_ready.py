"""Waits until the agent says that it is ready: the gate that a release has to pass.

Ready is: systemd calls the unit active (the agent itself has said READY), `/health/ready` agrees,
what runs was started from the release that it should be, it says of itself that it is of that
version, and a voter's broker has routes to as many others as a majority needs. The question is
asked on the host, by the host's Python, on the loopback: no curl is needed, and the port need not
be reachable from here. The token never travels: the host reads its own file.

A host whose agent is still to be restarted is asked only whether it is well, not what it runs.

systemd counts how often it had to start the agent again, and forgets it at a start by hand alone.
So of an agent that this run did not start only those count that come while we look.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.own_files import READ_OWN
from bzzz_core.deploy.phases import start_agent
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Wait until ready"
_WAIT: Final = """
python=$1 port=$2 limit=$3 site=$4 version=$5 token=$6 monitor=$7 routes=$8 fresh=$9
said=$("$python" -I -S -c '
import json, subprocess, sys, time, urllib.error, urllib.request
@READ@
port, limit, site, version, token, monitor, routes, fresh = sys.argv[1:]
end = time.monotonic() + float(limit)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def systemd(key):
    command = ["systemctl", "show", "-p", key, "--value", "bzzz-agent.service"]
    return subprocess.run(command, stdout=subprocess.PIPE).stdout.decode().strip()
def restarts():
    said = systemd("NRestarts")
    return int(said) if said.isdigit() else 0
def get(port, path, **headers):
    request = urllib.request.Request("http://127.0.0.1:%s%s" % (port, path), headers=headers)
    with opener.open(request, timeout=2) as answer:
        return answer.read(3000000)
def fault():
    try:
        get(port, "/health/ready")
    except urllib.error.HTTPError as error:
        try:
            return "; ".join(json.loads(error.read(65536))["reasons"])
        except (ValueError, KeyError, TypeError):
            return "status %d" % error.code
    state = systemd("ActiveState")
    if state != "active":
        return "systemd has not heard that it is ready (it is %s)" % state
    if site:
        runs = read_own("/run/bzzz-agent/inputs").partition("\\n")[0].strip()
        if runs != site:
            return "it runs from %s" % runs
        bearer = "Bearer " + read_token(token)
        said = json.loads(get(port, "/v1/status", Authorization=bearer))["version"]
        if said != version:
            return "it says that it is version %s, and should be %s" % (said[:40], version)
    if int(routes):
        there = json.loads(get(monitor, "/routez"))["routes"] or []
        others = len({route["remote_id"] for route in there})
        if others < int(routes):
            return "its broker has routes to %d others, and needs %s" % (others, routes)
    return ""
said, crashes = "no answer", 0
before = 0 if fresh else restarts()
while time.monotonic() < end:
    try:
        said = fault()
        if not said:
            sys.exit(0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = str(error) or type(error).__name__
    crashes = restarts() - before
    if crashes >= 3:
        break
    time.sleep(0.1)
if crashes > 0:
    # On a slow host three starts take longer than there is.
    said = "it crashes (%s)" % said[:180]
print(" ".join(said.split())[:200])
sys.exit(1)
' "$port" "$limit" "$site" "$version" "$token" "$monitor" "$routes" \\
  "$fresh") && exit 0
systemctl show -p ActiveState -p SubState -p NRestarts bzzz-agent.service | tr '\\n' ' ' >&2
journalctl --no-pager --quiet -n 6 -o cat -t bzzz-agent >&2
# Last, because the end of what is printed is what a person is shown.
echo "not ready: $said" >&2
exit 1
""".replace("@READ@", READ_OWN)


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return nothing: waiting changes nothing."""
    del goal
    return ()


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Do nothing; `verify` is the phase."""
    del host, goal, changes, work


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Ask until it is ready, or fail with its own reasons and its last words."""
    started = host.name in work.started
    settled = started or not start_agent.plan(goal)
    version = goal.release.version if settled else ""
    await pass_gate(host, goal, version=version, started=started)


async def pass_gate(
    host: RemoteHost, goal: Goal, *, version: str, started: bool, limit_ms_min: int = 0
) -> None:
    """Return once a host is ready.

    Args:
        host: Where.
        goal: What it should be.
        version: Of the release with which; "": with whichever it runs.
        started: Whether this run has started the agent.
        limit_ms_min: It has so long at least, whatever the answers say.

    Raises:
        CommandFailed: It was not, within the limit of the answers.
    """
    limit_s = max(goal.spec.services.ready_ms_max, limit_ms_min) / 1_000
    ports = goal.spec.network.ports
    await host.run(
        _WAIT,
        *(goal.python.path, str(ports.api), str(limit_s)),
        *(layout.site_path(version) if version else "", version.partition("+")[0]),
        *(layout.API_TOKEN, str(ports.fabric_monitor), str(routes_needed(goal))),
        "yes" if started else "",
        what=f"wait for {layout.AGENT}",
        timeout_s=int(limit_s) + 15,
    )


def routes_needed(goal: Goal) -> int:
    """Return to how many other brokers a host's must have routes: a majority without itself."""
    if not goal.voter:
        return 0
    voters = [node for node in goal.nodes or () if node.voter]
    return len(voters) // 2
