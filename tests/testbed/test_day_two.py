"""What an operator does after the first day: mend, exchange, leave out, share, take off and return.

One cluster of a voter and an edge, and a third host in turn; each test goes on from the one before.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.testbed import cli
from tests.testbed.operators import Operator, changes, failures, planned, until
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
VALUE = "/var/tmp/value"  # noqa: S108  on a host of ours
RUNNING = "systemctl show -p MainPID --value bzzz-agent bzzz-fabric"
NAMES = ["day-1", "day-2", "day-3"]
OURS = "ls -d /etc/bzzz /opt/bzzz /var/lib/bzzz 2>/dev/null"
LEAVE_S_MAX = 90
"""For the whole run, connections, removal and a machine that is busy with others included."""
HEARD_S_MAX = 20
"""A revocation is the leader's; whoever else is asked has heard of it soon after."""
SPOILED = (
    "/etc/bzzz/agent.yaml",
    "/etc/systemd/system/bzzz-agent.service",
    "/usr/local/bin/bzzz-agent",
)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("day"))
    cli.up(bed, count=3, name="day", suite="bookworm")
    home = tmp_path_factory.mktemp("home")
    operator = Operator(bed, home, home / "answers.yaml")
    operator.answer(["day-1", "day-2"])
    operator.apply()
    operator.on("day-1", f"echo precious >{VALUE}")
    operator.agent("day-1", "dht", "put", "kept", VALUE)
    yield operator
    cli.down(bed)


@pytest.fixture(scope="module")
def colleague(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Return somebody else, who knows the hosts' login and nothing of the cluster."""
    home = tmp_path_factory.mktemp("elsewhere")
    return replace(operator, home=home, own=home / "answers.yaml")


def nodes(operator: Operator, host: str, state: str = "member") -> set[str]:
    """Return the names of the nodes that are in a state, as one host knows them."""
    listed = json.loads(operator.agent(host, "node", "list", "--json"))["nodes"]
    return {one["name"] for one in listed if one["state"] == state}


def test_what_was_changed_behind_setups_back_is_put_back_and_said_so(operator: Operator) -> None:
    """A line too many, another line, a file that is gone; the host that was left alone stays so."""
    undisturbed = operator.on("day-1", RUNNING)
    before = operator.on("day-2", f"sha256sum {' '.join(SPOILED)}")
    config, unit, command = SPOILED
    operator.on("day-2", f"echo 'api: {{port: 1}}' >>{config}")
    operator.on("day-2", f"sed -i s/^Restart=.*/Restart=no/ {unit}; systemctl daemon-reload")
    operator.on("day-2", f"rm {command}; chmod 644 /etc/bzzz/secrets/api-token")
    code, events = operator.setup("--plan")
    assert code == 0, failures(events)
    said = " ".join(planned(events)["day-2"])
    for name in (config, "bzzz-agent.service", command, "/etc/bzzz/secrets/api-token"):
        assert name in said, said
    mended = operator.apply()
    assert changes(mended)["day-1"] == 0
    assert changes(mended)["day-2"] >= len(SPOILED) + 1
    assert operator.on("day-2", f"sha256sum {' '.join(SPOILED)}") == before
    assert operator.on("day-2", "stat -c %a /etc/bzzz/secrets/api-token") == "600"
    assert operator.on("day-1", RUNNING) == undisturbed
    assert set(changes(operator.apply()).values()) == {0}


def test_a_host_that_is_left_out_and_kept_is_left_alone(operator: Operator) -> None:
    operator.answer(["day-1"])
    before = operator.on("day-2", RUNNING)
    events = operator.apply("--keep", "day-2")
    assert changes(events) == {"day-1": 0}, planned(events)
    assert nodes(operator, "day-1") == {"day-1", "day-2"}
    assert operator.on("day-2", RUNNING) == before
    code, events = operator.setup("--apply", "--yes")
    assert code == 3, "it is still a host of the cluster"


def test_a_living_host_is_exchanged_for_another(operator: Operator) -> None:
    operator.answer(["day-1", "day-3"])
    events = operator.apply("--replace", "day-2=day-3")
    assert changes(events)["day-2"] > 1
    assert changes(events)["day-1"] == 0
    assert nodes(operator, "day-1") == nodes(operator, "day-3") == {"day-1", "day-3"}
    assert nodes(operator, "day-1", "revoked") == {"day-2"}
    assert operator.on("day-2", OURS) == ""
    again = operator.apply()
    assert set(changes(again).values()) == {0}, planned(again)


def test_the_only_voter_is_exchanged_in_two_runs(operator: Operator) -> None:
    """As setup itself says. The new host has logs of its former life, and its broker starts."""
    operator.answer(["day-2", "day-3"])
    code, events = operator.setup("--apply", "--yes", "--replace", "day-1=day-2")
    assert code == 3
    (fix,) = [e["fix"] for e in events if e.get("check") == "sponsor"]
    assert "put day-1 back into the answers" in fix
    assert fix.endswith("--apply --remove day-1")
    operator.answer(NAMES)
    operator.apply()
    until(partial(all_vote, operator, NAMES, 3), within_s=90, why="three hosts, but not all vote")
    operator.answer(["day-2", "day-3"])
    began = time.monotonic()
    operator.apply("--remove", "day-1")
    assert time.monotonic() - began < LEAVE_S_MAX, "a voter leaves within seconds"
    gone = {"day-1", "day-2"}  # and day-2 of its former life
    until(
        lambda: nodes(operator, "day-3", "revoked") == gone, within_s=HEARD_S_MAX, why="day-1 stays"
    )
    assert nodes(operator, "day-3") == {"day-2", "day-3"}
    assert operator.agent("day-3", "dht", "get", "kept") == "precious"
    assert operator.on("day-1", OURS) == ""


def test_a_colleague_joins_a_host_by_a_token(operator: Operator, colleague: Operator) -> None:
    """Neither gets any key of the other, and each goes on with his own hosts."""
    voter = next(n for n in ("day-2", "day-3") if votes(operator, n))
    token = operator.agent(voter, "token", "create", "--ttl", "10m", "--json")
    tokens = colleague.home / "tokens"
    tokens.write_text(json.loads(token)["token"] + "\n")
    tokens.chmod(0o600)
    joining = {"name": "theirs", "mode": "join", "join_tokens": f"file:{tokens}"}
    colleague.answer(["day-1"], cluster=joining)
    events = colleague.apply()
    assert events[-1]["leader"] in {"day-2", "day-3"}, "the cluster as it was leads"
    assert nodes(colleague, "day-1") == set(NAMES)
    assert colleague.agent("day-1", "dht", "get", "kept") == "precious"
    tokens.unlink()  # It was good for once.
    again = colleague.apply()
    assert set(changes(again).values()) == {0}, planned(again)
    until(partial(all_vote, colleague, NAMES, 3), within_s=90, why="three nodes, but not all vote")
    events = operator.apply("--keep", "day-1")
    assert set(changes(events).values()) == {0}, planned(events)


def votes(operator: Operator, host: str) -> bool:
    """Return whether a host says that it votes."""
    listed = json.loads(operator.agent(host, "node", "list", "--json"))["nodes"]
    return any(one["name"] == host and one["voter"] for one in listed)


def leads(operator: Operator, host: str) -> bool:
    """Return whether a host leads; if not, have its cluster let it."""
    if operator.status(host).get("leader") == host:
        return True
    operator.agent(host, "leader", "transfer", "--to", host)
    return False


def all_vote(operator: Operator, names: list[str], voters: int) -> bool:
    """Return whether each host says that so many vote."""
    said = [operator.status(name).get("fabric", {}).get("voters") for name in names]
    return said == [voters] * len(names)


def test_an_uninstall_that_was_stopped_is_given_again(operator: Operator) -> None:
    """Ctrl-C while a voter leaves: it has left, nothing more was begun; then the rest."""
    operator.answer(["day-2", "day-3"])
    # Of two nodes the leader votes. Were it the colleague's, nobody of ours could revoke anybody.
    until(partial(leads, operator, "day-2"), within_s=HEARD_S_MAX, why="day-2 does not lead")
    running = operator.begin_setup("--uninstall", "--hosts", "day-3", "--yes")
    assert running.stdout is not None
    for line in running.stdout:
        event = json.loads(line)
        if event.get("phase") == "leave_cluster" and event.get("status") == "started":
            running.send_signal(signal.SIGINT)
            break
    out, said = running.communicate(timeout=240)
    assert running.returncode == 130, out
    assert "stopping: what was begun is finished first" in said
    until(
        lambda: "day-3" in nodes(operator, "day-2", "revoked"),
        within_s=HEARD_S_MAX,
        why="day-3 is not revoked",
    )
    assert operator.on("day-3", "ls -d /etc/bzzz") == "/etc/bzzz", "nothing was removed yet"
    code, events = operator.setup("--uninstall", "--hosts", "day-3", "--yes")
    assert code == 0, failures(events)
    assert operator.on("day-3", OURS) == ""
    assert operator.agent("day-2", "dht", "get", "kept") == "precious"


def test_a_colleague_takes_his_host_back(operator: Operator, colleague: Operator) -> None:
    """It leaves in order; that its identity is not revoked, and by whom it may be, is said."""
    code, events = colleague.setup("--uninstall", "--yes")
    assert code == 0, failures(events)
    assert any("node revoke" in event.get("detail", "") for event in events)
    assert "day-1" in nodes(operator, "day-2", "left")
    assert operator.on("day-1", OURS) == ""


def test_nothing_is_installed_over_data_that_were_kept(operator: Operator) -> None:
    """They are there, with the user to whom they belong; the keys they belong to are gone."""
    code, events = operator.setup("--uninstall", "--yes", "--keep-data")
    assert code == 0, failures(events)
    assert operator.on("day-2", "ls -d /etc/bzzz /opt/bzzz 2>/dev/null") == ""
    assert operator.on("day-2", "stat -c %U /var/lib/bzzz /var/lib/bzzz/registry") == "bzzz\nbzzz"
    code, events = operator.setup("--apply", "--yes")
    assert code == 3
    fixes = {e["host"]: e["fix"] for e in events if e.get("check") == "kept-data"}
    assert fixes["day-2"].endswith("--uninstall --hosts day-2")
    code, events = operator.setup("--uninstall", "--yes")
    assert code == 0, failures(events)
    assert operator.on("day-2", OURS) == ""
