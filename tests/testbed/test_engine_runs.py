"""Runs of setup on three hosts that are killed, doubled, interrupted, rebooted, lied to."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import cli, docker_daemon, faults
from tests.testbed.docker_daemon import Docker
from tests.testbed.operators import LISTING, WIPE, Operator, events, failures
from tests.testbed.state import State

# Each begins with what it needs; all together take longer than the rest of a run on hosts.
pytestmark = [pytest.mark.testbed, pytest.mark.journey(parts=3), pytest.mark.timeout(900)]
NAMES = ("run-1", "run-2", "run-3")
CANARY = "canary+Pa55/word!"  # looked for everywhere it must not be
CLEAN: dict[str, list[str]] = {}
"""What a run without any trouble leaves on each host."""
UNKILLED = 23
"""How many journal entries later each run dies: a whole one writes about 130."""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    state = State(tmp_path_factory.mktemp("runs"))
    cli.up(state, count=3, name="run", suite="bookworm")
    yield state
    cli.down(state)


@pytest.fixture(scope="module")
def docker(bed: State) -> Docker:
    assert bed.hosts()
    return docker_daemon.find_or_start()


@pytest.fixture
def operator(bed: State, tmp_path: Path) -> Operator:
    return Operator(bed, tmp_path / "home")


def wipe(operator: Operator) -> None:
    for name in NAMES:
        operator.on(name, WIPE)


def listings(operator: Operator) -> dict[str, list[str]]:
    return {name: operator.on(name, LISTING).splitlines() for name in NAMES}


def test_of_two_operators_one_is_refused_and_the_other_leaves_a_journal_logs_and_notes(
    operator: Operator, tmp_path: Path
) -> None:
    first = operator.begin_setup("--apply", "--yes")
    _until(lambda: operator.on(NAMES[1], "cat /run/bzzz-install.lock/owner") != "")
    first.send_signal(signal.SIGSTOP)  # it is slow, not dead: its lease holds for a minute
    try:
        other = Operator(operator.bed, tmp_path / "other")
        code, found = other.setup("--apply", "--yes")
    finally:
        first.send_signal(signal.SIGCONT)
    assert code == 3
    assert found[-2]["code"] == "host_locked"
    assert f"pid {first.pid}" in found[-2]["message"]
    assert "nothing was changed" in found[-2]["message"]
    out, complaints = first.communicate(timeout=300)
    assert first.returncode == 0, [*failures(events(out)), complaints]
    CLEAN.update(listings(operator))
    journal = next(operator.home.rglob("*.ndjson"))
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert (entries[0]["event"], entries[-1]["event"]) == ("run", "summary")
    acted = [e for e in entries if e["event"] == "intent"]
    assert len(acted) > 30
    logs = sorted(journal.parent.glob("*.log"))
    assert [log.name.split(".")[-2] for log in logs] == list(NAMES)
    assert "upload_release | unpack the release |" in logs[0].read_text()
    assert {path.stat().st_mode & 0o777 for path in (journal, *logs)} == {0o600}
    note = json.loads(operator.on(NAMES[0], "cat /var/lib/bzzz/install/journal.json"))
    assert note["runs"][0]["run"] == journal.stem
    assert note["runs"][0]["result"] == "changed"
    assert operator.on(NAMES[0], "ls -d /run/bzzz-install.lock /var/tmp/bzzz-* 2>/dev/null") == ""
    for words in (["--apply", "--yes", "--plan-hash", "0" * 12], ["--plan", "--only-failed"]):
        code, found = operator.setup(*words)
        assert code == (3 if "--plan-hash" in words else 0), failures(found)
    plan = next(event for event in found if event["event"] == "plan")
    assert set(map(len, plan["hosts"].values())) == {0}, "none of them failed"


def test_a_lease_that_does_not_go_away_can_be_freed(operator: Operator) -> None:
    owner = '{"who":"bob","host":"desk","pid":9,"run":"r-1","origin":"x"}'
    keep = f"mkdir /run/bzzz-install.lock; cd /run/bzzz-install.lock; echo '{owner}' >owner;"
    operator.on(NAMES[2], keep + "cut -d. -f1 /proc/uptime >beat")
    code, found = operator.setup("--unlock")
    assert code == 3
    assert "bob on desk" in found[-1]["hosts"][2]["detail"]
    code, found = operator.setup("--unlock", "--yes")
    assert code == 0
    assert [host["result"] for host in found[-1]["hosts"]] == ["unchanged", "unchanged", "changed"]
    assert operator.on(NAMES[2], "ls -d /run/bzzz-install.lock 2>/dev/null") == ""


def test_one_interrupt_ends_in_order_and_the_next_run_goes_on(operator: Operator) -> None:
    wipe(operator)
    running = operator.begin_setup("--apply", "--yes")
    _until(lambda: operator.on(NAMES[0], "ls /run/bzzz-install 2>/dev/null") != "")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    found = events(out)
    assert (running.returncode, found[-1]["exit_code"]) == (130, 130), failures(found)
    assert "once more cuts it off" in err
    assert {host["result"] for host in found[-1]["hosts"]} == {"not attempted"}
    assert any(e.get("status") == "changed" for e in found if e.get("phase") == "upload_release")
    assert operator.on(NAMES[0], "ls -d /run/bzzz-install.lock 2>/dev/null") == ""
    code, found = operator.setup("--apply", "--yes", "--only-failed")
    assert code == 0, failures(found)
    assert {host["result"] for host in found[-1]["hosts"]} == {"changed"}


def test_only_what_failed_is_changed_and_the_others_are_asked(operator: Operator) -> None:
    wipe(operator)
    assert operator.setup("--apply", "--yes")[0] == 0
    text = operator.bed.answers.read_text() + "  roster: {dead_ms: 9000}\n"
    answers = operator.home / "answers.yaml"
    answers.write_text(text)
    operator.on(NAMES[2], "chattr +i /etc/bzzz/agent.yaml 2>/dev/null || mount --bind /etc /mnt")
    blocked = operator.on(NAMES[2], "lsattr /etc/bzzz/agent.yaml").startswith("----i")
    if not blocked:
        # No such attribute on this file system: a directory in the way of the file will do.
        operator.on(NAMES[2], "umount /mnt; cp /etc/bzzz/agent.yaml /root/agent.yaml")
        operator.on(NAMES[2], "mount --bind /root/agent.yaml /etc/bzzz/agent.yaml")
    code, found = operator.setup("--apply", "--yes", answers=answers)
    assert code == 4, failures(found)
    assert [host["result"] for host in found[-1]["hosts"]] == ["changed", "changed", "failed"]
    release = "chattr -i /etc/bzzz/agent.yaml" if blocked else "umount /etc/bzzz/agent.yaml"
    operator.on(NAMES[2], release)
    before = operator.on(NAMES[0], "systemctl show -p MainPID --value bzzz-agent bzzz-fabric")
    code, found = operator.setup("--apply", "--yes", "--only-failed", answers=answers)
    assert code == 0, failures(found)
    assert [host["result"] for host in found[-1]["hosts"]] == ["unchanged", "unchanged", "changed"]
    assert "not chosen" in found[-1]["hosts"][0]["detail"]
    assert found[-1]["leader"] in NAMES
    after = operator.on(NAMES[0], "systemctl show -p MainPID --value bzzz-agent bzzz-fabric")
    assert after == before


def test_a_host_that_reboots_while_it_is_changed_comes_through(
    operator: Operator, docker: Docker
) -> None:
    wipe(operator)
    running = operator.begin_setup("--apply", "--yes")
    _until(lambda: operator.on(NAMES[1], "ls /run/bzzz-install 2>/dev/null") != "")
    faults.reboot(docker, operator.bed, operator.bed.host(NAMES[1]))
    out, _ = running.communicate(timeout=280)
    found = events(out)
    if running.returncode != 0:
        code, again = operator.setup("--apply", "--yes")
        assert code == 0, failures(found) + failures(again)
    assert operator.on(NAMES[1], "ls /opt/bzzz/releases | wc -l") == "1"
    assert operator.on(NAMES[1], "systemctl is-active bzzz-agent bzzz-fabric") == "active\nactive"
    assert running.returncode == 0, failures(found)


def test_an_operator_that_is_killed_again_and_again_ends_where_a_clean_run_does(
    operator: Operator,
) -> None:
    _die_and_go_on(operator, UNKILLED)


@pytest.mark.full
def test_an_operator_that_is_killed_after_every_fourth_entry_ends_there_too(
    operator: Operator,
) -> None:
    _die_and_go_on(operator, 4)


def _die_and_go_on(operator: Operator, after: int) -> None:
    if not CLEAN:
        wipe(operator)
        clean = Operator(operator.bed, operator.home.with_name("clean"))
        assert clean.setup("--apply", "--yes")[0] == 0
        CLEAN.update(listings(clean))
    wipe(operator)
    deaths = 0
    # Later each time: what is done already is journaled as well, and would fill the same number.
    while operator.dying_setup(after * (deaths + 1)) == -signal.SIGKILL:
        deaths += 1
        sys.stderr.write(f"death {deaths}\n")
        assert deaths < 150, "it makes no way"
        if deaths == 1:
            _, found = operator.setup("--check")
            said = [e["message"] for e in found if e.get("check") == "journal"]
            assert said, found
            assert "did not end; it had done" in said[0]
    assert deaths >= 2
    ended = listings(operator)
    for name in NAMES:
        assert sorted(set(ended[name]) ^ set(CLEAN[name])) == [], name
    code, found = operator.setup("--apply", "--yes")
    assert code == 0, failures(found)
    assert [host["changes"] for host in found[-1]["hosts"]] == [0, 0, 0]
    assert operator.on(NAMES[0], "ls -d /run/bzzz-install/* /var/tmp/bzzz-* 2>/dev/null") == ""


def test_a_secret_is_nowhere_and_a_wrong_one_is_tried_once(
    operator: Operator, docker: Docker
) -> None:
    """Raw, in base64, and as part of a URL: on no host, and not here either."""

    def behind(name: str, script: str) -> str:  # by sudo, its journal would hold the words
        return docker.text("exec", operator.bed.host(name).container, "sh", "-c", script)

    asker = (
        "useradd -m -s /bin/bash asker; echo 'asker:{0}' | chpasswd;"
        " install -d -m 700 -o asker /home/asker/.ssh;"
        " install -m 600 -o asker /home/operator/.ssh/authorized_keys /home/asker/.ssh/;"
        " echo 'asker ALL=(ALL) ALL' >/etc/sudoers.d/asker"
    )
    for name in NAMES:
        behind(name, asker.format(CANARY if name != NAMES[1] else "another-Pa55word"))
    operator.home.mkdir(exist_ok=True)
    secret = operator.home / "sudo-password"
    secret.write_text(CANARY + "\n")
    secret.chmod(0o600)
    answers = operator.home / "answers.yaml"
    text = operator.bed.answers.read_text().replace("user: operator", "user: asker")
    answers.write_text(
        text.replace("  ssh:\n", f"  ssh:\n    sudo_password: {json.dumps(f'file:{secret}')}\n")
    )
    tried = "journalctl --no-pager -t sudo | grep -c 'incorrect password attempt' || true"
    before = int(behind(NAMES[1], tried))
    code, found = operator.setup("--apply", "--yes", answers=answers)
    assert code == 3
    assert "will not be tried again" in json.dumps(found)
    assert int(behind(NAMES[1], tried)) == before + 1
    behind(NAMES[1], f"echo 'asker:{CANARY}' | chpasswd")
    wipe(operator)
    code, found = operator.setup("--apply", "--yes", answers=answers)
    assert code == 0, failures(found)
    encoded = base64.b64encode(CANARY.encode()).decode().rstrip("=")
    forms = [CANARY, encoded, urllib.parse.quote(CANARY, safe="")]
    here = [p for p in operator.home.rglob("*") if p.is_file() and p != secret]
    for form in forms:
        assert form not in json.dumps(found)
        assert [p for p in here if form.encode() in p.read_bytes()] == []
        for name in NAMES:
            # The words of the search would find themselves in /proc and in sshd's journal.
            half = len(form) // 2
            look = (
                f"a='{form[:half]}'; b='{form[half:]}'; s=$a$b;"
                ' grep -rlF -- "$s" /etc /opt /var/lib /var/tmp /home /root /tmp /run 2>/dev/null;'
                ' journalctl --no-pager | grep -cF -- "$s"'
            )
            assert operator.on(name, look) == "0", (name, form)


def test_a_changed_host_key_ends_it_before_a_secret_is_sent(operator: Operator) -> None:
    new = (
        "mkdir -p /root/old; mv /etc/ssh/ssh_host_* /root/old/; ssh-keygen -A -q;"
        " systemctl restart ssh"
    )
    tried = "journalctl --no-pager -u ssh | grep -cE 'Accepted|Failed' || true"
    container = operator.bed.host(NAMES[2]).container
    docker = docker_daemon.find_or_start()
    docker.run("exec", container, "sh", "-c", new)
    before = docker.text("exec", container, "sh", "-c", tried)
    try:
        code, found = operator.setup("--apply", "--yes")
        assert code == 3
        assert "has CHANGED" in json.dumps(found)
        assert docker.text("exec", container, "sh", "-c", tried) == before
    finally:
        old = "mv -f /root/old/ssh_host_* /etc/ssh/; systemctl restart ssh"
        docker.run("exec", container, "sh", "-c", old)


def _until(holds: Any, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.05)
    raise AssertionError(f"it did not happen in {limit_s} s")
