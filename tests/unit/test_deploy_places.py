"""Directories for data and logs: the system's are refused, and so are those that others filled."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from pydantic import ValidationError

from bzzz_core.deploy import preflight
from bzzz_core.deploy.facts.host import HostFacts, Kind, PathFact, Place
from bzzz_core.deploy.facts.parse import parse
from bzzz_core.deploy.phases import create_account
from tests.fakes.deploy_goals import KNOWN, converged, fresh, spec
from tests.fakes.probe_outputs import WORD
from tests.fakes.probe_script import fake, run


@pytest.mark.parametrize(
    "path",
    [
        *("/etc", "/etc/", "/etc/cron.d", "/var/log", "/var/lib", "/usr/lib/x", "/home/me/bzzz"),
        *("/", "/var/run/bzzz", "/opt/bzzz/data", "/srv/../etc", "/var/lib/docker/x", "/root"),
        *("/usr/local", "/usr/local/bin", "/usr/local/lib/bzzz", "/usr/local/share", "/usr/bzzz"),
        *("/var/spool", "/var/spool/cron/crontabs", "/var/www/bzzz", "/snap", "/snap/bzzz"),
        *("/var/lib/postgresql", "/var/lib/mysql/bzzz", "/var/log/nginx", "/var/backups"),
        *("/var/cache/apt", "/var/tmp/bzzz", "/var/lib/bzzz-models/x"),  # noqa: S108  refused
    ],
)
def test_a_directory_of_the_system_is_no_answer(path: str) -> None:
    with pytest.raises(ValidationError, match=r"is no directory for BZZZ alone|pattern"):
        spec(1, resources={"paths": {"data": path}})


@pytest.mark.parametrize(
    "path",
    [
        *("/srv/bzzz", "/srv/a/b", "/var/lib/bzzz2", "/var/lib/bzzz-b/a", "/usr/local/bzzz"),
        *("/data", "/opt/agents", "/mnt/disk/data", "/var/bzzz", "/var/opt/agents", "/var/local/a"),
    ],
)
def test_a_directory_of_its_own_is_one(path: str) -> None:
    assert spec(1, resources={"paths": {"data": path}}).resources.paths.data == path


@pytest.mark.parametrize("path", ["/srv/./bzzz", "/srv/bzzz/.", "/srv/x/../bzzz", "/.", "/.."])
def test_each_step_of_a_path_goes_down(path: str) -> None:
    """An uninstall takes no other path, for it removes what lies there."""
    with pytest.raises(ValidationError, match="pattern"):
        spec(1, resources={"paths": {"data": path}})


def test_a_slash_at_the_end_changes_nothing() -> None:
    paths = spec(1, resources={"paths": {"data": "/srv/.bzzz/", "logs": "/srv/...b/"}})
    assert (paths.resources.paths.data, paths.resources.paths.logs) == ("/srv/.bzzz", "/srv/...b")


@pytest.mark.parametrize(
    ("data", "logs"),
    [("/srv/bzzz", "/srv/bzzz"), ("/srv/bzzz", "/srv/bzzz/logs"), ("/srv/a/b", "/srv/a")],
)
def test_no_directory_lies_in_another(data: str, logs: str) -> None:
    with pytest.raises(ValidationError, match="must not lie in each other"):
        spec(1, resources={"paths": {"data": data, "logs": logs}})


def test_blanks_stand_in_no_path() -> None:
    """They would part a path in a unit's line."""
    with pytest.raises(ValidationError, match="pattern"):
        spec(1, resources={"paths": {"data": "/srv/my data"}})
    with pytest.raises(ValidationError, match="pattern"):
        spec(1, ai={"servers": {"models_path": "/srv/my models"}})


def said(
    place: Place, owner: str = "root", group: str | None = None, mode: str = "755"
) -> list[str]:
    """Return what preflight says of a place."""
    facts = fresh(1)
    there = PathFact(Kind.DIRECTORY, mode, owner, group or owner)
    return errors(
        msgspec.structs.replace(
            facts, places=(place,), paths={**(facts.paths or {}), place.path: there}
        ),
        place.path,
    )


def errors(facts: HostFacts, data: str) -> list[str]:
    """Return what preflight says of the directories of a host that keeps its data there."""
    answers = spec(1, resources={"paths": {"data": data}})
    found = preflight.check(answers, {"bzzz-1": facts}, {}, KNOWN)
    return [one.message for one in found if (one.check, one.severity) == ("paths", "error")]


@pytest.mark.parametrize("state", ["absent", "empty", "ours"])
def test_what_is_nobodys_can_be_ours(state: str) -> None:
    assert said(Place("/srv/bzzz", state)) == []


def test_what_others_filled_cannot() -> None:
    assert said(Place("/srv/bzzz", "filled"), "alice") == [
        "/srv/bzzz holds files and belongs to alice, not to bzzz"
    ]
    assert said(Place("/srv/bzzz", "filled"), "bzzz") == []


@pytest.mark.parametrize("state", ["empty", "ours"])
@pytest.mark.parametrize(
    ("owner", "group", "mode", "words"),
    [
        ("postgres", "postgres", "700", "belongs to postgres:postgres, neither to root:root"),
        ("root", "staff", "2775", "belongs to root:staff, neither"),
        ("root", "root", "775", "with mode 775: others than root may put things there"),
        ("root", "root", "1777", "with mode 1777"),
    ],
)
def test_what_waits_empty_for_somebody_else_cannot(
    state: str, owner: str, group: str, mode: str, words: str
) -> None:
    """A mark in somebody else's directory may be their own."""
    (message,) = said(Place("/srv/bzzz", state), owner, group, mode)
    assert words in message
    assert said(Place("/srv/bzzz", state), "bzzz", "bzzz", "770") == []


def test_what_could_not_be_looked_at_is_not_taken_for_absent() -> None:
    """The section timed out: a file system that does not answer lies above."""
    unseen = msgspec.structs.replace(fresh(1), places=None)
    assert errors(unseen, "/srv/bzzz") == [
        f"{path} could not be looked at, and it is about to be given to the user bzzz"
        for path in ("/srv/bzzz", "/var/log/bzzz")
    ]


def test_what_is_ours_already_need_not_be_looked_at_again() -> None:
    before = converged(spec(1))["bzzz-1"]
    assert errors(msgspec.structs.replace(before, places=None), "/var/lib/bzzz") == []


def test_what_lies_below_somebody_elses_directory_cannot() -> None:
    (words,) = said(Place("/srv/a/b", "absent", "/srv/a"))
    assert words == "/srv/a/b lies in /srv/a, where others than root may put things"


@pytest.mark.parametrize("state", ["link", "other", "unknown"])
def test_what_is_no_directory_cannot(state: str) -> None:
    assert len(said(Place("/srv/bzzz", state))) == 1


def looked(tmp_path: Path, want: Path, owners: dict[str, str]) -> Place:
    """Return what the probe's own script says of a path, where directories have these owners."""
    tools = tmp_path / "tools"
    tools.mkdir()
    cases = "".join(f"  {path}) echo {words} ;;\n" for path, words in owners.items())
    fake(tools, "stat", f'case $4 in\n{cases}  *) echo "0 drwxr-xr-x root" ;;\nesac')
    output = run(tools, "installed.sh", change={'\' "$data" "$logs"\n\n# Public': f"' {want}\n#"})
    facts: HostFacts = parse(output, WORD)
    assert facts.places is not None
    return facts.places[0]


def test_the_probe_tells_filled_from_empty(tmp_path: Path) -> None:
    for name in ("empty", "filled", "disk", "kept"):
        (tmp_path / name).mkdir()
    (tmp_path / "filled" / "file").touch()
    (tmp_path / "disk" / "lost+found").mkdir()
    (tmp_path / "kept" / ".bzzz-logs").touch()
    (tmp_path / "link").symlink_to("empty")
    states = {}
    for name in ("empty", "filled", "disk", "kept", "link", "absent"):
        room = tmp_path / f"for-{name}"
        room.mkdir()
        states[name] = looked(room, tmp_path / name, {}).state
    assert states == {
        "empty": "empty",
        "filled": "filled",
        "disk": "empty",
        "kept": "ours",
        "link": "link",
        "absent": "absent",
    }


@pytest.mark.parametrize(
    ("words", "is_open"),
    [
        ('"990 drwx------ root"', True),
        ('"0 drwxrwxrwt root"', True),
        ('"0 drwxrwxr-x root"', False),
        ('"0 drwxr-xr-x staff"', False),
        ('"0 drwxrwxr-x syslog"', False),
        ('"0 drwxrwsr-x staff"', True),
        ('"0 drwxrwxr-x alice"', True),
    ],
)
def test_the_probe_names_who_may_place_a_link_above(
    tmp_path: Path, words: str, *, is_open: bool
) -> None:
    above = tmp_path / "above"
    above.mkdir()
    place = looked(tmp_path, above / "deeper" / "data", {str(above): words})
    assert place.open_above == (str(above) if is_open else "")


def test_the_probe_looks_where_a_link_above_leads(tmp_path: Path) -> None:
    (tmp_path / "real" / "of-others").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "of-others")
    place = looked(
        tmp_path, tmp_path / "link" / "data", {str(tmp_path / "real"): '"990 drwxr-xr-x root"'}
    )
    assert place.open_above == str(tmp_path / "real")


def test_root_makes_nothing_below_a_directory_of_others(tmp_path: Path) -> None:
    fake(tmp_path, "stat", f"case $4 in {tmp_path}/theirs) echo 990 ;; *) echo 0 ;; esac")
    fake(tmp_path, "install", f'echo "$*" >>{tmp_path}/made')
    (tmp_path / "theirs").mkdir()
    for target, status in ((tmp_path / "theirs/in/data", 66), (tmp_path / "new/data", 0)):
        done = subprocess.run(
            ["sh", "-c", create_account._DIRECTORY, "bzzz", target, "750", "bzzz", "bzzz"],
            check=False,
            capture_output=True,
            timeout=20,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )
        assert done.returncode == status
    assert (tmp_path / "made").read_text().count("\n") == 1
