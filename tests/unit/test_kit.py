"""The operator's kit: what goes in comes out elsewhere, and nothing is ever overwritten."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bzzz_core.config.profile import load_profile
from bzzz_core.config.profile_places import cluster_directory, profile_path
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy.detached.place import all_runs, make_run
from bzzz_core.deploy.kit import export_kit, import_kit
from bzzz_core.deploy.state import ClusterState
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import ConfigError, TrustError
from bzzz_core.trust import private_files
from bzzz_core.trust.passphrase_box import close_box, open_box
from tests.fakes.deploy_goals import spec

PASSPHRASE = Secret("correct horse battery")
CHEAP = 2**14


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return an operator's directory with one cluster, set up."""
    base = tmp_path / "mine"
    state = ClusterState("bzzz", base)
    state.open_cluster(spec(3))
    state.write_profile(spec(3))
    (cluster_directory("bzzz", base) / "journal").mkdir()
    (cluster_directory("bzzz", base) / "journal" / "run.ndjson").write_text("{}")
    return base


def export(base: Path, target: Path) -> None:
    export_kit("bzzz", target, PASSPHRASE, base=base, scrypt_n=CHEAP)


def test_another_machine_knows_the_cluster_afterwards(mine: Path, tmp_path: Path) -> None:
    export(mine, tmp_path / "kit")
    theirs = tmp_path / "theirs"
    packed = import_kit(tmp_path / "kit", PASSPHRASE, base=theirs)
    here, there = ClusterState("bzzz", mine), ClusterState("bzzz", theirs)
    assert there.cluster_id() == here.cluster_id()
    opened = there.open_cluster(spec(3))
    assert opened.cluster_id == here.cluster_id()
    assert there.changes(spec(3), there.known(spec(3))) == (), "an apply would change nothing here"
    assert "journal/run.ndjson" not in packed.files
    profile = load_profile(profile_path("bzzz", theirs))
    assert profile.api_token == f"file:{cluster_directory('bzzz', theirs) / 'api-token'}"


def test_answers_come_along(mine: Path, tmp_path: Path) -> None:
    answers = tmp_path / "cluster.yaml"
    answers.write_text("hosts: []\n")
    export_kit("bzzz", tmp_path / "kit", PASSPHRASE, base=mine, answers=answers, scrypt_n=CHEAP)
    packed = import_kit(tmp_path / "kit", PASSPHRASE, base=tmp_path / "theirs")
    assert (packed.directory / "answers.yaml").read_text() == "hosts: []\n"


def test_a_cluster_that_is_known_is_not_overwritten(mine: Path, tmp_path: Path) -> None:
    export(mine, tmp_path / "kit")
    with pytest.raises(ConfigError, match="never overwrites"):
        import_kit(tmp_path / "kit", PASSPHRASE, base=mine)


def test_a_kit_is_not_written_over_a_file(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "kit").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        export(mine, tmp_path / "kit")
    assert (tmp_path / "kit").read_text() == "mine"


def test_the_file_is_private_and_tells_nothing(mine: Path, tmp_path: Path) -> None:
    export(mine, tmp_path / "kit")
    assert (tmp_path / "kit").stat().st_mode & 0o777 == 0o600
    content = (tmp_path / "kit").read_bytes()
    token = (cluster_directory("bzzz", mine) / "api-token").read_bytes().strip()
    assert token not in content
    assert b"bzzz-1" not in content


def test_a_cluster_that_was_not_set_up_here_has_no_kit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cluster that was set up from here"):
        export(tmp_path, tmp_path / "kit")


@pytest.mark.parametrize("place", [0, 30, 200, -1])
def test_a_changed_byte_is_noticed(place: int) -> None:
    box = bytearray(close_box(b"content", PASSPHRASE, scrypt_n=CHEAP))
    box[min(place, len(box) - 1)] ^= 1
    with pytest.raises(TrustError):
        open_box(bytes(box), PASSPHRASE)


def test_another_passphrase_does_not_open_it(mine: Path, tmp_path: Path) -> None:
    export(mine, tmp_path / "kit")
    with pytest.raises(TrustError, match="wrong passphrase"):
        import_kit(tmp_path / "kit", Secret("incorrect horse battery"), base=tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(TrustError, match="12 characters"):
        close_box(b"content", Secret("short"))


def test_what_is_no_kit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kit").write_bytes(close_box(b"no kit", PASSPHRASE, scrypt_n=CHEAP))
    with pytest.raises(TrustError, match="no operator's kit"):
        import_kit(tmp_path / "kit", PASSPHRASE, base=tmp_path / "theirs")
    (tmp_path / "kit").write_bytes(b"something else")
    with pytest.raises(TrustError, match="no file that BZZZ closed"):
        import_kit(tmp_path / "kit", PASSPHRASE, base=tmp_path / "theirs")


def test_what_runs_leave_behind_stays(mine: Path, tmp_path: Path) -> None:
    """However much it is: a run's events are larger than any key."""
    run = make_run(spec(3), Wishes(), hold=False, base=mine)
    run.events.write_bytes(b"x" * 17_000_000)
    directory = cluster_directory("bzzz", mine)
    private_files.create(directory / ".answers.last.yaml.part", b"half")
    (directory / "manifests").mkdir()
    (directory / "manifests" / "compose.yaml").write_text("{}")
    export(mine, tmp_path / "kit")
    theirs = tmp_path / "theirs"
    packed = import_kit(tmp_path / "kit", PASSPHRASE, base=theirs)
    assert all_runs(theirs) == []
    assert not [name for name in packed.files if name.startswith((".", "manifests", "runs"))]
    assert "cluster-id" in packed.files


def test_runs_in_a_kit_of_an_earlier_release_are_left_there(mine: Path, tmp_path: Path) -> None:
    export(mine, tmp_path / "kit")
    kit = msgspec.msgpack.decode(open_box((tmp_path / "kit").read_bytes(), PASSPHRASE))
    kit["files"]["runs/2026-01-01T000000-aaaaaa/lock"] = b""
    older = close_box(msgspec.msgpack.encode(kit), PASSPHRASE, scrypt_n=CHEAP)
    (tmp_path / "older").write_bytes(older)
    theirs = tmp_path / "theirs"
    packed = import_kit(tmp_path / "older", PASSPHRASE, base=theirs)
    assert all_runs(theirs) == []
    assert not [name for name in packed.files if name.startswith("runs")]
