"""The options of `bzzz-tui setup` without a screen, and the way from them to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from bzzz_core.errors import ConfigError

if TYPE_CHECKING:
    from bzzz_core.deploy.headless import Mode
    from bzzz_core.deploy.report import Report
    from bzzz_core.deploy.wishes import Wishes

Command = TypeVar("Command", bound=Callable[..., Any])
_NAMES: Final = ("only_failed", "plan_hash", "yes", "detach", "as_json")
_OPTIONS: Final = (
    click.option("--check", "mode", flag_value="check", help="Look at the hosts; change nothing."),
    click.option(
        "--plan", "mode", flag_value="plan", help="Print what would change; change nothing."
    ),
    click.option("--apply", "mode", flag_value="apply", help="Make it so."),
    click.option(
        "--unlock", "mode", flag_value="unlock", help="Say who holds the hosts; --yes frees them."
    ),
    click.option("--only-failed", is_flag=True, help="Change only what failed in the last run."),
    click.option(
        "--plan-hash", metavar="HASH", help="Apply no plan but this one (12 digits, or all)."
    ),
    click.option("--yes", is_flag=True, help="Do not ask before applying."),
    click.option(
        "--detach", is_flag=True, help="With --apply --yes: it goes on if this terminal ends."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line."),
)


def modes(command: Command) -> Command:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def taken_from(options: dict[str, Any]) -> dict[str, Any]:
    """Take these options (without the mode) out of a command's, and return them."""
    return {name: options.pop(name) for name in _NAMES}


def refuse_without_mode(mine: Mapping[str, object]) -> None:
    """Return unless an option is given that means nothing to the wizard.

    Raises:
        ConfigError: One is.
    """
    for name in ("only_failed", "plan_hash", "detach", "as_json"):
        if mine[name]:
            option = {"as_json": "json"}.get(name, name.replace("_", "-"))
            raise ConfigError(f"--{option} is for --apply, --plan and --check")


def run(
    answers: Path, mode: str, mine: Mapping[str, Any], wishes: Wishes | None, report: Report
) -> int:
    """Run setup without a screen and return its exit code."""
    from bzzz_core.deploy import wishes as all_wishes  # noqa: PLC0415  --help need not load it
    from bzzz_tui import headless_setup  # noqa: PLC0415

    if mine["detach"] and (mode != "apply" or not mine["yes"]):
        raise ConfigError("--detach is for --apply --yes: nobody is there to be asked")
    return headless_setup.run(
        answers,
        report,
        mode=cast("Mode", mode),
        yes=mine["yes"],
        detach=mine["detach"],
        wishes=replace(
            wishes or all_wishes.Wishes(),
            only_failed=mine["only_failed"],
            plan_hash=mine["plan_hash"],
        ),
    )
