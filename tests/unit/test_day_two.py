"""Words by which hosts go: what fits together, and that nobody goes by being left out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from bzzz_core.deploy import day_two, layout, preflight
from bzzz_core.deploy.day_two import Going, Surroundings, parse_replace
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.membership import doubt, leavers, membership
from bzzz_core.deploy.missing import missing_hosts
from bzzz_core.deploy.removals import Wish
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.state import ClusterState
from bzzz_core.errors import ConfigError
from bzzz_tui.cli import main
from tests.fakes.deploy_goals import KNOWN, converged, fresh, spec

ANSWERS = "hosts: [{name: bzzz-1, address: 10.0.0.1}]\n"


def names(*missing: str, answered: tuple[str, ...] = ()) -> list[str]:
    known = day_two_known(*missing)
    found = missing_hosts(spec(3), converged(spec(3)), known, frozenset(answered))
    return [finding.host for finding in found]


def day_two_known(*hosts: str) -> Any:
    return type(KNOWN)(cluster_id=KNOWN.cluster_id, hosts=("bzzz-1", "bzzz-2", "bzzz-3", *hosts))


def test_a_host_of_the_profile_that_the_answers_leave_out_is_asked_about() -> None:
    assert names() == []
    assert names("bzzz-9", "bzzz-4") == ["bzzz-4", "bzzz-9"]
    assert names("bzzz-4", answered=("bzzz-4",)) == []


def founding(facts: dict[str, Any], *former: str) -> list[str]:
    """Return what preflight says of founding; the operator has said that all of `former` go."""
    known = type(KNOWN)(cluster_id=KNOWN.cluster_id, hosts=former)
    found = preflight.check(spec(3), facts, {}, known, answered=frozenset(former))
    return [f.message for f in found if f.severity == "error" and f.check == "founding"]


def test_replacing_every_host_does_not_found_a_second_cluster() -> None:
    strangers = {f"bzzz-{n}": fresh(n) for n in range(1, 4)}
    (said,) = founding(strangers, "old-1", "old-2", "old-3")
    assert "old-1, old-2, old-3" in said


def test_replacing_every_host_is_refused_with_the_two_runs_that_do_it() -> None:
    strangers = {f"bzzz-{n}": fresh(n) for n in range(1, 4)}
    known = type(KNOWN)(cluster_id=KNOWN.cluster_id, hosts=("old-1", "old-2"))
    found = preflight.check(spec(3), strangers, {}, known, answered=frozenset({"old-1", "old-2"}))
    (fix,) = [f.fix for f in found if f.check == "founding"]
    first, second = fix.split("; ")[:2]
    assert "put old-1, old-2 back into the answers, beside the new hosts, and --apply" in first
    assert "take them out again and --apply --remove old-1 --remove old-2" in second


def test_replacing_the_only_voter_is_refused_with_the_two_runs_that_do_it() -> None:
    """The edge that stays cannot let the new host in."""
    there = converged(spec(3))
    names = ("old-1", "bzzz-1")
    members = tuple(
        msgspec.structs.replace(one, voter=name == "old-1", name=name)
        for one, name in zip(there["bzzz-1"].members or (), names, strict=False)
    )
    edge = msgspec.structs.replace(there["bzzz-2"], members=members, registry_version=4)
    facts = {"bzzz-1": edge, "bzzz-2": fresh(9)}
    found = preflight.check(spec(2), facts, {}, KNOWN, answered=frozenset({"old-1"}))
    (said,) = [f for f in found if f.check == "sponsor"]
    assert said.message.startswith("bzzz-2 cannot join")
    assert "put old-1 back" in said.fix
    assert said.fix.endswith("--apply --remove old-1")


def test_a_cluster_of_which_a_member_is_looked_at_takes_new_hosts() -> None:
    facts = {**converged(spec(3)), "bzzz-3": fresh(3)}
    assert founding(facts, "bzzz-1", "bzzz-2", "old-3") == []


def test_a_first_installation_that_broke_off_goes_on() -> None:
    """The profile has its hosts, all were looked at, and none is a member yet."""
    assert founding({f"bzzz-{n}": fresh(n) for n in range(1, 4)}, "bzzz-1", "bzzz-2") == []


@pytest.mark.parametrize(
    ("registry", "key", "config", "refused"),
    [
        (Kind.FILE, Kind.ABSENT, "", ["bzzz-1"]),
        (Kind.FILE, Kind.FILE, "", []),  # A joining that was cut off goes on.
        (Kind.FILE, Kind.ABSENT, KNOWN.cluster_id, []),  # Lost keys are another finding's.
        (Kind.ABSENT, Kind.ABSENT, "", []),
    ],
)
def test_nothing_is_installed_over_data_whose_keys_are_gone(
    registry: Kind, key: Kind, config: str, refused: list[str]
) -> None:
    facts = fresh(1)
    seen = {layout.IDENTITY_KEY: PathFact(key), "/var/lib/bzzz/registry": PathFact(registry)}
    facts = msgspec.structs.replace(facts, cluster_id=config, paths={**(facts.paths or {}), **seen})
    found = preflight.check(spec(1), {"bzzz-1": facts}, {}, KNOWN)
    assert [finding.host for finding in found if finding.check == "kept-data"] == refused


@pytest.mark.parametrize("enrolled", [None, ()])
def test_a_host_that_lost_its_keys_is_revoked_by_the_name_that_the_others_know(
    enrolled: tuple[()] | None,
) -> None:
    facts = converged(spec(3))
    lost = msgspec.structs.replace(facts["bzzz-3"], cluster_id="", members=(), enrolled=enrolled)
    found = leavers({"bzzz-3"}, {**facts, "bzzz-3": lost}, membership(facts))
    (own,) = facts["bzzz-3"].enrolled or ()
    assert found == {"bzzz-3": own.node_id}


def test_a_former_node_does_not_take_the_one_that_has_its_name_by_now_with_it() -> None:
    facts = converged(spec(3))
    left = [
        msgspec.structs.replace(one, state="left") if one.name == "bzzz-3" else one
        for one in facts["bzzz-1"].members or ()
    ]
    successor = msgspec.structs.replace(left[0], name="bzzz-3", node_id="another")
    first = msgspec.structs.replace(facts["bzzz-1"], members=(*left, successor), registry_version=7)
    facts = {**facts, "bzzz-1": first}
    (former,) = facts["bzzz-3"].enrolled or ()
    assert leavers({"bzzz-3"}, facts, membership(facts)) == {"bzzz-3": former.node_id}


@pytest.mark.parametrize(("state", "found"), [("left", {"bzzz-3"}), ("revoked", set())])
def test_who_left_without_being_revoked_is_revoked_when_the_host_is_cleaned(
    state: str, found: set[str]
) -> None:
    """An uninstall may be cut off between the two."""
    facts = converged(spec(3))
    gone = tuple(
        msgspec.structs.replace(one, state=state, voter=False) if one.name == "bzzz-3" else one
        for one in facts["bzzz-1"].members or ()
    )
    facts["bzzz-1"] = msgspec.structs.replace(facts["bzzz-1"], members=gone, registry_version=7)
    assert leavers({"bzzz-3"}, facts, membership(facts)).keys() == found


def test_where_every_member_goes_nobody_leaves() -> None:
    facts = converged(spec(3))
    assert leavers(set(facts), facts, membership(facts)) == {}


def test_nothing_is_taken_off_a_host_that_is_not_known_to_be_ours() -> None:
    ours = KNOWN.cluster_id
    host = converged(spec(1))["bzzz-1"]
    assert doubt(host, ours) is None
    assert doubt(fresh(), ours) is None
    assert doubt(fresh(), None) is None
    assert "cannot be read" in (doubt(msgspec.structs.replace(host, cluster_id=None), ours) or "")
    assert "cannot be read" in (doubt(msgspec.structs.replace(host, enrolled=None), ours) or "")
    assert "another cluster" in (doubt(host, "e" * 32) or "")
    assert "another cluster" in (doubt(host, None) or "")


@pytest.mark.parametrize(
    "going",
    [
        Going(remove=frozenset({"bzzz-1"})),
        Going(keep=frozenset({"bzzz-2"})),
        Going(replace=(("old", "bzzz-7"),)),
        Going(remove=frozenset({"old"}), keep=frozenset({"old"})),
    ],
)
def test_words_that_contradict_the_answers_are_refused(going: Going) -> None:
    with pytest.raises(ConfigError):
        going.check(spec(3))


def test_words_that_fit_are_taken() -> None:
    going = Going(remove=frozenset({"a"}), replace=(("b", "bzzz-3"),), keep=frozenset({"c"}))
    going.check(spec(3))
    assert going.names == {"a", "b"}


@pytest.mark.parametrize("word", ["a", "a=", "=b", "a=a"])
def test_a_replacement_names_two_hosts(word: str) -> None:
    with pytest.raises(ConfigError, match="OLD=NEW"):
        parse_replace((word,))


def test_uninstalling_needs_a_yes_from_somebody(tmp_path: Path) -> None:
    code, events = uninstall(tmp_path, yes=False)
    assert (code, [event["event"] for event in events]) == (2, ["error", "summary"])


def test_a_host_that_the_answers_do_not_have_is_not_uninstalled(tmp_path: Path) -> None:
    code, events = uninstall(tmp_path, hosts=frozenset({"other"}))
    assert code == 2
    assert "no host other" in events[0]["message"]
    assert events[-1]["event"] == "summary"


def test_who_goes_has_to_be_known_by_the_profile(tmp_path: Path) -> None:
    out = io.StringIO()
    answers = tmp_path / "answers.yaml"
    answers.write_text(ANSWERS)
    around = Surroundings(report=Report(out, as_json=True), base=tmp_path)
    going = Going(remove=frozenset({"stranger"}))
    code = day_two.change(answers, mode="plan", yes=True, going=going, around=around)
    assert code == 2
    assert "no host stranger" in out.getvalue()


def test_a_profile_keeps_whom_the_answers_leave_out_until_they_are_forgotten(
    tmp_path: Path,
) -> None:
    state = ClusterState("bzzz", tmp_path)
    state.open_cluster(spec(3))
    state.write_profile(spec(3))
    state.write_profile(spec(2))
    assert [host.name for host in state.profile_hosts()] == ["bzzz-1", "bzzz-2", "bzzz-3"]
    state.forget(frozenset({"bzzz-3"}))
    assert [host.name for host in state.profile_hosts()] == ["bzzz-1", "bzzz-2"]
    state.forget(frozenset({"bzzz-1", "bzzz-2"}))
    assert state.profile_hosts() == ()
    assert state.cluster_id() is not None, "what the cluster can be made anew with stays"


def uninstall(
    tmp_path: Path, *, yes: bool = True, hosts: frozenset[str] = frozenset()
) -> tuple[int, list[dict[str, Any]]]:
    answers = tmp_path / "answers.yaml"
    answers.write_text(ANSWERS)
    out = io.StringIO()
    around = Surroundings(report=Report(out, as_json=True), base=tmp_path)
    code = day_two.uninstall(
        answers, mode="apply", yes=yes, hosts=hosts, wish=Wish(), around=around
    )
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_setup_has_no_two_options_of_one_name() -> None:
    """They are taken out of one bag by those who own them; the second would find nothing."""
    names = [o.name for o in main.commands["setup"].params if o.name != "mode"]
    assert sorted(names) == sorted(set(names))


def test_setup_without_a_word_of_going_is_the_setup_of_old(tmp_path: Path) -> None:
    answers = tmp_path / "answers.yaml"
    answers.write_text("hosts: []\n")
    done = CliRunner().invoke(main, ["setup", "--answers", str(answers), "--check"])
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
