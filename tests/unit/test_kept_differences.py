"""What setup keeps, refuses and leaves no trace of: replaced texts, terminals, core dumps."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bzzz_core.deploy import place
from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.ssh import refusal
from bzzz_core.errors import AuthenticationFailed
from tests.fakes.probe_script import fake


def put(tmp_path: Path, text: str, at: str, keep: str = "keep") -> None:
    """Run the script that places a file of root's, with a clock that says `at`."""
    fake(tmp_path, "chown", ":")
    fake(tmp_path, "date", f"echo {at}")
    source = tmp_path / "source"
    source.write_text(text)
    sum_ = hashlib.sha256(text.encode()).hexdigest()
    words = (str(source), sum_, str(tmp_path / "agent.yaml"), "root", "root", "640", keep)
    subprocess.run(
        ["sh", "-c", place._AS_ROOT, "bzzz", *words],
        check=True,
        timeout=20,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )


def kept(tmp_path: Path) -> dict[str, str]:
    return {
        path.name.rpartition("-")[2]: path.read_text()
        for path in sorted(tmp_path.glob("agent.yaml.bzzz-bak-*"))
    }


def test_what_somebody_wrote_by_hand_stays_beside_what_replaces_it(tmp_path: Path) -> None:
    put(tmp_path, "ours", "T1")
    assert kept(tmp_path) == {}
    (tmp_path / "agent.yaml").write_text("by hand")
    put(tmp_path, "ours", "T2")
    assert (tmp_path / "agent.yaml").read_text() == "ours"
    assert kept(tmp_path) == {"T2": "by hand"}


def test_the_same_text_is_kept_once_and_three_are_kept_at_most(tmp_path: Path) -> None:
    put(tmp_path, "ours", "T0")
    put(tmp_path, "ours", "T1")
    for number, text in enumerate(["a", "a", "b", "c", "d"], 2):
        (tmp_path / "agent.yaml").write_text(text)
        put(tmp_path, "ours", f"T{number}")
    assert kept(tmp_path) == {"T4": "b", "T5": "c", "T6": "d"}


def test_other_files_are_replaced_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("old")
    put(tmp_path, "new", "T1", keep="")
    assert kept(tmp_path) == {}


def test_sudo_that_wants_a_terminal_is_told_from_one_that_wants_a_password() -> None:
    wants = Completed(1, b"", b"sudo: sorry, you must have a tty to run sudo\n")
    with pytest.raises(AuthenticationFailed, match=r"requiretty.*Defaults:admin !requiretty"):
        refusal.check_terminal(wants, "bzzz-1", "admin")
    refusal.check_terminal(Completed(1, b"", b"sudo: a password is required"), "bzzz-1", "admin")
    refusal.check_terminal(Completed(0, b"", b"must have a tty"), "bzzz-1", "admin")


def test_setup_leaves_no_core_dump() -> None:
    program = """
import resource
from bzzz_tui.cli import main
try:
    main(["setup", "--answers", "/nonexistent.yaml", "--check"], standalone_mode=False)
except BaseException:
    pass
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "(0, 0)"
