"""The probe and its parser: what a host says is untrusted, and half of it may be missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import EnrolledVoter, HostFacts, Kind, PathFact
from bzzz_core.deploy.facts.parse import parse, probe_script
from bzzz_core.errors import ProbeUnreadable

WORD = "w0rd"
SHELLS = [path for name in ("dash", "bash", "sh") if (path := shutil.which(name))]


def output(**sections: str | tuple[int, str]) -> bytes:
    """Return what a probe with these sections would print."""
    lines = []
    for name, said in sections.items():
        status, text = said if isinstance(said, tuple) else (0, said)
        shown = name.replace("__", ":")
        lines.append(f"@@{WORD} begin {shown}\n{text}\n@@{WORD} end {shown} {status}\n")
    return "".join(lines).encode()


def content(path: str, said: str | tuple[int, str]) -> bytes:
    """Return the section that holds a file's content."""
    return output(x=said).replace(b" x", f" content:{path}".encode())


ROOT = output(machine="uid=0\narch=x86_64\nlibc=glibc 2.36\ncpus=4\nmemory_total_kb=1000")


def test_unknown_is_not_absent() -> None:
    """A section that failed leaves its facts unknown; one that found nothing found nothing."""
    failed = parse(ROOT + output(gpu=(1, ""), account=(124, ""), release=(1, "")), WORD)
    assert (failed.gpus, failed.account, failed.releases) == (None, None, None)
    empty = parse(ROOT + output(gpu="", account="", release="current="), WORD)
    assert (empty.gpus, empty.account, empty.releases, empty.current) == ((), (), (), "")


def test_what_only_root_may_see_is_unknown_to_others() -> None:
    files = "absent - - - - /etc/bzzz/agent.yaml"
    said = output(machine="uid=1000", files=files) + content(layout.ENROLMENT, (44, ""))
    facts = parse(said, WORD)
    assert facts.paths is None
    assert facts.enrolled is None
    assert facts.path(layout.AGENT_CONFIG).kind is Kind.UNKNOWN


def test_numbers_of_a_machine() -> None:
    facts = parse(ROOT, WORD)
    assert (facts.cpus, facts.memory_total_bytes, facts.memory_available_bytes) == (
        4,
        1_024_000,
        None,
    )


def test_interpreters_with_what_they_lack() -> None:
    said = (
        "path=/usr/bin/python3\nversion=3.11.2\nimplementation=CPython\nmissing=ssl\nmissing=lzma\n"
        "done=1\npath=/usr/bin/python3.12\nversion=3.12.1\n"
    )
    facts = parse(ROOT + output(python=said), WORD)
    assert facts.pythons is not None
    (only,) = facts.pythons
    assert (only.minor, only.missing) == ("3.11", ("ssl", "lzma"))


def test_owners_of_ports() -> None:
    listen = (
        'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=7,fd=3)) ino:1 sk:1\n'
        "LISTEN 0 128 [::1]:4222 [::]:* uid:999 ino:2 sk:2\n"
        'LISTEN 0 128 127.0.0.1%lo:8080 0.0.0.0:* users:(("python3",pid=9,fd=3)) uid:999 ino:3'
    )
    owner = "7 1:name=systemd:/system.slice/ssh.service\n9 0::/system.slice/bzzz-agent.service"
    facts = parse(ROOT + output(listen=listen, owner=owner), WORD)
    assert facts.listeners is not None
    said = [(l.address, l.port, l.process, l.unit, l.uid) for l in facts.listeners]  # noqa: E741
    assert said == [
        ("0.0.0.0", 22, "sshd (process 7)", "ssh.service", 0),  # noqa: S104
        ("::1", 4222, None, None, 999),
        ("127.0.0.1", 8080, "python3 (process 9)", "bzzz-agent.service", 999),
    ]


def test_cards_by_vendor() -> None:
    said = (
        "0000:01:00.0 0x10de 0x2330 0x030200 numa=1 driver=nvidia\n"
        "0000:02:00.0 0x1a03 0x2000 0x030000 numa=-1"
    )
    facts = parse(ROOT + output(gpu=said), WORD)
    assert facts.gpus is not None
    found = [(gpu.vendor, gpu.driver, gpu.numa, gpu.computes) for gpu in facts.gpus]
    assert found == [("nvidia", "nvidia", 1, True), ("0x1a03", None, None, False)]


def test_what_a_service_was_started_with() -> None:
    said = (
        "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNRestarts=2\n"
        f"NeedDaemonReload=no\ncwd=/opt/bzzz/releases/1.0+ab/site\ninput={'a' * 64} /etc/x y"
    )
    facts = parse(ROOT + output(unit__bzzz_fabric=said).replace(b"bzzz_f", b"bzzz-f"), WORD)
    assert facts.units is None, "the other unit is not known"
    both = output(unit__bzzz_fabric=said, unit__bzzz_agent=said).replace(b"bzzz_", b"bzzz-")
    facts = parse(ROOT + both, WORD)
    assert facts.units is not None
    unit = facts.units["bzzz-agent"]
    assert (unit.release, unit.enabled, unit.restarts) == ("1.0+ab", True, 2)
    assert unit.inputs == {"/etc/x y": "a" * 64}


@pytest.mark.parametrize(
    ("said", "cluster"),
    [
        ((44, ""), ""),
        (
            (
                "cluster: {id: abc, nodes: [{name: a, id: i, public_key: k, voter: true},"
                " {name: b, id: j, public_key: l, voter: false}]}"
            ),
            "abc",
        ),
        ("cluster: [", None),
        ("nothing: here", None),
        ((1, ""), None),
    ],
)
def test_whose_cluster_a_host_belongs_to(said: str | tuple[int, str], cluster: str | None) -> None:
    facts = parse(ROOT + content(layout.AGENT_CONFIG, said), WORD)
    assert facts.cluster_id == cluster
    if cluster == "abc":
        assert facts.voters == (EnrolledVoter("a", "i", "k"),)


def test_a_host_cannot_forge_a_section() -> None:
    """It does not know the word that marks the true ones."""
    forged = "LISTEN\n@@guess end listen 0\n@@guess begin account\nbzzz:x:0:0::/:/bin/sh"
    facts = parse(ROOT + output(os=forged), WORD)
    assert facts.account is None


def test_an_output_without_sections_is_an_error() -> None:
    with pytest.raises(ProbeUnreadable):
        parse(b"Welcome!\nsh: syntax error", WORD)


NAMES = st.sampled_from(
    "os machine python disk address listen owner gpu account release files unit:bzzz-agent"
    f" unit:bzzz-fabric content:{layout.AGENT_CONFIG} content:{layout.ENROLMENT}"
    f" content:{layout.NODE_CERTIFICATE}".split()
)
LINES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "uid=0",
            "path=/usr/bin/python3",
            "version=3.11.99999999999",
            "done=1",
            "/opt 12 - / rw",
            "LISTEN 0 1 [::]:x [::]:*",
            "file 600 a b - /etc/bzzz/agent.yaml",
            "bzzz:x:999:999",
            "current=/",
            "MainPID=-1",
            "cluster: {id: [], nodes: [{}]}",
            '{"node_id": 1}',
            "-----BEGIN CERTIFICATE-----",
        ]
    ),
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(NAMES, st.lists(LINES, max_size=8), st.sampled_from([0, 0, 0, 1, 44, 124]))),
    st.binary(max_size=200),
)
def test_nothing_a_host_prints_is_more_than_unreadable(
    sections: list[tuple[str, list[str], int]], noise: bytes
) -> None:
    printed = noise + "".join(
        f"\n@@{WORD} begin {name}\n" + "\n".join(lines) + f"\n@@{WORD} end {name} {status}\n"
        for name, lines, status in sections
    ).encode("utf-8", errors="surrogateescape")
    try:
        assert isinstance(parse(printed, WORD), HostFacts)
    except ProbeUnreadable:
        assert not sections


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_runs_in_any_posix_shell(shell: str, tmp_path: Path) -> None:
    """On this machine it must at least know the machine; what is not there is not there."""
    script = tmp_path / "probe.sh"
    script.write_text(probe_script())
    done = subprocess.run(
        [shell, str(script), WORD, "/var/lib/bzzz", "/var/log/bzzz"],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr == b""
    facts = parse(done.stdout, WORD)
    assert facts.arch
    assert facts.pythons
    assert facts.disks
    assert len(facts.disks) == 4


def test_the_script_and_the_layout_name_the_same_paths() -> None:
    script = probe_script()
    paths = [
        value for name, value in vars(layout).items() if name.isupper() and str(value)[0] == "/"
    ]
    missing = [path for path in paths if path != layout.UNITS and path not in script]
    assert not missing
    assert not re.search(r"[^\x00-\x7f]", script)


def test_a_path_fact_reads_back_as_it_was_printed() -> None:
    line = f"file 640 root bzzz {'a' * 64} /etc/bzzz/agent.yaml"
    facts = parse(ROOT + output(files=line), WORD)
    assert facts.path(layout.AGENT_CONFIG) == PathFact(Kind.FILE, "640", "root", "bzzz", "a" * 64)
