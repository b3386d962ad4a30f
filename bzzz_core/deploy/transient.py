"""Long work on a host as a systemd unit of its own, which a lost link cannot end half-way.

The unit is `bzzz-install-<run>-<step>.service`. Its script, output and result lie in
`/run/bzzz-install/<run>-<step>/`, for root only, gone with a reboot. SSH only watches: after a lost
link the same unit is found by its name and watched on.

    start     writes the files and starts the unit; finds it if it is there already (`attach`)
    watch     returns after a second at most: running, ended, gone, or rebooted

Rules: one run at a time; a living unit of another run refuses ours. The script is a file, not an
argument of systemd-run: systemd would replace `$` in it. What is printed beyond `KEPT_BYTES`, or a
little more, is dropped, but counts as a sign of life. A script must bear being started again after
a reboot.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bzzz_core.deploy.facts.sections import number
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.remote import PATH, Completed, Runs, printable
from bzzz_core.errors import CommandFailed, LinkLost
from bzzz_core.ports import Clock

PREFIX: Final = "bzzz-install-"
PLACE: Final = "/run/bzzz-install"
KEPT_BYTES: Final = 1_000_000
LOSSES_MAX: Final = 6
STARTS_MAX: Final = 3
"""A host that reboots more often during one step has another trouble."""
BUSY: Final = 75
_TIMED_OUT: Final = ("124", "137")
_WATCH_S: Final = 30
_START: Final = """
set -eu
umask 077
unit=$1 run=$2 attach=$3 limit=$4 keep=$5 job=$6
dir=/run/bzzz-install/${unit#bzzz-install-}
others=$(systemctl list-units --plain --no-legend \\
  --state=active,activating,reloading,deactivating "bzzz-install-*" |
  while read -r name _; do
    case $name in "bzzz-install-$run-"*) ;; *.service) echo "$name" ;; esac
  done)
[ -z "$others" ] || { echo "another run is at work on this host: $others" >&2; exit 75; }
if [ "$attach" = yes ]; then
  [ ! -f "$dir/result" ] || exit 0
  case $(systemctl show -p ActiveState --value "$unit.service") in
    active|activating|deactivating|reloading) exit 0 ;;
  esac
fi
systemctl stop "$unit.service" 2>/dev/null || :
systemctl reset-failed "$unit.service" 2>/dev/null || :
rm -rf -- "$dir"
mkdir -p -m 0700 /run/bzzz-install
mkdir -m 0700 -- "$dir"
printf '%s' "$keep" >"$dir/keep"
printf '%s' "$job" >"$dir/job"
exec systemd-run --quiet --collect --unit="$unit" --property=RuntimeMaxSec=$((limit + 60)) \\
  --property=TimeoutStopSec=10 /bin/sh "$dir/keep" "$dir" "$limit" >&2
"""
KEEP: Final = f"""\
cd /
umask 022
dir=$1 limit=$2
# Read by read, since what is kept must be seen at once: head and others write late.
sink() {{
  total=0
  : >"$1"
  while dd bs=65536 count=1 of="$1.next" 2>/dev/null && [ -s "$1.next" ]; do
    if [ "$total" -lt {KEPT_BYTES} ]; then
      cat "$1.next" >>"$1"
      total=$((total + $(wc -c <"$1.next")))
    else
      touch "$1"
    fi
  done
}}
{{ {{ timeout -k 5 "$limit" sh "$dir/job"; echo "$?" >"$dir/ended"; }} 2>&3 \\
  | sink "$dir/out"; }} 3>&1 | sink "$dir/err"
mv -- "$dir/ended" "$dir/result"
"""
_WATCH: Final = """
dir=$1 unit=$2
n=0
while [ ! -f "$dir/result" ]; do
  if [ $((n % 10)) -eq 4 ]; then
    case $(systemctl show -p ActiveState --value "$unit.service") in
      active|activating|deactivating|reloading) ;;
      *)
        [ -d "$dir" ] || { echo rebooted; exit 0; }
        [ -f "$dir/result" ] || { echo gone; exit 0; }
        ;;
    esac
  fi
  n=$((n + 1))
  [ "$n" -lt 12 ] || break
  sleep 0.1
done
if [ -f "$dir/result" ]; then
  read -r status <"$dir/result"
  echo "ended $status"
  cat "$dir/out"
  cat "$dir/err" >&2
  exit 0
fi
echo "running $(stat -c %s.%Y "$dir/out" "$dir/err" 2>/dev/null | tr '\\n' ' ')"
newest=$dir/out
[ "$dir/err" -nt "$dir/out" ] && newest=$dir/err
tail -c 300 "$newest" 2>/dev/null
exit 0
"""
_STOP: Final = 'systemctl stop "$1.service" 2>/dev/null; rm -rf -- "$2"'
_FORGET: Final = 'rm -rf -- "$1"'

Tell = Callable[[int, str], None]
"""Called with milliseconds since the last output, and the last line of it."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """A job of one run, as the host knows it."""

    job: Job
    run_id: str

    @property
    def name(self) -> str:
        """Return the unit's name, without `.service`."""
        return f"{PREFIX}{self.run_id}-{self.job.step}"

    @property
    def place(self) -> str:
        """Return where its files are on the host."""
        return f"{PLACE}/{self.run_id}-{self.job.step}"

    @property
    def text(self) -> str:
        """Return the file that the unit's shell reads."""
        words = shlex.join(["exec", "sh", "-c", self.job.script, "bzzz", *self.job.arguments])
        return f"exec </dev/null\nexport LC_ALL=C PATH={PATH}\n{words}\n"


async def run_job(
    host: Runs, job: Job, *, run_id: str, clock: Clock, tell: Tell | None = None
) -> Completed:
    """Run a job to its end, across lost links and a reboot of the host.

    Args:
        host: Where.
        job: What.
        run_id: The run whose job it is; a unit of another run there refuses it.
        clock: For the time of silence.
        tell: Told of it while it runs.

    Raises:
        CommandFailed: Another run's unit lives there, or the job took too long, was silent for too
            long, was stopped by somebody, or the host rebooted too often under it.
        HostUnreachable: The host did not come back; the job goes on there to its own end.
    """
    unit, losses = _Unit(job, run_id), 0
    for _ in range(STARTS_MAX):
        attach = False
        started = False
        watch = _Watch(host, unit, clock, tell)
        while True:
            try:
                if not started:
                    await _start(host, unit, attach=attach)
                    started = True
                done = await watch.look()
            except LinkLost:
                losses += 1
                if losses > LOSSES_MAX:
                    raise
                attach = True  # whether it was started is not known
                continue
            if done is not None:
                return done
            if watch.rebooted:
                break
    raise CommandFailed(f"{host.name}: {job.what}: the host rebooted {STARTS_MAX} times meanwhile")


class _Watch:
    """Looks at one unit again and again."""

    def __init__(self, host: Runs, unit: _Unit, clock: Clock, tell: Tell | None) -> None:
        self._host = host
        self._unit = unit
        self._clock = clock
        self._tell = tell
        self._seen = ""
        self._seen_ms = clock.now_ms()
        self.rebooted = False

    async def look(self) -> Completed | None:
        """Return how it ended; None: it runs, or the host has `rebooted`."""
        unit, job, host = self._unit, self._unit.job, self._host
        said = await host.run(
            _WATCH, unit.place, unit.name, what=f"watch: {job.what}", timeout_s=_WATCH_S
        )
        head, _, rest = said.stdout.partition(b"\n")
        state, _, value = head.decode("ascii", errors="replace").partition(" ")
        match state:
            case "ended":
                await host.run(_FORGET, unit.place, what=f"tidy up: {job.what}", check=False)
                if value in _TIMED_OUT:
                    raise CommandFailed(
                        f"{host.name}: {job.what}: took longer than {job.timeout_s} s"
                    )
                status = number(value)
                return Completed(
                    1 if status is None else status,
                    rest,
                    said.stderr,
                    truncated=len(rest) >= KEPT_BYTES,
                )
            case "rebooted":
                self.rebooted = True
            case "gone":
                raise CommandFailed(f"{host.name}: {job.what}: somebody stopped {unit.name}")
            case _:
                await self._note(value, rest)
        return None

    async def _note(self, trace: str, tail: bytes) -> None:
        unit, job, now_ms = self._unit, self._unit.job, self._clock.now_ms()
        if trace != self._seen:
            self._seen, self._seen_ms = trace, now_ms
        quiet_ms = now_ms - self._seen_ms
        if job.silent_s_max is not None and quiet_ms > job.silent_s_max * 1_000:
            await self._host.run(
                _STOP, unit.name, unit.place, what=f"stop: {job.what}", check=False
            )
            raise CommandFailed(
                f"{self._host.name}: {job.what}: no output for {job.silent_s_max} s; stopped"
            )
        if self._tell is not None:
            lines = tail.decode("utf-8", errors="replace").replace("\r", "\n").split("\n")
            self._tell(quiet_ms, next((p for p in map(printable, reversed(lines)) if p), ""))


async def _start(host: Runs, unit: _Unit, *, attach: bool) -> None:
    job = unit.job
    done = await host.run(
        _START,
        *(unit.name, unit.run_id, "yes" if attach else "no", str(job.timeout_s), KEEP, unit.text),
        what=f"start: {job.what}",
        check=False,
    )
    if done.status:
        raise CommandFailed(f"{host.name}: {job.what}: {done.complaint or 'systemd-run failed'}")
