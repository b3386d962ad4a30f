"""The broker's directory: what is refused, what is begun again, what is set aside."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from bzzz_core.errors import BrokerError
from bzzz_core.fabric import store
from bzzz_core.fabric.store import Shape
from bzzz_core.model import NodeId

ME = NodeId("a" * 26)
STREAM = "jetstream/BZZZ/streams/BZZZ_CONTROL"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "broker"
    store.server_name(found, ME)
    return found


def test_a_lone_voter_founds_once(directory: Path) -> None:
    assert store.claim(directory, alone=True)
    store.founded(directory)
    assert not store.claim(directory, alone=True)
    assert not store.claim(directory, alone=False), "it may grow later"


def test_one_of_several_founds_nothing_of_its_own(directory: Path) -> None:
    assert not store.claim(directory, alone=False)
    assert not store.claim(directory, alone=True), "what was clustered stays it"


def test_a_founding_that_was_cut_short_is_begun_from_nothing(directory: Path) -> None:
    """Half a cluster of two has no quorum, and nobody has written to it."""
    assert store.claim(directory, alone=True)
    (directory / STREAM).mkdir(parents=True)
    assert store.claim(directory, alone=True)
    assert not (directory / "jetstream").exists()


def test_what_an_unclustered_broker_wrote_is_refused_and_kept(directory: Path) -> None:
    (directory / STREAM).mkdir(parents=True)
    for alone in (True, False):
        with pytest.raises(BrokerError, match=r"would lose its streams.*snapshot --offline"):
            store.claim(directory, alone=alone)
    assert (directory / STREAM).is_dir()


def test_the_mark_of_an_older_release_is_understood(directory: Path) -> None:
    (directory / "shape").write_text("alone\n")
    (directory / "shape").chmod(0o600)
    with pytest.raises(BrokerError, match="ran alone"):
        store.claim(directory, alone=True)


def test_a_store_without_a_mark_is_judged_by_its_files(directory: Path) -> None:
    (directory / STREAM).mkdir(parents=True)
    (directory / "jetstream/SYS/_js_/_meta_").mkdir(parents=True)
    assert store.shape_of(directory) is Shape.CLUSTERED
    assert not store.claim(directory, alone=True)
    assert (directory / STREAM).is_dir()


def test_a_damaged_mark_is_no_fresh_store(directory: Path) -> None:
    (directory / "shape").write_text("clu")
    (directory / "shape").chmod(0o600)
    with pytest.raises(BrokerError, match="damaged"):
        store.claim(directory, alone=True)


def test_a_store_set_aside_takes_its_name_along(directory: Path) -> None:
    """Under the old name the broker would never count again."""
    before = store.server_name(directory, ME)
    store.claim(directory, alone=True)
    store.founded(directory)
    (directory / STREAM).mkdir(parents=True)
    kept = store.set_aside(directory)
    assert kept is not None
    assert (kept / "server-name").read_text().strip() == before
    assert (kept / STREAM).is_dir()
    assert store.size_seen(directory) == 0
    assert store.shape_of(directory) is None
    assert store.set_aside(directory) is None, "there is nothing left to set aside"
    assert store.server_name(directory, ME) != before


def test_one_generation_is_kept(directory: Path) -> None:
    store.set_aside(directory)
    second = store.server_name(directory, ME)
    kept = store.set_aside(directory)
    assert kept is not None
    assert (kept / "server-name").read_text().strip() == second


def test_two_supervisors_do_not_share_a_store(directory: Path) -> None:
    with (
        store.held(directory),
        pytest.raises(BrokerError, match="another process"),
        store.held(directory),
    ):
        pass
    with store.held(directory):
        pass


def disk(monkeypatch: pytest.MonkeyPatch, *, total: int, free: int) -> None:
    usage = SimpleNamespace(total=total, free=free, used=total - free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_the_limit_leaves_room_for_what_else_is_on_the_disk(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "jetstream").mkdir()
    (directory / "jetstream/block").write_bytes(b"x" * 1_000_000)
    disk(monkeypatch, total=10_000_000_000, free=9_000_000_000)
    assert store.bytes_available(directory, 1_000_000_000) == 1_000_000_000
    disk(monkeypatch, total=10_000_000_000, free=300_000_000)
    assert store.bytes_available(directory, 1_000_000_000) == 237_000_000
    disk(monkeypatch, total=10_000_000_000, free=70_000_000)
    with pytest.raises(BrokerError, match="70 MB left"):
        store.bytes_available(directory, 1_000_000_000)


def test_the_size_seen_is_remembered(directory: Path) -> None:
    assert store.size_seen(directory) == 0
    store.remember_size(directory, 3)
    assert store.size_seen(directory) == 3
