"""Starting and restarting our units: what both start phases share.

A unit is due for a start if it does not run, and for a restart if it runs an older release or was
started with other files than those that are there now. On the first installation all voters start
together, because none becomes ready alone; a restart goes host by host, because two at once could
cost the majority.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Unit
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.units import inputs_of, limits_of

RUNNING: Final = frozenset({"active", "reloading"})
"""Others may wait for a restart after a crash, or for a majority; nothing is lost by a restart."""
_START: Final = """
set -eu
systemctl reset-failed "$1.service" 2>/dev/null || :
systemctl enable --quiet "$1.service"
exec systemctl restart --no-block "$1.service"
"""
_WAIT: Final = """
unit=$1 port=$2 python=$3
read -r begun _ </proc/uptime
now=$begun
down=0
before=
while [ $((${now%.*} - ${begun%.*})) -lt 50 ]; do
  state=$(systemctl show -p ActiveState --value "$unit.service")
  crashes=$(systemctl show -p NRestarts --value "$unit.service")
  # Since its last start by hand; what it crashed before we look is long past.
  before=${before:-${crashes:-0}}
  case $state in
    failed|inactive)
      # Between the two halves of a restart it is down as well, for a moment and with a job waiting.
      job=$(systemctl show -p Job --value "$unit.service")
      case ${job:-0} in 0) down=$((down + 1)) ;; esac
      [ "$down" -ge 6 ] && break
      ;;
    active)
      down=0
      "$python" -I -S -c '
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open("http://127.0.0.1:%s/healthz" % sys.argv[1], timeout=2).close()' \
        "$port" 2>/dev/null && exit 0
      ;;
  esac
  [ $((${crashes:-0} - before)) -ge 3 ] && break
  sleep 0.25
  read -r now _ </proc/uptime
done
journalctl --no-pager --quiet -n 6 -o cat -t "$unit" >&2
# Last, because the end of what is printed is what a person is shown.
echo "$unit.service is $state, restarted ${crashes:-0} times; above are its last words" >&2
exit 1
"""
WAIT_S_MAX: Final = 60


def plan_unit(phase: str, unit: str, goal: Goal, earlier: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return the start or restart of a unit, if one is due.

    Args:
        phase: Who asks.
        unit: Which unit.
        goal: The host.
        earlier: What earlier phases would change: a file that will differ asks for a restart too.
    """
    fact = (goal.facts.units or {}).get(unit)
    reason = _reason(unit, fact, goal, earlier)
    if reason is None:
        return ()
    running = fact is not None and fact.active in RUNNING
    return (
        Change(
            phase=phase,
            action="restart" if running else "start",
            target=f"{unit}.service",
            before=fact.active if fact else "unknown",
            after="active, enabled",
            sentence=f"{'restart' if running else 'start'} {unit}.service: {reason}",
        ),
    )


async def start(host: RemoteHost, unit: str) -> None:
    """Ask systemd to start the unit anew and to start it at boot; do not wait."""
    await host.run(_START, unit, what=f"start {unit}.service")


async def wait_healthy(host: RemoteHost, unit: str, port: int, python: str) -> None:
    """Wait until the unit runs and its status page on the loopback calls it healthy.

    Raises:
        CommandFailed: It ended, or took too long; with the last lines of its journal.
    """
    await host.run(
        _WAIT, unit, str(port), python, what=f"wait for {unit}.service", timeout_s=WAIT_S_MAX
    )


def _reason(unit: str, fact: Unit | None, goal: Goal, earlier: tuple[Change, ...]) -> str | None:
    if fact is None or not fact.loaded:
        return "it is not installed yet"
    touched = {change.target for change in earlier}
    changed = [
        path
        for path in inputs_of(unit)
        if path in touched or fact.inputs.get(path, "?") != goal.facts.path(path).sha256
    ]
    reasons = {
        f"it is {fact.active}": fact.active not in RUNNING,
        "it would not start at boot": not fact.enabled,
        f"it runs release {fact.release or 'unknown'}": fact.release != goal.release.version,
        "files of its release were changed": bool(goal.facts.damaged),
        f"it was started with another {' and '.join(changed)}": bool(changed),
        "its limits are others now": (
            limits_of(unit) in touched
            or fact.inputs.get(limits_of(unit)) != goal.facts.path(limits_of(unit)).sha256
        ),
        "its unit file is another one now": (
            fact.needs_reload or f"{layout.UNITS}/{unit}.service" in touched
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
