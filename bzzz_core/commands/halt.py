"""`bzzz-agent halt` and `resume`: stop all work, and let it go on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors

if TYPE_CHECKING:
    from bzzz_core.config.schema import AgentConfig

_WAIT_S: Final = 20.0
"""Longer than the agent itself waits for a leader and for the nodes."""
_SOME: Final = 4
_HALTED: Final = 1


@click.command()
@CONFIG
@JSON
@click.option("--reason", default="", metavar="TEXT", help="Why, for everybody who asks later.")
@click.option("--local", is_flag=True, help="Stop this node alone, even if no agent runs.")
@click.option("--status", is_flag=True, help="Only say whether work is stopped.")
@reports_errors
def halt(config_path: Path, *, as_json: bool, reason: str, local: bool, status: bool) -> None:
    """Stop all work in the whole cluster at once; without a leader at least this node's."""
    from bzzz_core.api.client import call
    from bzzz_core.commands.config_change import who
    from bzzz_core.errors import RequestTimeout, TransportError

    config = local_config(config_path)
    if status:
        document = call(config, "GET", "/v1/halt")
        _print(document, _standing(document), as_json=as_json)
        sys.exit(_HALTED if document["halted"] else 0)
    wish = {"reason": reason, "local": local, "by": who()}
    try:
        document = call(config, "POST", "/v1/halt", wish, timeout_s=_WAIT_S)
    except RequestTimeout:
        raise
    except TransportError as exc:
        document = _without_agent(config, who(), reason, str(exc))
    _print(document, _outcome(document), as_json=as_json)
    whole = local or (document["cluster"] and not document["missing"])
    sys.exit(0 if whole else _SOME)


@click.command()
@CONFIG
@JSON
@reports_errors
def resume(config_path: Path, *, as_json: bool) -> None:
    """Let work go on in the whole cluster; on a voter, and only with a leader."""
    from bzzz_core.api.client import call
    from bzzz_core.commands.config_change import who

    document = call(
        local_config(config_path), "DELETE", "/v1/halt", {"by": who()}, timeout_s=_WAIT_S
    )
    _print(document, _outcome(document), as_json=as_json)
    sys.exit(_SOME if document["missing"] else 0)


def _without_agent(config: AgentConfig, by: str, reason: str, why: str) -> dict[str, Any]:
    """Let the next start of this node's agent find that it has to stay stopped."""
    from bzzz_core.clock import utc_now
    from bzzz_core.errors import ConfigError
    from bzzz_core.halt.file import HaltFile
    from bzzz_core.halt.record import Own

    data = Path(config.resources.paths.data)
    try:
        owner = data.stat()
    except OSError as exc:
        raise ConfigError(f"{data}: {exc.strerror}; there is no node here to stop") from exc
    file = HaltFile(data, cluster=config.cluster.id, now=utc_now)
    kept = file.load().stopped(Own(by=by, at=utc_now(), reason=reason[:500]))
    file.store(kept, owner=(owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None)
    return {
        "halt": {"halted": True, "by": by, "reason": reason, "local": True},
        "cluster": False,
        "followed": [config.system.node_name],
        "missing": [],
        "took_ms": 0,
        "notes": [f"no agent was there to ask ({why}); when it starts, it does no work"],
    }


def _standing(document: dict[str, Any]) -> str:
    if not document["halted"]:
        return "work goes on"
    where = "on this node alone" if document["local"] else "in the whole cluster"
    return (
        f"work is halted {where} since {document['at']}\n"
        f"  by      {document['by']}{_at(document)}\n"
        f"  reason  {document['reason'] or 'none given'}\n"
        "`bzzz-agent resume` lets it go on"
    )


def _at(document: dict[str, Any]) -> str:
    return f", at {document['node']}" if document["node"] else ""


def _outcome(document: dict[str, Any]) -> str:
    word = "halted" if document["halt"]["halted"] else "resumed"
    followed, missing = document["followed"], document["missing"]
    if document["cluster"]:
        total = len(followed) + len(missing)
        lines = [f"work {word} on {len(followed)} of {total} nodes in {document['took_ms']} ms"]
    else:
        lines = [f"work {word} on this node ALONE"]
    if document["cluster"]:
        lines += [f"  not yet: {one['node']} ({one['state']})" for one in missing]
    return "\n".join([*lines, *(f"  note: {note}" for note in document["notes"])])


def _print(document: Any, text: str, *, as_json: bool) -> None:
    if as_json:
        import json

        text = json.dumps(document)
    click.echo(text)
