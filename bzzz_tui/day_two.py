"""The options of `bzzz-tui setup` by which hosts go, and the way from them to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

import click

from bzzz_core.errors import ConfigError

if TYPE_CHECKING:
    from bzzz_core.deploy.report import Report
    from bzzz_core.deploy.wishes import Wishes

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.option(
        "--uninstall",
        is_flag=True,
        help="Take BZZZ off the hosts: with --plan only say what would go, else ask first.",
    ),
    click.option("--hosts", "chosen", metavar="A,B", help="With --uninstall: only these hosts."),
    click.option("--purge", is_flag=True, help="With --uninstall or --remove: logs go, too."),
    click.option("--keep-data", is_flag=True, help="With --uninstall or --remove: data stay."),
    click.option(
        "--remove",
        multiple=True,
        metavar="NAME",
        help="This host, no longer in the answers, leaves the cluster and is uninstalled.",
    ),
    click.option(
        "--replace",
        multiple=True,
        metavar="OLD=NEW",
        help="NEW, a host of the answers, joins; then OLD goes, as with --remove.",
    ),
    click.option(
        "--dead", is_flag=True, help="With --remove, --replace: who goes is revoked, not asked."
    ),
    click.option(
        "--keep",
        multiple=True,
        metavar="NAME",
        help="This host is left out of the answers and left alone.",
    ),
)
NAMES: Final = (
    *("uninstall", "chosen", "purge", "keep_data"),
    *("remove", "replace", "dead", "keep"),
)


def parting(command: Command) -> Command:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def taken_out(options: dict[str, Any], kind: str | None) -> dict[str, Any]:
    """Take these options out of all those of a command; return them, or nothing if none was given.

    Raises:
        ConfigError: Texts of a kind are to be generated, and hosts are to go as well.
    """
    parted = {name: options.pop(name) for name in NAMES}
    if not any(parted.values()):
        return {}
    if kind is not None:
        raise ConfigError("--generate needs no other mode beside it")
    return parted


def run(
    answers: Path | None,
    mode: str | None,
    mine: Mapping[str, Any],
    wishes: Wishes | None,
    parted: Mapping[str, Any],
    *,
    report: Report,
) -> int:
    """Uninstall, or apply answers while hosts go; return the exit code.

    Raises:
        ConfigError: The options do not fit together.
    """
    # Only this command needs the engine.
    from bzzz_core.deploy import day_two, last_answers  # noqa: PLC0415
    from bzzz_core.deploy.removals import Wish  # noqa: PLC0415
    from bzzz_core.deploy.wishes import Wishes  # noqa: PLC0415
    from bzzz_tui.headless_setup import confirm, somebody_there  # noqa: PLC0415

    if answers is None:
        raise last_answers.missing("--uninstall, --remove, --replace and --keep need")
    if mine["only_failed"] or mine["plan_hash"] or mine["detach"] or mode == "unlock":
        raise ConfigError(
            "--only-failed, --plan-hash, --detach and --unlock are for runs in which nobody goes"
        )
    yes = bool(mine["yes"])
    wish = Wish(purge=parted["purge"], keep_data=parted["keep_data"])
    around = day_two.Surroundings(
        report=report,
        confirm=confirm if somebody_there() else None,
        wishes=wishes or Wishes(),
    )
    if parted["uninstall"]:
        if parted["remove"] or parted["replace"] or parted["keep"] or parted["dead"]:
            raise ConfigError("--uninstall stands alone: --remove lets single hosts go")
        if mode == "check":
            raise ConfigError("--uninstall has a --plan, but no --check")
        return day_two.uninstall(
            answers,
            mode="plan" if mode == "plan" else "apply",
            yes=yes,
            hosts=frozenset(filter(None, (parted["chosen"] or "").split(","))),
            wish=wish,
            around=around,
        )
    if parted["chosen"]:
        raise ConfigError("--hosts is for --uninstall")
    if not (parted["remove"] or parted["replace"] or parted["keep"]):
        raise ConfigError("--purge, --keep-data and --dead are for --uninstall or --remove")
    if mode is None:
        raise ConfigError("say --plan or --apply, or look with --check")
    going = day_two.Going(
        remove=frozenset(parted["remove"]),
        keep=frozenset(parted["keep"]),
        replace=day_two.parse_replace(parted["replace"]),
        dead=parted["dead"],
        wish=wish,
    )
    wanted = cast("Literal['check', 'plan', 'apply']", mode)
    return day_two.change(answers, mode=wanted, yes=yes, going=going, around=around)
