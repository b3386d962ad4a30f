"""Fetches the models that a host should have, through its own server, with progress by bytes.

The server is asked from here, over the SSH connection (ADR 0043). What a server has is not fetched
again; a pull that broke off goes on where it was. Room is compared before the first byte.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.model_places import gigabytes, sized
from bzzz_core.deploy.model_servers import server_at
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work
from bzzz_core.errors import ModelServerError, TransportError
from bzzz_core.integrations.ollama import Ollama, PullProgress, full_name, same_model

TITLE: Final = "Pull models"
_TRIES_MAX: Final = 5
_PAUSE_MS: Final = 2_000
_TELL_MS: Final = 1_000


def missing(goal: Goal) -> tuple[str, ...]:
    """Return the models that the host should have and, as far as is known, has not."""
    server = server_at(goal.facts, goal.spec.ai.servers.port)
    there = {full_name(model.name) for model in (server.models if server else None) or ()}
    return tuple(name for name in goal.models if full_name(name) not in there)


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each model that is missing."""
    changes = []
    for name in missing(goal):
        model = next(one for one in goal.spec.ai.servers.models if one.name == name)
        size = sized(model, {goal.host.name: goal.facts})
        about = "size not known" if size is None else gigabytes(size.bytes_size)
        if size is not None and size.estimated:
            about = f"about {about}"
        changes.append(
            Change(
                phase="pull_models",
                action="create",
                target=f"model {name}",
                before="absent",
                after=f"on port {goal.spec.ai.servers.port}",
                sentence=f"pull the model {name} ({about})",
            )
        )
    return tuple(changes)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Pull one model after the other; what came of a broken pull is not fetched again."""
    async with work.pulls(goal.spec.ai.servers.pulls_max):
        for change in changes:
            await _pull(host, goal, change.target.removeprefix("model "), work)


async def _pull(host: RemoteHost, goal: Goal, name: str, work: Work) -> None:
    for attempt in range(1, _TRIES_MAX + 1):
        try:
            await _pull_once(host, goal, name, work)
        except TransportError as exc:
            if attempt == _TRIES_MAX:
                raise
            work.say(host.name, f"{name}: {exc}; trying again")
            await work.clock.sleep_ms(_PAUSE_MS)
        else:
            return


async def _pull_once(host: RemoteHost, goal: Goal, name: str, work: Work) -> None:
    servers = goal.spec.ai.servers
    told_ms = 0

    def progress(now: PullProgress) -> None:
        nonlocal told_ms
        now_ms = work.clock.now_ms()
        if now_ms - told_ms >= _TELL_MS:
            told_ms = now_ms
            work.say(host.name, f"{name}: {progress_words(now)}")

    async with (
        host.forwarded(servers.port) as port,
        Ollama(f"http://127.0.0.1:{port}", clock=work.clock) as ollama,
    ):
        if not any(same_model(one.name, name) for one in await ollama.stored()):
            work.say(host.name, f"{name}: asking for it")
            await ollama.pull(name, stall_s=servers.pull_stall_s, progress=progress)


def progress_words(now: PullProgress) -> str:
    """Return how far a pull is, for a person."""
    if not now.total_bytes:
        return now.status
    percent = 100 * now.completed_bytes // now.total_bytes
    done, total = now.completed_bytes / 1e6, now.total_bytes / 1e6
    return f"{percent} %, {done:,.0f} of {total:,.0f} MB; {now.status}"


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Ask the server whether it has them all."""
    async with (
        host.forwarded(goal.spec.ai.servers.port) as port,
        Ollama(f"http://127.0.0.1:{port}", clock=work.clock) as ollama,
    ):
        there = {full_name(model.name) for model in await ollama.stored()}
    gone = [name for name in goal.models if full_name(name) not in there]
    if gone:
        raise ModelServerError(f"{host.name}: after the pull {', '.join(gone)} is not there")
