"""A change that could lock us out takes itself back, unless a fresh connection proves it good.

    arm      the way back is put on the host, and a timer that goes it after `LIMIT_S`
    change
    prove    by new connections; the one that stands proves nothing, for a firewall lets it live on
    disarm   the timer is stopped; if it was faster, that is said and not called a success

If the proof fails, the way back is taken at once. If this side dies, is cut off or is interrupted,
nobody disarms, and the host goes the way back itself: `LIMIT_S` and a second after arming at the
latest. A timer that an earlier run left armed guards a change that nobody proved: whoever takes the
host's lease takes that back first (`lease.py`), and so does arming. Whoever reads what is there to
know what was, has to `settle` that before reading.

Proof and way back may meet: the timer elapses while it is being stopped. Both begin by renaming the
file `undecided`, which only one of them can, and who comes second does nothing; a late part of the
change can look for that file, too (`undecided`). A name is changed even where nothing new can be
made any more, and nothing brings `undecided` back once it is gone. So neither a full file system
nor a room that is just being removed decides anything.

The timer is stopped only after the way back has been gone to its end, and a way back that fails (a
lock of the filter, a configuration that sshd refuses at the moment) is tried again for some
minutes: by a unit of the host, which no loss of our connection ends.

One attempt may take `WayBack.attempt_s`; the host keeps that in the room, for whoever takes the
change back later knows nothing else of it. An attempt that is ended there is no loss only if the
script goes on where it was ended: those of many rules do (`firewall_scripts.py`).

The timer does not outlive a restart of the host. So a change is made in such a way that a restart
undoes it too, and made to last only after the proof, wherever the thing allows it (ADR 0039).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bzzz_core.deploy.remote import RemoteHost, Runs
from bzzz_core.errors import BzzzError, ChangeTakenBack, CommandFailed

LIMIT_S: Final = 60
"""From arming to the way back. Proofs have the rest of it after the change, less `MARGIN_S`."""
MARGIN_S: Final = 8
"""So much before its end nobody tries to prove any more: disarming takes a moment too."""
BACK_S_MAX: Final = 30
"""For one attempt at the way back, where no more is asked for."""
BACK_S_MOST: Final = 7_200
"""More nobody can ask for: three ports for 500 hosts in ufw are 3,000 s."""
_TRIES: Final = 15
_PAUSE_S: Final = 10
"""After each attempt: 4 s, and what ending it takes."""
_ENDING_S: Final = 15
"""So much longer than an attempt a command takes that waits for it."""
_ROOM: Final = """
set -eu
umask 077
unit=bzzz-install-deadman-$1 room=/run/bzzz-install/deadman-$1
back() {
  [ -e "$room/run" ] || return 0
  if [ ! -e "$room/done" ]; then
    limit=$(cat -- "$room/limit" 2>/dev/null) || limit=30
    if systemctl is-active --quiet "$unit.timer"; then
      # A unit that the timer started meanwhile may have come to its end, and be gone.
      timeout "$limit" systemctl start "$unit.service" || [ -e "$room/done" ]
    else
      timeout -k 2 "$limit" sh "$room/run"
    fi
  fi
  systemctl stop "$unit.timer" 2>/dev/null || :
}
"""
"""`back` goes an unproved change's way back, if there is one; only after that the timer is stopped.

Started as its unit, it goes on when we are cut off, and a timer that elapses meanwhile joins in.
"""
_ARM: Final = (
    _ROOM
    + """
back
systemctl reset-failed "$unit.timer" "$unit.service" 2>/dev/null || :
rm -rf -- "$room"
mkdir -p "$room"
cat -- "$3" >"$room/restore"
cat -- "$4" >"$room/data"
echo "$6" >"$room/limit"
: >"$room/undecided"
rm -f -- "$3" "$4"
cat >"$room/.run" <<'RUN'
cd "${0%/*}" || exit 1
# If it is there and cannot be renamed, nobody can have proved anything: then back is safer.
mv -T undecided back 2>/dev/null || [ -e back ] || [ -e undecided ] || exit 0
tries=1
until timeout -k 2 "$(cat limit)" sh ./restore ./data; do
  tries=$((tries + 1))
  [ "$tries" -le 15 ] || exit 1
  sleep 4
done
mv -T back done 2>/dev/null || [ -e done ]
RUN
# Without a timer nothing will be changed, and a way back that stays is gone some day all the same.
trap 'systemctl stop "$unit.timer" "$unit.service" 2>/dev/null || :; rm -rf -- "$room"' EXIT
trap 'exit 1' HUP INT TERM
mv -T -- "$room/.run" "$room/run"
tries=1
until systemd-run --quiet --collect --unit="$unit" --on-active="$2" \\
  --timer-property=AccuracySec=1s --property=Type=oneshot --property=TimeoutStartSec="$5" \\
  --property=Environment=LC_ALL=C /bin/sh "$room/run"; do
  # One that has just ended may still be loaded for a moment.
  tries=$((tries + 1))
  [ "$tries" -le 10 ] || exit 1
  systemctl stop "$unit.timer" "$unit.service" 2>/dev/null || :
  sleep 0.5
done
trap - EXIT
"""
)
"""No argument of the unit holds a `$` or `%`: systemd would read these as its own."""
_DISARM: Final = (
    _ROOM
    + """
if ! said=$(mv -T "$room/undecided" "$room/proved" 2>&1) && [ ! -e "$room/proved" ]; then
  [ ! -e "$room/back" ] && [ ! -e "$room/done" ] || exit 75
  echo "$said" >&2
  exit 1
fi
# A service that has elapsed and not begun yet has lost, and is stopped with the timer: it would go
# by what lies in the room when it begins, and that may be the next change's.
systemctl stop "$unit.timer" "$unit.service" 2>/dev/null || :
rm -rf -- "$room"
"""
)
_BACK: Final = (
    _ROOM
    + """
back
rm -rf -- "$room"
"""
)
_TOO_LATE: Final = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """How a host undoes a change without anybody's help."""

    what: str
    """Names the timer: one word of letters and dashes."""
    script: str
    """Constant POSIX sh; `$1` is a file that holds `data`."""
    data: bytes = b""
    attempt_s: int = BACK_S_MAX
    """How long one attempt may take before it is ended; `BACK_S_MOST` at most."""


def undecided(what: str) -> str:
    """Return the file on the host that is there until its change is proved or taken back."""
    return f"/run/bzzz-install/deadman-{what}/undecided"


async def guarded(
    host: RemoteHost,
    back: WayBack,
    *,
    change: Callable[[], Awaitable[None]],
    prove: Callable[[], Awaitable[None]],
    limit_s: int = LIMIT_S,
) -> None:
    """Make a change that stays only if it is proved.

    Args:
        host: Where.
        back: How it is undone.
        change: Makes it.
        prove: Returns if fresh connections work as they should, raises if not.
        limit_s: When the host begins to undo it by itself.

    Raises:
        ChangeTakenBack: It was not proved. The host is as before, or begins within `limit_s` to
            undo it; if the way back itself fails, the message says so.
        CommandFailed: The timer could not be armed; nothing was changed.
        HostUnreachable: The same.
    """
    script = await host.stage(back.script.encode())
    data = await host.stage(back.data)
    attempt_s = min(back.attempt_s, BACK_S_MOST)
    retries_s = _TRIES * (attempt_s + _PAUSE_S)
    await host.run(
        _ARM,
        *(back.what, str(limit_s), script, data, str(retries_s), str(attempt_s)),
        what=f"arm the way back of {back.what}",
        timeout_s=BACK_S_MOST + _ENDING_S,
    )
    try:
        async with asyncio.timeout(limit_s - MARGIN_S):
            await change()
            await prove()
    except (BzzzError, TimeoutError) as exc:
        reason = str(exc) or "no proof in time"
        raise ChangeTakenBack(
            f"{host.name}: {back.what} was changed and could not be proved good: {reason};"
            f" {await _take_back(host, back.what, limit_s)}"
        ) from exc
    done = await host.run(_DISARM, back.what, what=f"disarm {back.what}", check=False)
    if done.status == _TOO_LATE:
        raise ChangeTakenBack(
            f"{host.name}: the proof of {back.what} came too late, the host has undone the change"
        )
    if done.status != 0:
        raise CommandFailed(f"{host.name}: disarm {back.what}: {done.complaint}")


async def settle(host: Runs, what: str) -> None:
    """Take a change back that an earlier run made and did not prove; nothing if there is none.

    Raises:
        CommandFailed: The way back failed; the host goes on trying.
        HostUnreachable: The connection was lost; so it does then.
    """
    await host.run(_BACK, what, what=f"take {what} back", timeout_s=BACK_S_MOST + _ENDING_S)


async def _take_back(host: RemoteHost, what: str, limit_s: int) -> str:
    """Go the way back now, and return in words what came of it."""
    try:
        await settle(host, what)
    except CommandFailed as exc:
        return f"taking it back FAILED so far ({exc}), the host goes on trying for some minutes"
    except BzzzError:
        return (
            "the host takes it back by itself and begins with that"
            f" {limit_s + 1} s after the change at the latest"
        )
    return "it was taken back"
