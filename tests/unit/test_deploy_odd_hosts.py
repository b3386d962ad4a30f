"""Hosts that say odd things: each is a failure of its own, never the end of the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy.events import Event, Step, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import Fleet, probe_all
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.operation import Means
from bzzz_core.deploy.reach import Node, State, reach
from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.ssh import upload
from bzzz_core.deploy.ssh.connect import connect
from bzzz_core.deploy.ssh.greeting import skew_ms
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login, Pace
from bzzz_core.deploy.ssh.session import SshHost
from bzzz_core.deploy.transient import run_job
from bzzz_core.deploy.unlock import Unlocking
from bzzz_core.errors import CommandFailed, HostUnreachable
from bzzz_tui.wording import UNICODE
from screens.setup.context import Context
from screens.setup.draft import Draft, parse_hosts
from screens.setup.engine import Look, LookState
from screens.setup.looking import look_at
from tests.fakes.deploy_host import FakeHost
from tests.fakes.engine import FakeEngine
from tests.fakes.scripted_session import ScriptedSession
from tests.fakes.unit_hosts import UnitHost

MANY = "9" * 5_000
"""More digits than Python makes a number of."""
SECRET = "hunter2"  # noqa: S105
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("address", ["a..b", "a.", "x" * 64, f"a.{'y' * 64}.b", "1.2.3.4"])
def test_an_address_has_labels_that_the_dns_takes(address: str) -> None:
    fits = address in {"a.", "1.2.3.4"}
    try:
        HostSpec(name="a", address=address)
    except ValidationError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    "address", ["::1", "fe80::1%eth0", "2001:db8::1.2.3.4", "bzzz_1.example.org", "x" * 63]
)
def test_what_was_an_address_is_one(address: str) -> None:
    assert HostSpec(name="a", address=address).address == address


def test_a_name_that_cannot_be_asked_for_is_a_host_that_cannot_be_reached(tmp_path: Path) -> None:
    """A profile may hold one: it takes any text."""
    login = Login(name="a", address="a..b", port=22, user="root", accept_new_host_key=True)
    with pytest.raises(HostUnreachable, match="no name that can be looked up"):
        asyncio.run(connect(login, KnownHosts(tmp_path / "known_hosts"), Pace()))


@pytest.mark.parametrize("said", ["nan", "inf", "1e400", "-1", "", MANY])
def test_a_clock_that_says_no_time_is_not_known(said: str) -> None:
    assert skew_ms(said, NOW, NOW) is None


@pytest.mark.parametrize("said", ["1767225602.500000000", "1767225602.5N", "1767225602.%N"])
def test_a_clock_is_read_with_and_without_parts_of_a_second(said: str) -> None:
    assert skew_ms(said, NOW, NOW) in {2_000, 2_500}


@pytest.mark.parametrize("said", [b"nan\n1\n", MANY.encode() + b"\n1\n", b"0"])
def test_a_login_that_is_no_shell_is_refused(said: bytes) -> None:
    with pytest.raises(CommandFailed, match="POSIX sh"):
        asyncio.run(ScriptedSession({"first command": said}).greet())


@pytest.mark.parametrize("said", [b"", b"\n", b"mktemp: no\n", b"/etc\n", b"/var/tmp/../etc"])
def test_a_host_that_makes_no_room_gets_no_files(said: bytes) -> None:
    host = ScriptedSession({"make a private directory": said})
    with pytest.raises(CommandFailed, match="no private directory"):
        asyncio.run(host.staged_in())


def test_numbers_without_end_are_none() -> None:
    host = FakeHost("one", number=1, log=[], answer=lambda _: f"10.0.0.2 22 open {MANY}\n".encode())
    one, two = (
        Node(name=name, host=host, address=f"10.0.0.{number}", python="/usr/bin/python3")
        for number, name in enumerate(("one", "two"), 1)
    )
    (cell,) = asyncio.run(reach([one], {"two": [22]}, [one, two])).cells
    assert cell.state is State.FAILED

    job = Job(step="s", what="w", script="", timeout_s=9)
    done = asyncio.run(run_job(UnitHost(f"ended {MANY}\n"), job, run_id="r", clock=SystemClock()))
    assert done.status == 1

    async def run(script: str, *arguments: str, what: str, root: bool, check: bool) -> Completed:
        del script, arguments, what, root, check
        return Completed(0, f"{MANY}\nsum  -\n".encode(), b"")

    assert asyncio.run(upload._look_at(run, "/x", 1)) == (0, "sum")


class Stumbling(FakeEngine):
    """Meets something nobody foresaw on one host."""

    async def look(self, spec: ClusterSpec, host: HostSpec) -> Look:
        """Stumble over `b`."""
        if host.name == "b":
            raise ValueError(SECRET)
        return await super().look(spec, host)


@asynccontextmanager
async def odd(login: Login, known_hosts: KnownHosts) -> AsyncIterator[SshHost]:
    del known_hosts
    if login.name == "b":
        raise ValueError(SECRET)
    raise HostUnreachable("a: no route")
    yield ScriptedSession({})


def test_a_host_over_which_setup_stumbles_does_not_end_the_look_at_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the place, and nothing of what the failure says: that could quote anything."""
    spec = ClusterSpec.model_validate(
        {"hosts": [{"name": "a", "address": "10.0.0.1"}, {"name": "b", "address": "10.0.0.2"}]}
    )
    seen: list[tuple[str, HostFacts | None, str]] = []
    fleet = Fleet(spec, tmp_path / "known_hosts", odd)
    with caplog.at_level(logging.ERROR):
        facts, failures = asyncio.run(
            probe_all(fleet, spec, done=lambda host, *rest: seen.append((host.name, *rest)))
        )
    assert facts == {}
    assert failures["a"] == "a: no route"
    assert "ValueError in test_deploy_odd_hosts.py, line" in failures["b"]
    assert sorted(name for name, *_ in seen) == ["a", "b"]
    assert "in odd" in caplog.text
    assert SECRET not in caplog.text + failures["b"]


def test_the_others_are_freed_although_setup_stumbles_over_one_host(tmp_path: Path) -> None:
    spec = ClusterSpec.model_validate(
        {"hosts": [{"name": "a", "address": "10.0.0.1"}, {"name": "b", "address": "10.0.0.2"}]}
    )
    events: list[Event] = []
    means = Means(sink=events.append, base=tmp_path, open_session=odd)
    unlocking = Unlocking(spec, means, yes=True)
    assert asyncio.run(unlocking.run()) == 3
    details = {one.host: one.detail for one in events if isinstance(one, Step)}
    assert details["a"] == "a: no route"
    assert "ValueError" in details["b"]


def test_what_unlocking_tells_holds_no_secret_of_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login has the password of sudo; a host may send it back with what it says of it."""
    monkeypatch.setenv("SUDO_WORD", SECRET)

    @asynccontextmanager
    async def echoing(login: Login, known_hosts: KnownHosts) -> AsyncIterator[SshHost]:
        del known_hosts
        assert login.sudo_password is not None
        raise HostUnreachable(f"sudo: {login.sudo_password.reveal()}: no such word")
        yield

    spec = ClusterSpec.model_validate(
        {
            "hosts": [{"name": "a", "address": "10.0.0.1"}],
            "security": {"ssh": {"sudo_password": "env:SUDO_WORD"}},
        }
    )
    events: list[Event] = []
    means = Means(sink=events.append, base=tmp_path, open_session=echoing)
    unlocking = Unlocking(spec, means, yes=False)
    assert asyncio.run(unlocking.run()) == 3
    step, summary = events
    assert isinstance(step, Step)
    assert isinstance(summary, Summary)
    words = "sudo: ***: no such word"
    assert [step.detail, summary.hosts[0].detail] == [words, words]
    assert unlocking.redact(SECRET) == "***"


def test_the_wizard_goes_on_when_it_stumbles_over_one_host(tmp_path: Path) -> None:
    draft = Draft(hosts=parse_hosts("a=10.0.0.1 b=10.0.0.2", ()))
    context = Context(
        draft=draft, engine=Stumbling(), clock=SystemClock(), glyphs=UNICODE, session=tmp_path
    )
    asyncio.run(look_at(context, ["a", "b"], lambda: None))
    assert context.looks["b"].state is LookState.FAILED
    assert context.looks["a"].state is not LookState.FAILED
