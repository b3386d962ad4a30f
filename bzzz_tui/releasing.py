"""The options of `bzzz-tui setup` about the release itself: from where, despite what, or back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from bzzz_core.errors import ConfigError

if TYPE_CHECKING:
    from bzzz_core.deploy.wishes import Wishes

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.option(
        "--bundle",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Take the release from this bundle, instead of services.bundle.",
    ),
    click.option(
        "--allow-downgrade", is_flag=True, help="Take a bundle that is older than what runs."
    ),
    click.option(
        "--force-release",
        multiple=True,
        metavar="VERSION",
        help="Try a release again that was rolled back; may be given several times.",
    ),
    click.option("--rollback", is_flag=True, help="Go back to the release before this one."),
)


def releasing(command: Command) -> Command:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_wishes(options: dict[str, Any], *, with_mode: bool) -> Wishes | None:
    """Take these options out of a command's and return what they ask for; None: nothing.

    Raises:
        ConfigError: They ask for something of a run without a mode, or contradict each other.
    """
    names = ("bundle", "allow_downgrade", "force_release", "rollback")
    given = {name: value for name in names if (value := options.pop(name))}
    if not given:
        return None
    if not with_mode:
        raise ConfigError(
            f"--{next(iter(given)).replace('_', '-')} needs --answers FILE and --check, --plan or"
            " --apply; in the wizard the bundle is an answer"
        )
    if "rollback" in given and len(given) > 1:
        raise ConfigError("--rollback takes the release that the hosts have kept, and no bundle")
    from bzzz_core.deploy.wishes import Wishes  # noqa: PLC0415

    return Wishes(
        bundle=given.get("bundle"),
        allow_downgrade="allow_downgrade" in given,
        forced=frozenset(given.get("force_release", ())),
        back="rollback" in given,
    )
