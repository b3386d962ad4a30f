"""Command lines: whatever a value holds, the host's shell reads exactly that value."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.deploy.remote import Sudo, after_mark, command_line, printable

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


AWKWARD = [
    "-n",
    "--",
    "$(id)",
    "`id`",
    "a\nb",
    "'",
    '"',
    "!",
    "\\",
    "\\\\",
    "\\'",
    "a\\",
    "~",
    "{a,b}",
]
SHELLS = ["sh", *(shell for shell in ("bash", "zsh", "fish", "busybox") if shutil.which(shell))]


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=40)
@given(values=st.lists(st.one_of(WORDS, st.sampled_from(AWKWARD)), max_size=12))
def test_values_survive_two_shells(shell: str, values: list[str]) -> None:
    """The login shell reads the line, and the shell inside it the script's arguments."""
    line = command_line('printf "%s\\0" "$@"', *values, mark="mark", timeout_s=5, sudo=Sudo.ROOT)
    login = ["busybox", "sh"] if shell == "busybox" else [shell]
    done = subprocess.run([*login, "-c", line], check=True, capture_output=True)
    printed = after_mark(done.stdout, "mark")
    assert printed is not None
    expected = b"".join(value.encode() + b"\0" for value in values)
    assert printed == (expected or b"\0")


@pytest.mark.parametrize(
    ("sudo", "start"),
    [
        (Sudo.ROOT, "env "),
        (None, "env "),
        (Sudo.FREE, "sudo -n -- env "),
        (Sudo.PASSWORD, "sudo -k -S -p '' -- env "),
    ],
)
def test_becoming_root(sudo: Sudo | None, start: str) -> None:
    line = command_line("true", mark="m", timeout_s=7, sudo=sudo)
    assert line.startswith(start)
    assert " timeout -k 5 7 sh -c " in line, "the limit is inside sudo: only root can kill root's"


def test_a_script_never_reads_what_was_meant_for_sudo() -> None:
    """Had sudo asked for no password, the password would be the payload's first line."""
    line = command_line("cat; echo end", mark="m", timeout_s=5, sudo=Sudo.ROOT)
    done = subprocess.run(
        ["/bin/sh", "-c", line], input=b"password\n", check=True, capture_output=True
    )
    assert done.stdout == b"m\nend\n"


def test_what_login_files_print_is_not_output() -> None:
    assert after_mark(b"Welcome\nmark\nresult", "mark") == b"result"
    assert after_mark(b"Welcome", "mark") is None


def test_untrusted_text_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[31mred\x07\n b\u202e") == "a [31mred b"
