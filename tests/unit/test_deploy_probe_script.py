"""The probe's script: that every shell can read it, and that no tool on a host can hold it up."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bzzz_core.deploy.facts import parse as parser
from bzzz_core.deploy.facts.gpus import CardState
from bzzz_core.deploy.facts.parse import SCRIPTS, parse, probe_script
from bzzz_core.deploy.facts.routes import read_proxies
from bzzz_core.deploy.facts.sections import split_sections
from bzzz_core.deploy.remote import KILL_AFTER_S, Sudo, command_line
from tests.fakes.probe_outputs import WORD, section

PLACE = Path(parser.__file__).parent
SHELLS = [
    shlex.split(words)
    for words in ("dash", "bash --posix", "busybox sh")
    if shutil.which(words.split()[0])
]
HUNG_S = 30
"""How long a hanging tool would hang; no test waits for it."""


def names(shells: list[str]) -> str:
    return shells[0]


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


def fake(place: Path, name: str, body: str) -> None:
    path = place / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(place: Path, *files: str, change: dict[str, str] | None = None) -> bytes:
    """Return what files of the script print where the tools of `place` come first."""
    script = "".join((PLACE / name).read_text() for name in ("frame.sh", *files))
    for old, new in (change or {}).items():
        assert old in script
        script = script.replace(old, new)
    path = f"{place}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script, "probe", WORD, "/var/lib/bzzz", "/var/log/bzzz"],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": path},
        timeout=HUNG_S - 5,
    )
    assert done.stderr == b""
    return done.stdout


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
    output = run(tmp_path, "hardware.sh", change={"seconds=10": "seconds=0.5"})
    took_s = time.monotonic() - begun
    os.kill(int(left.read_text()), signal.SIGKILL)
    assert took_s < HUNG_S / 3
    assert not (tmp_path / "room").exists()
    found = split_sections(output.decode(), WORD)
    assert [found[name][0] for name in ("cpu", "memory")] == [124, 0]


def started(shell: list[str], tools: Path, memory: Path, *files: str) -> subprocess.Popen[bytes]:
    """Start files of the script with a directory of the test in place of the one in memory."""
    script = "".join((PLACE / name).read_text() for name in ("frame.sh", *files))
    assert "/dev/shm" in script  # noqa: S108
    return subprocess.Popen(
        [*shell, "-c", script.replace("/dev/shm", str(memory)), "probe", WORD, "/d", "/l"],  # noqa: S108
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(memory)},
    )


def places(tmp_path: Path) -> tuple[Path, Path]:
    """Return a place for tools and one for what the probe keeps."""
    found = tmp_path / "tools", tmp_path / "memory"
    for place in found:
        place.mkdir()
    return found


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


OLLAMA = 'LISTEN 0 4096 {} *:* users:(("ollama",pid=1,fd=3))'


def test_a_model_server_is_asked_over_loopback(tmp_path: Path) -> None:
    fake(tmp_path, "ss", f"echo '{OLLAMA.format('*:11434')}'")
    fake(
        tmp_path,
        "curl",
        "for url; do :; done\ncase $url in\n"
        """http://127.0.0.1:11434/api/version) echo '{"version":"0.5.7"}' ;;\n"""
        """*/api/tags) printf '{"models":[{"name":"a:1","size":5,"digest":"d"}]}\\n' ;;\n"""
        "*) exit 22 ;;\nesac",
    )
    facts = parse(run(tmp_path, "containers.sh"), WORD)
    assert facts.ai_servers is not None
    (server,) = (one for one in facts.ai_servers if one.port)
    assert (server.program, server.version, server.exposed) == ("ollama", "0.5.7", True)
    assert server.models is not None
    assert server.models[0].name == "a:1"
    assert server.loaded is None, "that question failed"


def test_a_model_server_that_nobody_can_ask_is_known_by_its_port(tmp_path: Path) -> None:
    fake(tmp_path, "ss", f"echo '{OLLAMA.format('127.0.0.1:9999')}'")
    fake(tmp_path, "curl", "exit 7")
    facts = parse(run(tmp_path, "containers.sh"), WORD)
    (server,) = (one for one in facts.ai_servers or () if one.port)
    assert (server.port, server.version, server.models) == (9999, None, None)
    assert not server.exposed


def ai_host(tools: Path, ports: list[int], asker: str, body: str, program: str) -> None:
    """Fake a host on which asking takes time that only its clock shows: `pass_s SECONDS`."""
    (tools / "now").write_text("1000")
    fake(tools, "date", f"cat {tools}/now")
    lines = "\n".join(
        f'LISTEN 0 4096 127.0.0.{n}:{port} *:* users:(("{program}",pid=1,fd=3))'
        for n, port in enumerate(ports, 1)
    )
    fake(tools, "ss", f"echo '{lines}'")
    clock = f"pass_s() {{ echo $(($(cat {tools}/now) + $1)) > {tools}/now; }}\n"
    fake(tools, asker, f"{clock}for url; do :; done\n{body}")


ANSWERS = """case $url in *version) echo '{"version":"1"}' ;; *) echo '{"models":[]}' ;; esac"""


def test_servers_that_hang_cost_only_their_own_facts(tmp_path: Path) -> None:
    """Of sixteen, each would take three seconds; the section as a whole has twenty."""
    hung = f"case $url in *:9*) pass_s 3; exit 28 ;; esac\n{ANSWERS}"
    ports = [11434, *range(9001, 9015), 11435]
    ai_host(tmp_path, ports, "curl", hung, "ollama")
    output = run(tmp_path, "containers.sh")
    servers = parse(output, WORD).ai_servers
    assert servers is not None
    said = {one.port: (one.version, one.models, one.loaded) for one in servers if one.port}
    assert set(said) == set(ports), "that they listen is known of all"
    assert said.pop(11434) == ("1", (), ())
    assert set(said.values()) == {(None, None, None)}
    assert int((tmp_path / "now").read_text()) - 1000 <= 20 - 2 * 3


def test_a_server_that_was_not_asked_is_not_taken_for_another_program(tmp_path: Path) -> None:
    """A container's server stands behind a process of another name, which only asking tells."""
    hung = f"case $url in *0.1:*) pass_s 60; exit 28 ;; esac\n{ANSWERS}"
    ai_host(tmp_path, [11434, 11434], "curl", hung, "docker-proxy")
    (server,) = parse(run(tmp_path, "containers.sh"), WORD).ai_servers or ()
    assert (server.program, server.port, server.version) == ("docker-proxy", 11434, None)
    assert server.address == "127.0.0.2", "the first was asked, and did not answer"


def test_wget_asks_once(tmp_path: Path) -> None:
    """By itself it tries twenty times."""
    tries = "n=20; case $* in *'-t 1 '*) n=1 ;; esac\n"
    hung = f"{tries}case $url in *:9*) pass_s $((3 * n)); exit 4 ;; esac\n{ANSWERS}"
    ai_host(tmp_path, [9001, 11434], "wget", hung, "ollama")
    output = run(tmp_path, "containers.sh", change={"command -v curl": "command -v no-curl"})
    servers = {one.port: one.version for one in parse(output, WORD).ai_servers or () if one.port}
    assert servers == {9001: None, 11434: "1"}


def test_servers_with_many_models_do_not_hide_the_others(tmp_path: Path) -> None:
    """All answers together stay below what is read of a section."""
    (tmp_path / "many").write_text('{"models":[{"name":"' + "a" * 250_000 + '"}]}')
    long = f"case $url in *:900[12]/api/tags) cat {tmp_path}/many; exit ;; esac\n{ANSWERS}"
    ai_host(tmp_path, [9001, 9002, 11434], "curl", long, "ollama")
    servers = parse(run(tmp_path, "containers.sh"), WORD).ai_servers or ()
    counts = {one.port: one.models and len(one.models) for one in servers if one.port}
    assert counts == {9001: 1, 9002: None, 11434: ()}
    assert {one.version for one in servers if one.port} == {"1"}


def test_the_login_of_a_proxy_stays_on_the_host(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text(
        "# http_proxy=http://old.test:1\n"
        'https_proxy="http://somebody:se/cr@t@proxy.test:3128"\n'
        'Acquire::http::Proxy "http://u:se/cr@t@apt.test:3142/";\nNO_PROXY=localhost\n'
    )
    output = run(tmp_path, "network.sh", change={"/etc/environment": str(file)})
    assert b"cr@t" not in output
    found = [one.url for one in parse(output, WORD).proxies or () if one.source == str(file)]
    assert found == ["http://proxy.test:3128", "http://apt.test:3142/"]


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("http_proxy=alice:se=cr@t@proxy.test:3128", ""),
        ("export HTTPS_PROXY=alice:se//cr@t@proxy.test:3128", ""),
        ('all_proxy="alice:se cr@t@proxy.test:3128"', ""),
        ("proxy = alice:cr@t@proxy.test:3128", ""),
        ('  "http-proxy": "alice:cr@t@proxy.test:3128",', ""),
        ('Environment="HTTP_PROXY=alice:cr@t@a.test" "HTTPS_PROXY=bob:cr@t@b.test"', ""),
        ("http_proxy=alice:cr@t@a.test https_proxy=http://b.test:1", "http://b.test:1"),
        ("at=http://alice:cr@t@a.test; http_proxy=$at", ""),
        ("http_proxy=HTTP://alice:cr@t@proxy.test:3128", ""),
        ("http_proxy=http://proxy.test:3128", "http://proxy.test:3128"),
        ('https_proxy="socks5h://alice:cr@t@proxy.test:1"', "socks5h://proxy.test:1"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "proxy.conf"])
def test_a_login_without_a_scheme_stays_on_the_host_too(
    line: str, url: str, place: str, tmp_path: Path
) -> None:
    (tmp_path / place).write_text(line + "\n")
    output = run(tmp_path, "network.sh", change={"/etc/environment": f"{tmp_path}/{place}"})
    said = split_sections(output.decode(), WORD)["proxy"][1]
    assert "test" in said or "$at" in said
    for secret in ("alice", "bob", "cr@t", "se=", "se/"):
        assert secret not in said.replace(str(tmp_path), "")
    found = [one.url for one in read_proxies(said.splitlines()) if str(tmp_path) in one.source]
    assert found == [url]


def test_rules_that_cannot_be_read_are_not_no_rules(tmp_path: Path) -> None:
    fake(tmp_path, "id", "echo 0")
    fake(tmp_path, "nft", "exit 1")
    fake(tmp_path, "iptables", "exit 4")
    assert parse(run(tmp_path, "system.sh"), WORD).firewall is None
    fake(tmp_path, "nft", "exit 0")
    fake(tmp_path, "iptables", "echo -P INPUT ACCEPT")
    firewall = parse(run(tmp_path, "system.sh"), WORD).firewall
    assert firewall is not None
    assert (firewall.backend, firewall.active) == ("none", False)


def test_every_loaded_table_of_the_older_kind_is_read(tmp_path: Path) -> None:
    """One that drops before the input was not looked at; one that is not loaded stays so."""
    loaded = tmp_path / "tables"
    loaded.write_text("filter\nraw\n")
    fake(tmp_path, "id", "echo 0")
    fake(tmp_path, "nft", "exit 0")
    fake(
        tmp_path,
        "iptables",
        "case $* in *raw*) echo -P PREROUTING DROP ;; *-t*) echo asked >&2; exit 1 ;;"
        " *) echo -P INPUT ACCEPT ;; esac",
    )
    change = {"/proc/net/ip_tables_names": str(loaded)}
    firewall = parse(run(tmp_path, "system.sh", change=change), WORD).firewall
    assert firewall is not None
    assert (firewall.active, firewall.ssh_allowed) == (True, None)


def test_empty_lines_hide_no_cut(tmp_path: Path) -> None:
    fake(tmp_path, "id", "echo 0")
    fake(tmp_path, "nft", f"cat {tmp_path}/rules")
    (tmp_path / "rules").write_text("table inet a {\n\n}\n" * 1_500)
    change = {"/proc/net/ip_tables_names": str(tmp_path / "none")}
    firewall = parse(run(tmp_path, "system.sh", change=change), WORD).firewall
    assert firewall is not None
    assert firewall.active is None


def test_an_old_lsblk_is_asked_for_what_it_knows(tmp_path: Path) -> None:
    fake(
        tmp_path,
        "lsblk",
        "case $* in *MOUNTPOINTS*) echo 'lsblk: unknown column: MOUNTPOINTS' >&2; exit 1 ;; esac\n"
        """echo '{"blockdevices": [{"name":"vda", "size":"5", "mountpoint":"/"}]}'""",
    )
    devices = parse(run(tmp_path, "hardware.sh"), WORD).devices
    assert devices is not None
    assert [(one.name, one.size_bytes, one.mounts) for one in devices] == [("vda", 5, ("/",))]


def test_an_ip_without_json_is_read_as_text(tmp_path: Path) -> None:
    fake(
        tmp_path,
        "ip",
        "case $* in *-j*) exit 255 ;; *addr*) echo '1: lo    inet 127.0.0.1/8 scope host' ;; esac",
    )
    found = {
        one.name: one.addresses for one in parse(run(tmp_path, "network.sh"), WORD).interfaces or ()
    }
    assert found["lo"] == ("127.0.0.1/8",)
