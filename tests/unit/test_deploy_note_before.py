"""The note of what was on a host before BZZZ, and what uninstalling does to directories by it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from bzzz_core.deploy import undo
from bzzz_core.deploy.facts.host import HostFacts, Kind, PathFact
from bzzz_core.deploy.paths_in_use import paths_in_use
from bzzz_core.deploy.phases import create_account, note_before
from bzzz_core.deploy.removals import read_survey
from tests.fakes.deploy_goals import converged, goals, spec

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="root's scripts ask whose the paths are")
TAKEN = {"resources": {"paths": {"data": "/srv/shared"}}}
OURS = 'case $* in "passwd bzzz") echo "bzzz:x:9:9:BZZZ agent:/:/x" ;; *) echo "bzzz:x:9:" ;; esac'
THEIRS = 'case $* in "passwd bzzz") echo "bzzz:x:9:9:Bees:/:/x" ;; *) echo "bzzz:x:9:" ;; esac'
STAT = 'case $2 in %U:%G) echo bzzz:bzzz ;; *) echo "750 bzzz bzzz" ;; esac'
INSTALL = 'case $1 in -d) ;; *) while [ $# -gt 2 ]; do shift; done; cp "$1" "$2" ;; esac'


@pytest.mark.parametrize(
    "script",
    [note_before._NOTE, note_before._ADD, undo._OWN, undo._KEEP, undo._SHARED, undo._SURVEY],
)
def test_each_script_is_posix_sh(script: str) -> None:
    subprocess.run(["sh", "-n"], input=script.encode(), check=True, timeout=10)


def at_shared(fact: PathFact) -> HostFacts:
    """Return an installed host with something at the directory that the answers name now."""
    before = converged(spec(1))["bzzz-1"]
    return msgspec.structs.replace(before, paths={**(before.paths or {}), "/srv/shared": fact})


def test_what_a_node_s_file_leaves_out_is_the_default_and_not_what_the_answers_say() -> None:
    in_use = paths_in_use(converged(spec(1))["bzzz-1"].config_text or "")
    assert in_use is not None
    assert (in_use.data, in_use.logs) == ("/var/lib/bzzz", "/var/log/bzzz")
    in_use = paths_in_use(converged(spec(1, **TAKEN))["bzzz-1"].config_text or "")
    assert in_use is not None
    assert (in_use.data, in_use.logs) == ("/srv/shared", "/var/log/bzzz")


@pytest.mark.parametrize("text", ["", "[]", "resources: 1", "resources: {paths: {data: 1}}", "{"])
def test_a_file_that_makes_no_sense_names_no_directories(text: str) -> None:
    assert paths_in_use(text) is None


def noted(facts: HostFacts) -> list[str]:
    (goal,) = goals(spec(1, **TAKEN), {"bzzz-1": facts}).values()
    return [change.target for change in note_before.plan(goal)]


def test_a_directory_that_was_there_is_noted_before_it_becomes_the_one_for_data() -> None:
    assert noted(at_shared(PathFact(Kind.DIRECTORY, "2775", "root", "staff"))) == ["/srv/shared"]


def test_a_directory_that_setup_makes_is_not_noted() -> None:
    assert noted(at_shared(PathFact(Kind.ABSENT))) == []
    assert noted(at_shared(PathFact(Kind.DIRECTORY, "750", "bzzz", "bzzz"))) == []


def test_a_directory_in_use_of_which_somebody_changed_the_mode_stays_ours() -> None:
    facts = converged(spec(1))["bzzz-1"]
    odd = {**(facts.paths or {}), "/var/lib/bzzz": PathFact(Kind.DIRECTORY, "755", "bzzz", "bzzz")}
    (goal,) = goals(spec(1), {"bzzz-1": msgspec.structs.replace(facts, paths=odd)}).values()
    assert note_before.plan(goal) == ()


def test_noting_one_more_directory_keeps_what_was_noted(tmp_path: Path) -> None:
    note, shared = tmp_path / "before", tmp_path / "shared"
    note.write_text("was\tuser\tbzzz\n")
    shared.mkdir()
    for _ in range(2):
        shell(tmp_path, note_before._ADD, note, shared, install=INSTALL, stat=STAT)
    lines = note.read_text().splitlines()
    assert lines == ["was\tuser\tbzzz", f"was\tdirectory\t{shared}\t750\tbzzz\tbzzz"]


def test_what_an_uninstall_kept_is_not_taken_for_somebody_elses(tmp_path: Path) -> None:
    assert note_with(tmp_path, getent=OURS) == ""


def test_a_user_of_the_same_name_and_its_directory_are_noted(tmp_path: Path) -> None:
    text = note_with(tmp_path, getent=THEIRS)
    assert text.startswith("was\tuser\tbzzz\nwas\tgroup\tbzzz\nwas\tdirectory\t")


def note_with(tmp_path: Path, *, getent: str) -> str:
    note, data = tmp_path / "before", tmp_path / "data"
    data.mkdir()
    arguments = (note, ".bzzz-logs", data)
    shell(tmp_path, note_before._NOTE, *arguments, getent=getent, stat=STAT, install=INSTALL)
    return note.read_text()


def test_a_directory_that_holds_nothing_of_others_is_removed(tmp_path: Path) -> None:
    data = filled(tmp_path)
    own(tmp_path, data, uid=os.getuid(), gid=os.getgid())
    assert not data.exists()


def test_a_directory_with_things_of_others_is_not_removed(tmp_path: Path) -> None:
    data = filled(tmp_path)
    if os.getuid() == 0:
        os.chown(data / "kept", 54_321, 54_321)
    own(tmp_path, data, uid=54_320, gid=54_320)
    assert (data / "kept").read_text() == "somebody's"


@AS_ROOT
def test_logs_that_are_kept_are_marked_as_ours_and_nothing_is_written_through_a_link(
    tmp_path: Path,
) -> None:
    logs, other = filled(tmp_path), tmp_path / "other"
    other.write_text("precious")
    (logs / ".bzzz-logs").symlink_to(other)
    shell(tmp_path, undo._KEEP, logs, "", "", "", ".bzzz-logs", chown=":", id="echo 54320")
    assert other.read_text() == "precious"
    assert (logs / ".bzzz-logs").is_file()
    assert not (logs / ".bzzz-logs").is_symlink()


@AS_ROOT
def test_a_directory_that_was_there_before_is_given_back_and_its_kept_logs_are_marked(
    tmp_path: Path,
) -> None:
    """Without the mark the next installation refuses them: they belong to root."""
    logs = filled(tmp_path)
    keep_in_theirs(tmp_path, logs)
    assert (logs / ".bzzz-logs").read_text().startswith("logs of BZZZ")
    assert (tmp_path / "given").read_text().splitlines() == [
        "root -- .",
        "root:root -- .",
        "-hR --from=bzzz root:root -- .",
        "adm:syslog -- .",
    ]
    assert logs.stat().st_mode & 0o7777 == 0o2775


@AS_ROOT
def test_the_next_installation_notes_that_directory_again(tmp_path: Path) -> None:
    """Else the uninstall after it takes what was there before BZZZ."""
    logs, note = tmp_path / "data", tmp_path / "before"
    keep_in_theirs(tmp_path, filled(tmp_path))
    arguments = (note, ".bzzz-logs", logs)
    shell(tmp_path, note_before._NOTE, *arguments, getent=":", stat=STAT, install=INSTALL)
    assert f"was\tdirectory\t{logs}\t" in note.read_text()


@AS_ROOT
def test_the_next_user_is_given_only_the_logs_of_the_one_before(tmp_path: Path) -> None:
    logs = filled(tmp_path)
    keep_in_theirs(tmp_path, logs)
    (logs / "of the owner, who is root").touch()
    taken = f'[ "$1" != -h ] || {{ shift 3; printf "%s\\n" "$@" >{tmp_path}/taken; }}'
    shell(tmp_path, create_account._KEPT_LOGS, logs, ".bzzz-logs", chown=taken, id="echo 9")
    assert (tmp_path / "taken").read_text() == "kept\n"


@AS_ROOT
def test_a_run_that_was_cut_off_forgets_no_name(tmp_path: Path) -> None:
    logs = filled(tmp_path)
    for _ in range(2):
        keep_in_theirs(tmp_path, logs)
        (logs / "kept").unlink(missing_ok=True)
    assert (logs / ".bzzz-logs").read_text().splitlines()[1:] == ["kept"]


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/srv", "/var/log", "/srv/", "/a//b", "/a/../etc", "x"]
)
def test_no_uninstall_removes_what_is_the_system_s(tmp_path: Path, path: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        shell(tmp_path, undo._DIRECTORY, path, rm="exit 0", find="exit 0")
    assert refused.value.returncode == 64


@pytest.mark.parametrize("path", ["/nowhere", "/srv/nowhere", "/etc/nowhere"])
def test_what_setup_takes_an_uninstall_removes(tmp_path: Path, path: str) -> None:
    """Here there is no such directory, so nothing is done."""
    shell(tmp_path, undo._DIRECTORY, path, rm="exit 9")


@AS_ROOT
def test_taking_kept_logs_later_leaves_the_directory_that_was_there_before(tmp_path: Path) -> None:
    """The note is gone by then, and so is the user."""
    logs = filled(tmp_path)
    (logs / "foreign").touch()
    os.chown(logs / "foreign", 54_321, 54_321)
    (logs / "old" / "older").mkdir(parents=True)
    (logs / "old" / "older" / "log [1]").touch()
    keep_in_theirs(tmp_path, logs)
    (logs / "of the owner, who is root").touch()
    script = undo._SURVEY.replace("/opt/bzzz", f"{tmp_path}/opt").replace("/etc/", f"{tmp_path}/")
    said = shell(tmp_path, script, "mark", tmp_path / "none", logs, ".bzzz-logs", getent="exit 2")
    found = read_survey(said)
    assert found.has("logs")
    was = found.was("directory", str(logs))
    assert was is not None
    arguments = (was.mode, was.owner, was.group, ".bzzz-logs")
    given = f'echo "$*" >{tmp_path}/given'
    shell(tmp_path, undo._SHARED, logs, *arguments, id="exit 1", chown=given)
    assert (tmp_path / "given").read_text() == "adm:syslog -- .\n", "as the mark says"
    assert {path.name for path in logs.iterdir()} == {"foreign", "of the owner, who is root"}
    assert (was.mode, logs.stat().st_mode & 0o7777) == ("2775", 0o2775)


def keep_in_theirs(tmp_path: Path, logs: Path) -> None:
    """Keep the logs that lie there; until then they are the user's."""
    given, number = f'echo "$*" >>{tmp_path}/given', 54_320
    found = (path for path in logs.rglob("*") if path.name != ".bzzz-logs")
    ours = [path for path in found if path.stat().st_uid == 0]
    for path in ours:
        os.chown(path, number, -1)
    before = (logs, "2775", "adm", "syslog", ".bzzz-logs")
    shell(tmp_path, undo._KEEP, *before, chown=given, id=f"echo {number}")
    for path in ours:
        os.chown(path, 0, -1)  # As the script had it done.
    (tmp_path / "programs" / "chown").unlink()


def filled(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    (data / "kept").write_text("somebody's")
    return data


def own(tmp_path: Path, data: Path, *, uid: int, gid: int) -> None:
    shell(tmp_path, undo._OWN, data, id=f"echo {uid}", getent=f"echo bzzz:x:{gid}:", chown=":")


def shell(tmp_path: Path, script: str, *arguments: object, **tools: str) -> str:
    """Run a script with tools of ours before the system's, and return what it says."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    for name, lines in tools.items():
        (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (programs / name).chmod(0o700)
    return subprocess.run(
        ["sh", "-c", script, "bzzz", *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
    ).stdout
