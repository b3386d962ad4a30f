"""What this terminal can show, decided once and before the app is built.

Textual chooses its colour filters in the constructor and has no guard for `TERM=dumb`, so the
choice cannot wait (measured; `NO_COLOR` with an ordinary theme still sends greys):

    no terminal, or TERM=dumb                    -> plain text, no app
    NO_COLOR, or a TERM with sixteen colours     -> the ANSI theme
    SSH_CONNECTION                               -> 15 frames a second, no animation, no mouse
    TERM=linux, or an encoding that is not UTF-8 -> ASCII: its font has no stars and blocks

Rules: pure functions over the environment; `apply` is the only one that writes it, and it must run
before Textual is imported, because Textual reads its own variables at import.
"""

from __future__ import annotations

import locale
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from themes import loader

_SIXTEEN_COLOR_TERMS: Final = ("linux", "xterm", "vt100", "vt220", "ansi", "screen", "cygwin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """How to talk to one terminal."""

    plain: bool
    """Print text; do not take over the screen."""
    theme: str
    mouse: bool
    ascii: bool
    """Only characters of ASCII: no bars, boxes or symbols."""
    remote: bool
    """Reached over SSH: save bytes."""
    reason: str = ""
    """Why `plain`, in words for a message."""


def decide(
    environment: Mapping[str, str],
    *,
    is_tty: bool,
    theme: str | None = None,
    plain: bool = False,
    ascii_only: bool = False,
    encoding: str | None = None,
) -> Terminal:
    """Return how to talk to the terminal that the environment describes.

    Args:
        environment: The process environment.
        is_tty: Whether standard input and output are a terminal.
        theme: The theme asked for; None chooses one.
        plain: Plain text was asked for.
        ascii_only: ASCII was asked for.
        encoding: Of standard output; None means the locale's.
    """
    term = environment.get("TERM", "")
    reason = ""
    if plain:
        reason = "--plain was given"
    elif not is_tty:
        reason = "standard input and output are not a terminal"
    elif term in {"dumb", ""}:
        reason = f"TERM is {term or 'not set'}"
    remote = bool(environment.get("SSH_CONNECTION"))
    codec = (encoding or locale.getpreferredencoding(do_setlocale=False)).lower().replace("-", "")
    return Terminal(
        plain=bool(reason),
        theme=theme or _theme_for(environment, term),
        mouse=not remote,
        ascii=ascii_only or codec != "utf8" or term == "linux",
        remote=remote,
        reason=reason,
    )


def apply(terminal: Terminal, environment: MutableMapping[str, str]) -> None:
    """Set Textual's own variables, without overriding what the operator set."""
    if terminal.remote:
        environment.setdefault("TEXTUAL_FPS", "15")
        environment.setdefault("TEXTUAL_ANIMATIONS", "none")
        environment.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")


def _theme_for(environment: Mapping[str, str], term: str) -> str:
    if "NO_COLOR" in environment:
        return loader.SIXTEEN
    if environment.get("COLORTERM") in {"truecolor", "24bit"}:
        return loader.DEFAULT
    return loader.SIXTEEN if term in _SIXTEEN_COLOR_TERMS else loader.DEFAULT
