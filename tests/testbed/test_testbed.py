"""The testbed itself: hosts that boot, differ from each other, and suffer what we do to them.

One run of three hosts serves the whole file; a test leaves every host well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.config.sources import load_answers
from tests.testbed import cli, docker_daemon, faults, hosts
from tests.testbed.state import Host, State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """Bring three hosts up for this file, and leave nothing of them behind."""
    run = State(tmp_path_factory.mktemp("testbed"))
    cli.up(run, count=3, name="bed", suite="bookworm")
    yield run
    cli.down(run)


@pytest.fixture(scope="module")
def docker(state: State) -> docker_daemon.Docker:
    """Return the daemon that runs the hosts."""
    assert state.hosts()
    return docker_daemon.find_or_start()


def on(
    state: State, host: Host, *command: str, s_max: int = 10
) -> subprocess.CompletedProcess[str]:
    """Run a command as the operator, over SSH."""
    return subprocess.run(
        state.ssh_command(host, *command),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=s_max,
    )


def reaches(state: State, source: Host, target: Host) -> bool:
    """Return whether one host hears another."""
    return on(state, source, "ping", "-c1", "-W1", target.address).returncode == 0


def test_every_host_runs_systemd_and_takes_the_operator(state: State) -> None:
    for host in state.hosts():
        done = on(state, host, "hostname; cat /proc/1/comm; sudo -n id -u; python3 -V")
        assert done.stdout.split()[:3] == [host.name, "systemd", "0"], done
        assert done.stdout.split()[-1] >= "3.11"


def test_every_host_has_a_key_of_its_own(state: State) -> None:
    keys = [line.split()[2] for line in state.known_hosts.read_text().splitlines()]
    assert len(set(keys)) == len(keys) == 3


def test_stranger_and_root_are_refused(state: State, tmp_path: Path) -> None:
    host = state.hosts()[0]
    as_root = [word.replace("operator@", "root@") for word in state.ssh_command(host, "true")]
    done = subprocess.run(as_root, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    assert b"Permission denied" in done.stderr
    other = tmp_path / "known_hosts"
    other.write_text(state.known_hosts.read_text().splitlines()[1].replace("12,", "11,") + "\n")
    wrong_key = [word.replace(str(state.known_hosts), str(other)) for word in as_root]
    done = subprocess.run(wrong_key, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    assert b"Host key verification failed" in done.stderr


def test_hosts_have_no_way_out(state: State, docker: docker_daemon.Docker) -> None:
    network = hosts.network(state.run_id)
    assert docker.text("network", "inspect", "--format", "{{.Internal}}", network) == "true"


def test_answers_file_is_one_that_setup_reads(state: State) -> None:
    answers = load_answers(state.answers)
    assert [host.name for host in answers.hosts] == ["bed-1", "bed-2", "bed-3"]
    assert answers.security.ssh.user == "operator"
    assert Path(answers.security.ssh.key or "").is_file()


def test_partition_cuts_a_host_off_and_heal_joins_it(
    state: State, docker: docker_daemon.Docker
) -> None:
    first, second, third = state.hosts()
    faults.partition(docker, state, second, keep_ssh=True)
    assert not reaches(state, first, second)
    assert not reaches(state, second, third)
    assert reaches(state, first, third)
    assert reaches(state, second, second), "a cut-off host still talks to itself"
    faults.partition(docker, state, second, keep_ssh=False)
    assert on(state, second, "true").returncode == 255
    faults.heal(docker, state, second)
    assert reaches(state, first, second)
    assert on(state, second, "true").returncode == 0


def test_partition_outlives_a_reboot(state: State, docker: docker_daemon.Docker) -> None:
    first, second, _ = state.hosts()
    faults.partition(docker, state, second, keep_ssh=True)
    faults.reboot(docker, state, second)
    assert not reaches(state, first, second)
    faults.heal(docker, state, second)
    assert reaches(state, first, second)


def test_paused_host_is_silent_until_resumed(state: State, docker: docker_daemon.Docker) -> None:
    first, _, third = state.hosts()
    faults.pause(docker, third)
    assert faults.status(docker, third) == "paused"
    with pytest.raises(subprocess.TimeoutExpired):
        on(state, third, "true", s_max=2)  # the kernel still answers the TCP handshake
    faults.heal(docker, state, third)
    assert reaches(state, first, third)
    assert on(state, third, "true").returncode == 0


def test_reboot_is_a_new_boot_of_the_same_host(state: State, docker: docker_daemon.Docker) -> None:
    host = state.hosts()[0]
    booted = "stat -c %Y /proc/1; touch kept; test ! -e /run/gone && sudo touch /run/gone"
    before = on(state, host, booted)
    time.sleep(1)  # the start of a process is told in whole seconds
    faults.reboot(docker, state, host)
    after = on(state, host, booted + "; ls kept")
    assert after.stdout.split()[0] > before.stdout.split()[0]
    assert after.stdout.split()[-1] == "kept", "the disk survives"
    assert after.returncode == 0, "memory does not"


def test_killed_host_comes_back_when_started(state: State, docker: docker_daemon.Docker) -> None:
    host = state.hosts()[2]
    faults.kill(docker, host)
    assert faults.status(docker, host) == "exited"
    faults.start(docker, state, host)
    assert on(state, host, "true").returncode == 0


def test_down_leaves_nothing(tmp_path: Path, docker: docker_daemon.Docker) -> None:
    place = tmp_path / "other"

    def testbed(*words: str) -> str:
        command = [str(ROOT / "scripts" / "testbed"), *words, "--state", str(place)]
        done = subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        return done.stdout

    testbed("up", "1", "--name", "lone")
    rows = json.loads(testbed("list", "--json"))
    assert [row["name"] for row in rows] == ["lone-1"]
    assert [row["state"] for row in rows] == ["running"]
    run_id = State(place).run_id
    testbed("down")
    label = f"label={hosts.LABEL}={run_id}"
    assert docker.text("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker.text("network", "ls", "--quiet", "--filter", label) == ""
    assert not place.exists()


def test_unknown_host_is_named_in_the_answer(
    state: State, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--state", str(state.directory), "pause", "bed-9"]) == 1
    assert "no host 'bed-9'; there are: bed-1, bed-2, bed-3" in capfd.readouterr().err
    assert sys.exc_info() == (None, None, None)
