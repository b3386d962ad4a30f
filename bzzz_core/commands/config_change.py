"""`bzzz-agent config set` and `unset`: change a file or the cluster, and let the agent follow."""

from __future__ import annotations

import os
import pwd
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from bzzz_core.api.client import call
from bzzz_core.clock import utc_now
from bzzz_core.config.changes import Changed
from bzzz_core.config.node_file import Rewritten
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import ConfigError, RequestTimeout, SecretError, TransportError
from bzzz_core.shared_config.node_sources import NodeSources
from bzzz_core.shared_config.trial import trial
from bzzz_core.telemetry.audit_pending import leave
from bzzz_core.trust.audit_chain import Act, Value

Changes = dict[str, str | None]


def change_node(path: Path, changes: Changes, revision: str | None) -> dict[str, Any]:
    """Write the node's file, then let the running agent take it.

    The command writes, not the agent: on a host the file belongs to root.

    Returns:
        As the API answers; without an agent, `notes` says when the values take effect.
    """
    sources = NodeSources.at(path)
    before = sources.start().loaded.config
    answer: dict[str, Any] = {}
    written = sources.change(
        changes, expected=revision, then=lambda done: answer.update(_let_follow(before, done))
    )
    notes = [f"written to {path}"]
    if written.comments_lost:
        notes.append(f"{written.comments_lost} comments could not be kept")
    if written.backup:
        notes.append(f"the file of the older schema is {written.backup}")
    notes += _still_covered(written.loaded.origins, changes)
    return {**answer, "notes": [*notes, *answer["notes"]]}


def _let_follow(before: AgentConfig, written: Rewritten) -> dict[str, Any]:
    """Let the agent take what was written, and return its answer or why there is none."""
    answer = {"revision": written.loaded.digest, "applied": [], "waiting": [], "refused": ""}
    try:
        found = dict(call(before, "POST", "/v1/config/reload", {"by": who()}))
    except RequestTimeout as exc:
        note = f"{exc}; `bzzz-agent config diff --running` shows what it has not taken"
        return {**answer, "notes": [note]}
    except (TransportError, SecretError) as exc:
        _audit(before, written.changed)
        note = f"the agent cannot be asked ({exc}); it will read this when it starts"
        return {**answer, "notes": [note]}
    return {"notes": [], **found}


def try_changes(path: Path, changes: Changes) -> dict[str, Any]:
    """Let the running agent try values, or try them here if none runs."""
    sources = NodeSources.at(path)
    try:
        before = sources.start().loaded.config
        return dict(call(before, "POST", "/v1/config/test", {"changes": changes}))
    except RequestTimeout:
        raise
    except (TransportError, SecretError):
        loaded = sources.would_be(changes)
        checks = trial(loaded.config)
        return {
            "ok": all(one.state != "failed" for one in checks),
            "checks": msgspec.to_builtins(checks),
            "revision": loaded.digest,
            "applied": [],
            "waiting": [],
            "refused": "",
        }


def change_cluster(path: Path, changes: Changes, revision: str | None) -> dict[str, Any]:
    """Ask the leader, through the local agent, to set values for the whole cluster."""
    if revision is not None and not revision.isdecimal():
        raise ConfigError("--revision: the cluster-wide revision is a number")
    body = {
        "changes": changes,
        "scope": "cluster",
        "revision": None if revision is None else int(revision),
        "by": who(),
        "request": secrets.token_hex(16),
    }
    answer = dict(call(NodeSources.at(path).start().loaded.config, "PUT", "/v1/config", body))
    notes = [f"cluster-wide revision {answer['revision']}", *answer.get("notes", ())]
    return {**answer, "notes": notes}


def who() -> str:
    """Return who runs this command, and on whose behalf."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo by {behind})"[:100] if behind.isprintable() and behind else name


def _still_covered(origins: Any, changes: Changes) -> list[str]:
    """Say which values do not hold although they were written: the environment goes before."""
    return [
        f"{key} is covered by the {origins[key].source} ({origins[key].place}) in this shell"
        for key, typed in changes.items()
        if typed is not None and origins[key].source in {"environment", "flag"}
    ]


def _audit(config: AgentConfig, changed: Iterable[Changed]) -> None:
    """Write down a change that no agent is there to audit."""
    if not Path(config.resources.paths.logs).is_dir():
        return
    acts = [
        Act(
            at=utc_now(),
            actor=who(),
            what="config file changed",
            fields={"key": one.key, "old": _told(one.old), "new": _told(one.new)},
        )
        for one in changed
    ]
    try:
        leave(config, acts)
    except OSError as exc:
        raise ConfigError(f"{config.resources.paths.logs}/audit: {exc.strerror}") from exc


def _told(value: object) -> Value:
    """Return a value as the audit writes it."""
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:1_000]
