"""What may be typed next behind the options of `bzzz-tui`: names that lie in files here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bzzz_core.commands.suggestions import matching

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Imports wait for the key: `--help` of each command loads this module as well.


def clusters(_ctx: click.Context, _param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Suggest the clusters that have a profile here."""
    from bzzz_core.config.profile_places import known_profiles  # noqa: PLC0415

    return matching(begin, dict.fromkeys(known_profiles(), ""))


def themes(_ctx: click.Context, _param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Suggest colour themes: the shipped ones, then the operator's own."""
    from bzzz_tui.theme_choice import all_names  # noqa: PLC0415

    return matching(begin, dict.fromkeys(all_names(), ""))


def views(_ctx: click.Context, _param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Suggest the views with which the monitor can begin."""
    from bzzz_tui.monitor.views import VIEWS  # noqa: PLC0415

    there = (view for view in VIEWS if view.place and not view.drilled)
    return matching(begin, {view.name: view.help for view in there})
