"""The hosts of a run: containers that boot systemd, on a network of their own with fixed addresses.

The network has no way out (an installation that needs the internet fails here), unless asked for.
`--privileged` is not needed and often refused: a booted systemd needs SYS_ADMIN, its own cgroup
namespace with writable mounts (`testbed-init` in the image sees to it, for cgroups v1 and v2), and
SIGRTMIN+3 to shut down; NET_ADMIN is there so that firewalls and partitions work.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.testbed.docker_daemon import Docker, TestbedError
from tests.testbed.state import Host, State

LABEL = "bzzz.testbed"
BOOT_S_MAX = 90
AT_ONCE = 4
HOSTS_MAX = 100
FIRST_ADDRESS = 11
OPERATOR_UID = 1000
USERS_GID = 100
RUN_OPTIONS = (
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--cgroupns", "private"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock"),
    *("--stop-signal", "SIGRTMIN+3"),
    *("--log-driver", "none"),
    *("--sysctl", "net.ipv6.conf.all.disable_ipv6=0"),
)
SUBNETS = tuple(f"10.213.{n}" for n in range(1, 255))


def create(docker: Docker, state: State, image: str, count: int, name: str) -> list[Host]:
    """Create the run's network and containers; nothing is started yet.

    Raises:
        TestbedError: No free address range, or docker refused.
    """
    public_key = state.make_key()
    prefix = _create_network(docker, state.run_id)
    hosts = [
        Host(
            name=f"{name}-{number}",
            address=f"{prefix}.{FIRST_ADDRESS + number - 1}",
            address6=f"{_prefix6(prefix)}::{FIRST_ADDRESS + number - 1}",
            container=f"bzzz-testbed-{state.run_id}-{number}",
            gateway=f"{prefix}.1",
        )
        for number in range(1, count + 1)
    ]
    for host in hosts:
        docker.run(
            "create",
            *("--name", host.container, "--hostname", host.name),
            *("--label", f"{LABEL}={state.run_id}", "--label", f"{LABEL}.host={host.name}"),
            *("--network", network(state.run_id), "--ip", host.address),
            *("--ip6", host.address6),
            *RUN_OPTIONS,
            image,
            "/sbin/testbed-init",
        )
        docker.run("cp", "-", f"{host.container}:/home/operator", data=_login_archive(public_key))
    return hosts


def start(docker: Docker, hosts: list[Host]) -> None:
    """Power the hosts on and wait until each has booted."""

    def power_on(host: Host) -> None:
        docker.run("start", host.container)
        wait_booted(docker, host)

    _each(hosts, power_on)


def wait_booted(docker: Docker, host: Host) -> None:
    """Wait until systemd has started everything it will start.

    Raises:
        TestbedError: The host did not come up in time, or its container ended.
    """
    ask = ("exec", host.container, "systemctl", "is-system-running")

    def booted() -> bool:
        return docker.run(*ask, check=False).stdout.strip() in {b"running", b"degraded"}

    if not _poll(booted):
        jobs = docker.run("exec", host.container, "systemctl", "list-jobs", check=False)
        raise TestbedError(f"{host.name} did not boot in {BOOT_S_MAX} s: {jobs.stdout.decode()}")


def wait_login(state: State, hosts: list[Host]) -> None:
    """Wait until every host takes the operator's key, with strict host key checking.

    Raises:
        TestbedError: A host's sshd did not answer in time.
    """

    def wait(host: Host) -> None:
        error = b""

        def logged_in() -> bool:
            nonlocal error
            command = state.ssh_command(host, "sudo", "-n", "true")
            done = subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, capture_output=True
            )
            error = done.stderr
            return done.returncode == 0

        if not _poll(logged_in):
            raise TestbedError(f"{host.name} takes no login: {error.decode(errors='replace')}")

    _each(hosts, wait)


def host_key(docker: Docker, host: Host) -> str:
    """Return the host's public key (type and base64), read inside the host."""
    line = docker.text("exec", host.container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
    return " ".join(line.split()[:2])


def network(run_id: str) -> str:
    """Return the name of a run's network."""
    return f"bzzz-testbed-{run_id}"


def remove(docker: Docker, run_id: str) -> int:
    """Remove everything that carries the run's label; return how many containers that were."""
    chosen = ("--filter", f"label={LABEL}={run_id}")
    containers = docker.text("ps", "--all", "--quiet", *chosen).split()
    if containers:
        docker.run("rm", "--force", "--volumes", *containers)
    for found in docker.text("network", "ls", "--quiet", *chosen).split():
        docker.run("network", "rm", found)
    return len(containers)


def _create_network(docker: Docker, run_id: str) -> str:
    refusal = "every address range of ours is in use"
    routed = _routed_prefixes()
    for prefix in SUBNETS:
        if prefix in routed:
            continue
        done = docker.run(
            *("network", "create", "--internal", "--subnet", f"{prefix}.0/24"),
            *("--ipv6", "--subnet", f"{_prefix6(prefix)}::/64"),
            *("--label", f"{LABEL}={run_id}", network(run_id)),
            check=False,
        )
        if done.returncode == 0:
            return prefix
        refusal = done.stderr.decode(errors="replace").strip()
        if "overlap" not in refusal.lower():
            break
    raise TestbedError(f"docker network create: {refusal}")


def _prefix6(prefix: str) -> str:
    """Return the IPv6 prefix that goes with an IPv4 one; a unique local one of our own."""
    return f"fdb2:2222:{prefix.rpartition('.')[2]}"


def _routed_prefixes() -> set[str]:
    """Return the first three numbers of every network this machine has a route to.

    Docker compares a new network with its own ones only, not with those of a second daemon.
    """
    try:
        lines = Path("/proc/net/route").read_text().splitlines()[1:]
    except OSError:
        return set()
    words = [bytes.fromhex(line.split()[1]) for line in lines]  # little-endian
    return {".".join(str(byte) for byte in reversed(word[1:])) for word in words}


def _login_archive(public_key: str) -> bytes:
    """Return a tar that lays the operator's key into its home directory, before the first boot."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        directory = tarfile.TarInfo(".ssh")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o700
        keys = tarfile.TarInfo(".ssh/authorized_keys")
        content = public_key.encode()
        keys.size, keys.mode = len(content), 0o600
        for entry, data in ((directory, None), (keys, io.BytesIO(content))):
            entry.uid, entry.gid = OPERATOR_UID, USERS_GID
            tar.addfile(entry, data)
    return buffer.getvalue()


def _poll(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + BOOT_S_MAX
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def _each(hosts: list[Host], act: Callable[[Host], object]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(act, hosts))
