"""What may be typed next, for shells: names that are known without asking anybody.

Each function takes what click gives it (the context, the parameter, the word so far) and returns
what begins with that word. None loads more than it names: a key that is pressed must not be felt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LEVELS = {
    "debug": "everything",
    "info": "what happens",
    "warning": "what should not be",
    "error": "what failed",
}
_RESET = {"reset": "as configured again"}


def matching(begin: str, known: Mapping[str, str]) -> list[CompletionItem]:
    """Return the words that begin so; `known` says of each what it is, empty for nothing."""
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(word, help=what) for word, what in known.items() if word.startswith(begin)
    ]


def components(_ctx: click.Context, _param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Suggest the parts of BZZZ that write into the log."""
    from bzzz_core.telemetry.components import ALL

    return matching(begin, ALL)


def component_or_level(
    ctx: click.Context, param: click.Parameter, begin: str
) -> list[CompletionItem]:
    """Suggest the first word of `logs level`, where a level alone is meant for all parts."""
    return [*components(ctx, param, begin), *levels(ctx, param, begin)]


def levels(_ctx: click.Context, _param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Suggest what `logs level` can be told."""
    return matching(begin, _LEVELS | _RESET)


def keys(_ctx: click.Context, _param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Suggest keys of the configuration."""
    from bzzz_core.config.key_names import KEYS

    return matching(begin, dict.fromkeys(KEYS, ""))


def keys_and_values(ctx: click.Context, param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Suggest a key, or a value of the key before."""
    from bzzz_core.config.key_names import KEYS

    given: tuple[str, ...] = ctx.params.get(str(param.name)) or ()
    if len(given) % 2 == 0:
        return keys(ctx, param, begin)
    return matching(begin, dict.fromkeys(KEYS.get(given[-1], ()), ""))
