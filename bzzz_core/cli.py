"""`bzzz-agent`: the headless program of a node, and its table of commands.

A command's module is loaded when the command is called or its help is asked for.
"""

from __future__ import annotations

from typing import Final

import click

from bzzz_core import __version__
from bzzz_core.commands.program import Program

COMMANDS: Final = {
    "alerts": "bzzz_core.commands.alerts:alerts",
    "api": "bzzz_core.commands.api:api",
    "audit": "bzzz_core.commands.audit:audit",
    "bundle": "bzzz_core.deploy.bundle.cli:bundle",
    "completion": "bzzz_core.commands.completion:completion",
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
    "man": "bzzz_core.commands.man:man",
    "node": "bzzz_core.commands.node:node",
    "resume": "bzzz_core.commands.halt:resume",
    "run": "bzzz_core.commands.run:run",
    "status": "bzzz_core.commands.run:status",
    "token": "bzzz_core.commands.token:token",
    "ucxl": "bzzz_core.commands.ucxl:ucxl",
}
"""Name -> module and the command in it."""


@click.group(
    "bzzz-agent",
    cls=Program,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="bzzz-agent")
def main() -> None:
    """Run and inspect one BZZZ node."""


if __name__ == "__main__":
    main()
