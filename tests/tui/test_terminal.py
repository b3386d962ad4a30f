"""What is shown on which terminal, decided before the app exists."""

from __future__ import annotations

import pytest

from bzzz_tui.terminal import apply, decide

XTERM = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


def test_a_pipe_gets_plain_text() -> None:
    assert decide(XTERM, is_tty=False, encoding="utf-8").plain


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_plain_text_and_a_reason(term: str) -> None:
    terminal = decide({"TERM": term}, is_tty=True, encoding="utf-8")
    assert terminal.plain
    assert "TERM" in terminal.reason


@pytest.mark.parametrize(
    ("environment", "theme"),
    [
        (XTERM, "bzzz-dark"),
        ({"TERM": "tmux-256color"}, "bzzz-dark"),
        ({"TERM": "linux"}, "bzzz-ansi"),
        ({"TERM": "xterm"}, "bzzz-ansi"),
        ({**XTERM, "NO_COLOR": "1"}, "bzzz-ansi"),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, "bzzz-dark"),
    ],
)
def test_the_theme_fits_the_terminal(environment: dict[str, str], theme: str) -> None:
    assert decide(environment, is_tty=True, encoding="utf-8").theme == theme


def test_a_theme_that_was_asked_for_wins() -> None:
    asked = decide({**XTERM, "NO_COLOR": "1"}, is_tty=True, theme="bzzz-light", encoding="utf-8")
    assert asked.theme == "bzzz-light"


def test_over_ssh_bytes_are_saved() -> None:
    terminal = decide({**XTERM, "SSH_CONNECTION": "a 1 b 2"}, is_tty=True, encoding="utf-8")
    assert terminal.remote
    assert not terminal.mouse
    environment = {"TEXTUAL_FPS": "30"}
    apply(terminal, environment)
    assert environment["TEXTUAL_ANIMATIONS"] == "none"
    assert environment["TEXTUAL_FPS"] == "30", "what the operator set stays"


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert decide(XTERM, is_tty=True, encoding="ANSI_X3.4-1968").ascii
    assert decide(XTERM, is_tty=True, encoding="UTF-8", ascii_only=True).ascii
    assert not decide(XTERM, is_tty=True, encoding="UTF-8").ascii


def test_the_linux_console_gets_ascii_for_its_font_has_no_stars() -> None:
    assert decide({"TERM": "linux"}, is_tty=True, encoding="UTF-8").ascii
