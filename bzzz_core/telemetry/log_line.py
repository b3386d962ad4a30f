"""One line of a node's log, as it is kept, written, searched and sent."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from bzzz_core.model import Count, Text

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
LEVELS: Final[dict[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""As Python's `logging` numbers them."""
WORDS_MAX: Final = 2_000
NAME_MAX: Final = 253
"""As `model.Text`."""
Words = Annotated[str, msgspec.Meta(max_length=WORDS_MAX)]


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of one node's log."""

    number: Count
    """Grows by one a line within one life of the agent."""
    at: Text
    node: Text
    level: LogLevel
    component: Text
    text: Words
    trace: Text = ""
    """Of the request it belongs to, on whatever node it was asked."""
    fields: dict[Text, Words] = {}
