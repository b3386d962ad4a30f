"""Whether every host reaches every other's ports, proved by fresh connections from each host.

`reach` asks each host to connect to the others' ports and gathers a `Matrix`: a value, which knows
who reached whom, how long the handshake took, and what else happened. *Refused* means that the
packet came through and nobody listened, *silent* that it was dropped or is on the way for ever.

Before the cluster runs nobody listens; `listening` puts a listener on a host for a while. It says a
random word, so that it is told from whatever else might answer. A port that is taken is left to
whoever has it, and any answer there counts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.sections import number
from bzzz_core.deploy.goal import choose_python, node_address
from bzzz_core.deploy.remote import Completed, printable
from bzzz_core.errors import BzzzError, CommandFailed

LISTEN_S_MAX: Final = 90
CONNECT_S: Final = 3
ASK_S_MAX: Final = 60
_CONNECT: Final = """
python=$1
shift
exec "$python" -I -S -c '
import concurrent.futures, errno, socket, sys, time
limit, word, pairs = float(sys.argv[1]), sys.argv[2].encode(), sys.argv[3:]
def one(pair):
    address, _, port = pair.rpartition(" ")
    begun = time.monotonic()
    try:
        with socket.create_connection((address, int(port)), limit) as link:
            took = time.monotonic() - begun
            link.settimeout(1)
            try:
                said = link.recv(64) if word else b""
            except OSError:  # it waits for us to speak first
                said = b"nothing"
        state = "open" if said == word else "other"
    except ConnectionRefusedError:
        took, state = 0, "refused"
    except (TimeoutError, socket.timeout):
        took, state = 0, "silent"
    except OSError as error:
        took, state = 0, "failed:" + (errno.errorcode.get(error.errno or 0) or str(error))
    return "%s %s %d" % (pair, state.replace(" ", "_"), took * 1000000)
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    for line in pool.map(one, pairs):
        print(line)
' "$@"
"""
_LISTEN: Final = """
set -eu
unit=$1 python=$2
shift 2
exec systemd-run --quiet --collect --unit="$unit" --property=RuntimeMaxSec=90 \\
  --property=Type=notify --property=NotifyAccess=all --property=User=nobody \\
  --property=AmbientCapabilities=CAP_NET_BIND_SERVICE --property=NoNewPrivileges=yes \\
  "$python" -I -S -c '
import os, selectors, socket, sys
word, ports = sys.argv[1].encode(), sys.argv[2:]
waiting = selectors.DefaultSelector()
for port in ports:
    for family, where in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            link = socket.socket(family)
            if family == socket.AF_INET6:
                link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            link.bind((where, int(port)))
            link.listen(64)
            waiting.register(link, selectors.EVENT_READ)
        except OSError:
            pass
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
    place = os.environ["NOTIFY_SOCKET"]
    told.connect("\\0" + place[1:] if place[0] == "@" else place)
    told.send(b"READY=1")
while True:
    for key, _ in waiting.select():
        try:
            with key.fileobj.accept()[0] as link:
                link.send(word)
        except OSError:
            pass
' "$@"
"""
_STOP: Final = 'systemctl stop "$1.service"'


class State(StrEnum):
    """What became of one connection."""

    OPEN = "open"
    OTHER = "other"
    """Somebody answered who is not our listener: the port's own service."""
    REFUSED = "refused"
    SILENT = "silent"
    FAILED = "failed"
    """No route, no such name, or forbidden on the way; or no interpreter did it."""
    UNASKED = "not tried"
    """The host that should have connected is lost: out of reach, or another run's by now."""


_TOLD: Final = frozenset(State) - {State.UNASKED}
"""What a host may say itself."""


class Asked(Protocol):
    """As much of a `RemoteHost` as is needed here."""

    async def run(
        self,
        script: str,
        *arguments: str,
        what: str,
        root: bool = True,
        timeout_s: int = 60,
        check: bool = True,
    ) -> Completed:
        """Run a constant script, as `RemoteHost.run` does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A host as `reach` needs it."""

    name: str
    host: Asked
    address: str
    python: str
    """Path of an interpreter there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """One connection from one host to one port of another."""

    source: str
    target: str
    port: int
    state: State
    rtt_us: int = 0
    """Of the handshake; 0 if there was none."""
    detail: str = ""

    @property
    def through(self) -> bool:
        """Return whether the connection was taken."""
        return self.state in {State.OPEN, State.OTHER}


@dataclass(frozen=True, slots=True)
class Matrix:
    """Who reached whom."""

    cells: tuple[Reached, ...]

    @property
    def failures(self) -> tuple[Reached, ...]:
        """Return the connections that were not taken."""
        return tuple(cell for cell in self.cells if not cell.through)

    @property
    def whole(self) -> bool:
        """Return whether everybody reached everything that was asked for."""
        return not self.failures

    @property
    def unasked(self) -> tuple[str, ...]:
        """Return the hosts that could not be asked to connect, sorted."""
        return tuple(sorted({c.source for c in self.cells if c.state is State.UNASKED}))

    def of_asked(self) -> Matrix:
        """Return the same without those that could not be asked."""
        return Matrix(tuple(cell for cell in self.cells if cell.state is not State.UNASKED))

    def between(self, source: str, target: str) -> tuple[Reached, ...]:
        """Return the connections from one host to another, by port."""
        cells = (c for c in self.cells if (c.source, c.target) == (source, target))
        return tuple(sorted(cells, key=lambda cell: cell.port))

    def praise(self) -> str:
        """Return that everybody reached everything, and how fast; "": nothing was asked for."""
        if not self.cells:
            return ""
        worst_ms = max(cell.rtt_us for cell in self.cells) / 1_000
        return f"; each reaches the others' brokers in {worst_ms:.1f} ms at most"

    def sentence(self) -> str:
        """Return what is wrong, in words; "": nothing."""
        said: dict[tuple[str, str, str], list[str]] = {}
        for cell in self.failures:
            how = f"{cell.state.value}{f' ({cell.detail})' if cell.detail else ''}"
            said.setdefault((cell.source, cell.target, how), []).append(str(cell.port))
        return "; ".join(
            f"{source} does not reach {target} on port {', '.join(ports)}: {how}"
            for (source, target, how), ports in said.items()
        )


def ports_of(spec: ClusterSpec) -> tuple[int, ...]:
    """Return the ports at which nodes reach each other."""
    ports = spec.network.ports
    return (ports.fabric_client, ports.fabric_cluster, ports.join)


def nodes_of(
    spec: ClusterSpec, hosts: Mapping[str, Asked], facts: Mapping[str, HostFacts]
) -> tuple[Node, ...]:
    """Return the hosts that can be asked: those with a connection and an interpreter."""
    found = []
    for host in spec.hosts:
        one = facts.get(host.name)
        if one is None:
            continue
        # Any will do here, also one that is too old for our services.
        python = choose_python(one) or next(iter(one.pythons or ()), None)
        if python is not None and host.name in hosts:
            node = Node(
                name=host.name,
                host=hosts[host.name],
                address=node_address(host),
                python=python.path,
            )
            found.append(node)
    return tuple(found)


async def reach(
    sources: Sequence[Node],
    targets: Mapping[str, Sequence[int]],
    among: Sequence[Node],
    *,
    word: str = "",
) -> Matrix:
    """Let every source connect to the ports of every target but itself.

    Args:
        sources: The hosts that connect.
        targets: Ports by name of the host that is connected to.
        among: Where these hosts are; may be the sources.
        word: What a listener of ours says; "" takes any answer for open.
    """
    addresses = {node.name: node.address for node in among}
    targets = {name: ports for name, ports in targets.items() if name in addresses}
    rows = await asyncio.gather(
        *(
            _from(
                source,
                [
                    (name, addresses[name], port)
                    for name, ports in targets.items()
                    if name != source.name
                    for port in ports
                ],
                word,
            )
            for source in sources
        )
    )
    return Matrix(tuple(cell for row in rows for cell in row))


def new_word() -> str:
    """Return what a listener shall say, so that it is told from everything else."""
    return secrets.token_hex(8)


async def everybody(nodes: Sequence[Node], ports: Sequence[int]) -> Matrix:
    """Prove that every node reaches the ports of every other, whether or not anybody listens yet.

    Raises:
        CommandFailed: A listener could not be started.
        HostUnreachable: A connection was lost.
    """
    word = new_word()
    async with AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(listening(node, ports, word))
        return await reach(nodes, dict.fromkeys((n.name for n in nodes), ports), nodes, word=word)


@asynccontextmanager
async def listening(node: Node, ports: Iterable[int], word: str) -> AsyncIterator[None]:
    """Keep a listener on those of the ports that are free, for as long as the block lasts.

    It ends by itself after `LISTEN_S_MAX`, whatever becomes of us.
    """
    unit = f"bzzz-install-listen-{secrets.token_hex(4)}"
    await node.host.run(
        _LISTEN,
        *(unit, node.python, word, *map(str, ports)),
        what="listen for the other nodes",
        timeout_s=20,
    )
    try:
        yield
    finally:
        with suppress(BzzzError):  # it ends by itself
            await node.host.run(_STOP, unit, what="listen no longer", timeout_s=20, check=False)


async def _from(source: Node, wanted: list[tuple[str, str, int]], word: str) -> list[Reached]:
    if not wanted:
        return []
    pairs = [f"{address} {port}" for _, address, port in wanted]
    names = {f"{address} {port}": (name, port) for name, address, port in wanted}
    try:
        done = await source.host.run(
            _CONNECT,
            *(source.python, str(CONNECT_S), word, *pairs),
            what="connect to the other nodes",
            root=False,
            timeout_s=ASK_S_MAX,
        )
    except BzzzError as exc:
        why = State.FAILED if isinstance(exc, CommandFailed) else State.UNASKED
        return [
            Reached(source=source.name, target=name, port=port, state=why, detail=str(exc))
            for name, _, port in wanted
        ]
    found: dict[str, Reached] = {}
    for line in done.text.splitlines():
        pair, _, rest = line.rpartition(" ")
        pair, _, said = pair.rpartition(" ")
        rtt_us = number(rest)
        if pair in names and rtt_us is not None:
            name, port = names[pair]
            state, _, detail = printable(said)[:80].partition(":")
            known = State(state) if state in _TOLD else State.FAILED
            found[pair] = Reached(
                source=source.name,
                target=name,
                port=port,
                state=known,
                rtt_us=rtt_us,
                detail=detail,
            )
    return [
        found.get(pair)
        or Reached(
            source=source.name, target=names[pair][0], port=names[pair][1], state=State.FAILED
        )
        for pair in pairs
    ]
