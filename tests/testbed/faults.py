"""What can happen to a host: cut off, frozen, switched off, rebooted.

A partition is made inside the host's own network namespace by a chain of its own, so the host keeps
its address and its own firewall rules. Traffic of the host with itself goes on, as it would behind
an unplugged cable. Note that a paused host still completes TCP handshakes: the kernel does that, so
only timeouts of the application notice it.
"""

from __future__ import annotations

from tests.testbed import hosts as testbed_hosts
from tests.testbed.docker_daemon import Docker, TestbedError
from tests.testbed.state import Host, State

CHAIN = "BZZZ-TESTBED-CUT"


def partition(docker: Docker, state: State, host: Host, *, keep_ssh: bool) -> None:
    """Drop everything between the host and the others, and the operator unless `keep_ssh`."""
    how = "keep-ssh" if keep_ssh else "all"
    _apply(docker, host, how)
    state.mark_cut(host, how)


def heal(docker: Docker, state: State, host: Host) -> None:
    """Undo `partition` and `pause`; nothing happens to a host that is well."""
    if status(docker, host) == "paused":
        docker.run("unpause", host.container)
    if status(docker, host) == "running":
        _shell(docker, host, _LIFT)
    state.mark_cut(host, None)


def pause(docker: Docker, host: Host) -> None:
    """Freeze every process of the host, as a hypervisor that stops the machine."""
    if status(docker, host) != "paused":
        docker.run("pause", host.container)


def resume(docker: Docker, host: Host) -> None:
    """Let a frozen host go on."""
    if status(docker, host) == "paused":
        docker.run("unpause", host.container)


def kill(docker: Docker, host: Host) -> None:
    """Switch the host off without warning."""
    resume(docker, host)  # the freezer would hold the processes back from dying
    if status(docker, host) == "running":
        docker.run("kill", host.container)


def start(docker: Docker, state: State, host: Host) -> None:
    """Switch the host on and wait until it has booted; a partition is still there afterwards."""
    testbed_hosts.start(docker, [host])
    cut = state.cut(host)
    if cut:
        _apply(docker, host, cut)
    else:
        testbed_hosts.wait_login(state, [host])


def reboot(docker: Docker, state: State, host: Host) -> None:
    """Shut down in order and boot again; a container does not come back by itself."""
    docker.run("exec", host.container, "systemctl", "reboot", check=False)
    docker.run("wait", host.container)
    start(docker, state, host)


def status(docker: Docker, host: Host) -> str:
    """Return `running`, `paused`, `exited`, or `missing`."""
    done = docker.run(
        *("container", "inspect", "--format", "{{.State.Status}}", host.container), check=False
    )
    return done.stdout.decode().strip() if done.returncode == 0 else "missing"


_LIFT = f"""
for table in iptables ip6tables; do
  while $table -D INPUT -j {CHAIN} 2>/dev/null; do :; done
  while $table -D OUTPUT -j {CHAIN} 2>/dev/null; do :; done
  $table -F {CHAIN} 2>/dev/null && $table -X {CHAIN}
done
true
"""


def _apply(docker: Docker, host: Host, how: str) -> None:
    if status(docker, host) != "running":
        raise TestbedError(f"{host.name} is not running; heal, resume or start it first")
    lines = [_LIFT, "set -e"]
    for table in ("iptables", "ip6tables"):
        lines += [f"{table} -N {CHAIN}"]
        lines += [f"{table} -A {CHAIN} -{side} lo -j RETURN" for side in ("i", "o")]
        if how == "keep-ssh" and table == "iptables":  # The operator comes by IPv4.
            lines += [f"{table} -A {CHAIN} -{to} {host.gateway} -j RETURN" for to in ("s", "d")]
        lines += [f"{table} -A {CHAIN} -j DROP"]
        lines += [f"{table} -I {hook} 1 -j {CHAIN}" for hook in ("INPUT", "OUTPUT")]
    _shell(docker, host, "\n".join(lines))


def _shell(docker: Docker, host: Host, script: str) -> None:
    docker.run("exec", host.container, "sh", "-c", script)
