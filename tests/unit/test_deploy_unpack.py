"""A release that runs is replaced in one move, or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

from bzzz_core.deploy.facts.host import Disk
from bzzz_core.deploy.fitness import check_releases
from bzzz_core.deploy.phases import upload_release
from bzzz_core.deploy.wishes import Wishes
from tests.fakes.deploy_goals import RELEASE, converged, spec


class Unpacking:
    """A directory of releases, one of which runs, and an archive of the same release."""

    def __init__(self, place: Path, *, sums_hold: bool = True) -> None:
        """Write an archive whose own checksums hold, or do not."""
        self.target = place / "bzzz" / "releases" / "1"
        (self.target / "site").mkdir(parents=True)
        (self.target / "manifest.json").write_text("running")
        self.archive = place / "archive.tar.gz"
        content = place / "content"
        (content / "site").mkdir(parents=True)
        (content / "manifest.json").write_text("new")
        (content / "site" / "a.py").write_text("a = 1")
        digest = hashlib.sha256(b"a = 1" if sums_hold else b"another").hexdigest()
        (content / "SHA256SUMS").write_text(f"{digest}  a.py\n")
        with tarfile.open(self.archive, "w:gz") as tar:
            tar.add(content, ".")
        self.bin = place / "bin"
        self.bin.mkdir()
        self.program("install", "exit 0")  # to give files to root takes root

    def program(self, name: str, does: str) -> None:
        """Put a program before those of the system."""
        (self.bin / name).write_text(f"#!/bin/sh\n{does}\n")
        (self.bin / name).chmod(0o700)

    def run(self) -> int:
        """Unpack; return the status."""
        digest = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        words = (str(self.archive), digest, str(self.target), sys.executable)
        done = subprocess.run(
            ["sh", "-c", upload_release._UNPACK, "bzzz", *words],
            check=False,
            capture_output=True,
            timeout=60,
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"},
        )
        return done.returncode

    @property
    def runs(self) -> str:
        """Return what is there now."""
        return (self.target / "manifest.json").read_text()

    @property
    def names(self) -> list[str]:
        """Return everything beside it."""
        return sorted(path.name for path in self.target.parent.iterdir())


def test_a_release_is_replaced_by_one_that_is_whole(tmp_path: Path) -> None:
    scene = Unpacking(tmp_path)
    assert scene.run() == 0
    assert (scene.runs, scene.names) == ("new", ["1"])


def test_what_cannot_be_unpacked_leaves_what_runs_in_its_place(tmp_path: Path) -> None:
    scene = Unpacking(tmp_path)
    scene.program("tar", "echo no space left >&2; exit 2")
    assert scene.run() == 65
    assert (scene.runs, scene.names) == ("running", ["1"])


def test_what_is_damaged_leaves_what_runs_in_its_place(tmp_path: Path) -> None:
    scene = Unpacking(tmp_path, sums_hold=False)
    assert scene.run() != 0
    assert (scene.runs, scene.names) == ("running", ["1"])


def test_a_move_that_was_cut_in_two_is_taken_back_first(tmp_path: Path) -> None:
    scene = Unpacking(tmp_path)
    scene.target.rename(scene.target.with_name(".1.old"))
    scene.program("tar", "exit 2")
    assert scene.run() == 65
    assert (scene.runs, scene.names) == ("running", ["1"])


@pytest.mark.parametrize("damaged", [True, False])
def test_a_replacement_needs_room_as_a_first_upload_does(*, damaged: bool) -> None:
    facts = msgspec.structs.replace(
        converged(spec(1))["bzzz-1"],
        damaged=("site/a.py",) if damaged else (),
        disks=(Disk("/opt", 1_000, 1_000_000, "/"),),
    )
    found = check_releases({"bzzz-1": facts}, {"bzzz-1": RELEASE}, None, Wishes())
    assert [finding.check for finding in found] == ["disk"] * damaged
