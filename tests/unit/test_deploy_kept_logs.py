"""Logs that an uninstall kept, in a directory that was there before: what is ours stays ours.

The scripts run for real, as root does it on a host; each is ended before each of its steps in turn,
and others are at work in the directory meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bzzz_core.deploy import layout, undo
from bzzz_core.deploy.phases import create_account, note_before
from bzzz_core.deploy.removals import Wish, read_survey, removals
from tests.fakes.cut_scripts import CutScripts
from tests.fakes.deploy_host import FakeHost

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="kept logs belong to root")
UID = 54_320
OTHER = 54_321
MARK = layout.KEPT_LOGS
BEFORE = ("755", "daemon", "daemon")
OLD_HEAD = "logs of BZZZ, in a directory that was there before it; they are:\n"
KEPT = {"agent.log", "old", "old/agent.log.1"}
THEIRS = {"of-root", "of-others"}


class Room:
    """A host's directory of logs, that was there before, with an installation in it."""

    def __init__(self, at: Path) -> None:
        at.mkdir()
        self.at = at
        self.scripts = CutScripts(at, uid=UID)
        self.logs = at / "logs"
        (self.logs / "old").mkdir(parents=True)
        for name in ("agent.log", "old/agent.log.1", *THEIRS):
            (self.logs / name).write_text(name)
        for path in (self.logs, *(self.logs / name for name in KEPT)):
            os.chown(path, UID, UID)
        os.chown(self.logs / "of-others", OTHER, OTHER)
        self.logs.chmod(0o750)

    def keep(self, cut: int = 0) -> bool:
        return self.scripts.run(undo._KEEP, self.logs, *BEFORE, MARK, cut=cut) is not None

    def purge(self, cut: int = 0) -> bool:
        was = read_survey(self.survey()).was("directory", str(self.logs))
        assert was is not None
        arguments = (was.mode, was.owner, was.group, MARK)
        return self.scripts.run(undo._SHARED, self.logs, *arguments, cut=cut) is not None

    def hand_over(self, cut: int = 0) -> bool:
        return self.scripts.run(create_account._KEPT_LOGS, self.logs, MARK, cut=cut) is not None

    def survey(self) -> str:
        script = undo._SURVEY.replace("/opt/bzzz", f"{self.at}/opt")
        script = script.replace("/etc/", f"{self.at}/etc/").replace("-group bzzz", f"-gid {UID}")
        (self.at / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        said = self.scripts.run(script, "mark", self.at / "none", self.logs, MARK)
        assert said is not None
        return said

    def uninstalled(self) -> None:
        assert self.keep()
        self.scripts.user_is_there(there=False)

    def of(self, uid: int) -> set[str]:
        found = (path for path in self.logs.rglob("*") if path.name != MARK)
        return {str(path.relative_to(self.logs)) for path in found if path.lstat().st_uid == uid}

    def has(self, path: Path, text: str) -> None:
        """Make a file of root's."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def state(directory: Path) -> tuple[str, str, str]:
    said = subprocess.check_output(["stat", "-c", "%a %U %G", directory], text=True, timeout=20)
    mode, owner, group = said.split()
    return mode, owner, group


def each_cut(tmp_path: Path, make: Callable[[Room], None], run: Callable[[Room, int], bool]) -> int:
    """Run something in one room after the other, ended before each step; return how many."""
    cut = 0
    while True:
        cut += 1
        room = Room(tmp_path / str(cut))
        make(room)
        if run(room, cut):
            return cut - 1


def test_an_uninstall_that_is_cut_off_keeps_its_logs_when_it_is_given_again(
    tmp_path: Path,
) -> None:
    def cut_off(room: Room, cut: int) -> bool:
        came_through = room.keep(cut)
        assert read_survey(room.survey()).has("logs"), cut
        assert room.keep()
        assert (room.of(UID), room.of(0)) == (set(), KEPT | {"of-root"})
        assert set((room.logs / MARK).read_text().splitlines()[1:]) == KEPT, cut
        assert state(room.logs) == BEFORE
        return came_through

    assert each_cut(tmp_path, lambda _: None, cut_off) > 8


def test_an_empty_directory_that_was_just_taken_is_found_again(tmp_path: Path) -> None:
    room = Room(tmp_path / "room")
    shutil.rmtree(room.logs)
    room.logs.mkdir(0o750)
    os.chown(room.logs, UID, UID)
    assert not room.keep(3)
    assert not (room.logs / MARK).exists()
    assert state(room.logs)[:2] == ("700", "root")
    assert read_survey(room.survey()).has("logs")


def test_a_purge_that_is_cut_off_gives_the_directory_back_when_it_is_given_again(
    tmp_path: Path,
) -> None:
    def cut_off(room: Room, cut: int) -> bool:
        came_through = room.purge(cut)
        if read_survey(room.survey()).has("logs"):
            assert room.purge()
        assert state(room.logs) == BEFORE, cut
        assert {path.name for path in room.logs.iterdir()} == THEIRS
        return came_through

    assert each_cut(tmp_path, Room.uninstalled, cut_off) > 4


def test_an_installation_after_a_purge_that_was_cut_off_notes_how_the_directory_was(
    tmp_path: Path,
) -> None:
    room = Room(tmp_path / "room")
    room.uninstalled()
    assert not room.purge(3)
    assert state(room.logs) == ("700", "root", "root")
    note = tmp_path / "before"
    room.scripts.run(note_before._NOTE, note, MARK, room.logs)
    assert note.read_text() == "\t".join(("was", "directory", str(room.logs), *BEFORE)) + "\n"


def test_an_installation_that_is_cut_off_is_let_in_again_and_gets_the_logs(
    tmp_path: Path,
) -> None:
    """A directory that holds files, has no mark and is not the user's is refused."""

    def root_s(room: Room) -> None:
        room.uninstalled()
        os.chown(room.logs, 0, 0)
        room.scripts.user_is_there(there=True)

    def cut_off(room: Room, cut: int) -> bool:
        came_through = room.hand_over(cut)
        taken = room.logs.stat().st_uid == UID
        assert taken or ((room.logs / MARK).exists() and state(room.logs)[1:] == ("root", "root"))
        assert not taken or state(room.logs)[0] == "750", "by this the next run knows what is left"
        if not taken:
            assert room.hand_over()
        assert (room.of(UID), room.of(0)) == (KEPT, {"of-root"}), cut
        return came_through

    assert each_cut(tmp_path, root_s, cut_off) > 4


def swapped(room: Room, *, names: str) -> Path:
    """Return root's file elsewhere; others link to its directory while root is at work."""
    outside = room.at / "etc-of-root"
    room.has(outside / "shadow", "precious")
    room.has(room.logs / "x/deep/shadow", "bait")
    (room.logs / "x").chmod(0o777)
    (room.logs / "x/deep").chmod(0o777)
    (room.logs / MARK).write_text(OLD_HEAD + names)
    swap = f'cd "{room.logs}/x"; [ -L deep ] || {{ mv deep away; ln -s "{outside}" deep; }}; cd -'
    lines = f'cat >"$ROOM/names"\n{{ {swap}; }} >/dev/null\n'
    program = f'exec {shutil.which("xargs")} "$@" <"$ROOM/names"\n'
    room.scripts.tool("xargs", f"#!/bin/sh\n{lines}{program}")
    return outside / "shadow"


@pytest.mark.parametrize("purges", [True, False])
def test_nothing_is_touched_where_others_can_exchange_it(tmp_path: Path, *, purges: bool) -> None:
    """A mark of an earlier release may name what lies in a directory that everybody writes to."""
    room = Room(tmp_path / "room")
    shadow = swapped(room, names="x\nx/deep\nx/deep/shadow\n")
    room.scripts.user_is_there(there=not purges)
    shutil.chown(room.logs, "daemon", "daemon")
    (room.purge if purges else room.hand_over)()
    assert shadow.read_text() == "precious"
    assert shadow.stat().st_uid == 0


def test_nobody_else_may_write_into_directories_that_are_kept(tmp_path: Path) -> None:
    room = Room(tmp_path / "room")
    room.has(room.logs / "x/deep/shadow", "bait")
    for path in (room.logs / "x", room.logs / "x/deep", room.logs / "x/deep/shadow"):
        os.chown(path, UID, UID)
        path.chmod(0o777)
    room.uninstalled()
    assert state(room.logs / "x") == ("755", "root", "root")
    done = subprocess.run(
        ["setpriv", "--reuid", str(OTHER), "--clear-groups", "mv", "deep", "away"],
        cwd=room.logs / "x",
        check=False,
        capture_output=True,
        timeout=20,
    )
    assert done.returncode != 0
    room.scripts.user_is_there(there=True)
    assert room.hand_over()
    assert KEPT | {"x", "x/deep", "x/deep/shadow"} == room.of(UID)


def test_a_name_of_several_lines_names_nothing_else(tmp_path: Path) -> None:
    room = Room(tmp_path / "room")
    odd = room.logs / "a\nof-root\nz"
    odd.mkdir()
    (odd / "inner").touch()
    for path in (odd, odd / "inner"):
        os.chown(path, UID, UID)
    room.uninstalled()
    assert set((room.logs / MARK).read_text().splitlines()[1:]) == KEPT
    assert room.purge()
    assert (room.logs / "of-root").exists()


@pytest.mark.parametrize("forgery", ["of others", "of two names"])
def test_a_mark_that_root_did_not_write_says_nothing(tmp_path: Path, forgery: str) -> None:
    room = Room(tmp_path / "room")
    room.uninstalled()
    mark = room.logs / MARK
    mark.write_text(OLD_HEAD + "of-root\n")
    if forgery == "of others":
        os.chown(mark, OTHER, OTHER)
    else:
        (room.logs / "twice").hardlink_to(mark)
    assert not read_survey(room.survey()).has("logs")
    room.scripts.run(undo._SHARED, room.logs, *BEFORE, MARK)
    room.scripts.user_is_there(there=True)
    assert room.hand_over()
    assert (room.logs / "of-root").stat().st_uid == 0
    assert state(room.logs) == BEFORE


def test_a_mark_in_a_directory_of_the_user_names_nothing(tmp_path: Path) -> None:
    """The user may put there what it likes, a file of root's under another name, too."""
    room = Room(tmp_path / "room")
    (room.logs / MARK).write_text(OLD_HEAD + "of-root\n")
    assert room.keep()
    assert set((room.logs / MARK).read_text().splitlines()[1:]) == KEPT
    os.chown(room.logs, UID, UID)
    (room.logs / MARK).write_text(OLD_HEAD + "of-root\n")
    room.scripts.run(undo._SHARED, room.logs, *BEFORE, MARK)
    assert (room.logs / "of-root").exists()
    assert not (room.logs / MARK).exists()


@pytest.mark.parametrize("script", [undo._KEEP, undo._SHARED], ids=["keep", "empty"])
def test_nothing_is_done_below_what_others_may_exchange(tmp_path: Path, script: str) -> None:
    room = Room(tmp_path / "room")
    room.at.chmod(0o777)
    with pytest.raises(AssertionError, match="anybody may write into"):
        room.scripts.run(script, room.logs, *BEFORE, MARK)
    assert state(room.logs)[0] == "750"
    assert room.of(UID) == KEPT


def test_keeping_logs_has_as_long_as_removing_them() -> None:
    """There may be as many."""
    found = read_survey("user\tbzzz\nlogs\t/var/log/bzzz\n")
    (keeping,) = (change for change in removals(found, Wish()) if change.after == "root")
    host = FakeHost("bzzz-1", number=1, log=[])
    asyncio.run(undo._one(host, found, keeping))
    assert host.limits_s[keeping.sentence] == undo.STOP_S_MAX
