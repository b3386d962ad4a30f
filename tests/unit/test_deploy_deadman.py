"""A change that could lock us out: it stays only if it is proved."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.deploy import deadman
from bzzz_core.errors import ChangeTakenBack, CommandFailed, HostUnreachable
from tests.fakes.deploy_host import FakeHost
from tests.fakes.probe_script import run as probed

BACK = deadman.WayBack(what="sshd", script="true")


class Scene:
    """One host, a change, and a proof that goes as it is told."""

    def __init__(self, proof: Exception | None = None) -> None:
        self.log: list[str] = []
        self.host = FakeHost("one", number=1, log=self.log)
        self._proof = proof

    async def change(self) -> None:
        self.log.append("change")

    async def prove(self) -> None:
        self.log.append("prove")
        if self._proof is not None:
            raise self._proof

    def run(self, limit_s: int = 60) -> None:
        asyncio.run(
            deadman.guarded(self.host, BACK, change=self.change, prove=self.prove, limit_s=limit_s)
        )


def test_the_way_back_is_armed_before_the_change_and_disarmed_after_the_proof() -> None:
    scene = Scene()
    scene.run()
    assert scene.log == ["one: arm the way back of sshd", "change", "prove", "one: disarm sshd"]


def test_a_change_that_is_not_proved_is_taken_back_at_once() -> None:
    scene = Scene(HostUnreachable("one: no answer"))
    with pytest.raises(ChangeTakenBack, match="no answer; it was taken back"):
        scene.run()
    assert scene.log[-1] == "one: take sshd back"


def test_a_host_that_cannot_be_told_any_more_does_it_by_itself() -> None:
    scene = Scene(HostUnreachable("one: no answer"))
    scene.host.losing = {"take sshd back": 1}
    with pytest.raises(
        ChangeTakenBack, match="by itself and begins with that 61 s after the change at the latest"
    ):
        scene.run()


def test_a_way_back_that_fails_is_not_called_one_that_was_gone() -> None:
    scene = Scene(HostUnreachable("one: no answer"))
    scene.host.failing = "take sshd back"
    with pytest.raises(ChangeTakenBack, match=r"FAILED so far .* goes on trying"):
        scene.run()


def test_without_a_timer_nothing_is_changed() -> None:
    scene = Scene()
    scene.host.failing = "arm"
    with pytest.raises(CommandFailed):
        scene.run()
    assert "change" not in scene.log


def test_a_proof_that_takes_too_long_is_none() -> None:
    scene = Scene()

    async def never() -> None:
        await asyncio.Event().wait()

    scene.prove = never  # type: ignore[method-assign]
    with pytest.raises(ChangeTakenBack, match="no proof in time"):
        scene.run(limit_s=deadman.MARGIN_S)


def test_an_interrupted_run_leaves_the_timer_armed() -> None:
    """Whoever interrupts may do so because nothing answers any more."""
    scene = Scene(asyncio.CancelledError())  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        scene.run()
    assert scene.log[-1] == "prove"


SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$SCENE/said"
case $1 in
  is-active) [ -e "$SCENE/armed" ] ;;
  start)
    sh "$SCENE/deadman-sshd/run" || exit
    [ ! -e "$SCENE/collected" ] ;;
  stop)
    [ ! -e "$SCENE/elapsing" ] || sh "$SCENE/deadman-sshd/run"
    rm -f "$SCENE/armed" ;;
esac
"""


class Shell:
    """The scripts of the dead-man on a machine with a systemd that only pretends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.room = directory / "deadman-sshd"
        self.armed = directory / "armed"
        programs = directory / "bin"
        programs.mkdir()
        for name, text in {
            "systemctl": SYSTEMCTL,
            "systemd-run": '#!/bin/sh\n: >"$SCENE/armed"\n',
            "sleep": "#!/bin/sh\nexit 0\n",
        }.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o700)
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "SCENE": str(directory)}

    def run(self, script: str, *arguments: str) -> int:
        text = script.replace("/run/bzzz-install", str(self.directory))
        command = ["sh", "-c", text, "bzzz", "sshd", *arguments]
        return subprocess.run(command, env=self.environment, timeout=20, check=False).returncode

    def tool(self, name: str, text: str) -> None:
        """Put a program before the system's."""
        (self.directory / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.directory / "bin" / name).chmod(0o700)

    def arm(self, restore: str, *, attempt_s: int = 30) -> None:
        assert self.arming(restore, attempt_s=attempt_s) == 0
        assert self.armed.exists()

    def arming(self, restore: str, *, attempt_s: int = 30) -> int:
        for name, text in (("r", restore), ("d", "data")):
            (self.directory / name).write_text(text)
        paths = (str(self.directory / "r"), str(self.directory / "d"))
        return self.run(deadman._ARM, "60", *paths, "600", str(attempt_s))


def test_the_timer_stays_armed_until_the_way_back_was_gone(tmp_path: Path) -> None:
    """Else a lock of the filter at the wrong moment shuts us out for good."""
    shell = Shell(tmp_path)
    shell.arm('[ -e "$SCENE/free" ]')
    assert shell.run(deadman._BACK) != 0
    assert shell.armed.exists()
    assert (shell.room / "run").exists()
    (tmp_path / "free").touch()
    assert shell.run(deadman._BACK) == 0
    assert not shell.armed.exists()
    assert not shell.room.exists()


def test_a_way_back_that_fails_is_tried_again_and_gone_once(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.arm('echo try >>"$SCENE/tries"; [ "$(wc -l <"$SCENE/tries")" -ge 3 ]')
    assert shell.run(deadman._BACK) == 0
    assert (tmp_path / "tries").read_text().count("try") == 3


def test_a_timer_that_elapses_after_that_does_nothing_more(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.arm('echo went >>"$SCENE/went"')
    for _ in range(2):
        assert shell.run('sh "$SCENE/deadman-sshd/run"') == 0
    assert (tmp_path / "went").read_text() == "went\n"


def test_arming_anew_keeps_the_way_back_that_does_not_work_yet(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.arm('[ -e "$SCENE/free" ]')
    shell.armed.unlink()  # it fired, and failed each time
    assert shell.arming("true") != 0
    assert "free" in (shell.room / "restore").read_text()


def test_an_arming_that_fails_leaves_no_way_back(tmp_path: Path) -> None:
    """Nothing was changed; weeks later old data would go over what the owner wrote since."""
    shell = Shell(tmp_path)
    shell.tool("systemd-run", "exit 1")
    assert shell.arming('echo went >>"$SCENE/went"') != 0
    assert not shell.room.exists()
    assert shell.run(deadman._BACK) == 0
    assert not (tmp_path / "went").exists()


def test_an_arming_that_is_ended_leaves_no_way_back(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.tool("systemd-run", ': >"$SCENE/armed"; kill -TERM "$PPID"')
    assert shell.arming("true") != 0
    assert not shell.room.exists()
    assert not shell.armed.exists()


def test_a_unit_that_ended_well_and_is_gone_is_no_failure(tmp_path: Path) -> None:
    """It was started by its timer and collected before we could join it."""
    shell = Shell(tmp_path)
    shell.arm('echo went >>"$SCENE/went"')
    (tmp_path / "collected").touch()
    assert shell.run(deadman._BACK) == 0
    assert (tmp_path / "went").read_text() == "went\n"
    assert not shell.room.exists()


def test_each_attempt_may_take_as_long_as_was_asked_for(tmp_path: Path) -> None:
    """Whoever takes it back much later knows that from the room alone."""
    shell = Shell(tmp_path)
    noting = 'echo "$*" >>"$SCENE/limits"; [ "$1" != -k ] || shift 2; shift; exec "$@"'
    shell.tool("timeout", noting)
    shell.arm("true", attempt_s=77)
    assert shell.run(deadman._BACK) == 0
    shell.arm("true", attempt_s=78)
    shell.armed.unlink()
    assert shell.run(deadman._BACK) == 0
    limits = [line.partition(" sh ")[0] for line in (tmp_path / "limits").read_text().splitlines()]
    assert limits == [
        "77 systemctl start bzzz-install-deadman-sshd.service",
        *("-k 2 77", "-k 2 78", "-k 2 78"),
    ]


def test_disarming_after_the_host_was_faster_is_too_late(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.arm('echo went >>"$SCENE/went"')
    assert shell.run('sh "$SCENE/deadman-sshd/run"') == 0
    assert shell.run(deadman._DISARM) == 75
    assert (shell.room / "run").exists(), "the host may be at it still"


def test_a_timer_that_elapses_as_it_is_stopped_undoes_nothing_that_was_proved(
    tmp_path: Path,
) -> None:
    """Its service is started and has done nothing yet, when the proof is written down."""
    shell = Shell(tmp_path)
    shell.arm('echo went >>"$SCENE/went"')
    (tmp_path / "elapsing").touch()
    assert shell.run(deadman._DISARM) == 0
    assert not (tmp_path / "went").exists()
    assert not shell.room.exists()


def test_a_proved_change_whose_room_was_left_stays(tmp_path: Path) -> None:
    """The link was lost, or we were killed, while the timer was being stopped."""
    shell = Shell(tmp_path)
    shell.arm('echo went >>"$SCENE/went"')
    proved = deadman._DISARM.partition('systemctl stop "$unit.timer" "$unit.service"')[0]
    assert shell.run(proved) == 0
    assert shell.room.exists()
    assert armed_by_the_probe(shell) == []
    assert shell.run(deadman._BACK) == 0
    assert not (tmp_path / "went").exists()
    assert not shell.room.exists()


def test_the_first_to_decide_wins_and_the_other_is_told(tmp_path: Path) -> None:
    """A way back that has begun is never called a proof, however long it takes."""
    shell = Shell(tmp_path)
    shell.arm('sh -c "$DISARM" bzzz sshd; echo $? >"$SCENE/told"')
    shell.environment["DISARM"] = deadman._DISARM.replace("/run/bzzz-install", str(tmp_path))
    assert shell.run('sh "$SCENE/deadman-sshd/run"') == 0
    assert (tmp_path / "told").read_text() == "75\n"


def armed_by_the_probe(shell: Shell) -> list[str]:
    """Return the changes that nobody proved, as whoever looks at the host finds them."""
    shell.tool("id", "echo 0")
    said = probed(
        shell.directory / "bin",
        "openings.sh",
        change={"/run/bzzz-install": str(shell.directory), "systemctl is-enabled": ": "},
    ).decode()
    return said.partition("== armed\n")[2].partition("== unit")[0].split()


def test_the_probe_names_what_is_armed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.arm("true")
    assert armed_by_the_probe(shell) == ["sshd"]


def begins_while_the_room_goes(shell: Shell) -> None:
    """Let an elapsed service begin when the room lost all but its script."""
    real = shutil.which("rm")
    shell.tool(
        "rm",
        f"""case $* in
  "-rf -- $SCENE/deadman-sshd")
    {real} -f "$SCENE/deadman-sshd/verdict" "$SCENE/deadman-sshd/proved"
    sh "$SCENE/deadman-sshd/run"
    echo "room goes" >>"$SCENE/said" ;;
esac
exec {real} "$@"
""",
    )


def test_a_service_that_begins_while_the_room_goes_undoes_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.arm('echo went >>"$SCENE/went"')
    begins_while_the_room_goes(shell)
    assert shell.run(deadman._DISARM) == 0
    assert not (tmp_path / "went").exists()
    assert not shell.room.exists()


def test_a_service_that_has_not_begun_is_stopped_before_the_room_goes(tmp_path: Path) -> None:
    """Else it begins in the room of the next change, and undoes that."""
    shell = Shell(tmp_path)
    shell.arm("true")
    begins_while_the_room_goes(shell)
    assert shell.run(deadman._DISARM) == 0
    *_, stopped, gone = (tmp_path / "said").read_text().splitlines()
    assert gone == "room goes"
    assert stopped.startswith("stop ")
    assert "bzzz-install-deadman-sshd.service" in stopped.split()


def test_a_disarming_that_fails_is_not_called_the_host_s_way_back(tmp_path: Path) -> None:
    """Only the host's own word says that it was faster."""
    shell = Shell(tmp_path)
    shell.arm("true")
    for name in ("mv", "ln"):
        shell.tool(name, "exit 1")
    assert shell.run(deadman._DISARM) == 1
    assert shell.armed.exists(), "the host goes back in its time"


def fill(place: Path) -> None:
    for number in range(100):
        (place / f"filler-{number}").touch()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Shell]:
    """Return a host of which /run has no inode left after arming."""
    if os.geteuid() != 0:
        pytest.skip("mounts a file system")
    small = ["mount", "-t", "tmpfs", "-o", "nr_inodes=40", "bzzz-test", str(tmp_path)]
    if subprocess.run(small, check=False, capture_output=True, timeout=10).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        shell = Shell(tmp_path)
        shell.environment["SCENE"] = str(tmp_path)
        for name in ("went", "said"):
            (tmp_path / name).touch()
        shell.arm('echo went >>"$SCENE/went"')
        with pytest.raises(OSError, match="No space left"):
            fill(tmp_path)
        yield shell
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True, timeout=10)


def test_a_host_without_an_inode_left_goes_the_way_back(full: Shell) -> None:
    """Else the lockout stays, for whom nothing could be written down any more."""
    assert full.run('sh "$SCENE/deadman-sshd/run"') == 0
    assert (full.directory / "went").read_text() == "went\n"
    assert full.run(deadman._DISARM) == 75
    assert full.run(deadman._BACK) == 0
    assert (full.directory / "went").read_text() == "went\n", "and goes it once"


def test_a_proof_needs_no_inode(full: Shell) -> None:
    assert full.run(deadman._DISARM) == 0
    assert (full.directory / "went").read_text() == ""
