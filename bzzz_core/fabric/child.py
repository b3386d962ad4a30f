"""One nats-server process: start it, ask it to end, learn which ports it got.

Every broker, witness and companion is started here, so the rule that none outlives its supervisor
has one place. Ctrl+C in a terminal is for the agent, which then ends its brokers in order.
"""

from __future__ import annotations

import asyncio
import re
import signal
from asyncio.subprocess import Process
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bzzz_core.errors import BrokerError, BrokerHindered
from bzzz_core.fabric.binary import bare_environment
from bzzz_core.fabric.broker import Endpoint
from bzzz_core.ports import Clock
from bzzz_core.process import die_with_parent

STOP_MS_MAX: Final = 10_000
_PORTS_MS_MAX: Final = 10_000
_POLL_MS: Final = 20
_URL: Final = re.compile(r"[a-z]+://(.+):(\d+)")

_Urls = Annotated[list[str], msgspec.Meta(max_length=64)]


class _Ports(msgspec.Struct):
    nats: _Urls = []
    cluster: _Urls = []


async def start(binary: Path, conf: Path) -> Process:
    """Start a nats-server that cannot outlive this process, and learns nothing of its secrets."""
    return await asyncio.create_subprocess_exec(
        binary,
        *("-c", str(conf)),
        env=bare_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )


async def end(process: Process) -> None:
    """Ask the process to end, then insist; a paused one is woken to hear it.

    Whoever is cancelled meanwhile cannot wait any more: then it is killed.
    """
    if process.returncode is not None:
        return
    process.terminate()
    process.send_signal(signal.SIGCONT)
    try:
        async with asyncio.timeout(STOP_MS_MAX / 1000):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except asyncio.CancelledError:
        process.kill()
        raise


@dataclass(frozen=True, slots=True)
class ChosenPorts:
    """Where a broker listens that let the kernel choose."""

    client: Endpoint
    route: Endpoint | None


async def ports_of(
    process: Process, directory: Path, clock: Clock, *, routed: bool = True
) -> ChosenPorts:
    """Return where a broker that chose its own ports takes clients and, if `routed`, routes.

    Raises:
        BrokerError: It ended.
        BrokerHindered: It did not say in time.
    """
    path = directory / f"nats-server_{process.pid}.ports"
    deadline_ms = clock.now_ms() + _PORTS_MS_MAX
    while clock.now_ms() < deadline_ms and process.returncode is None:
        try:
            said = msgspec.json.decode(path.read_bytes(), type=_Ports)
            route = _endpoint(said.cluster) if routed else None
            return ChosenPorts(client=_endpoint(said.nats), route=route)
        except (OSError, ValueError):  # Not there yet, or half of it.
            await clock.sleep_ms(_POLL_MS)
    if process.returncode is None:
        raise BrokerHindered(
            f"a nats-server for {directory.name} did not start within {_PORTS_MS_MAX} ms"
        )
    raise BrokerError(f"a nats-server for {directory.name} ended at once; see its log there")


def _endpoint(urls: list[str]) -> Endpoint:
    found = _URL.fullmatch(urls[0]) if urls else None
    if found is None:
        raise ValueError("no address")
    return Endpoint(host=found[1].strip("[]"), port=int(found[2]))
