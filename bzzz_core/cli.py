"""`bzzz-agent`: the headless program of a node, and its table of commands.

A command's module is loaded when the command is called or its help is asked for.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from bzzz_core import __version__

COMMANDS: Final = {
    "alerts": "bzzz_core.commands.alerts:alerts",
    "api": "bzzz_core.commands.api:api",
    "audit": "bzzz_core.commands.audit:audit",
    "config": "bzzz_core.commands.config:config",
    "dht": "bzzz_core.commands.dht:dht",
    "discover": "bzzz_core.commands.discover:discover",
    "fabric": "bzzz_core.commands.fabric:fabric",
    "halt": "bzzz_core.commands.halt:halt",
    "health": "bzzz_core.commands.health:health",
    "init": "bzzz_core.commands.cluster:init",
    "join": "bzzz_core.commands.cluster:join",
    "leader": "bzzz_core.commands.leader:leader",
    "leave": "bzzz_core.commands.cluster:leave",
    "logs": "bzzz_core.commands.logs:logs",
    "node": "bzzz_core.commands.node:node",
    "resume": "bzzz_core.commands.halt:resume",
    "run": "bzzz_core.commands.run:run",
    "status": "bzzz_core.commands.run:status",
    "token": "bzzz_core.commands.token:token",
    "ucxl": "bzzz_core.commands.ucxl:ucxl",
}
"""Name -> module and the command in it."""


class _Program(click.Group):
    """A group whose commands are found in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help page."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bzzz-agent")
def main() -> None:
    """Run and inspect one BZZZ node."""


if __name__ == "__main__":
    main()
