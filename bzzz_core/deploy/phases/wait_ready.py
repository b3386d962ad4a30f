"""Waits until the agent says that it is ready. The agent's word, not systemd's, decides.

The question is asked on the host, by the host's Python, on the loopback: no curl is needed, and the
port need not be reachable from here.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Wait until ready"
_WAIT: Final = """
python=$1 port=$2 limit=$3
"$python" -I -S -c '
import json, subprocess, sys, time, urllib.error, urllib.request
url = "http://127.0.0.1:%s/health/ready" % sys.argv[1]
end = time.monotonic() + float(sys.argv[2])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
said = "no answer"
while time.monotonic() < end:
    try:
        with opener.open(url, timeout=2):
            sys.exit(0)
    except urllib.error.HTTPError as error:
        try:
            said = "; ".join(json.loads(error.read(65536))["reasons"])
        except (ValueError, KeyError, TypeError):
            said = "status %d" % error.code
    except OSError as error:
        said = str(error)
    crashes = subprocess.run(
        ["systemctl", "show", "-p", "NRestarts", "--value", "bzzz-agent.service"],
        stdout=subprocess.PIPE,
    ).stdout.strip()
    if crashes.isdigit() and int(crashes) >= 3:
        said = "it crashes"
        break
    time.sleep(0.1)
print("not ready: " + said, file=sys.stderr)
sys.exit(1)
' "$port" "$limit" && exit 0
systemctl show -p ActiveState -p SubState -p NRestarts bzzz-agent.service | tr '\\n' ' ' >&2
journalctl --no-pager --quiet -n 6 -o cat -t bzzz-agent >&2
exit 1
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return nothing: waiting changes nothing."""
    del goal
    return ()


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Do nothing; `verify` is the phase."""
    del host, goal, changes, work


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Ask until it is ready, or fail with its own reasons and its last words."""
    del work
    limit_s = goal.spec.services.ready_ms_max / 1_000
    await host.run(
        _WAIT,
        *(goal.python.path, str(goal.spec.network.ports.api), str(limit_s)),
        what=f"wait for {layout.AGENT}",
        timeout_s=int(limit_s) + 15,
    )
