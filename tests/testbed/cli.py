"""The command line of the testbed: `scripts/testbed COMMAND`. See `--help`.

Figures and progress go to standard error, answers to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbed import docker_daemon, faults, hosts, image
from tests.testbed.docker_daemon import Docker, TestbedError
from tests.testbed.state import State

ROOT = Path(__file__).resolve().parents[2]
ON_HOST = {
    "partition": "cut a host off: the address stays, all its traffic is dropped",
    "heal": "undo partition and pause",
    "pause": "freeze a host",
    "resume": "let a frozen host go on",
    "kill": "switch a host off without warning",
    "start": "switch a host on",
    "reboot": "reboot a host in order",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    chosen = options.state or os.environ.get("BZZZ_TESTBED_STATE") or ROOT / ".testbed"
    state = State(Path(chosen).absolute())
    try:
        return _dispatch(options, state)
    except KeyboardInterrupt:
        return 130
    except TestbedError as exc:
        print(f"testbed: {exc}", file=sys.stderr)
        return 1


def up(state: State, *, count: int, name: str, suite: str) -> None:
    """Bring a run up, or do nothing if it is up already.

    Raises:
        TestbedError: Another run is up in this state directory, or something failed on the way.
    """
    present = state.hosts()
    if present:
        if len(present) == count and present[0].name == f"{name}-1":
            print(f"already up: {count} hosts in {state.directory}", file=sys.stderr)
            return
        raise TestbedError(f"{len(present)} hosts are up already; run: scripts/testbed down")
    try:
        with docker_daemon.in_use():
            _bring_up(state, count, name, suite)
    except BaseException:
        down(state)
        raise


def down(state: State) -> None:
    """Remove the run's containers, network and files; stop the daemon if it is ours and idle."""
    docker = docker_daemon.find()
    if docker:
        with _step("remove"):
            count = hosts.remove(docker, state.run_id)
        stopped = docker_daemon.stop_own_if_idle(docker)
        print(f"{count} hosts removed{', dockerd stopped' if stopped else ''}", file=sys.stderr)
    state.remove()


def _bring_up(state: State, count: int, name: str, suite: str) -> None:
    with _step("docker"):
        docker = docker_daemon.find_or_start()
    with _step("image"):
        tag = image.ensure(docker, suite)
    with _step("create"):
        hosts.remove(docker, state.run_id)  # leftovers of a run that was interrupted
        run = hosts.create(docker, state, tag, count, name)
    with _step("boot"):
        hosts.start(docker, run)
    state.write(run, [hosts.host_key(docker, host) for host in run], cluster=name)
    with _step("login"):
        hosts.wait_login(state, run)


def _dispatch(options: argparse.Namespace, state: State) -> int:
    match options.command:
        case "up":
            up(state, count=options.count, name=options.name, suite=options.suite)
            _list(state, as_json=False)
        case "down":
            down(state)
        case "list":
            _list(state, as_json=options.json)
        case "image":
            with _step("image"):
                image.prepare(options.suite)
        case "ssh":
            command = state.ssh_command(state.host(options.host), *options.words)
            return subprocess.run(command, check=False).returncode
        case "exec":
            return _exec(state, options)
        case _:
            _act(state, options)
    return 0


def _act(state: State, options: argparse.Namespace) -> None:
    host = state.host(options.host)
    docker = _docker()
    with _step(f"{options.command} {host.name}"):
        match options.command:
            case "partition":
                faults.partition(docker, state, host, keep_ssh=options.keep_ssh)
            case "heal":
                faults.heal(docker, state, host)
            case "pause":
                faults.pause(docker, host)
            case "resume":
                faults.resume(docker, host)
            case "kill":
                faults.kill(docker, host)
            case "start":
                faults.start(docker, state, host)
            case "reboot":
                faults.reboot(docker, state, host)
            case other:
                raise AssertionError(f"no such command: {other}")


def _exec(state: State, options: argparse.Namespace) -> int:
    host = state.host(options.host)
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    command = _docker().command("exec", "--interactive", *terminal, host.container, *options.words)
    return subprocess.run(command, check=False).returncode


def _list(state: State, *, as_json: bool) -> None:
    docker = docker_daemon.find()
    rows = [
        {
            "name": host.name,
            "address": host.address,
            "state": faults.status(docker, host) if docker else "missing",
            "cut": state.cut(host),
            "container": host.container,
        }
        for host in state.hosts()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        cut = f"  cut off ({row['cut']})" if row["cut"] else ""
        print(f"{row['name']:<12} {row['address']:<15} {row['state']}{cut}")
    if rows:
        print(f"answers file: {state.answers}")


def _docker() -> Docker:
    docker = docker_daemon.find()
    if docker is None:
        raise TestbedError("no docker daemon answers; run: scripts/testbed up 3")
    return docker


@contextmanager
def _step(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    print(f"{what:<20} {time.monotonic() - begun:6.1f} s", file=sys.stderr)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= hosts.HOSTS_MAX:
        raise argparse.ArgumentTypeError(f"a number from 1 to {hosts.HOSTS_MAX}, not {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    # SUPPRESS keeps a command's own `--state` from overwriting one that stands before it.
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--state", metavar="DIR", default=argparse.SUPPRESS, help="the run's directory"
    )
    parser = argparse.ArgumentParser(
        prog="scripts/testbed",
        description="Debian hosts with systemd and sshd on this machine, and what befalls them.",
    )
    parser.add_argument("--state", metavar="DIR", help="the run's directory (default: .testbed)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    bring_up = commands.add_parser("up", parents=[place], help="start N hosts")
    bring_up.add_argument("count", metavar="N", type=_count)
    bring_up.add_argument("--name", default="bzzz", help="hosts are called NAME-1 ... NAME-N")
    build = commands.add_parser("image", parents=[place], help="build what hosts are made of")
    for command in (bring_up, build):
        command.add_argument("--suite", default="bookworm", help="Debian release of the hosts")
    commands.add_parser("down", parents=[place], help="remove them and all they left")
    listing = commands.add_parser("list", parents=[place], help="show the hosts")
    listing.add_argument("--json", action="store_true")
    for name, what in (("ssh", "log in as operator"), ("exec", "run a command as root")):
        command = commands.add_parser(name, parents=[place], help=what)
        command.add_argument("host", metavar="HOST")
        command.add_argument("words", metavar="CMD", nargs=argparse.REMAINDER)
    for name, what in ON_HOST.items():
        command = commands.add_parser(name, parents=[place], help=what)
        command.add_argument("host", metavar="HOST")
        if name == "partition":
            command.add_argument(
                "--keep-ssh", action="store_true", help="the operator still reaches the host"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
