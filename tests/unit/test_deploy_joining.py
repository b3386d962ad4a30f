"""Answers that join hosts to a cluster which somebody else operates."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy import joining
from bzzz_core.deploy.goal import Known, agent_config, choose_voters
from bzzz_core.deploy.plan import build_plan
from bzzz_core.deploy.state import ClusterState
from bzzz_core.enrolment.token import new_token
from bzzz_core.errors import ConfigError
from bzzz_core.model import ClusterId
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.names import Purpose
from tests.fakes.deploy_goals import converged, enrolled, fresh, goals, spec

CLUSTER = "a" * 32


def token(cluster: str = CLUSTER, root: str | None = None) -> str:
    """Return a token of a cluster, as its operator hands it over."""
    made, _ = new_token(
        cluster=ClusterId(cluster),
        root_pem=root or ROOT,
        places=("10.9.9.9:8443",),
        expires_s=2_000_000_000,
        created_at="2026-01-01T00:00:00Z",
        created_by="theirs-1",
    )
    return made.text().reveal()


ROOT = Authority.create(
    Purpose.NODE, common_name="theirs", days=3_650, passphrase=Secret("correct horse battery")
).certificate_pem


@pytest.fixture
def answers(tmp_path: Path) -> ClusterSpec:
    path = tmp_path / "tokens"
    path.write_text(f"{token()}\n{token()}\n")
    path.chmod(0o600)
    return spec(2, cluster={"mode": "join", "join_tokens": f"file:{path}"})


def with_tokens(answers: ClusterSpec, path: Path, *lines: str) -> ClusterSpec:
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    cluster = answers.cluster.model_copy(update={"join_tokens": f"file:{path}"})
    return answers.model_copy(update={"cluster": cluster})


def test_a_token_says_which_cluster_it_is_for(answers: ClusterSpec, tmp_path: Path) -> None:
    known = ClusterState("theirs", tmp_path / "base").known(answers)
    assert (known.cluster_id, known.signs) == (CLUSTER, False)
    assert known.node_ca is not None
    assert known.node_ca.pem == ROOT
    assert not (tmp_path / "base").exists(), "a plan writes nothing"


def test_each_host_has_a_token_of_its_own(answers: ClusterSpec) -> None:
    first, second = (joining.token_of(answers, host.name) for host in answers.hosts)
    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_what_was_joined_is_known_without_the_tokens(answers: ClusterSpec, tmp_path: Path) -> None:
    state = ClusterState("theirs", tmp_path / "base")
    opened = state.open_cluster(answers)
    assert (opened.cluster_id, opened.issuers) == (CLUSTER, None)
    (tmp_path / "tokens").unlink()
    known = state.known(answers)
    assert (known.cluster_id, known.node_ca and known.node_ca.pem) == (CLUSTER, ROOT)


def test_tokens_of_another_cluster_stop_it(answers: ClusterSpec, tmp_path: Path) -> None:
    other = with_tokens(answers, tmp_path / "others", token("b" * 32))
    with pytest.raises(ConfigError, match="tokens are for cluster b"):
        joining.cluster_of(other, CLUSTER)


def test_without_tokens_there_is_nothing_to_join(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="join_tokens"):
        ClusterState("theirs", tmp_path).known(spec(1, cluster={"mode": "join"}))


def test_tokens_of_two_clusters_are_refused(answers: ClusterSpec, tmp_path: Path) -> None:
    mixed = with_tokens(answers, tmp_path / "mixed", token(), token("b" * 32))
    with pytest.raises(ConfigError, match="different clusters"):
        joining.cluster_of(mixed)


def test_all_hosts_join_and_nobody_is_given_a_vote_or_a_certificate(answers: ClusterSpec) -> None:
    facts = {"bzzz-1": fresh(1), "bzzz-2": fresh(2)}
    assert choose_voters(answers, facts) == frozenset()
    plan = build_plan(goals(answers, facts, Known(cluster_id=CLUSTER, signs=False)), ())
    for changes in plan.hosts.values():
        phases = {change.phase for change in changes}
        assert "join_cluster" in phases
        assert "issue_certificates" not in phases


def test_the_clusters_own_settings_are_adopted(answers: ClusterSpec) -> None:
    """A host that brought other timings would call for elections that the others do not expect."""
    theirs = spec(1, cluster={"name": "theirs", "timings": {"heartbeat_ms": 100}})
    there = converged(theirs)["bzzz-1"]
    adopted = joining.adopted(answers, there.config_text or "")
    assert (adopted.cluster.timings.heartbeat_ms, adopted.cluster.name) == (100, "theirs")
    assert adopted.cluster.mode == "join"
    joined = msgspec.structs.replace(
        fresh(1),
        enrolled=(enrolled(1),),
        cluster_id=CLUSTER,
        config_text=there.config_text,
        members=there.members,
        genesis=there.members,
        registry_version=4,
    )
    known = Known(cluster_id=CLUSTER, signs=False)
    goal = goals(answers, {"bzzz-1": joined, "bzzz-2": fresh(2)}, known)["bzzz-1"]
    assert "heartbeat_ms: 100" in (agent_config(goal) or "")
