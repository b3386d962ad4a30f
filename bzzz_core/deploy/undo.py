"""The scripts that look for what BZZZ made on a host, and take it off again.

Each removes what it is told by name and nothing else; saying it again is harmless, so that an
uninstall that was interrupted is simply started anew. The note of what was there before goes last.

Directories for data and logs are named by the host's configuration, which anybody may have pointed
at a directory of others. So one in which anything belongs to somebody else is never removed with
what is in it, whatever the note says: only what is BZZZ's goes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bzzz_core.config.sections import directories
from bzzz_core.deploy import kept_logs, layout
from bzzz_core.deploy.above import ABOVE
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.made import noted
from bzzz_core.deploy.phases import REMOVERS
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.removals import Before, Survey, kind_of, read_survey
from bzzz_core.errors import CommandFailed

STOP_S_MAX: Final = 240
_SURVEY: Final = (
    kept_logs.MARK
    + """
mark=$1 data=$2 logs=$3 kept=$4 units=/etc/systemd/system
say() { printf '%s\\t%s\\n' "$1" "$2"; }
ours() { [ ! -L "$1" ] && [ -f "$1" ] && head -n 5 -- "$1" | grep -qF -- "$mark"; }
case $(getent passwd bzzz) in
  *:'BZZZ agent':*) say user bzzz; mine=yes ;;
  *) mine= ;;
esac
if getent group bzzz >/dev/null && { [ "$mine" ] || [ -f /opt/bzzz/before ]; }; then
  say group bzzz
fi
for path in "$units"/bzzz-*.service "$units"/bzzz-*.timer "$units"/bzzz-*.path; do
  if ours "$path"; then say unit "${path##*/}"; fi
done
for path in /usr/local/bin/bzzz-agent "$units"/bzzz-*.d/* "$units"/*.d/*bzzz* \\
  /etc/ssh/sshd_config.d/*bzzz* /etc/sysctl.d/*bzzz* /etc/tmpfiles.d/*bzzz* /etc/nftables.d/*bzzz*
do
  if ours "$path"; then say file "$path"; fi
done | sort -u
find "$units" -mindepth 2 -type l -name 'bzzz-*' | while read -r path; do
  [ -e "$path" ] || say file "$path"
done
# A directory that holds nothing of our user's is somebody else's, or was given back already.
owned() {
  [ -d "$1" ] && [ ! -L "$1" ] || return 1
  getent group bzzz >/dev/null || return 1
  [ -n "$(find "$1" -xdev -group bzzz -print -quit)" ]
}
if owned /etc/bzzz || [ -f /etc/bzzz/made ]; then say config /etc/bzzz; fi
if owned "$data"; then say data "$data"; fi
if owned "$logs" || marked "$logs/$kept"; then say logs "$logs"; fi
if [ -f /opt/bzzz/before ] || [ -d /opt/bzzz/releases ]; then say root /opt/bzzz; fi
cat /opt/bzzz/before 2>/dev/null
# The note went with the installation that kept the logs; the mark says the same of their directory,
# which has been given back since, until an installation takes it again.
if marked "$logs/$kept" && [ -s "$logs/$kept" ] && [ ! -f /opt/bzzz/before ]; then
  [ "$(stat -c %U -- "$logs")" = bzzz ] ||
    printf 'was\\tdirectory\\t%s\\t%s\\n' "$logs" "$(was "$logs" "$kept")"
fi
exit 0
"""
)
_UNITS: Final = """
set -eu
for unit in "$@"; do
  systemctl disable --quiet "$unit" 2>/dev/null || :
  systemctl stop "$unit"
done
for unit in "$@"; do
  rm -f -- "/etc/systemd/system/$unit"
  rmdir -- "/etc/systemd/system/$unit.d" 2>/dev/null || :
done
systemctl daemon-reload
systemctl reset-failed "$@" 2>/dev/null || :
"""
_FILE: Final = """
set -eu
rm -f -- "$1"
case $1 in
  /etc/systemd/system/*.d/*) rmdir -- "${1%/*}" 2>/dev/null || :; systemctl daemon-reload ;;
  /etc/ssh/sshd_config.d/*)
    sshd=$(command -v sshd) && "$sshd" -t && { systemctl reload ssh || systemctl reload sshd; } ;;
esac
"""
_TOO_NEAR: Final = "|".join(directories.NEVER_REMOVED)
_GUARD: Final = f"""
set -eu
case $1 in
  *//*|*/../*|*/..|*/./*|*/.|*/) echo "$1 is no plain path" >&2; exit 64 ;;
  {_TOO_NEAR}) echo "$1 is the system's" >&2; exit 64 ;;
  /*) ;;
  *) echo "$1 is no plain path" >&2; exit 64 ;;
esac
[ ! -L "$1" ] || {{ echo "$1 is a symbolic link" >&2; exit 66; }}
[ -d "$1" ] || exit 0
"""
_DIRECTORY: Final = _GUARD + 'rm -rf --one-file-system -- "$1"\n'
_OWN: Final = (
    _GUARD
    + """
uid=$(id -u bzzz 2>/dev/null) || uid=0
gid=$(getent group bzzz | cut -d: -f3)
gid=${gid:-0}
foreign=$(find "$1" -xdev ! \\( \\( -uid 0 -o -uid "$uid" \\) \\( -gid 0 -o -gid "$gid" \\) \\) \\
  -print -quit)
if [ -z "$foreign" ]; then
  rm -rf --one-file-system -- "$1"
  exit 0
fi
[ "$uid" = 0 ] || find "$1" -xdev -mindepth 1 -depth -uid "$uid" \\( ! -type d -o -empty \\) -delete
[ "$gid" = 0 ] || find "$1" -xdev -mindepth 1 -depth -gid "$gid" \\( ! -type d -o -empty \\) -delete
chown root:root -- "$1"
chmod 0755 -- "$1"
"""
)
_SHARED: Final = _GUARD + ABOVE + kept_logs.EMPTY
_KEEP: Final = _GUARD + ABOVE + kept_logs.KEEP
_USER: Final = """
set -eu
uid=$(id -u bzzz 2>/dev/null) || exit 0
gid=$(getent group bzzz | cut -d: -f3)
for round in 1 2 3 4 5; do
  alive=
  for at in /proc/[0-9]*; do
    [ "$(stat -c %u -- "$at" 2>/dev/null)" = "$uid" ] || continue
    alive=yes
    kill -KILL "${at#/proc/}" 2>/dev/null || :
  done
  [ "$alive" ] || break
  sleep 0.2
done
userdel bzzz
# Some systems take the group along.
[ "$1" != keep ] || getent group bzzz >/dev/null || groupadd --gid "$gid" bzzz
"""
_STAGES: Final = """
find /var/tmp -maxdepth 1 -type d -name "bzzz-stage-*" -exec rm -rf --one-file-system -- {} +
"""
_GROUP: Final = "getent group bzzz >/dev/null || exit 0; groupdel bzzz"
_ROOT: Final = """
set -eu
[ ! -L /opt/bzzz ] || { echo "/opt/bzzz is a symbolic link" >&2; exit 66; }
[ -d /opt/bzzz ] || exit 0
if [ "$1" = keep ]; then
  rm -rf --one-file-system -- /opt/bzzz/releases /opt/bzzz/runtimes /opt/bzzz/current \\
    /opt/bzzz/previous
  rm -f -- /opt/bzzz/before
else
  find /opt/bzzz -mindepth 1 -maxdepth 1 ! -name before -exec rm -rf --one-file-system -- {} +
  rm -f -- /opt/bzzz/before
  rmdir -- /opt/bzzz
fi
"""


async def survey(host: RemoteHost, *, data: str, logs: str) -> Survey:
    """Return what of ours is on a host.

    Raises:
        CommandFailed: It could not be looked at.
        HostUnreachable: The connection is gone.
    """
    done = await host.run(
        _SURVEY, layout.MARK, data, logs, layout.KEPT_LOGS, what="look for what is BZZZ's"
    )
    return replace(read_survey(done.text), made=await noted(host))


async def carry_out(host: RemoteHost, found: Survey, changes: tuple[Change, ...]) -> None:
    """Remove what the changes name, in their order, and look again.

    Raises:
        CommandFailed: Something could not be removed; what came before it is gone.
        HostUnreachable: The connection is gone.
    """
    units = _stopping([change.target for change in changes if kind_of(change) == "unit"])
    if units:
        await host.run(_UNITS, *units, what="stop the services", timeout_s=STOP_S_MAX)
    for made in found.made:
        remove = REMOVERS.get(made.phase)
        if remove is None:
            raise CommandFailed(
                f"{host.name}: {made.phase} made {made.target}, and this release does not know how"
                " to take that back; use the one that installed the host"
            )
        await remove(host, made)
    for change in changes:
        await _one(host, found, change)
    # Whoever holds the host's lease is alone there: these are of runs that were killed.
    await host.run(_STAGES, what="remove what killed runs had sent")


async def _one(host: RemoteHost, found: Survey, change: Change) -> None:
    target, what = change.target, change.sentence
    was = found.was("directory", target)
    match kind_of(change):
        case "file":
            await host.run(_FILE, target, what=what)
        case "kept":
            as_before = _shared(was) if was else ("", "", "")
            arguments = (target, *as_before, layout.KEPT_LOGS)
            await host.run(_KEEP, *arguments, what=what, timeout_s=STOP_S_MAX)
        case "user":
            group = "keep" if found.was("group", layout.USER) else "remove"
            await host.run(_USER, group, what=what)
        case "group":
            await host.run(_GROUP, what=what)
        case "root":
            await host.run(_ROOT, "keep" if was else "remove", what=what, timeout_s=STOP_S_MAX)
        case "config" | "data" | "logs" as kind if was is not None:
            mark = layout.KEPT_LOGS if kind == "logs" else ""
            await host.run(_SHARED, target, *_shared(was), mark, what=what, timeout_s=STOP_S_MAX)
        case "config":
            await host.run(_DIRECTORY, target, what=what, timeout_s=STOP_S_MAX)
        case "data" | "logs":
            await host.run(_OWN, target, what=what, timeout_s=STOP_S_MAX)
        case _:
            return  # Units and what was noted were first, all at once.


def _shared(was: Before) -> tuple[str, str, str]:
    if not (was.mode and was.owner and was.group):
        raise CommandFailed(f"the note does not say how {was.name} was")
    return was.mode, was.owner, was.group


def _stopping(units: list[str]) -> list[str]:
    """Return units in the order in which they end: what starts others first, the broker last."""
    last = [f"{layout.AGENT}.service", f"{layout.FABRIC}.service"]
    return [u for u in units if u not in last] + [u for u in last if u in units]
