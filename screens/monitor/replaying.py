"""A recording to go to and fro in: the line that says where it stands, and its speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bzzz_core.errors import ConfigError
from bzzz_tui.actions import action
from bzzz_tui.monitor.opened import Replaying
from bzzz_tui.parts import Line, Part, joined
from bzzz_tui.wording import Tone, clean

if TYPE_CHECKING:
    from screens.monitor.base import MonitorView

_KEYS: Final = (
    (("replay.step-back", "replay.step"), "step"),
    (("replay.minute-back", "replay.minute"), "minute"),
    (("replay.seek",), "seek"),
    (("view.pause",), "hold"),
    (("replay.speed",), "faster"),
)
_FASTEST: Final = 16.0
"""After this the key begins again at the tempo in which it was recorded."""


def replay_of(view: MonitorView) -> Replaying:
    """Return the recording that a view shows.

    Raises:
        ConfigError: It shows none.
    """
    replay = view.session.replay
    if replay is None:
        raise ConfigError("this is no recording")
    return replay


def set_speed(view: MonitorView, words: str) -> None:
    """Play twice as fast, or so many times as fast as it was.

    Raises:
        ConfigError: The words are no number.
    """
    replay = replay_of(view)
    if not words:
        faster = 2 * replay.speed
        replay.set_speed(faster if 1 <= faster <= _FASTEST else 1)
        return
    try:
        speed = float(words.strip().removeprefix("x"))
    except ValueError as exc:
        raise ConfigError("write how many times as fast: :speed 4") from exc
    if not 0 < speed < float("inf"):
        raise ConfigError("write how many times as fast: :speed 4")
    replay.set_speed(speed)


def line(view: MonitorView, replay: Replaying) -> list[list[Part]]:
    """Return where the recording stands, and the keys that move it."""
    groups: list[Line] = [[(f" {clean(replay.describe())}", Tone.INFO)]]
    for ids, word in _KEYS:
        keys = " ".join(filter(None, (view.shell.keymap.shown(action(each)) for each in ids)))
        if keys:
            groups.append([(keys, Tone.ACCENT), (f" {word}", Tone.PLAIN)])
    return [joined(groups, "  ", view.size.width)]
