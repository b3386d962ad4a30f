"""Commands by which hosts go: what is told of them, how they stop, and who is revoked."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bzzz_core.deploy.day_two import in_order
from bzzz_core.deploy.events import Event, Result, Status, Step, Summary
from bzzz_core.deploy.membership import Membership
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.state import ClusterState
from bzzz_core.deploy.steering import Steering, Stop
from bzzz_core.errors import (
    ConfigError,
    HostLocked,
    PlanChanged,
    PreconditionFailed,
    Unforeseen,
)
from tests.fakes.deploy_goals import converged, spec
from tests.fakes.full_disk import FullDisk
from tests.fakes.partings import NO_PLAN, FakeBurial, FakeDeparture, FakePart, FakeUninstall


class Told:
    """A report, and what it has printed."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.report = Report(self._out, as_json=True)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.getvalue().splitlines()]


def run(told: Told, *parts: FakePart, steering: Steering | None = None) -> int:
    steps = tuple((part, NO_PLAN) for part in parts)
    return told.report.framed(
        lambda: asyncio.run(in_order(steps, steering or Steering(), told.report))
    )


def test_what_was_done_before_a_failure_is_in_the_summary_and_the_failure_quotes_no_secret() -> (
    None
):
    told = Told()
    told.report.cleaned_by(lambda text: text.replace("hush", "***"))
    staying, leaving = (
        FakePart(told.report, "a"),
        FakePart(told.report, "b", error=HostLocked("b: hush")),
    )
    assert run(told, staying, leaving) == 4
    error, summary = told.events
    assert error["message"] == "b: ***"
    assert (summary["exit_code"], [host["name"] for host in summary["hosts"]]) == (4, ["a"])


def test_a_failure_before_anything_was_changed_has_its_own_exit_code() -> None:
    told = Told()
    assert run(told, FakePart(told.report, "a", error=PlanChanged("look again"))) == 3
    assert [event["event"] for event in told.events] == ["error", "summary"]


def test_the_first_interruption_lets_a_part_finish_and_begins_no_other() -> None:
    told, steering = Told(), Steering()
    staying, leaving = FakePart(told.report, "a"), FakePart(told.report, "b")
    staying.begins = lambda: os.kill(os.getpid(), signal.SIGTERM)
    assert run(told, staying, leaving, steering=steering) == 130
    assert steering.stopping
    assert (staying.applied, leaving.applied) == (True, False)
    (summary,) = told.events
    assert (summary["exit_code"], summary["hosts"][0]["result"]) == (130, "changed")


def test_a_stop_lets_no_further_host_leave_and_clears_none(tmp_path: Path) -> None:
    told = Told()
    removal = FakeUninstall(told.report, tmp_path, stops=True)
    summary = asyncio.run(removal.carry_out())
    assert removal.done == ["bzzz-2 leaves"]
    assert summary.exit_code == 130


def test_without_a_stop_all_leave_and_are_cleared(tmp_path: Path) -> None:
    removal = FakeUninstall(Told().report, tmp_path, stops=False)
    assert asyncio.run(removal.carry_out()).exit_code == 0
    assert removal.done == [
        *("bzzz-2 leaves", "bzzz-3 leaves"),
        *("bzzz-2 is cleared", "bzzz-3 is cleared"),
    ]


def test_what_breaks_off_is_summed_up_where_it_was_done_and_in_the_journal(tmp_path: Path) -> None:
    """The next run reads there how far it came; whoever waits for the summary has one."""
    events: list[Event] = []
    removal = FakeUninstall(events.append, tmp_path, stops=False)
    removal.breaks = ConfigError("the profile is damaged")
    with pytest.raises(ConfigError):
        asyncio.run(removal.carry_out())
    assert isinstance(events[-1], Summary)
    assert removal.summary == events[-1]
    assert events[-1].exit_code == 4
    (journal,) = ClusterState("bzzz", tmp_path).journal.glob("*.ndjson")
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [entry["event"] for entry in told] == ["uninstall", "step", "summary"]
    assert told[1]["detail"] == "the profile is damaged"


def test_a_mistake_of_our_own_is_summed_up_as_well(tmp_path: Path) -> None:
    events: list[Event] = []
    removal = FakeUninstall(events.append, tmp_path, stops=False)
    removal.breaks = KeyError("bzzz-2")
    with pytest.raises(Unforeseen, match="KeyError"):
        asyncio.run(removal.carry_out())
    assert isinstance(events[-1], Summary)
    (journal,) = ClusterState("bzzz", tmp_path).journal.glob("*.ndjson")
    assert '"event":"summary"' in journal.read_text().splitlines()[-1]


def test_nobody_is_revoked_where_that_cannot_be_written_down(tmp_path: Path) -> None:
    with FullDisk() as disk:

        def sink(event: Event) -> None:
            if isinstance(event, Step) and event.status is Status.STARTED:
                disk.fill()

        burial = FakeBurial(converged(spec(3)), sink, tmp_path)
        plan = asyncio.run(burial.prepare())
        summary = asyncio.run(burial.apply(plan))
    assert (summary.exit_code, burial.commands) == (5, [])
    assert "nothing is begun without a journal" in summary.hosts[0].detail


def test_the_node_that_was_confirmed_is_revoked_and_the_journal_says_so(tmp_path: Path) -> None:
    burial = FakeBurial(converged(spec(3)), Told().report, tmp_path)
    plan = asyncio.run(burial.prepare())
    (change,) = plan.hosts["bzzz-3"]
    (dead,) = burial.facts["bzzz-3"].enrolled or ()
    assert change.target == dead.node_id
    assert asyncio.run(burial.apply(plan)).exit_code == 0
    assert burial.commands == ["bzzz-1: revoke a node"]
    (journal,) = ClusterState("bzzz", tmp_path).journal.glob("*.ndjson")
    assert '"event":"burial"' in journal.read_text()


def test_whoever_goes_by_a_dead_host_s_name_by_now_is_not_revoked(tmp_path: Path) -> None:
    burial = FakeBurial(converged(spec(3)), Told().report, tmp_path)
    plan = asyncio.run(burial.prepare())
    members = tuple(
        msgspec.structs.replace(one, node_id="newcomer") if one.name == "bzzz-3" else one
        for one in burial.facts["bzzz-1"].members or ()
    )
    burial.facts["bzzz-1"] = msgspec.structs.replace(
        burial.facts["bzzz-1"], members=members, registry_version=9
    )
    with pytest.raises(PlanChanged):
        asyncio.run(burial.apply(plan))
    assert burial.commands == []


def test_nobody_is_revoked_while_another_setup_works_on_the_cluster(tmp_path: Path) -> None:
    burial = FakeBurial(converged(spec(3)), Told().report, tmp_path)
    plan = asyncio.run(burial.prepare())
    with ClusterState("bzzz", tmp_path).locked(), pytest.raises(PreconditionFailed):
        asyncio.run(burial.apply(plan))
    assert burial.commands == []


def test_a_stop_buries_nobody_more(tmp_path: Path) -> None:
    burial = FakeBurial(converged(spec(3)), Told().report, tmp_path)
    plan = asyncio.run(burial.prepare())
    burial.steering.take(Stop())
    assert asyncio.run(burial.apply(plan)).exit_code == 130
    assert burial.commands == []


def going(
    tmp_path: Path,
    *,
    hosts: int,
    state: str = "member",
    joined: bool = False,
    told: Told | None = None,
    also: tuple[str, ...] = (),
) -> FakeDeparture:
    """Return the departure of `bzzz-1`, which alone votes, from so many hosts that are at hand."""
    everybody = converged(spec(3))
    members = tuple(
        msgspec.structs.replace(
            one,
            voter=one.name == "bzzz-1" and state == "member",
            state=state if one.name == "bzzz-1" else "member",
        )
        for one in everybody["bzzz-1"].members or ()
    )
    facts = {
        name: msgspec.structs.replace(one, members=members, registry_version=3)
        for name, one in list(everybody.items())[:hosts]
    }
    answers = spec(hosts, cluster={"mode": "join"}) if joined else spec(hosts)
    sink = (told or Told()).report
    return FakeDeparture(answers, facts, "bzzz-1", *also, sink=sink, base=tmp_path)


LEAVES = "bzzz-1: leave the cluster"


def test_whoever_votes_in_the_place_of_the_one_that_left_revokes_it(tmp_path: Path) -> None:
    """When the run began nobody else voted; one of the others does now."""
    removal = going(tmp_path, hosts=3)
    removal.fails("bzzz-2", "revoke")
    assert removal.depart().result is Result.CHANGED
    assert removal.commands == [LEAVES, "bzzz-2: revoke a node", "bzzz-3: revoke a node"]


def test_who_has_left_before_is_only_revoked(tmp_path: Path) -> None:
    removal = going(tmp_path, hosts=2, state="left")
    assert removal.depart().result is Result.CHANGED
    assert removal.commands == ["bzzz-2: revoke a node"]


def test_a_host_in_somebody_elses_cluster_leaves_without_a_voter_at_hand(tmp_path: Path) -> None:
    """Only that cluster's operator may revoke it, and its keys go with the host's files."""
    removal = going(tmp_path, hosts=1, joined=True)
    assert removal.depart().result is Result.CHANGED
    assert removal.commands == [LEAVES]


def test_a_host_is_not_kept_because_only_others_hosts_may_revoke_it(tmp_path: Path) -> None:
    """The vote went to a colleague's host, which is not in these answers."""
    told = Told()
    removal = going(tmp_path, hosts=2, told=told)
    removal.fails("bzzz-2", "revoke")
    removal.now = voting(removal.now, "bzzz-3")
    assert removal.depart().result is Result.CHANGED
    assert "no host of these answers votes" in told.events[-1]["detail"]
    assert removal.commands == [LEAVES, "bzzz-2: revoke a node"]


def test_who_votes_leaves_last_and_revokes_those_before_it(tmp_path: Path) -> None:
    """Whoever stays is a colleague's, so nobody else of these answers could."""
    told = Told()
    removal = going(tmp_path, hosts=2, told=told, also=("bzzz-2",))
    assert removal.turns == ["bzzz-2", "bzzz-1"]
    removal.now = voting(removal.now, "bzzz-3")
    assert removal.depart().result is Result.CHANGED
    assert removal.commands == ["bzzz-2: leave the cluster", "bzzz-1: revoke a node", LEAVES]
    ends = [e["detail"] for e in told.events if e.get("status") == "changed"]
    assert ends[0] == "left; identity revoked"
    assert ends[1].startswith("left; no host of these answers votes")


@pytest.mark.parametrize("voter", ["bzzz-2", None])
def test_a_host_is_kept_if_who_may_revoke_it_failed_to(tmp_path: Path, voter: str | None) -> None:
    removal = going(tmp_path, hosts=2)
    removal.fails("bzzz-2", "revoke")
    removal.now = voting(removal.now, voter) if voter else None
    departed = removal.depart()
    assert departed.result is Result.FAILED
    assert "the node was not revoked" in departed.detail


def voting(cluster: Membership | None, name: str) -> Membership:
    """Return a later list in which only this node votes."""
    assert cluster is not None
    nodes = tuple(msgspec.structs.replace(one, voter=one.name == name) for one in cluster.nodes)
    return replace(cluster, version=cluster.version + 1, nodes=nodes)


def test_a_host_that_did_not_leave_is_not_given_up_without_a_voter_at_hand(tmp_path: Path) -> None:
    removal = going(tmp_path, hosts=1, joined=True)
    removal.fails("bzzz-1", "leave")
    assert removal.depart().result is Result.FAILED


def test_a_leave_that_gets_nowhere_says_why_and_what_to_do(tmp_path: Path) -> None:
    removal = going(tmp_path, hosts=2)
    removal.fails("bzzz-1", "leave")
    said = removal.depart().detail
    assert "told to fail" in said
    assert said.endswith("give the command again when that is mended")
    assert removal.commands == [LEAVES], "nor is it revoked"
