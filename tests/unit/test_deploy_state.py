"""The operator's side: created once, never replaced, and the way back to a cluster."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bzzz_core.config.profile import load_profile
from bzzz_core.config.profile_places import known_profiles, profile_path
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy import layout
from bzzz_core.deploy.state import ClusterState, secret_content
from bzzz_core.errors import ConfigError, PreconditionFailed, SecretError, TrustError
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.names import Purpose
from tests.fakes.deploy_goals import spec


def test_a_look_creates_nothing(tmp_path: Path) -> None:
    state = ClusterState("bzzz", tmp_path)
    known = state.known(spec(3))
    assert known.cluster_id is None
    assert len(state.changes(spec(3), known)) == 5
    assert list(tmp_path.iterdir()) == []


def test_what_was_created_is_found_again(tmp_path: Path) -> None:
    state = ClusterState("bzzz", tmp_path)
    first = state.open_cluster(spec(3))
    state.write_profile(spec(3))
    again = ClusterState("bzzz", tmp_path).open_cluster(spec(3))
    assert again.cluster_id == first.cluster_id
    assert again.issuers.node_roots == first.issuers.node_roots
    assert again.issuers.fabric_root == first.issuers.fabric_root != first.issuers.node_roots
    assert again.secrets[layout.API_TOKEN].reveal() == first.secrets[layout.API_TOKEN].reveal()
    assert state.changes(spec(3), state.known(spec(3))) == ()


def test_everything_is_private(tmp_path: Path) -> None:
    state = ClusterState("bzzz", tmp_path)
    state.open_cluster(spec(1))
    state.write_profile(spec(1))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    directory = tmp_path / "clusters" / "bzzz"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_the_profile_leads_back_to_the_cluster(tmp_path: Path) -> None:
    answers = spec(2, security={"ssh": {"user": "me", "key": "~/key"}})
    state = ClusterState("bzzz", tmp_path)
    opened = state.open_cluster(answers)
    profile = load_profile(state.write_profile(answers))
    assert known_profiles(tmp_path) == ("bzzz",)
    assert profile.cluster_id == opened.cluster_id
    assert profile.ca_sha256 == describe(opened.issuers.node_roots).sha256
    assert [host.address for host in profile.hosts] == ["10.0.0.1", "10.0.0.2"]
    assert profile.ssh is not None
    assert profile.ssh.key == str(Path("~/key").expanduser())
    assert profile.ssh.known_hosts == str(state.known_hosts)
    token = Path(profile.api_token.removeprefix("file:"))
    assert token.read_bytes() == secret_content(opened.secrets[layout.API_TOKEN])


def test_another_host_makes_another_profile(tmp_path: Path) -> None:
    state = ClusterState("bzzz", tmp_path)
    state.open_cluster(spec(1))
    state.write_profile(spec(1))
    (change,) = state.changes(spec(2), state.known(spec(2)))
    assert change.target == str(profile_path("bzzz", tmp_path))


def test_a_wrong_passphrase_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = spec(1, security={"tls": {"passphrase": "env:BZZZ_TEST_PASSPHRASE"}})
    monkeypatch.setenv("BZZZ_TEST_PASSPHRASE", "correct horse battery")
    state = ClusterState("bzzz", tmp_path)
    state.open_cluster(answers)
    assert not list(tmp_path.rglob("passphrase"))
    monkeypatch.setenv("BZZZ_TEST_PASSPHRASE", "another horse battery")
    with pytest.raises(TrustError):
        state.open_cluster(answers)


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    state = ClusterState("bzzz", tmp_path)
    state.open_cluster(spec(1))
    (tmp_path / "clusters" / "bzzz" / "api-token").chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        state.known(spec(1))


def test_a_damaged_cluster_id_is_no_new_cluster(tmp_path: Path) -> None:
    state = ClusterState("bzzz", tmp_path)
    state.open_cluster(spec(1))
    (tmp_path / "clusters" / "bzzz" / "cluster-id").write_text("")
    with pytest.raises(ConfigError, match="holds no cluster id"):
        state.known(spec(1))


def test_every_secret_of_a_run_is_known_to_the_redactor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BZZZ_TEST_SUDO", "sudo password")
    monkeypatch.setenv("BZZZ_TEST_KEY", "endpoint key")
    answers = spec(
        1,
        security={"ssh": {"sudo_password": "env:BZZZ_TEST_SUDO"}},
        ai={"endpoint": {"provider": "openai", "api_key": "env:BZZZ_TEST_KEY"}},
    )
    state = ClusterState("bzzz", tmp_path)
    before = {secret.reveal() for secret in state.secrets(answers)}
    assert before == {"sudo password", "endpoint key"}, "known before anything is made"
    state.open_cluster(answers)
    values = {secret.reveal() for secret in state.secrets(answers)}
    made = (tmp_path / "clusters" / "bzzz" / "ca" / "passphrase").read_text().strip()
    assert {"sudo password", "endpoint key", made} < values
    assert len(values) == 4


def test_two_setups_of_one_cluster_keep_out_of_each_others_way(tmp_path: Path) -> None:
    first, second = ClusterState("bzzz", tmp_path), ClusterState("bzzz", tmp_path)
    with first.locked():
        with pytest.raises(PreconditionFailed, match="another setup is working on cluster bzzz"):
            second.locked().__enter__()
        with ClusterState("other", tmp_path).locked():
            pass
    with second.locked():
        pass


def test_an_authority_is_never_overwritten(tmp_path: Path) -> None:
    state = ClusterState("bzzz", tmp_path)
    state.open_cluster(spec(1))
    another = Authority.create(Purpose.NODE, common_name="x", days=1, passphrase=Secret("p" * 12))
    with pytest.raises(TrustError, match="never overwritten"):
        another.save(tmp_path / "clusters" / "bzzz" / "ca")
