"""Who may change a host: one run at a time, by a lease on the host itself.

The lease is the directory `/run/bzzz-install.lock`, made by `mkdir`, with the owner in it and the
host's uptime at the last heartbeat. It is gone with a reboot, by design. A lease is *stale*, and
taken over, when its heartbeat is older than `STALE_S` and no unit of its run lives; or at once,
when it is of a dead run of this very operator (`Owner.origin`: the caller holds the lock on the
cluster's directory, so whoever wrote the same origin is dead). Then a living unit is waited for.

Whoever takes a lease removes what dead runs left: staged files, results of units, parts of files.
A change that such a run did not prove is taken back (`deadman.py`), and only then the lease counts
as taken.

A heartbeat makes a lease anew only if nobody has had the host since it was started: otherwise
another run did, or somebody gave the lease away, and what we know of the host is out of date.

Rules: looking at a lease and changing it is one step (`flock`); age is measured by the host's own
uptime, so no clock matters. Whoever finds that a lease was taken from it stops changing the host.
A failed login or a lost link is never reported as a lease that somebody holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, Protocol

import msgspec

from bzzz_core.deploy import deadman
from bzzz_core.deploy.remote import Runs, printable
from bzzz_core.deploy.together import together
from bzzz_core.errors import BzzzError, CommandFailed, HostLocked, LeaseLost
from bzzz_core.ports import Clock

BEAT_MS: Final = 10_000
STALE_S: Final = 60
UNIT_S_MAX: Final = 120
"""How long a dead run's unit is waited for."""
FREE_S_MAX: Final = 5
_LEASE: Final = """
set -u
verb=$1 run=$2 owner=$3 stale=$4 mine=$5
lock=/run/bzzz-install.lock guard=/run/bzzz-install.guard
# Holds the run that had the host last; gone with a reboot, like the lease.
exec 9>>"$guard"
flock -w 10 9 || { echo "the guard of the lease is held" >&2; exit 74; }
read -r up _ </proc/uptime
up=${up%.*}
holds() { grep -qF "\\"run\\":\\"$1\\"" "$lock/owner" 2>/dev/null; }
age() {
  read -r beat <"$lock/beat" 2>/dev/null || beat=0
  echo $((up - ${beat:-0}))
}
units() {
  systemctl list-units --plain --no-legend \\
    --state=active,activating,reloading,deactivating "bzzz-install-*" |
    while read -r name _; do
      case $name in "bzzz-install-$run-"*) ;; *.service) printf '%s ' "$name" ;; esac
    done
}
unproved() {
  for room in /run/bzzz-install/deadman-*; do
    if [ -d "$room" ]; then printf '%s ' "${room##*/deadman-}"; fi
  done
}
put() {
  printf '%s' "$run" >"$guard" && printf '%s' "$owner" >"$lock/.owner" &&
    echo "$up" >"$lock/.beat" && mv -f "$lock/.owner" "$lock/owner" &&
    mv -f "$lock/.beat" "$lock/beat"
}
sweep() {
  find /etc/bzzz /etc/systemd/system /usr/local/bin /opt/bzzz -xdev -maxdepth 2 -type f \\
    -name ".bzzz-??????????" -mmin +30 -delete 2>/dev/null
  find /run/bzzz-install -mindepth 1 -maxdepth 1 ! -name "$run-*" ! -name "deadman-*" \\
    -exec rm -rf -- {} + 2>/dev/null
  find /var/tmp -maxdepth 1 -type d -name "bzzz-stage-*" -exec rm -rf -- {} + 2>/dev/null
  :
}
said() { echo "$1 $(age)"; units; echo; unproved; echo; cat "$lock/owner" 2>/dev/null; exit 0; }
umask 022
case $verb in
  show)
    [ -d "$lock" ] || { echo "free 0"; units; echo; unproved; exit 0; }
    said held ;;
  free)
    [ "$run" = any ] || holds "$run" || exit 0
    rm -rf -- "$lock"
    exit 0 ;;
  take | beat)
    if [ "$verb" = beat ] && [ ! -d "$lock" ] && [ -s "$guard" ]; then said lost; fi
    if mkdir -- "$lock" 2>/dev/null; then
      if [ -n "$(units)" ]; then rm -rf -- "$lock"; said unit; fi
      [ "$verb" = beat ] || sweep
      put && said taken
    fi
    holds "$run" && put && said taken
    if [ "$verb" = take ]; then
      if [ "$(age)" -ge "$stale" ] || { [ -n "$mine" ] && grep -qF "$mine" "$lock/owner"; }; then
        [ -z "$(units)" ] || said unit
        rm -rf -- "$lock"
        mkdir -- "$lock" && sweep && put && said taken
      fi
    fi
    said held ;;
esac
exit 64
"""


class Owner(msgspec.Struct, frozen=True):
    """Who holds a lease; lies on the host as JSON."""

    who: str
    """The person's login on the operator's machine."""
    host: str
    """The operator's machine."""
    pid: int
    run: str
    origin: str
    """Tells whether two runs come from the same cluster directory of the same machine."""
    step: str = ""
    """What the run does there."""
    heartbeat: str = ""
    """When that was written, by the operator's clock; for people."""

    @property
    def words(self) -> str:
        """Return who that is, for a message."""
        step = f", at {self.step}" if self.step else ""
        since = f", last heard at {self.heartbeat}" if self.heartbeat else ""
        return printable(f"{self.who} on {self.host} (pid {self.pid}, run {self.run}{step}){since}")


class Holding(msgspec.Struct, frozen=True):
    """What a host says about its lease."""

    state: Literal["free", "held", "taken", "unit", "lost"]
    """`taken`: it is ours; `unit`: nobody holds it, but a unit of another run lives; `lost`: nobody
    holds it, but somebody had the host since it was started."""
    age_s: int
    """Since the last heartbeat."""
    units: tuple[str, ...]
    """Living units of other runs."""
    owner: Owner | None
    unproved: tuple[str, ...] = ()
    """Changes that dead runs made and nobody proved, by the names of their dead-man timers."""

    @property
    def words(self) -> str:
        """Return who is in the way, for a message."""
        who = self.owner.words if self.owner else "somebody whose name cannot be read"
        parts = [f"{who}, {self.age_s} s ago"] if self.state in {"held", "taken"} else []
        parts += [f"{unit} is still at work" for unit in self.units]
        return "; ".join(parts) or "nobody"


class Leasable(Runs, Protocol):
    """A host that asks whether it is still ours before it does anything on a new connection."""

    def guard(self, check: Callable[[Runs], Awaitable[None]] | None) -> None:
        """Take what to ask over the connection itself; None: nothing more."""
        ...


class Lease:
    """The lease of one host."""

    def __init__(self, host: Runs, owner: Owner) -> None:
        """Take the host and who we are."""
        self._host = host
        self._owner = owner

    async def take(self, clock: Clock) -> None:
        """Take it; wait for a unit that a dead run left, and take back what it did not prove.

        Raises:
            HostLocked: Somebody else holds it, or such a unit does not end.
            CommandFailed: What a dead run did not prove cannot be taken back either.
            HostUnreachable: The host does not answer.
        """
        deadline_ms = clock.now_ms() + UNIT_S_MAX * 1_000
        while True:
            holding = await self._ask("take")
            if holding.state == "taken":
                if holding.unproved:
                    await self._settle(holding.unproved, clock)
                return
            if holding.state == "held" or clock.now_ms() >= deadline_ms:
                raise HostLocked(f"{self._host.name}: another run of setup: {holding.words}")
            await clock.sleep_ms(500)

    async def _settle(self, unproved: Sequence[str], clock: Clock) -> None:
        """Take changes back, and keep the lease meanwhile: many rules of a filter take minutes."""
        failure: BzzzError | None = None
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self.keep(clock))
            try:
                for what in unproved:
                    await deadman.settle(self._host, what)
            except BzzzError as exc:  # As it is, not in a group.
                failure = exc
            finally:
                keeping.cancel()
        if failure is not None:
            raise failure

    async def keep(self, clock: Clock) -> None:
        """Keep it until cancelled, while the run has no step of its own to say."""
        while True:
            await clock.sleep_ms(BEAT_MS)
            with suppress(BzzzError):  # Whether it is ours still, the next beat of the run says.
                await self._ask("beat")

    async def beat(self, step: str, at: str) -> None:
        """Keep it, and say what is being done; after a reboot of the host it is taken anew.

        Raises:
            LeaseLost: Another run has it, or had it meanwhile; or it was given away by hand.
        """
        self._owner = msgspec.structs.replace(self._owner, step=step, heartbeat=at)
        await self.beat_over(self._host)

    async def beat_over(self, host: Runs) -> None:
        """Keep it, by a connection that was just opened: `Leasable.guard`.

        Raises:
            LeaseLost: As `beat`.
        """
        holding = await ask(host, "beat", self._owner)
        if holding.state == "lost":
            raise LeaseLost(
                f"{self._host.name}: it is no longer ours: another run has had it since, or its"
                " lease was freed by hand"
            )
        if holding.state != "taken":
            raise LeaseLost(f"{self._host.name}: taken away by another run: {holding.words}")

    async def free(self) -> None:
        """Give it back, if it is ours."""
        await self._ask("free")

    async def _ask(self, verb: str) -> Holding:
        return await ask(self._host, verb, self._owner)


async def ask(host: Runs, verb: str, owner: Owner) -> Holding:
    """Do one thing with a host's lease and return what it says."""
    done = await host.run(
        _LEASE,
        *(verb, owner.run, msgspec.json.encode(owner).decode(), str(STALE_S)),
        f'"origin":"{owner.origin}"' if owner.origin else "",
        what=f"{verb} the lease",
        timeout_s=30,
    )
    if verb == "free":
        return Holding("free", 0, (), None)
    return decode(host.name, done.stdout)


def decode(host: str, output: bytes) -> Holding:
    """Return what a host said about its lease.

    Raises:
        CommandFailed: It cannot be read.
    """
    head, _, rest = output.decode("utf-8", errors="replace").partition("\n")
    units, _, rest = rest.partition("\n")
    unproved, _, text = rest.partition("\n")
    state, _, age = head.partition(" ")
    owner = None
    if text.strip():
        with suppress(msgspec.DecodeError):
            owner = msgspec.json.decode(text.strip().encode(), type=Owner)
    try:
        return msgspec.convert(
            {
                "state": state,
                "age_s": int(age),
                "units": tuple(units.split()),
                "owner": owner,
                "unproved": tuple(unproved.split()),
            },
            type=Holding,
        )
    except (ValueError, msgspec.ValidationError) as exc:
        raise CommandFailed(f"{host}: the lease cannot be read: {printable(head)}") from exc


@asynccontextmanager
async def held(
    hosts: Mapping[str, Leasable], owner: Owner, clock: Clock
) -> AsyncIterator[dict[str, Lease]]:
    """Hold the leases of all these hosts, and give them back at the end.

    One that cannot be had refuses the run: whoever holds it is changing this cluster, and nothing
    was changed yet.

    Raises:
        HostLocked: Others hold some; all of them are named.
        HostUnreachable: A host does not answer.
    """
    leases = {name: Lease(host, owner) for name, host in hosts.items()}
    try:
        failures = await _take(list(leases.values()), clock)
        foreign = [one for one in failures if not isinstance(one, BzzzError)]
        if foreign:
            raise foreign[0]
        locked = [one for one in failures if isinstance(one, HostLocked)]
        if locked:
            raise HostLocked("; ".join(str(one) for one in locked) + "; nothing was changed")
        if failures:
            raise failures[0]
        for name, lease in leases.items():
            hosts[name].guard(lease.beat_over)
        yield leases
    finally:
        for host in hosts.values():
            host.guard(None)
        await together(_let_go(lease) for lease in leases.values())


async def _take(leases: Sequence[Lease], clock: Clock) -> list[BaseException]:
    """Take leases and return what went wrong.

    Each is kept from the moment that it is ours: others may have changes to take back for minutes.
    """
    outcomes: list[BaseException | None] = []
    keeping: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:

        async def take(lease: Lease) -> None:
            await lease.take(clock)
            keeping.append(group.create_task(lease.keep(clock)))

        # The first alone: of two runs that begin at once one has it, and not each a part.
        for some in (leases[:1], leases[1:]):
            if not any(outcomes):
                taking = (take(lease) for lease in some)
                outcomes += await asyncio.gather(*taking, return_exceptions=True)
        for task in keeping:
            task.cancel()
    return [outcome for outcome in outcomes if outcome is not None]


async def _let_go(lease: Lease) -> None:
    with suppress(BzzzError, TimeoutError):
        async with asyncio.timeout(FREE_S_MAX):
            await lease.free()
