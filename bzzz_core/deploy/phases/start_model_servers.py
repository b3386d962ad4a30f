"""Writes units and drop-ins of model servers, changes to a new program, and starts what is due.

A server that does not answer afterwards, or answers as another version, gets back what it had:
files, program, and a start. The old program is not removed by an upgrade.

What a file was before is noted beside it, as `.before`, or `.absent` if there was none, until the
server has answered with the new one. So a run that is killed in between forgets nothing: the next
start that fails goes back to it, whichever run makes that start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bzzz_core.deploy import layout, made, model_servers
from bzzz_core.deploy.change import Action, Change
from bzzz_core.deploy.facts.model_hosting import ModelUnit
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.model_servers import Instance
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Start the model servers"
_NAME: Final = "start_model_servers"
_START_S_MAX: Final = 240
_KEEP: Final = """
set -eu
for path in "$@"; do
  directory=${path%/*}
  [ ! -L "$directory" ] || { echo "$directory is a symbolic link" >&2; exit 66; }
  [ -d "$directory" ] || install -d -m 755 -o root -g root -- "$directory"
  # What an interrupted run noted is older than what lies there now, and known to be good.
  if [ -e "$path.before" ] || [ -e "$path.absent" ]; then continue; fi
  if [ -f "$path" ]; then
    cp -p -- "$path" "$path.before.part"
    mv -fT -- "$path.before.part" "$path.before"
  else
    : >"$path.absent"
  fi
done
"""
_START: Final = """
set -u
unit=$1 port=$2 python=$3 base=$4 release=$5 version=$6 own=$7
shift 7
answered() {
  read -r begun _ </proc/uptime
  now=$begun
  while [ $((${now%.*} - ${begun%.*})) -lt 60 ]; do
    "$python" -I -S -c '
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open("http://127.0.0.1:%s/api/version" % sys.argv[1], timeout=3) as said:
    found = json.loads(said.read(10000))["version"]
sys.exit(0 if sys.argv[2] in ("", found) else 3)' "$port" "$version" 2>/dev/null
    case $? in 0) return 0 ;; 3) said="another version answers"; return 1 ;; esac
    sleep 0.5
    read -r now _ </proc/uptime
  done
  said="no answer on port $port within 60 s"
  return 1
}
turn() { ln -sfn "$1" "$base/.current" && mv -T -- "$base/.current" "$base/current"; }
previous='' failed=''
if [ -n "$release" ]; then
  previous=$(readlink "$base/current" || :)
  # What an interrupted start noted is older than what it turned to, and known to be good.
  if [ -f "$base/.before" ]; then
    noted=$(cat "$base/.before")
    if [ -z "$noted" ] || [ -d "$base/$noted" ]; then previous=$noted; fi
  elif ! { printf '%s' "$previous" >"$base/.before.part" && sync "$base/.before.part" \\
    && mv -fT -- "$base/.before.part" "$base/.before"; }
  then failed="its program before cannot be noted in $base"
  fi
  [ -n "$failed" ] || turn "$release"
fi
systemctl daemon-reload
[ -z "$own" ] || systemctl enable --quiet "$unit" || :
systemctl reset-failed "$unit" 2>/dev/null || :
said=${failed:-systemd could not start it}
if [ -z "$failed" ] && systemctl restart "$unit" && answered; then
  for path in "$@"; do rm -f -- "$path.before" "$path.absent"; done
  [ -z "$release" ] || rm -f -- "$base/.before"
  exit 0
fi
journalctl --no-pager --quiet -n 6 -o cat -u "$unit" >&2
echo "$unit: $said; the former state is put back" >&2
fresh=
for path in "$@"; do
  case $path in */"$unit") [ ! -e "$path.absent" ] || fresh=yes ;; esac
done
[ -z "$fresh" ] || systemctl disable --quiet --now "$unit"
for path in "$@"; do
  if [ -e "$path.before" ]; then mv -fT -- "$path.before" "$path"
  elif [ -e "$path.absent" ]; then rm -f -- "$path" "$path.absent"
  fi
done
if [ -n "$release" ]; then
  if [ -n "$previous" ]; then turn "$previous"; else rm -f -- "$base/current"; fi
  rm -f -- "$base/.before"
fi
systemctl daemon-reload
[ -n "$fresh" ] || systemctl restart "$unit" || :
exit 1
"""
_REMOVE: Final = """
set -eu
unit=$2
case $1 in
  *.d/50-bzzz.conf)
    rm -f -- "$1" "$1.before" "$1.absent"
    rmdir -- "${1%/*}" 2>/dev/null || :
    systemctl daemon-reload
    if [ -n "$(systemctl show -p FragmentPath --value "$unit")" ]; then
      systemctl try-restart "$unit" || :
    fi ;;
  /etc/systemd/system/*.service)
    systemctl disable --quiet --now "$unit" || :
    rm -f -- "$1" "$1.before" "$1.absent"
    systemctl daemon-reload ;;
  *) exit 64 ;;
esac
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each file that differs, another program, and each server that is due for a start."""
    found: dict[str, Change] = {}
    for instance in model_servers.instances(goal.spec, goal.host.name, goal.facts):
        for change in _changes(goal, instance):
            found.setdefault(change.target, change)  # A program is changed once for all servers.
    return tuple(found.values())


def _changes(goal: Goal, instance: Instance) -> Iterator[Change]:
    hosting = goal.facts.model_hosting
    assert hosting is not None, "without it there are no instances"
    unit = hosting.unit(instance.unit) or ModelUnit(name=instance.unit)
    files = list(_files(instance, unit))
    yield from files
    release = _release(goal, instance)
    current = hosting.program(instance.program).current if instance.program else ""
    if release and current != release:
        yield Change(
            phase=_NAME,
            action="update" if current else "create",
            target=f"{layout.MODEL_SERVERS}/{instance.program}/current",
            before=current,
            after=release,
            sentence=f"change {instance.unit}.service to {instance.program} {release}",
        )
    reason = _reason(unit, instance, changed=bool(files) or bool(release and current != release))
    if reason:
        action: Action = "restart" if unit.active == "active" else "start"
        yield Change(
            phase=_NAME,
            action=action,
            target=f"{instance.unit}.service",
            before=unit.active,
            after="active, enabled",
            sentence=f"{action} {instance.unit}.service: {reason}",
        )


def _files(instance: Instance, unit: ModelUnit) -> Iterator[Change]:
    if instance.unit_text:
        wanted = model_servers.sha256_of(instance.unit_text)
        if unit.sha256 != wanted:
            yield Change(
                phase=_NAME,
                action="update" if unit.sha256 else "create",
                target=instance.unit_path,
                before=unit.sha256,
                after=instance.unit_text,
                sentence=f"{'update' if unit.sha256 else 'install'} the unit"
                f" {instance.unit}.service",
            )
    wanted = model_servers.sha256_of(instance.dropin_text)
    if unit.dropin_sha256 != wanted:
        what: Action = "remove" if not wanted else "update" if unit.dropin_sha256 else "create"
        yield Change(
            phase=_NAME,
            action=what,
            target=instance.dropin_path,
            before=unit.dropin_sha256,
            after=instance.dropin_text or "absent",
            sentence=f"{what} the settings of {instance.unit}.service in {instance.dropin_path}",
        )


def _reason(unit: ModelUnit, instance: Instance, *, changed: bool) -> str:
    if changed:
        return "its files change"
    if not instance.program and not instance.dropin_text:
        return ""  # Nothing of it is ours; whether it runs is its owner's affair.
    reasons = {
        f"it is {unit.active}": unit.active not in {"active", "reloading"},
        "it would not start at boot": bool(instance.unit_text) and not unit.enabled,
        "its unit file is another one now": unit.needs_reload,
        "its settings are newer than it is": (unit.started_s or 0) < (unit.dropin_changed_s or 0),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _release(goal: Goal, instance: Instance) -> str:
    return model_servers.release_name(goal.spec.ai.servers) if instance.program else ""


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Write the files, change the program, start, and go back if the server does not answer."""
    targets = {change.target: change for change in changes}
    for instance in model_servers.instances(goal.spec, goal.host.name, goal.facts):
        paths = [path for path in (instance.unit_path, instance.dropin_path) if path in targets]
        due = f"{instance.unit}.service" in targets
        if not paths and not due:
            continue
        await host.run(_KEEP, *paths, what=f"keep the files of {instance.unit}.service")
        texts = {
            instance.unit_path: instance.unit_text,
            instance.dropin_path: instance.dropin_text,
        }
        for path in paths:
            entry = _made(path, instance)
            if targets[path].action == "remove":
                await host.run('rm -f -- "$1"', path, what=f"remove {path}")
                await made.forget(host, entry)
                continue
            await made.note(host, entry)
            await place(host, Placed(path=path, mode="644"), texts[path].encode())
        work.say(host.name, f"starting {instance.unit}.service")
        await _start(host, goal, instance)


async def _start(host: RemoteHost, goal: Goal, instance: Instance) -> None:
    release = _release(goal, instance)
    version = goal.spec.ai.servers.version if release else ""
    job = Job(
        step=f"model-server-{instance.unit}",
        what=f"start {instance.unit}.service",
        script=_START,
        arguments=(
            *(f"{instance.unit}.service", str(instance.port), goal.python.path),
            *(f"{layout.MODEL_SERVERS}/{instance.program}", release, version or ""),
            "own" if instance.unit_text else "",
            # Both, whether or not this run writes them: an earlier one may have, and was killed.
            *(instance.unit_path, instance.dropin_path),
        ),
        timeout_s=_START_S_MAX,
    )
    await host.run_unit(job)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing more to look at: every start waited for an answer."""
    del host, goal, work


async def remove(host: RemoteHost, entry: made.Made) -> None:
    """Take back a unit or a drop-in; a host's own server goes on without our settings."""
    await host.run(
        _REMOVE, entry.target, *entry.words, what=f"remove {entry.target}", timeout_s=120
    )


def _made(path: str, instance: Instance) -> made.Made:
    return made.Made(_NAME, path, (f"{instance.unit}.service",))
