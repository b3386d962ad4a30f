"""A value in `.env` is the same to a POSIX shell and to Docker Compose, or it is refused."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bzzz_core.deploy.generate.dotenv import dotenv
from bzzz_core.errors import ConfigError

NAME = "BZZZ_A"
NASTY = st.text(st.sampled_from(list("ab \t'\"\\$`{}()#=!~*?[];&|<>%é\n\r")), max_size=12)
ANY = st.text(st.characters(exclude_characters="\0"), max_size=20)


def read_by_compose(text: str) -> dict[str, str]:
    r"""Read as Compose's own reader does, as far as lines are written here.

    A name, `=`, a quoted value to the end of the line. Between single quotes only `\'` is special.
    Between double quotes `\"` is a quote, then `\$` a dollar, `\\` a backslash and `\n` and so on
    control codes; a dollar that is left is a variable.
    """
    found = {}
    rest = text
    while rest:
        start = re.match(r"([A-Za-z_][A-Za-z0-9_]*)=(['\"])", rest)
        assert start, f"no quoted value: {rest!r}"
        value, end = _to_quote(rest, start.end(), start[2])
        assert rest[end] == "\n", "something stands behind the value"
        found[start[1]] = value if start[2] == "'" else _unescaped(value)
        rest = rest[end + 1 :]
    return found


def _to_quote(text: str, at: int, quote: str) -> tuple[str, int]:
    """Return what stands until the closing quote, and the place behind that."""
    read, escaped = "", False
    while True:
        character = text[at]
        at += 1
        if character == quote and not escaped:
            return read, at
        if character == quote:
            read, escaped = read + quote, False
        elif escaped:
            read, escaped = read + "\\" + character, False
        elif character == "\\":
            escaped = True
        else:
            read += character


def _unescaped(value: str) -> str:
    codes = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}

    def one(match: re.Match[str]) -> str:
        return codes.get(match[1], match[1])

    left = re.sub(r"\\[abcfnrtv$\"\\]", "", value)
    assert "$" not in left, f"a variable: {value!r}"
    return re.sub(r"\\([abcfnrtv$\"\\])", one, value)


def read_by_shell(directory: Path, text: str) -> str:
    """Read by the shell of this machine."""
    (directory / "env").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["sh", "-euc", f'. ./env; printf %s "${NAME}"'],
        cwd=directory,
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert not done.stderr
    return done.stdout.decode()


@settings(max_examples=150)
@given(value=NASTY | ANY)
@example(value="it's $HOME")
@example(value="'\\")
@example(value="\\n'")
@example(value="\\\\'\"")
@example(value="a\\")
@example(value="'")
@example(value="")
@example(value="~/x # no comment")
def test_shell_and_compose_read_what_was_written(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        text = dotenv({NAME: value})
    except ConfigError:
        control = re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value)
        assert control or ("`" in value and ("'" in value or value.endswith("\\")))
        return
    assert read_by_compose(text) == {NAME: value}
    assert read_by_shell(tmp_path_factory.getbasetemp(), text) == value


def test_the_readers_tell_apart_what_is_written_wrongly(tmp_path: Path) -> None:
    """Without quoting, or with a shell's own quoting, one of them reads something else."""
    text = f"{NAME}='it'\"'\"'s'\n"  # as shlex.quote would have it
    assert read_by_shell(tmp_path, text) == "it's"
    with pytest.raises(AssertionError, match="behind the value"):
        read_by_compose(text)
    assert read_by_compose(f'{NAME}="a`b"\n') == {NAME: "a`b"}
    assert read_by_compose(f'{NAME}="\\\\n"\n') == {NAME: "\\n"}
