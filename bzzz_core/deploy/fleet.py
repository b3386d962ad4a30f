"""The open connections of a run, and what is asked of all hosts at once.

Each host has one connection for the whole run. A host that cannot be reached or probed is a message
beside its name, never the end of the others.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.config import secrets as secret_references
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.sections.model_servers import MODELS_PATH
from bzzz_core.deploy.facts.host import Clock as ClockFact
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.parse import parse, probe_script
from bzzz_core.deploy.remote import Sudo
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import SshHost, session
from bzzz_core.deploy.ssh.user_config import routed
from bzzz_core.deploy.steady import SteadyHost, Witness
from bzzz_core.deploy.together import together
from bzzz_core.deploy.unforeseen import foreseen
from bzzz_core.deploy.way import Way
from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock

CONNECTS_MAX: Final = 32
JUMPING_MAX: Final = 8
"""Logins at once through a jump host: its sshd drops logins from ten on (MaxStartups)."""
PROBE_S_MAX: Final = 90
_MANY: Final = 100
OpenSession = Callable[[Login, KnownHosts], AbstractAsyncContextManager[SshHost]]


class Fleet:
    """All hosts of the answers."""

    def __init__(
        self,
        spec: ClusterSpec,
        known_hosts: Path,
        open_session: OpenSession = session,
        *,
        own_key: Path | None = None,
    ) -> None:
        """Take the answers and our own files; connect to nobody yet.

        Args:
            spec: The answers.
            known_hosts: Our own file of host keys.
            open_session: How to connect.
            own_key: The key that setup installs on the hosts, if any; it need not be there yet.
        """
        self._spec = spec
        self._own_key = own_key
        self._known_hosts = KnownHosts(known_hosts, _other_known_hosts(spec))
        self._open_session = open_session
        self._stacks: dict[str, AsyncExitStack] = {}
        self._connects = asyncio.Semaphore(CONNECTS_MAX)
        self._jumps = asyncio.Semaphore(JUMPING_MAX)
        self.hosts: dict[str, SshHost] = {}
        """Hosts with a connection, by name."""

    async def probe(self, host: HostSpec) -> HostFacts:
        """Connect if need be and return what is true of the host.

        Raises:
            BzzzError: It could not be reached, trusted, logged in to or probed.
        """
        async with self._connects:
            remote = await self.connected(host)
            word = secrets.token_hex(8)
            paths = self._spec.resources.paths
            done = await remote.run(
                probe_script(),
                *(word, paths.data, paths.logs),
                *(remote.greeting.through, remote.user),
                self._spec.ai.servers.models_path or MODELS_PATH,
                what="probe",
                root=remote.greeting.sudo is not Sudo.REFUSED,
                timeout_s=PROBE_S_MAX,
                check=False,
            )
        greeting = remote.greeting
        skew_ms = greeting.skew_ms
        return msgspec.structs.replace(
            parse(done.stdout, word),
            sudo=greeting.sudo.value,
            host_key_sha256=greeting.host_key_sha256,
            clock=None
            if skew_ms is None
            else ClockFact(skew_ms=skew_ms, uncertainty_ms=greeting.round_trip_ms // 2),
        )

    @asynccontextmanager
    async def fresh(self, name: str, way: Way) -> AsyncIterator[SshHost]:
        """Yield a new connection to a host, beside the one of the run: new TCP, new login.

        Raises:
            BzzzError: It could not be reached, trusted or logged in to.
        """
        host = next(host for host in self._spec.hosts if host.name == name)
        login = await self._login(host)
        if way is not Way.ANSWERS:
            login = replace(login, password=None)
        if way is Way.INSTALLED:
            login = replace(login, key=login.own_key, own_key=None)
        async with self._opened(login) as remote:
            yield remote

    @asynccontextmanager
    async def _opened(self, login: Login) -> AsyncIterator[SshHost]:
        """Open a session; what lies before many hosts is not asked by all of them at once."""
        straight = login.via is None and not login.proxy_command
        async with AsyncExitStack() as stack:
            async with nullcontext() if straight else self._jumps:
                session = self._open_session(login, self._known_hosts)
                remote = await stack.enter_async_context(session)
            yield remote

    async def _login(self, host: HostSpec) -> Login:
        """Return how to log in to a host; files and secrets are looked up beside the loop."""
        return await asyncio.to_thread(login_of, self._spec, host, self._own_key)

    async def close(self) -> None:
        """Close all connections, each for itself: a dead one must not hold up the others."""
        stacks, self._stacks, self.hosts = self._stacks, {}, {}
        await together(stack.aclose() for stack in stacks.values())

    async def connected(self, host: HostSpec) -> SshHost:
        """Return the open session with a host, opening another if there is none or it is gone.

        Raises:
            BzzzError: It could not be reached, trusted or logged in to.
        """
        present = self.hosts.get(host.name)
        if present is not None and present.alive:
            return present
        old = self._stacks.pop(host.name, None)
        if old is not None:
            await old.aclose()
        stack = AsyncExitStack()
        opened = self._opened(await self._login(host))
        self.hosts[host.name] = await stack.enter_async_context(opened)
        self._stacks[host.name] = stack
        if present is not None:
            await self.hosts[host.name].take_over(present.stage_directory)
        return self.hosts[host.name]

    def steady(
        self, names: Iterable[str], *, run_id: str, clock: Clock, witness: Callable[[str], Witness]
    ) -> dict[str, SteadyHost]:
        """Return hosts whose connections are opened anew when they break.

        Args:
            names: Which hosts.
            run_id: Names the units of the run.
            clock: For durations and pauses.
            witness: Makes whoever is told what goes on at a host of this name.
        """
        hosts = {host.name: host for host in self._spec.hosts}
        return {
            name: SteadyHost(
                name,
                connect=partial(self.connected, hosts[name]),
                run_id=run_id,
                clock=clock,
                jitter=lambda: secrets.randbelow(1_000) / 1_000,
                witness=witness(name),
            )
            for name in names
        }


def login_of(spec: ClusterSpec, host: HostSpec, own_key: Path | None = None) -> Login:
    """Return where and how to log in to a host.

    The key that setup installs is tried first, once it has been made: it may be the only way in.

    Raises:
        ConfigError: The operator's SSH configuration is damaged.
        SecretError: A password's reference leads nowhere.
    """
    ssh = spec.security.ssh
    login = Login(
        name=host.name,
        address=host.address,
        port=host.port or ssh.port,
        user=host.user or ssh.user,
        key=Path(ssh.key) if ssh.key else None,
        own_key=own_key if own_key is not None and own_key.exists() else None,
        passphrase=secret_references.resolve(ssh.key_passphrase) if ssh.key_passphrase else None,
        password=secret_references.resolve(ssh.password) if ssh.password else None,
        sudo_password=secret_references.resolve(ssh.sudo_password) if ssh.sudo_password else None,
        host_key_sha256=host.host_key_sha256,
        accept_new_host_key=ssh.accept_new_host_keys,
    )
    return routed(login, config=ssh.config, jump=ssh.jump)


async def probe_all(
    fleet: Fleet,
    spec: ClusterSpec,
    *,
    done: Callable[[HostSpec, HostFacts | None, str], None],
) -> tuple[dict[str, HostFacts], dict[str, str]]:
    """Probe all hosts at once and return facts and failures by host, in the answers' order.

    Args:
        fleet: The connections.
        spec: The answers.
        done: Called as each host is through, with its facts or the reason why there are none.
    """

    async def one(host: HostSpec) -> HostFacts | str:
        try:
            with foreseen(host.name):
                facts = await fleet.probe(host)
        except BzzzError as exc:
            done(host, None, str(exc))
            return str(exc)
        done(host, facts, "")
        return facts

    if len(spec.hosts) >= _MANY:
        _keep_what_is_loaded()
    results = await asyncio.gather(*(one(host) for host in spec.hosts))
    pairs = [(host.name, result) for host, result in zip(spec.hosts, results, strict=True)]
    facts = {name: result for name, result in pairs if isinstance(result, HostFacts)}
    failures = {name: result for name, result in pairs if isinstance(result, str)}
    return facts, failures


@cache
def _keep_what_is_loaded() -> None:
    """Take all that is loaded by now out of the garbage collector's sight; once in a process.

    A full collection that looks at that and at hundreds of connections stops the program, and the
    screen with it, for 150 ms (measured with 500 hosts); at the connections alone for 60 ms.
    """
    gc.freeze()


def _other_known_hosts(spec: ClusterSpec) -> tuple[Path, ...]:
    named = spec.security.ssh.known_hosts
    users = Path.home() / ".ssh" / "known_hosts"
    return (Path(named).expanduser(), users) if named else (users,)
