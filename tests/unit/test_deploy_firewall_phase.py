"""Opening the firewall: what a change that is not proved leaves behind, and what is said of it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from bzzz_core.deploy import deadman, firewall_scripts, made, reach
from bzzz_core.deploy.facts.firewall import Firewall
from bzzz_core.deploy.facts.openings import Opening, OwnRules, openings_script
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.phases import harden_ssh, open_firewall
from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.state import OpenCluster
from bzzz_core.deploy.way import Way
from bzzz_core.deploy.work import Work
from bzzz_core.errors import AuthenticationFailed, ChangeTakenBack, LeaseLost
from tests.fakes.deploy_goals import converged, goals, spec
from tests.fakes.deploy_host import FakeHost

UFW = Firewall(backend="ufw", active=True, ssh_allowed=True)
PROVED, UNPROVED = Opening("join", 8443, "10.0.0.2"), Opening("join", 8443, "10.0.0.3")
LEFT = """\
== ufw
### tuple ### allow tcp 8443 0.0.0.0/0 any 10.0.0.2 in comment=627a7a7a3a6a6f696e
== armed
"""


@asynccontextmanager
async def refused(host: str, way: Way) -> AsyncIterator[object]:
    del way
    raise AuthenticationFailed(f"{host}: refused")
    yield


@asynccontextmanager
async def welcome(host: str, way: Way) -> AsyncIterator[object]:
    del host, way
    yield None


def _connects(what: str) -> bytes | None:
    reached = "".join(f"bzzz-1 {port} open 1\n10.0.0.1 {port} open 1\n" for port in range(9_000))
    return reached.encode() if what == "connect to the other nodes" else None


class Scene:
    """One of two hosts, with a ufw that an earlier run left with an unproved change."""

    def __init__(self, *, proved: bool = False, armed: tuple[str, ...] = ()) -> None:
        self.log: list[str] = []
        self.said: list[str] = []
        self.host = FakeHost("bzzz-1", number=1, log=self.log, answer=self._answer)
        self.work = Work(
            cluster=OpenCluster(cluster_id="d" * 32, issuers=None, secrets={}),
            releases={},
            say=lambda _host, text: self.said.append(text),
            fresh=welcome if proved else refused,
        )
        self.left = OwnRules(own={"ufw": (PROVED, UNPROVED)}, armed=armed)
        """What the facts say of our rules."""
        self.firewall = UFW

    def goal(self, **security: object) -> Goal:
        answers = spec(3, security={"ssh": security})
        facts = converged(answers)
        facts["bzzz-1"] = msgspec.structs.replace(
            facts["bzzz-1"], firewall=self.firewall, own_rules=self.left
        )
        return goals(answers, facts)["bzzz-1"]

    def open(self) -> None:
        goal = self.goal()
        changes = open_firewall.plan(goal)
        asyncio.run(open_firewall.apply(self.host, goal, changes, self.work))

    def _answer(self, what: str) -> bytes | None:
        return LEFT.encode() if what == "read our rules again" else None


def test_the_way_back_keeps_the_rules_that_were_proved_before_the_unproved_ones() -> None:
    """Until then a second failure within a minute removed them all."""
    scene = Scene(armed=("firewall-ufw",))
    with pytest.raises(ChangeTakenBack):
        scene.open()
    back = scene.host.staged[1].decode()
    assert "del join 8443 10.0.0.3" in back
    assert "keep join 8443 10.0.0.2" in back
    undone = scene.log.index("bzzz-1: take firewall-ufw back")
    read = scene.log.index("bzzz-1: read our rules again")
    assert undone < read < scene.log.index("bzzz-1: arm the way back of firewall-ufw")


def test_nothing_is_read_twice_where_nothing_is_pending() -> None:
    scene = Scene()
    with pytest.raises(ChangeTakenBack):
        scene.open()
    assert "bzzz-1: read our rules again" not in scene.log


def test_a_proof_that_did_not_take_place_is_said() -> None:
    scene = Scene(proved=True)
    scene.open()
    assert any("NOT proved" in text for text in scene.said)
    assert scene.work.doubts == {"bzzz-1": [scene.said[-1]]}, (
        "it ends with the step, in the journal"
    )


def test_a_host_that_had_no_interpreter_listens_with_ours() -> None:
    """Else a first installation there would never be proved."""
    scene = Scene(proved=True)
    other = FakeHost("bzzz-2", number=2, log=scene.log)
    scene.work.nodes = (
        reach.Node(name="bzzz-2", host=other, address="10.0.0.2", python="python3"),
    )
    with pytest.raises(ChangeTakenBack, match="bzzz-2 does not reach bzzz-1"):
        scene.open()
    assert "bzzz-1: listen for the other nodes" in scene.log


def test_a_node_that_is_lost_meanwhile_does_not_refuse_the_others_rules() -> None:
    """It fails alone; what it did not prove is said."""
    scene = Scene(proved=True)
    hosts = [
        FakeHost(f"bzzz-{number}", number=number, log=scene.log, answer=_connects)
        for number in (2, 3)
    ]
    scene.work.nodes = tuple(
        reach.Node(name=host.name, host=host, address=host.name, python="python3") for host in hosts
    )

    def lost() -> None:
        raise LeaseLost("bzzz-3: another run has it")

    hosts[1].on = {"connect": lost}
    scene.open()
    (doubt,) = scene.work.doubts["bzzz-1"]
    assert doubt == "its ports are NOT proved from bzzz-3, which was lost meanwhile"


class Listening(FakeHost):
    """Notes what commands are given, besides their names."""

    given: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()

    async def run(self, script: str, *arguments: str, what: str, **options: Any) -> Completed:
        """Keep the arguments of the arming, and what a piece looks for before it does anything."""
        if what.startswith("arm"):
            self.given = arguments
        elif what.startswith("change the rules"):
            self.guards = (*self.guards, *arguments[1:])
        return await super().run(script, *arguments, what=what, **options)


def test_more_rules_have_more_time_for_change_and_way_back() -> None:
    """With 35 rules ufw was ended half-way each time, and no later run could have the host."""
    scene = Scene()
    host = Listening("bzzz-1", number=1, log=scene.log)
    host.losing = {"take firewall-ufw back": 1}
    scene.host = host
    many = tuple(Opening("join", 8443, f"10.1.0.{number}") for number in range(1, 101))
    scene.left = OwnRules(own={"ufw": many})
    with pytest.raises(ChangeTakenBack) as failed:
        scene.open()
    changed = sum(not line.startswith(b"host") for line in host.staged[1].splitlines())
    assert changed > 100
    more_s = 2 * changed
    _, limit_s, *_, retries_s, attempt_s = host.given
    waits_s = firewall_scripts.WAIT_S
    assert (int(limit_s), int(attempt_s)) == (60 + more_s, 30 + waits_s + more_s)
    assert int(retries_s) > 15 * int(attempt_s)
    assert f"begins with that {61 + more_s} s after" in str(failed.value)
    assert scene.log.count("bzzz-1: change the rules of the firewall") == -(-changed // 15)


def test_a_piece_does_nothing_once_its_change_is_being_taken_back() -> None:
    """But for what is done without a way back: that asks for no file."""
    scene = Scene(proved=True)
    host = Listening("bzzz-1", number=1, log=scene.log)
    scene.host = host
    scene.open()
    assert set(host.guards) == {"/run/bzzz-install/deadman-firewall-ufw/undecided"}
    assert '"$room/undecided"' in deadman._ARM
    host.guards = ()
    asyncio.run(
        open_firewall.run_rules(host, firewall_scripts.REMOVE, "ufw", b"host a\ndel join 1 b\n")
    )
    assert host.guards == ("",)


def test_removing_many_rules_is_many_commands() -> None:
    """One for all had 40 s, of which ufw needs more from some 60 rules on."""
    text = "== ufw\n" + "".join(
        f"### tuple ### allow tcp 8443 0.0.0.0/0 any 10.1.0.{number} in"
        " comment=627a7a7a3a6a6f696e\n"
        for number in range(1, 101)
    )
    log: list[str] = []
    host = FakeHost("a", number=1, log=log, answer=lambda what: text.encode() * ("look" in what))
    asyncio.run(open_firewall.remove(host, made.Made("open_firewall", "ufw", ("10.0.0.1",))))
    assert log.count("a: change the rules of the firewall") == 7
    told = b"".join(host.staged).splitlines()
    assert sum(line.startswith(b"del join 8443 10.1.0.") for line in told) == 100


RICH = 'rule priority="-16222" family="ipv4" source address="10.0.0.9" port port="9443"'


def test_a_removal_that_was_cut_off_is_finished_by_the_next() -> None:
    """It found no whole rule, removed nothing, and its note was forgotten."""
    text = f'== firewalld\n== firewalld permanent\n{RICH} protocol="tcp" accept\n'
    log: list[str] = []
    host = FakeHost("a", number=1, log=log, answer=lambda what: text.encode() * ("look" in what))
    asyncio.run(open_firewall.remove(host, made.Made("open_firewall", "firewalld", ("10.0.0.1",))))
    assert host.staged == [b"host 10.0.0.1\ndel node 9443 10.0.0.9\n"]


def test_half_a_rule_that_nobody_wants_goes_and_no_way_back_makes_it_whole() -> None:
    scene = Scene(proved=True)
    scene.firewall = Firewall(backend="firewalld", active=True, ssh_allowed=True)
    scene.left = OwnRules(half={"firewalld": (Opening("", 9443, "10.0.0.9"),)})
    scene.open()
    _, back, change, lasting, *_ = scene.host.staged
    assert b"9443" not in back
    assert b"del node 9443 10.0.0.9" in change
    assert lasting == change


def test_hardening_reads_the_old_drop_in_only_after_an_unproved_one_is_gone() -> None:
    """Else the way back would be the very drop-in that locked the operator out."""
    scene = Scene(proved=True)
    goal = scene.goal(harden=True)
    changes = harden_ssh.plan(goal)
    asyncio.run(harden_ssh.apply(scene.host, goal, changes, scene.work))
    assert scene.log.index("bzzz-1: take sshd back") < scene.log.index("bzzz-1: read the drop-in")


def test_the_section_of_the_probe_runs_alone() -> None:
    done = subprocess.run(
        ["sh", "-c", openings_script()], capture_output=True, text=True, check=False, timeout=30
    )
    assert "@@" not in done.stdout
    assert done.stdout == "" or done.stdout.startswith("== tools\n")  # only root may look
    assert done.returncode == (0 if done.stdout else 1)
