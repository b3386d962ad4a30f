"""What uninstalling takes off a host, from what was found there and what was there before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.deploy.made import Made
from bzzz_core.deploy.removals import Survey, Wish, kind_of, read_survey, removals

FULL = """\
user\tbzzz
group\tbzzz
unit\tbzzz-agent.service
unit\tbzzz-fabric.service
file\t/usr/local/bin/bzzz-agent
config\t/etc/bzzz
data\t/var/lib/bzzz
logs\t/var/log/bzzz
root\t/opt/bzzz
"""


def targets(text: str, wish: Wish | None = None) -> list[str]:
    return [change.target for change in removals(read_survey(text), wish or Wish())]


def test_everything_goes_in_an_order_that_can_be_interrupted() -> None:
    """Services first, the user when nothing is the user's any more, the note last of all."""
    assert targets(FULL) == [
        "bzzz-agent.service",
        "bzzz-fabric.service",
        "/usr/local/bin/bzzz-agent",
        "/etc/bzzz",
        "/var/lib/bzzz",
        "/var/log/bzzz",
        "bzzz",
        "bzzz",
        "/opt/bzzz",
    ]


def test_logs_are_kept_and_given_to_root() -> None:
    """The next system user may get the number of the one that is gone."""
    (logs,) = [c for c in removals(read_survey(FULL), Wish()) if c.target == "/var/log/bzzz"]
    assert (logs.action, logs.after) == ("update", "root")


def test_logs_go_when_that_is_said() -> None:
    (logs,) = [
        c for c in removals(read_survey(FULL), Wish(purge=True)) if c.target == "/var/log/bzzz"
    ]
    assert (logs.action, kind_of(logs)) == ("remove", "logs")


def test_data_that_are_kept_keep_their_owner() -> None:
    left = targets(FULL, Wish(keep_data=True))
    assert "/var/lib/bzzz" not in left
    assert "bzzz" not in left
    assert "/etc/bzzz" in left


def test_what_was_there_before_stays() -> None:
    before = (
        "was\tuser\tbzzz\nwas\tgroup\tbzzz\nwas\tfile\t/usr/local/bin/bzzz-agent\n"
        "was\tdirectory\t/var/lib/bzzz\t755\troot\troot\n"
    )
    changes = removals(read_survey(FULL + before), Wish())
    assert {"bzzz", "/usr/local/bin/bzzz-agent"}.isdisjoint(change.target for change in changes)
    (data,) = [change for change in changes if change.target == "/var/lib/bzzz"]
    assert "it was there before" in data.sentence


def test_what_phases_noted_is_taken_back_after_the_services_have_stopped() -> None:
    survey = Survey(found=(("unit", "bzzz-agent.service"),), made=(Made("firewall", "nftables"),))
    assert [kind_of(change) for change in removals(survey, Wish())] == ["unit", "made"]


def test_a_host_without_anything_of_ours_is_left_alone() -> None:
    assert targets("") == []
    assert targets("was\tdirectory\t/var/log/bzzz\t750\troot\troot\n") == []


def test_logs_that_an_earlier_uninstall_kept_are_not_kept_again() -> None:
    assert targets("logs\t/var/log/bzzz\n") == []
    assert targets("logs\t/var/log/bzzz\n", Wish(purge=True)) == ["/var/log/bzzz"]


@given(st.text(alphabet="was\tuserdirectory/\n 75root", max_size=300))
def test_a_survey_that_makes_no_sense_removes_nothing_by_itself(text: str) -> None:
    """Only kinds that we know, and never a target that the survey did not name."""
    found = {name for _, name in read_survey(text).found} | {"/opt/bzzz"}
    assert {change.target for change in removals(read_survey(text), Wish(purge=True))} <= found
