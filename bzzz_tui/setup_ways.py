"""What `bzzz-tui setup` was asked for, by its options: everything but the wizard is done here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bzzz_core.errors import ConfigError
from bzzz_tui import attaching, day_two, generating, headless, releasing, writing_answers

if TYPE_CHECKING:
    from bzzz_core.deploy.report import Report
    from bzzz_core.deploy.wishes import Wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options that several ways share."""

    answers: Path | None
    mode: str | None
    name: str | None
    express: bool
    kind: str | None
    """Of texts to be generated."""

    @property
    def beside(self) -> bool:
        """Return whether anything was asked for."""
        return bool(self.answers or self.mode or self.name or self.express or self.kind)


def take(asked: Asked, options: dict[str, Any]) -> int | attaching.Attaching | None:
    """Return the exit code of what was done; else what the wizard shall follow, or nothing.

    With --json whatever speaks against it is an event too, and a summary the last one.

    Raises:
        ConfigError: The options do not fit together.
    """
    from bzzz_core.deploy.report import Report  # noqa: PLC0415  --help need not load it

    report = Report(sys.stdout, as_json=options["as_json"])
    if not options["as_json"]:
        return _take(asked, options, report)

    def begin() -> int | None:
        way = _take(asked, options, report)
        assert not isinstance(way, attaching.Attaching), "no screen prints JSON"
        return way

    return report.framed(begin)


def _take(
    asked: Asked, options: dict[str, Any], report: Report
) -> int | attaching.Attaching | None:
    attached = attaching.taken_out(options)
    mine = headless.taken_from(options)
    if attached is None:
        return _first(asked, mine, options, report)
    as_json = mine.pop("as_json")
    if asked.beside or any(mine.values()):
        raise ConfigError("--attach follows a run as it was started; only --stop and --json fit it")
    if as_json or not attached.on_screen:
        return attaching.watch(attached.run, report)
    return attached


def _first(
    asked: Asked, mine: dict[str, Any], options: dict[str, Any], report: Report
) -> int | None:
    answers, mode, kind = asked.answers, asked.mode, asked.kind
    wishes = releasing.take_wishes(options, with_mode=mode is not None and answers is not None)
    wanted = writing_answers.take_wish(options)
    if wanted is not None:
        if answers is not None or mode is not None or kind is not None:
            raise ConfigError("--write-answers takes no answers file and no other mode beside it")
        return writing_answers.write(wanted, say=lambda line: click.echo(line, err=True))
    if parted := day_two.taken_out(options, kind):
        return day_two.run(answers, mode, mine, wishes, parted, report=report)
    if kind is not None:
        beside = mode is not None or any(mine.values()) or asked.name is not None
        return generating.generate(None if beside else answers, kind, options)
    generating.refuse_without_kind(options)
    return _headless(asked, mine, wishes, report)


def _headless(
    asked: Asked, mine: dict[str, Any], wishes: Wishes | None, report: Report
) -> int | None:
    if asked.mode is not None:
        if asked.answers is None:
            from bzzz_core.deploy import last_answers  # noqa: PLC0415  the engine, and late

            raise last_answers.missing(f"--{asked.mode} needs")
        if asked.name is not None:
            raise ConfigError("--name is for the wizard; write cluster.name into the answers file")
        return headless.run(asked.answers, asked.mode, mine, wishes, report)
    headless.refuse_without_mode(mine)
    if asked.express and asked.answers is not None:
        raise ConfigError("--express is the wizard's short way; it takes no answers file")
    return None
