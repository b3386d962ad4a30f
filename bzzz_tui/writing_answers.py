"""`bzzz-tui setup --write-answers FILE`: an answers file from flags and from what hosts show.

The hosts are looked at as the wizard does; one that cannot be reached, or whose key is not trusted
yet, is a warning, for the file is written to be read and completed by a person.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from bzzz_core.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_OPTIONS: Final = (
    click.option("--write-answers", type=_FILE, help="Write an answers file and change nothing."),
    click.option(
        "--host",
        "new_hosts",
        multiple=True,
        help="With --write-answers: [name=][user@]address[:port]; repeat it.",
    ),
    click.option("--inventory", type=_FILE, help="With --write-answers: hosts from this file."),
    click.option(
        "--set",
        "pairs",
        multiple=True,
        metavar="KEY=VALUE",
        help="With --write-answers: one answer, as security.ssh.user=admin; repeat it.",
    ),
    click.option("--offline", is_flag=True, help="With --write-answers: do not look at the hosts."),
)
_NAMES: Final = ("new_hosts", "inventory", "pairs", "offline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the file shall say."""

    target: Path
    new_hosts: tuple[str, ...] = ()
    inventory: Path | None = None
    pairs: tuple[str, ...] = ()
    offline: bool = False


def writing_answers(command: Command) -> Command:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_wish(options: dict[str, Any]) -> Wanted | None:
    """Take the options out of a command's; None: no file is wanted.

    Raises:
        ConfigError: One of the others is given without it.
    """
    target = options.pop("write_answers")
    given = {name: options.pop(name) for name in _NAMES}
    if target is not None:
        return Wanted(target=target, **given)
    extra = next((name for name, value in given.items() if value), None)
    if extra is not None:
        flag = {"new_hosts": "host", "pairs": "set"}.get(extra, extra)
        raise ConfigError(f"--{flag} is for --write-answers")
    return None


def write(wanted: Wanted, *, say: Callable[[str], None]) -> int:
    """Write the file and return the exit code.

    Raises:
        ConfigError: A flag says something that cannot be, or the file exists.
    """
    from screens.setup.draft import FIELDS, Draft, host_of, parse_hosts  # noqa: PLC0415

    hosts = parse_hosts(" ".join(wanted.new_hosts), ())
    if wanted.inventory is not None:
        from bzzz_core.config.document import read_text  # noqa: PLC0415
        from bzzz_core.deploy import inventory  # noqa: PLC0415

        listed = inventory.read(read_text(wanted.inventory), what=str(wanted.inventory))
        hosts += [host_of(one) for one in listed]
    draft = Draft(hosts=hosts)
    given = set()
    for pair in wanted.pairs:
        key, found, value = pair.partition("=")
        if not found or key not in FIELDS:
            from bzzz_core.config.nearest import nearest  # noqa: PLC0415

            raise ConfigError(f"--set {key}: unknown key{nearest(key, list(FIELDS))}")
        draft.set(key, value)
        given.add(key)
    problems = draft.problems()
    if problems:
        raise ConfigError("\n".join(f"{p.key or 'answers'}: {p.words}" for p in problems))
    if not wanted.offline:
        suggest(draft, _look(draft, say), given, say)
    _create(wanted.target, draft.yaml())
    say(f"{wanted.target} written; look at it, then: bzzz-tui setup --answers {wanted.target}")
    return 0


def suggest(draft: Any, facts: Any, given: Collection[str], say: Callable[[str], None]) -> None:
    """Put what hosts suggest where no flag answered.

    Args:
        draft: The answers.
        facts: By host, what was seen of it.
        given: Keys that a flag answered, with the default perhaps.
        say: Told what is put where, and why.
    """
    from bzzz_core.deploy.defaults import detected  # noqa: PLC0415

    for one in detected(facts):
        if one.key not in given:
            draft.set(one.key, str(one.value))
            say(f"{one.key}: {one.value}, because {one.words}")


def _look(draft: Any, say: Callable[[str], None]) -> dict[str, Any]:
    """Return what is true of the hosts, by name; of those that can be looked at."""
    import asyncio  # noqa: PLC0415

    from bzzz_core.clock import SystemClock  # noqa: PLC0415
    from screens.setup.deploy_engine import DeployEngine  # noqa: PLC0415

    spec = draft.spec()
    engine = DeployEngine(SystemClock())

    async def look() -> Sequence[Any]:
        return await asyncio.gather(*(engine.look(spec, host) for host in spec.hosts))

    facts = {}
    for host, found in zip(spec.hosts, asyncio.run(look()), strict=True):
        if found.facts is None:
            say(f"{host.name}: {found.words or found.state.value}; nothing is detected there")
        else:
            facts[host.name] = found.facts
    return facts


def _create(target: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(target, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{target} exists already; name another file") from None
    except OSError as exc:
        raise ConfigError(f"{target}: {exc.strerror}") from exc
