"""Two processes find each other on the local network, and a real DNS server is understood."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import pytest

from bzzz_core.enrolment.founder import Founding, found
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.joiner import Newcomer
from bzzz_core.errors import TransportError
from bzzz_core.membership.discovery.dns import DnsLookup
from bzzz_core.membership.discovery.mdns import browse
from bzzz_core.membership.discovery.seed import Seed

Answer = TypeVar("Answer")
pytestmark = pytest.mark.integration
LOOPBACK = "127.0.0.1"
SOON_S = 60
ANNOUNCE = textwrap.dedent(
    """
    import asyncio, signal, sys
    from bzzz_core.membership.discovery.announce import Announcer
    from bzzz_core.membership.discovery.seed import Seed

    async def main():
        node, role = sys.argv[1:]
        seed = Seed("127.0.0.1", 8443, "mdns", "c-test", "home", node, role, "0" * 64)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with asyncio.TaskGroup() as group:
            announcer = Announcer(seed, addresses=("127.0.0.1",))
            task = group.create_task(announcer.run())
            print("announcing", flush=True)
            await stop.wait()
            task.cancel()

    asyncio.run(main())
    """
)
PROMOTE = textwrap.dedent(
    """
    import asyncio, signal, sys
    from pathlib import Path
    from bzzz_core.config.sources import load_agent_config
    from bzzz_core.membership.discovery.announce import Announcer, seed_of

    def as_voter(config, voter):
        me = config.me.model_copy(update={"voter": voter})
        return config.model_copy(
            update={"cluster": config.cluster.model_copy(update={"nodes": (me,)})}
        )

    async def main():
        config = load_agent_config(Path(sys.argv[1]), {})
        announcer = Announcer(seed_of(as_voter(config, False)), addresses=("127.0.0.1",))
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, announcer.follow, as_voter(config, True))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(announcer.run())
            print("announcing", flush=True)
            await stop.wait()
            task.cancel()

    asyncio.run(main())
    """
)


def announce(node: str, role: str) -> subprocess.Popen[str]:
    return announcing(ANNOUNCE, node, role)


def announcing(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "announcing\n"
    return process


def discover(*options: str) -> dict[str, list[dict[str, object]]]:
    command = [sys.executable, "-m", "bzzz_core.cli", "discover", "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    document: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return document


def seeds_of(cluster: str, *options: str) -> list[dict[str, object]]:
    found = [each for each in discover(*options)["clusters"] if each["cluster_id"] == cluster]
    assert len(found) <= 1, "one cluster is listed once"
    return [seed for each in found for seed in cast("list[dict[str, object]]", each["seeds"])]


def looked(look: Callable[[], Answer], enough: Callable[[Answer], bool]) -> Answer:
    """Look again until it is enough: on a busy machine nobody answers within one look's time."""
    ends = time.monotonic() + SOON_S
    while not enough(answer := look()) and time.monotonic() < ends:
        pass
    return answer


def test_a_node_on_the_local_network_is_found_and_says_good_bye() -> None:
    """What `bzzz-agent discover` shows is what another process announced, over real multicast."""
    nodes = {"a" * 26: "voter", "b" * 26: "edge"}
    processes = [announce(node, role) for node, role in nodes.items()]
    try:
        asked = ("--interface", LOOPBACK, "--timeout-ms", "3000")
        seeds = looked(lambda: seeds_of("c-test", *asked), lambda found: len(found) == len(nodes))
        assert {seed["node_id"]: seed["role"] for seed in seeds} == nodes
        assert {(seed["host"], seed["port"]) for seed in seeds} == {(LOOPBACK, 8443)}
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            with process:  # Closes the pipe.
                assert process.wait(timeout=10) == 0
    assert seeds_of("c-test", *asked) == []


@pytest.mark.journey
def test_who_was_made_a_voter_says_so(tmp_path: Path) -> None:
    """Whoever listens hears of it without asking; whoever asks later is told the new role."""
    home = Home.below(tmp_path / "one")
    founding = Founding(cluster_name="promoted", leaf_s=3_600, ca_directory=tmp_path / "ca")
    me = found(Newcomer.described("one", LOOPBACK, ()), founding, home=home).me

    def roles(found: Iterable[Mapping[str, object]]) -> set[object]:
        return {seed["role"] for seed in found if seed["node_id"] == me.id}

    def asked() -> set[object]:
        clusters = discover("--interface", LOOPBACK, "--timeout-ms", "2000")["clusters"]
        seeds = [cluster["seeds"] for cluster in clusters]
        return roles(seed for each in seeds if isinstance(each, list) for seed in each)

    async def heard(process: subprocess.Popen[str]) -> set[object]:
        listening = asyncio.create_task(browse(timeout_ms=15_000, interfaces=(LOOPBACK,)))
        await asyncio.sleep(2)  # Long enough to have heard the old role.
        process.send_signal(signal.SIGUSR1)
        return roles(msgspec.to_builtins(seed) for seed in await listening)

    process = announcing(PROMOTE, str(home.config))
    try:
        assert looked(asked, bool) == {"edge"}
        assert asyncio.run(heard(process)) == {"voter"}
        assert looked(asked, bool) == {"voter"}
    finally:
        process.send_signal(signal.SIGTERM)
        with process:
            assert process.wait(timeout=10) == 0


def test_what_an_operator_names_is_listed_beside_it() -> None:
    found = discover("--no-mdns", "--seed", "[::1]:8443", "--seed", "box.example:8443")
    (cluster,) = found["clusters"]
    seeds = cluster["seeds"]
    assert isinstance(seeds, list)
    assert [seed["host"] for seed in seeds] == ["::1", "box.example"]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def test_a_real_dns_server_is_understood(tmp_path: Path) -> None:
    """The fake one is written with the library that asks it; this one is not."""
    dnsmasq = shutil.which("dnsmasq", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if dnsmasq is None:
        pytest.skip("dnsmasq is not installed")
    port = free_port()
    server = subprocess.Popen(
        [
            dnsmasq,
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            f"--listen-address={LOOPBACK}",
            f"--port={port}",
            f"--pid-file={tmp_path / 'pid'}",
            "--local=/test/",
            "--srv-host=_bzzz._tcp.one.test,v1.one.test,8443,10,5",
            "--srv-host=_bzzz._tcp.one.test,v2.one.test,9443,20,5",
            "--host-record=two.test,192.0.2.2,2001:db8::2",
        ],
    )
    try:
        lookup = DnsLookup(servers=(LOOPBACK,), port=port)

        async def ask(name: str) -> list[Seed]:
            for _ in range(50):  # It takes a moment to listen.
                try:
                    return await lookup.seeds(name, timeout_ms=500)
                except TransportError:
                    await asyncio.sleep(0.05)
            return await lookup.seeds(name, timeout_ms=500)

        one, two, none = (asyncio.run(ask(f"{name}.test")) for name in ("one", "two", "none"))
    finally:
        server.terminate()
        server.wait(timeout=10)
    assert [seed.address for seed in one] == ["v1.one.test:8443", "v2.one.test:9443"]
    assert [seed.address for seed in two] == ["192.0.2.2:8443", "[2001:db8::2]:8443"]
    assert none == []
