"""The same work by several tools: facts, an archive sent and unpacked, a unit put up and started.

Each tool gets what its documentation recommends for speed: ansible pipelining and lasting SSH
connections, pyinfra as many connections as there are hosts. The floor does less than the others: it
transfers and unpacks. Ours looks for some forty kinds of facts where pyinfra looks for nine, and it
compares the sums of all files and waits for the disk before the unit starts, which neither pyinfra
nor ansible does of itself. pyinfra is therefore measured twice: as it is commonly used, and with
the sums compared and the disk waited for.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bzzz_core.deploy import release
from tests.bench.measuring.deployments import ours
from tests.bench.measuring.deployments.ours import TARGET, UNIT, UNIT_PATH, UNIT_TEXT
from tests.testbed.state import USER, Host, State

OURS: Final = "ours"
PYINFRA: Final = "pyinfra"
GUARDED: Final = "pyinfra, sums compared"
ANSIBLE: Final = "ansible, pipelining"
FLOOR: Final = "transfer and unpack (ssh, tar)"
_ROOT: Final = Path(__file__).resolve().parents[4]
_S_MAX: Final = 300
_CLEAN: Final = (
    f"systemctl disable --now --quiet {UNIT} 2>/dev/null; rm -rf {UNIT_PATH} {TARGET}"
    " /var/tmp/bench.tar.gz; systemctl daemon-reload"
)
_GUARDS: Final = (
    " && cd {target}/site && sha256sum -c --quiet --strict ../SHA256SUMS && sync -f {target}"
)
_PLAYBOOK: Final = """\
- hosts: all
  become: true
  gather_facts: true
  tasks:
    - ansible.builtin.file: {{path: "{target}", state: directory, mode: "0755"}}
    - ansible.builtin.unarchive: {{src: "{archive}", dest: "{target}", owner: root, group: root}}
    - ansible.builtin.copy: {{src: "{unit_file}", dest: "{unit_path}", mode: "0644"}}
    - ansible.builtin.systemd_service:
        {{name: {unit}, state: started, enabled: true, daemon_reload: true}}
"""
_PYINFRA: Final = """\
from pyinfra import host
from pyinfra.facts import hardware, server
from pyinfra.operations import files, server as run, systemd

for fact in (server.Kernel, server.Arch, server.LinuxDistribution, server.Mounts, server.Users,
             hardware.Cpus, hardware.Memory, hardware.NetworkDevices, hardware.BlockDevices):
    host.get_fact(fact)
files.put(src={archive!r}, dest="/var/tmp/bench.tar.gz", mode="600")
run.shell(
    commands=["mkdir -p {target} && tar -xzf /var/tmp/bench.tar.gz -C {target} --no-same-owner"
              {guards!r}],
    _sudo=True,
)
files.put(src={unit_file!r}, dest={unit_path!r}, mode="644", _sudo=True)
systemd.service({unit!r}, running=True, enabled=True, daemon_reload=True, _sudo=True)
"""


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to do the work."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    """All are started at once; the work is done when the last one ends."""
    directory: Path
    environment: tuple[tuple[str, str], ...] = ()
    stdin: Path | None = None
    starts_unit: bool = field(default=True)


def tools(bed: State, scratch: Path, peers: Path | None) -> list[Tool]:
    """Return the tools that are there, the floor first.

    Args:
        bed: The hosts.
        scratch: For their files.
        peers: Where pyinfra's and ansible's programs are; None: nowhere.
    """
    archive = asyncio.run(release.build(python="3.11", arch=os.uname().machine)).archive
    unit_file = scratch / UNIT
    unit_file.write_text(UNIT_TEXT)
    values = {
        "target": TARGET,
        "archive": str(archive),
        "unit_file": str(unit_file),
        "unit_path": UNIT_PATH,
        "unit": UNIT,
    }
    unpack = f"sudo -n sh -c 'mkdir -p {TARGET} && tar -xz -C {TARGET} --no-same-owner'"
    floor = tuple(tuple(bed.ssh_command(host, unpack)) for host in bed.hosts())
    own = (sys.executable, "-m", ours.__name__, str(bed.answers), str(archive), str(scratch))
    found = [
        Tool(FLOOR, floor, scratch, stdin=archive, starts_unit=False),
        Tool(OURS, (own,), _ROOT, (("PYTHONPATH", str(_ROOT)),)),
    ]
    if peers is not None:
        found += [
            _pyinfra(bed, scratch, peers, values),
            _pyinfra(bed, scratch, peers, values, guards=_GUARDS.format(**values)),
            _ansible(bed, scratch, peers, values),
        ]
    return found


def seconds(tool: Tool, bed: State) -> float:
    """Let a tool do the work, look at what it made, and return how long it took.

    Raises:
        RuntimeError: It failed, or a host is not as it should be.
    """
    environment = {**os.environ, **dict(tool.environment)}
    begun = time.monotonic()
    running = [_start(tool, command, environment) for command in tool.commands]
    said = [process.communicate(timeout=_S_MAX)[0] for process in running]
    took = time.monotonic() - begun
    for process, words in zip(running, said, strict=True):
        if process.returncode:
            text = words.decode(errors="replace")[-2_000:]
            raise RuntimeError(f"{tool.name} ended with {process.returncode}: {text}")
    for host in bed.hosts():
        _look(tool, bed, host)
    return took


def clean(bed: State) -> None:
    """Remove from the hosts what a tool made."""
    for host in bed.hosts():
        _on(bed, host, _CLEAN)


def _start(
    tool: Tool, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    stdin = tool.stdin.open("rb") if tool.stdin else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tool.directory,
            env=environment,
        )
    finally:
        if not isinstance(stdin, int):
            stdin.close()


def _look(tool: Tool, bed: State, host: Host) -> None:
    broker = f"test -x {TARGET}/site/bin/nats-server"
    active = f"systemctl is-active --quiet {UNIT}" if tool.starts_unit else "true"
    if _on(bed, host, f"{broker} && {active}"):
        raise RuntimeError(f"{tool.name}: {host.name} is not as it should be")


def _on(bed: State, host: Host, script: str) -> int:
    command = bed.ssh_command(host, f'sudo -n sh -c "{script}"')
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode


def _pyinfra(
    bed: State, scratch: Path, peers: Path, values: Mapping[str, str], guards: str = ""
) -> Tool:
    data = {
        "ssh_user": USER,
        "ssh_key": str(bed.key.resolve()),
        "ssh_known_hosts_file": str(bed.known_hosts.resolve()),
    }
    hosts = [(host.address, data) for host in bed.hosts()]
    (scratch / "inventory.py").write_text(f"hosts = {hosts!r}\n")
    work = scratch / ("guarded.py" if guards else "work.py")
    work.write_text(_PYINFRA.format(**values, guards=guards))
    command = (str(peers / "pyinfra"), "-y", "--parallel", str(len(hosts)))
    return Tool(GUARDED if guards else PYINFRA, ((*command, "inventory.py", work.name),), scratch)


def _ansible(bed: State, scratch: Path, peers: Path, values: Mapping[str, str]) -> Tool:
    common = {
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(bed.key.resolve()),
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={bed.known_hosts.resolve()}"
        " -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes",
    }
    hosts = {host.address: common for host in bed.hosts()}
    (scratch / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (scratch / "work.yaml").write_text(_PLAYBOOK.format(**values))
    environment = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_HOME": str(scratch / "ansible"),
        # Without -C, which its default has: the archive is compressed already.
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
        "ANSIBLE_FORKS": str(len(hosts)),
        "LC_ALL": "C.UTF-8",
    }
    command = (str(peers / "ansible-playbook"), "-i", "inventory.json", "work.yaml")
    return Tool(ANSIBLE, (command,), scratch, tuple(environment.items()))
