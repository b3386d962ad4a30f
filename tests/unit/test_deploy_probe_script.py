"""The probe's script: that every shell can read it, and that no tool on a host can hold it up."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bzzz_core.deploy.facts.gpus import CardState
from bzzz_core.deploy.facts.parse import SCRIPTS, parse, probe_script
from bzzz_core.deploy.facts.sections import split_sections
from bzzz_core.deploy.remote import KILL_AFTER_S, Sudo, command_line
from tests.fakes.probe_outputs import WORD, section
from tests.fakes.probe_script import HUNG_S, PLACE, SHELLS, fake, names, places, run, started


@pytest.mark.parametrize("shell", SHELLS, ids=names)
@pytest.mark.parametrize("name", SCRIPTS)
def test_each_file_is_posix_sh(name: str, shell: list[str]) -> None:
    done = subprocess.run([*shell, "-n", PLACE / name], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("shell", SHELLS, ids=names)
def test_each_section_is_posix_sh(shell: list[str]) -> None:
    """For the shell that reads the file a section is a text; its errors would show on a host."""
    frame = (PLACE / "frame.sh").read_text()
    prelude = frame[frame.index("prelude='") : frame.index("# After 45 seconds")]
    check = f'section() {{ {shlex.join(shell)} -n -c "$prelude$2" || echo "$1"; echo read; }}\n'
    rest = "".join((PLACE / name).read_text() for name in SCRIPTS if name != "frame.sh")
    done = subprocess.run(
        [*shell, "-c", prelude + check + rest], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) == {"read"}
    assert done.stdout.count("read") > 20


def test_the_command_fits_into_one_argument() -> None:
    """Linux allows 128 KiB for one; quoting for `sudo`, `env` and `sh` makes the text longer."""
    line = command_line(probe_script(), "word", mark="mark", timeout_s=90, sudo=Sudo.FREE)
    assert len(line) < 64 * 1024


CARD = section("gpu", "0000:01:00.0 0x10de 0x2230 0x030000 numa=0 driver=nvidia")


def with_card(output: bytes) -> bytes:
    """Return the output with a card in the machine, which the one of the test lacks."""
    return re.sub(rb"@@w0rd begin gpu\n.*?end gpu \d+\n", CARD, output, flags=re.DOTALL)


def test_a_hanging_tool_costs_its_limit_and_is_named(tmp_path: Path) -> None:
    fake(tmp_path, "nvidia-smi", f"trap '' TERM; exec sleep {HUNG_S}")
    output = run(tmp_path, "gpus.sh", change={"held query 15": "held query 0.2"})
    facts = parse(with_card(output), WORD)
    assert facts.gpus is not None
    assert [card.state for card in facts.gpus] == [CardState.HUNG]


def test_what_outlives_its_end_does_not_keep_the_output_open(tmp_path: Path) -> None:
    """A process that hangs in the kernel cannot be killed; here one that left its group."""
    left = tmp_path / "pid"
    fake(
        tmp_path,
        "nvidia-smi",
        f"setsid sleep {HUNG_S} & echo $! > {left}\necho Unable to determine the device handle\n"
        "exit 15",
    )
    begun = time.monotonic()
    output = run(tmp_path, "gpus.sh")
    took_s = time.monotonic() - begun
    os.kill(int(left.read_text()), signal.SIGKILL)
    assert took_s < HUNG_S / 3
    assert split_sections(output.decode(), WORD)["nvidia"][1].count("== query 15") == 1


def test_no_tool_keeps_the_output_open_and_no_file_stays(tmp_path: Path) -> None:
    """Any may hang, as `df` does on a dead file server."""
    left = tmp_path / "pid"
    fake(
        tmp_path,
        "lscpu",
        f"setsid sleep {HUNG_S} & echo $! > {left}\nexec sleep {HUNG_S}",
    )
    fake(tmp_path, "mktemp", f"mkdir {tmp_path}/room && echo {tmp_path}/room")
    begun = time.monotonic()
    output = run(tmp_path, "hardware.sh", change={"seconds=10": "seconds=3"})
    took_s = time.monotonic() - begun
    os.kill(int(left.read_text()), signal.SIGKILL)
    assert took_s < HUNG_S / 3
    assert not (tmp_path / "room").exists()
    found = split_sections(output.decode(), WORD)
    assert [found[name][0] for name in ("cpu", "memory")] == [124, 0]


@pytest.mark.parametrize("shell", SHELLS, ids=names)
def test_nothing_stays_when_the_reader_goes_away(shell: list[str], tmp_path: Path) -> None:
    """So it is when somebody interrupts setup: the next word that the probe says kills it."""
    tools, memory = places(tmp_path)
    go = tmp_path / "go"
    os.mkfifo(go)
    fake(tools, "lscpu", f"read -r line < {go}")
    probe = started(shell, tools, memory, "hardware.sh")
    assert probe.stdout is not None
    assert probe.stdout.readline() == b"@@w0rd begin cpu\n"
    probe.stdout.close()
    assert [path.name[:11] for path in memory.iterdir()] == ["bzzz-probe-"]
    go.write_text("go\n")
    probe.wait(HUNG_S / 3)
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS, ids=names)
def test_a_probe_that_is_stopped_stops_its_tool_and_tidies_at_once(
    shell: list[str], tmp_path: Path
) -> None:
    """`timeout -k` kills soon after it asked; a shell that waits for a tool would never hear."""
    tools, memory = places(tmp_path)
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    fake(tools, "lscpu", f"exec 9>{ready}\necho works >&9\nexec sleep {HUNG_S}")
    probe = started(shell, tools, memory, "hardware.sh")
    with ready.open() as tool:
        assert tool.readline() == "works\n"
        begun = time.monotonic()
        probe.terminate()
        probe.communicate()
        assert tool.read() == "", "it ended too: nobody holds the other end"
        took_s = time.monotonic() - begun
    assert (probe.returncode, list(memory.iterdir())) == (124, [])
    assert took_s < KILL_AFTER_S


def test_what_a_killed_probe_left_the_next_one_removes(tmp_path: Path) -> None:
    """Only what is a directory of ours, and so old that no probe can still be at work in it."""
    tools, memory = places(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    for name in ("bzzz-probe-old", "bzzz-probe-young", "other-old"):
        (memory / name).mkdir()
        (memory / name / "said").touch()
    (memory / "bzzz-probe-link").symlink_to(tmp_path / "elsewhere")
    (memory / "bzzz-probe-old" / "link").symlink_to(tmp_path / "elsewhere")
    (memory / "bzzz-probe-file").touch()
    long_ago = time.time() - 3_600
    for path in memory.iterdir():
        if path.name != "bzzz-probe-young":
            os.utime(path, (long_ago, long_ago), follow_symlinks=False)
    fake(tools, "id", "echo 12345")
    started(["sh"], tools, memory).communicate()
    assert len(list(memory.iterdir())) == 5, "another user's"
    (tools / "id").unlink()
    started(["sh"], tools, memory).communicate()
    assert {path.name for path in memory.iterdir()} == {
        *("bzzz-probe-young", "bzzz-probe-link", "bzzz-probe-file", "other-old"),
    }
    assert (tmp_path / "elsewhere" / "kept").exists()


def test_without_a_place_for_files_the_output_comes_directly(tmp_path: Path) -> None:
    """A full disk is among the things to be found."""
    fake(tmp_path, "mktemp", "exit 1")
    assert parse(run(tmp_path, "hardware.sh"), WORD).cpu is not None


def test_a_tool_that_never_ends_speaking_is_stopped(tmp_path: Path) -> None:
    fake(
        tmp_path,
        "lscpu",
        "while echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do :; done",
    )
    output = run(tmp_path, "hardware.sh")
    assert len(output) < 500_000
    assert split_sections(output.decode(), WORD)["cpu"][0] == CUT, "ended long before its limit"
    assert parse(output, WORD).memory is not None


CUT = 122
"""How a section ends that printed more than is read of one."""
LISTENER = (
    "LISTEN 0      511                              0.0.0.0:{}              0.0.0.0:*"
    '    users:(("nginx",pid=800,fd=6)) ino:23402 sk:5 cgroup:/system.slice/nginx.service <->'
)


@pytest.mark.parametrize("shell", SHELLS, ids=names)
@pytest.mark.parametrize(("count", "status"), [(2_000, 0), (5_000, CUT), (20_000, CUT)])
def test_a_list_that_was_cut_is_unknown(
    count: int, status: int, shell: list[str], tmp_path: Path
) -> None:
    """Half of the ports would leave the other half free; the last count is past `ulimit` too."""
    tools, memory = places(tmp_path)
    (tmp_path / "listeners").write_text(
        "".join(LISTENER.format(10_000 + n) + "\n" for n in range(count))
    )
    fake(tools, "ss", f"cat {tmp_path}/listeners")
    probe = started(shell, tools, memory, "machine.sh")
    output, _ = probe.communicate()
    assert split_sections(output.decode(), WORD)["listen"][0] == status
    listeners = parse(output, WORD).listeners
    assert (listeners and len(listeners)) == (None if status else count)
    assert parse(output, WORD).hostname is not None, "the others are as they were"


def test_a_tool_that_is_stopped_for_saying_too_much_is_no_success(tmp_path: Path) -> None:
    """What is too much even for the file kills the tool, and its section may end in `true`."""
    tools, memory = places(tmp_path)
    fake(tools, "grep", "head -c 9000000 /dev/zero")
    output, _ = started(["sh"], tools, memory, "network.sh").communicate()
    assert split_sections(output.decode(), WORD)["proxy"][0] == CUT


def test_a_tool_is_asked_only_what_has_an_answer(tmp_path: Path) -> None:
    """Each question wakes every card: one card has no topology, an undivided one no parts."""
    log = tmp_path / "log"
    row = "GPU-1, NVIDIA RTX A4000, 00000000:01:00.0, 16376, 1, 550.54.15, 8.6, [N/A]"
    fake(
        tmp_path,
        "nvidia-smi",
        f'echo "$1" >> {log}\n'
        f'case $1 in --query*) echo "{row}" ;; *) echo "CUDA Version : 12.4" ;; esac',
    )
    facts = parse(with_card(run(tmp_path, "gpus.sh")), WORD)
    asked = [line.partition("=")[0] for line in log.read_text().splitlines()]
    assert asked == ["--query-gpu", "--version"]
    assert facts.gpus is not None
    assert (facts.gpus[0].state, facts.gpus[0].memory_total_bytes) == (
        CardState.WORKING,
        16_376 << 20,
    )


def test_late_sections_are_skipped_and_unknown(tmp_path: Path) -> None:
    """The whole command has a limit, at which it would leave nothing at all."""
    fake(tmp_path, "date", f"n=$(cat {tmp_path}/n); echo $((n + 50)) | tee {tmp_path}/n")
    (tmp_path / "n").write_text("0")
    output = run(tmp_path, "containers.sh")
    ends = {name: status for name, (status, _) in split_sections(output.decode(), WORD).items()}
    assert ends == {"docker": 125, "podman": 125, "ai": 125}
    assert parse(output, WORD).docker is None


def test_an_interpreter_of_two_names_is_started_once(tmp_path: Path) -> None:
    """Each start costs as much as ten other questions."""
    fake(
        tmp_path,
        "python3.11",
        f"echo started >> {tmp_path}/log\n"
        "printf '%s\\n' version=3.11.2 implementation=CPython missing=lzma done=1",
    )
    (tmp_path / "python3").symlink_to("python3.11")
    output = run(tmp_path, "machine.sh", change={"/usr/bin /usr/local/bin": str(tmp_path)})
    pythons = parse(output, WORD).pythons or ()
    assert [one.path for one in pythons if one.missing == ("lzma",)] == [
        f"{tmp_path}/python3",
        f"{tmp_path}/python3.11",
    ]
    assert (tmp_path / "log").read_text() == "started\n"


def test_a_module_without_its_compiled_half_or_its_package_is_missing(tmp_path: Path) -> None:
    """A distribution may leave out either; here by names that no Python has."""
    (tmp_path / "python3").symlink_to(sys.executable)
    change = {
        "/usr/bin /usr/local/bin": str(tmp_path),
        r"if name in (\"ssl\",": r"if name in (\"unittest\",",
        r"\"email\", \"http.client\"": r"\"email\", \"http.no_client\", \"no_email\"",
    }
    output = run(tmp_path, "machine.sh", change=change)
    (python,) = parse(output, WORD).pythons or ()
    assert python.implementation == "CPython"
    assert python.version == sys.version_info[:3]
    assert python.missing == ("http.no_client", "no_email", "unittest")
