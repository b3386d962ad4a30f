"""Looks for model servers in the cluster's network, from this machine and from the hosts.

Only when an operator asks for it, and politely: at most 256 addresses and 8 ports, few at once, two
questions that change nothing (`/api/version`, `/api/tags`), no redirect followed, no proxy on the
hosts. Whoever answers is untrusted: each answer is bounded in bytes and time, each search as a
whole, and names are cut. A server that only some hosts reach is told with who reaches it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.sections.model_servers import PORT
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import Fleet
from bzzz_core.deploy.remote import Completed, printable
from bzzz_core.deploy.surroundings import Network, own_network
from bzzz_core.errors import BzzzError
from bzzz_core.integrations.ollama import Ollama
from bzzz_core.ports import Clock

ADDRESSES_MAX: Final = 256
PORTS_MAX: Final = 8
AT_ONCE: Final = 16
ANSWER_S: Final = 2.0
"""For one question."""
SEARCH_S: Final = 60
"""For all that one place asks: 256 silent addresses take 35 s at one port."""
SERVERS_MAX: Final = 64
MODELS_MAX: Final = 200
_NAME_MAX: Final = 200
_SHOWN_MAX: Final = 3
HOSTS_MAX: Final = 8
"""How many hosts look: those of one network see the same."""
HERE: Final = "this machine"
_ASK: Final = """
python=$(command -v python3) || exit 0
program=$1
shift
exec "$python" -I -S -c "$program" "$@"
"""
_PROGRAM: Final = """
import json, os, queue, sys, threading, time, urllib.request
limit, wait, most, ports = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args):
        return None
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay())
waiting, said = queue.Queue(), threading.Lock()
for address in sys.argv[5:]:
    for port in ports.split(","):
        waiting.put((address, int(port)))
found = []
def get(address, port, path, size):
    host = "[%s]" % address if ":" in address else address
    with opener.open("http://%s:%d%s" % (host, port, path), timeout=wait) as answer:
        return json.loads(answer.read(size))
def look():
    while True:
        try:
            address, port = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            version = get(address, port, "/api/version", 4000)["version"]
            if not isinstance(version, str):
                continue
            try:
                models = get(address, port, "/api/tags", 200000)["models"] or []
                names = [str(model["name"])[:200] for model in models[:200]]
            except Exception:
                names = []
            with said:
                found.append(1)
                if len(found) <= most:
                    one = {"address": address, "port": port, "version": version[:200]}
                    print(json.dumps(dict(one, models=names)), flush=True)
        except Exception:
            pass
threads = [threading.Thread(target=look, daemon=True) for _ in range(16)]
for thread in threads:
    thread.start()
end = time.monotonic() + limit
for thread in threads:
    thread.join(max(0, end - time.monotonic()))
os._exit(0)
"""
_Word = Annotated[str, msgspec.Meta(max_length=_NAME_MAX)]


class FoundServer(msgspec.Struct, frozen=True):
    """A model server that answered."""

    address: Annotated[str, msgspec.Meta(max_length=64)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    version: _Word
    models: Annotated[tuple[_Word, ...], msgspec.Meta(max_length=MODELS_MAX)] = ()
    seen_from: tuple[str, ...] = ()
    """Names of hosts, and `HERE`."""

    @property
    def url(self) -> str:
        """Return where it is, as `ai.endpoint.base_url` has it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"


class ModelSearch(msgspec.Struct, frozen=True):
    """What a search found."""

    addresses: int
    """How many were asked."""
    servers: tuple[FoundServer, ...] = ()
    failures: tuple[str, ...] = ()
    """Places that could not ask, with the reason."""


class Asks(msgspec.Struct, frozen=True):
    """What to ask, the same from everywhere."""

    addresses: tuple[str, ...]
    ports: tuple[int, ...]


Runs = Callable[..., Awaitable[Completed]]
"""`SshHost.run`."""


def wanted(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Asks:
    """Return what is asked: the cluster's network, or of a large one what is near the hosts."""
    networks: list[Network] = []
    if spec.network.subnet is not None:
        networks.append(ipaddress.ip_network(spec.network.subnet))
    for host in spec.hosts:
        one = facts.get(host.name)
        found = None if one is None else own_network(host.address, one)
        if found is not None:
            networks.append(found)
    own = [address for host in spec.hosts if (address := _numeric(host.address))]
    addresses: dict[str, None] = dict.fromkeys(own)
    for network in dict.fromkeys(networks):
        for part in _near(network, own):
            addresses.update(dict.fromkeys(str(address) for address in part.hosts()))
    servers = spec.ai.servers
    ports = dict.fromkeys((PORT, servers.port, *(one.port for one in servers.instances)))
    return Asks(tuple(addresses)[:ADDRESSES_MAX], tuple(ports)[:PORTS_MAX])


def _near(network: Network, own: Iterable[str]) -> list[Network]:
    """Return a small network itself; of a large one the /24 around each address of a host."""
    if network.num_addresses <= ADDRESSES_MAX:
        return [network]
    if network.version != 4:  # noqa: PLR2004
        return []  # Nobody looks through 2^64 addresses.
    around = (
        ipaddress.ip_network(f"{address}/24", strict=False) for address in own if "." in address
    )
    return list(dict.fromkeys(part for part in around if part.overlaps(network)))


def _numeric(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""


async def from_here(asks: Asks, clock: Clock) -> tuple[FoundServer, ...]:
    """Return the servers that answer this machine."""
    limit, found = asyncio.Semaphore(AT_ONCE), list[FoundServer]()

    async def one(address: str, port: int) -> None:
        async with limit:
            server = await _ask_one(address, port, clock)
        if server is not None and len(found) < SERVERS_MAX:
            found.append(server)

    try:
        async with asyncio.timeout(SEARCH_S), asyncio.TaskGroup() as tries:
            for address in asks.addresses:
                for port in asks.ports:
                    tries.create_task(one(address, port))
    except TimeoutError:
        pass  # What answered in time is what there is.
    return tuple(found)


async def _ask_one(address: str, port: int, clock: Clock) -> FoundServer | None:
    bare = FoundServer(address=address, port=port, version="")
    try:
        async with Ollama(bare.url, clock=clock, timeout_s=ANSWER_S) as server:
            async with asyncio.timeout(2 * ANSWER_S):
                version = printable(await server.version())[:_NAME_MAX]
            try:
                async with asyncio.timeout(2 * ANSWER_S):
                    models = await server.stored()
            except (BzzzError, TimeoutError):
                models = ()
    except (BzzzError, TimeoutError):
        return None
    names = tuple(printable(model.name)[:_NAME_MAX] for model in models[:MODELS_MAX])
    return FoundServer(address=address, port=port, version=version, models=names)


async def from_host(run: Runs, asks: Asks) -> tuple[FoundServer, ...]:
    """Return the servers that answer a host; the login's Python asks, as nobody special.

    Raises:
        BzzzError: The host could not be asked.
    """
    done = await run(
        _ASK,
        *(_PROGRAM, str(SEARCH_S), str(ANSWER_S), str(SERVERS_MAX)),
        *(",".join(map(str, asks.ports)), *asks.addresses),
        what="look for model servers",
        root=False,
        timeout_s=SEARCH_S + 15,
    )
    return read(done.stdout, asks)


def read(output: bytes, asks: Asks) -> tuple[FoundServer, ...]:
    """Return what a host says it found, as far as it was asked for it; the rest is left out."""
    found = []
    for line in output.splitlines()[:SERVERS_MAX]:
        try:
            server = msgspec.json.decode(line, type=FoundServer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if server.address in asks.addresses and server.port in asks.ports:
            found.append(
                FoundServer(
                    address=server.address,
                    port=server.port,
                    version=printable(server.version),
                    models=tuple(map(printable, server.models)),
                )
            )
    return tuple(found)


def merged(asks: Asks, seen: Mapping[str, Sequence[FoundServer] | str]) -> ModelSearch:
    """Return one list of what several places found.

    Args:
        asks: What was asked.
        seen: By place: its servers, or why it could not ask.
    """
    by_place: dict[tuple[str, int], FoundServer] = {}
    for place, servers in seen.items():
        for server in () if isinstance(servers, str) else servers:
            before = by_place.get((server.address, server.port), server)
            by_place[server.address, server.port] = msgspec.structs.replace(
                before, seen_from=(*before.seen_from, place)
            )
    order = {address: number for number, address in enumerate(asks.addresses)}
    servers_found = sorted(by_place.values(), key=lambda one: (order[one.address], one.port))
    return ModelSearch(
        addresses=len(asks.addresses),
        servers=tuple(servers_found[:SERVERS_MAX]),
        failures=tuple(
            why if why.startswith(name) else f"{name}: {why}"
            for name, why in seen.items()
            if isinstance(why, str)
        ),
    )


async def search(
    spec: ClusterSpec,
    facts: Mapping[str, HostFacts],
    fleet: Fleet,
    clock: Clock,
    *,
    here: Callable[[Asks, Clock], Awaitable[tuple[FoundServer, ...]]] = from_here,
) -> ModelSearch:
    """Look from here and from the hosts at once, and return what anybody found."""
    asks = wanted(spec, facts)

    async def one(host: HostSpec) -> tuple[FoundServer, ...] | str:
        try:
            return await from_host((await fleet.connected(host)).run, asks)
        except BzzzError as exc:
            return str(exc)

    # Only hosts that were seen: a login that failed is not tried a second time for this.
    hosts = [host for host in spec.hosts if host.name in facts][:HOSTS_MAX]
    mine, *there = await asyncio.gather(here(asks, clock), *(one(host) for host in hosts))
    seen: dict[str, Sequence[FoundServer] | str] = {HERE: mine}
    seen.update(zip((host.name for host in hosts), there, strict=True))
    return merged(asks, seen)


def findings(found: ModelSearch) -> Iterator[Finding]:
    """Yield what a person is told of a search: each server that anybody can ask."""
    for server in found.servers:
        models = ", ".join(server.models[:_SHOWN_MAX]) or "no models"
        yield Finding(
            "warning",
            "models",
            "",
            f"a model server {server.version} is at {server.url} ({models}), reached from"
            f" {', '.join(server.seen_from)}; it asks nobody for a password",
            "to use it: ai.endpoint.provider ollama and its base_url",
        )
    for words in found.failures:
        fix = "see whether it has python3"
        yield Finding("warning", "models", "", f"no search for model servers: {words}", fix)
