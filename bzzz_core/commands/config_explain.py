"""`bzzz-agent config explain KEY`: what one key means, in the node's file or in setup's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bzzz_core.commands.options import reports_errors
from bzzz_core.commands.suggestions import keys

if TYPE_CHECKING:
    from bzzz_core.config.leaf import Leaf


@click.command("explain")
@click.argument("key", shell_complete=keys)
@click.option("--answers", is_flag=True, help="Of the answers file of setup instead.")
@reports_errors
def config_explain(key: str, *, answers: bool) -> None:
    """Say what a key means, what it may be, and whether anything acts on it."""
    from bzzz_core.config.leaf import catalogue
    from bzzz_core.config.nearest import nearest
    from bzzz_core.config.schema import AgentConfig, ClusterSpec
    from bzzz_core.errors import ConfigError

    known = catalogue(ClusterSpec if answers else AgentConfig)
    if key not in known:
        more = catalogue(AgentConfig if answers else ClusterSpec)
        if key in more:
            where = "without --answers" if answers else "with --answers: only setup knows it"
            raise ConfigError(f"{key}: ask {where}")
        raise ConfigError(f"{key}: unknown key{nearest(key, list(known))}")
    click.echo("\n".join(explained(known[key], of_node=not answers)))


def explained(leaf: Leaf, *, of_node: bool) -> list[str]:
    """Return what is known of a leaf, a line for each kind of thing."""
    from bzzz_core.config.setting import NOT_ACTIVE
    from bzzz_core.config.value import as_text

    lines = [f"{leaf.key}: {leaf.label}", f"  {leaf.help}"]
    if leaf.choices:
        lines.append(f"  one of: {', '.join(map(str, leaf.choices))}")
    unit = f" {leaf.unit}" if leaf.unit else ""
    default = "none; it is needed" if leaf.required else f"{as_text(leaf.default)}{unit}"
    lines.append(f"  default: {default}")
    if not leaf.active:
        lines.append(f"  {NOT_ACTIVE}")
    if of_node:
        lines.append(f"  environment: {', '.join(leaf.environment)}")
        lines.append("  taken while it runs" if leaf.reloadable else "  taken at a restart")
        if leaf.of_node:
            lines.append("  this node's own: it cannot be set for the whole cluster")
    return lines
