"""The way back: a host that is not ready with a new release gets the one that ran before.

The release that failed is marked on that host (`/opt/bzzz/install/refused`), with the reason, and
is not installed there again unless it is forced; a link that was lost is no reason. Configuration,
certificates and units come back from the snapshot of `keep_config`. Hosts that were switched but
not reached when another one failed go back too, without a mark; hosts that passed the gate stay
where they are.

Data is not taken back: a release reads what the one after it wrote (ADR 0038).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bzzz_core.deploy import layout, services
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.own_files import AS_OWNER
from bzzz_core.deploy.phases import wait_ready
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.remote import RemoteHost, printable
from bzzz_core.deploy.work import Work
from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock

PHASE: Final = "roll_back"
RETURN_MS: Final = 60_000
"""The least that the way back is given, however impatient the answers are: the new release has to
end first, and a busy machine is no reason to give up the only release that is known to work."""
AFTER_FAILURE: Final = "failure"
BY_COMMAND: Final = "command"
_REASON_CHARACTERS: Final = 400
_RETURN: Final = (
    AS_OWNER
    + """
set -eu
umask 077
place=$1 release=$2 bad=$3 reason=$4 how=$5 python=$6
keep=$place/before
[ "$(cat "$keep/release")" = "$release" ] \\
  || { echo "the snapshot is not of $release" >&2; exit 66; }
[ -f "/opt/bzzz/releases/$release/manifest.json" ] \\
  || { echo "release $release is not there any more" >&2; exit 66; }
if [ -n "$bad" ]; then
  mkdir -p -m 0755 -- "$place/refused"
  printf '%s\\n' "$reason" >"$place/.refused"
  mv -fT -- "$place/.refused" "$place/refused/$bad"
fi
# What setup made elsewhere on the host is still there, so the record of it stays as it is.
set -- --exclude=etc/bzzz/made --exclude=etc/bzzz/firewall
if [ "$how" = command ]; then
  set -- "$@" --exclude=etc/bzzz/secrets --exclude=etc/bzzz/node.json
  set -- "$@" --exclude=etc/bzzz/release-keys
  if (cd "/opt/bzzz/releases/$release/site" && runuser -u bzzz -- env LC_ALL=C "$python" -s \
    -m bzzz_core.cli config validate --config /etc/bzzz/agent.yaml >/dev/null 2>&1)
  then set -- "$@" --exclude=etc/bzzz/agent.yaml; fi
fi
rm -f -- /etc/systemd/system/bzzz-fabric.service.d/50-bzzz-*.conf \
  /etc/systemd/system/bzzz-agent.service.d/50-bzzz-*.conf
tar -C / -xpf "$keep/files.tar" "$@"
cd /opt/bzzz
point() {
  ln -s "$2" ".$1-$$"
  mv -fT -- ".$1-$$" "$1"
}
point current "releases/$release"
previous=$(cat "$keep/previous")
if [ -n "$previous" ] && [ -e "$previous" ]; then point previous "$previous"
else rm -f previous
fi
rm -f -- "$place/pending"
sync /opt/bzzz /etc/bzzz
systemctl daemon-reload
for unit in bzzz-fabric bzzz-agent; do
  inputs=/run/$unit/inputs
  # One that still runs what it ran before, with what it was started with, is left alone.
  if [ "$(systemctl show -p ActiveState --value "$unit.service")" = active ] \\
    && [ "$(as_owner "$inputs" head -n 1 -- "$inputs" 2>/dev/null)" \\
      = "/opt/bzzz/releases/$release/site" ] \\
    && as_owner "$inputs" tail -n +2 -- "$inputs" | as_owner "$inputs" sha256sum -c --status
  then continue; fi
  [ "$(systemctl show -p LoadState --value "$unit.service")" = loaded ] || continue
  systemctl reset-failed "$unit.service" 2>/dev/null || :
  systemctl restart --no-block "$unit.service"
  echo "$unit"
done
"""
)


async def undo(
    hosts: Mapping[str, RemoteHost],
    goals: Mapping[str, Goal],
    work: Work,
    record: Record,
    clock: Clock,
) -> None:
    """Bring every host back that this run switched and that did not come through.

    Called once, when nothing more is activated. Hosts that failed first: the cluster needs them.
    One after the other, because each restart takes a voter away for a moment.
    """
    standing = set(record.standing(goals))
    ways = {name: way for name in goals if (way := way_back(goals[name], work))}
    fallen = [name for name in ways if name in work.touched and name not in standing]
    fallen.sort(key=lambda name: name not in record.failures)
    for name in fallen:
        begun_ms = clock.now_ms()
        before, failure = ways[name], record.failures.get(name)
        try:
            mark = failure if name in work.condemned else None
            await return_to(hosts[name], goals[name], before, failure=mark)
        except BzzzError as exc:
            record.not_returned(name, PHASE, clock.now_ms() - begun_ms, str(exc))
            continue
        judged = name in work.condemned
        words = sentence(goals[name].release.version, before, failure, judged=judged)
        record.rolled_back(name, PHASE, clock.now_ms() - begun_ms, words)


def way_back(goal: Goal, work: Work) -> str | None:
    """Return the release that a host would go back to; None if none was switched away from.

    Switched by this run, or by an earlier one that was interrupted before the host was seen well.
    """
    facts = goal.facts
    earlier = facts.kept if facts.pending and facts.current == goal.release.version else None
    before = work.switched.get(goal.host.name) or earlier
    return before if before != goal.release.version else None


async def return_to(
    host: RemoteHost,
    goal: Goal,
    before: str,
    *,
    failure: str | None = None,
    how: str = AFTER_FAILURE,
) -> None:
    """Take one host back to the release before, and see it ready.

    Args:
        host: The host.
        goal: What it should have become.
        before: The release that ran before.
        failure: Why the release failed there, for the mark; None: it did not, another host did, or
            nobody could see it.
        how: After a failure all is put back; by command what is newer and still fits is kept.

    Raises:
        CommandFailed: The way back is not there, or the host does not become ready on it.
        HostUnreachable: The host is gone.
    """
    bad = goal.release.version if failure is not None else ""
    done = await host.run(
        _RETURN,
        *(layout.INSTALL, before, bad, printable(failure or "")[-_REASON_CHARACTERS:]),
        *(how, goal.python.path),
        what="go back to the release before",
        timeout_s=90,
    )
    if goal.voter:
        port = goal.spec.network.ports.fabric_monitor
        await services.wait_healthy(host, layout.FABRIC, port, goal.python.path)
    started = layout.AGENT in done.text.split()
    await wait_ready.pass_gate(host, goal, version=before, started=started, limit_ms_min=RETURN_MS)


def sentence(release: str, before: str, failure: str | None, *, judged: bool) -> str:
    """Return what happened to one host, for people; `judged`: the release itself failed there."""
    if failure is None:
        return f"back on {before}: {release} failed on another host"
    if not judged:
        return f"rolled back: {release} was not seen to be ready ({failure}); back on {before}"
    return f"rolled back: {release} was not ready ({failure}); back on {before}"
