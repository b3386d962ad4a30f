"""Asks every node for its view and compares: one leader, one term, everyone alive.

Unlike the other phases this one is about the cluster, so it looks at all hosts at once. The token
never travels: each host reads its own file.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bzzz_core.api.documents import Status
from bzzz_core.deploy import layout
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.own_files import READ_OWN
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.errors import BzzzError, CommandFailed
from bzzz_core.model import MemberState
from bzzz_core.ports import Clock

TITLE: Final = "Verify the cluster"
_ASK: Final = """
"$1" -I -S -c '
import sys, urllib.request
@READ@
token = read_token(sys.argv[2])
request = urllib.request.Request("http://127.0.0.1:%s/v1/status" % sys.argv[1])
request.add_header("Authorization", "Bearer " + token)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(request, timeout=5) as answer:
    sys.stdout.buffer.write(answer.read(3000000))
' "$2" "$3" 2>/dev/null
""".replace("@READ@", READ_OWN)
_PAUSE_MS: Final = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all nodes agree on."""

    leader: str
    term: int


async def verify_cluster(
    hosts: Mapping[str, RemoteHost], goals: Mapping[str, Goal], clock: Clock, limit_ms: int
) -> Verdict:
    """Ask until all nodes agree.

    Raises:
        CommandFailed: They do not, within the limit; with what differs.
    """
    deadline_ms = clock.now_ms() + limit_ms
    while True:
        names = list(hosts)
        views = await asyncio.gather(*(_ask(hosts[name], goals[name]) for name in names))
        answers = dict(zip(names, views, strict=True))
        doubts = disagreements(answers, expected=[goal.host.name for goal in goals.values()])
        if not doubts:
            view = next(view for view in views if view is not None)
            assert view.leader is not None, "no doubt was left"
            return Verdict(view.leader, view.term)
        if clock.now_ms() >= deadline_ms:
            raise CommandFailed(f"the cluster did not settle in {limit_ms} ms: {'; '.join(doubts)}")
        await clock.sleep_ms(_PAUSE_MS)


async def serving_now(
    hosts: Mapping[str, RemoteHost], goals: Mapping[str, Goal], voters: Collection[str]
) -> Verdict | None:
    """Return what a majority of the cluster's voters agree on at this moment, or None.

    Far less than `verify_cluster` asks for: whoever is new, down or of another version does not
    make a leader serve less, and a cluster that serves is not to be restarted all at once.

    Args:
        hosts: The connections.
        goals: By host.
        voters: The voters of the cluster that exists; none if there is no cluster yet.
    """
    views = await _views(hosts, goals, voters)
    return majority_verdict(list(views.values()), voter_count=len(voters))


async def voters_there(
    hosts: Mapping[str, RemoteHost], goals: Mapping[str, Goal], voters: Collection[str]
) -> frozenset[str]:
    """Return which voters are part of what serves at this moment; none if nothing serves.

    A voter that is at hand speaks for itself. For the others, which are not in the answers, the
    leader's view counts, or that of whoever agrees with it.
    """
    views = await _views(hosts, goals, voters)
    verdict = majority_verdict(list(views.values()), voter_count=len(voters))
    agreeing = {
        name: view
        for name, view in views.items()
        if view is not None
        and view.leader_serving
        and verdict == Verdict(view.leader or "", view.term)
    }
    if verdict is None:
        return frozenset()
    witness = agreeing.get(verdict.leader) or next(iter(agreeing.values()))
    alive = {m.name for m in witness.members if m.state is MemberState.ALIVE}
    return frozenset(agreeing) | (frozenset(voters) - views.keys()) & alive


async def _views(
    hosts: Mapping[str, RemoteHost], goals: Mapping[str, Goal], voters: Collection[str]
) -> dict[str, Status | None]:
    asked = [name for name in voters if name in hosts and name in goals]
    views = await asyncio.gather(*(_ask(hosts[name], goals[name]) for name in asked))
    return dict(zip(asked, views, strict=True))


def majority_verdict(views: Sequence[Status | None], *, voter_count: int) -> Verdict | None:
    """Return the serving leader and term that more than half of the voters name, if any."""
    named = Counter(
        Verdict(view.leader, view.term)
        for view in views
        if view is not None and view.leader is not None and view.leader_serving
    )
    return next((verdict for verdict, n in named.items() if 2 * n > voter_count), None)


def disagreements(answers: Mapping[str, Status | None], expected: Sequence[str]) -> list[str]:
    """Return every reason why the nodes' views are not those of one healthy cluster."""
    doubts = [f"{name} does not answer" for name, view in answers.items() if view is None]
    views = {name: view for name, view in answers.items() if view is not None}
    leaders = {(view.leader, view.term) for view in views.values()}
    if len(leaders) > 1:
        named = ", ".join(f"{n}: {v.leader or 'nobody'} in term {v.term}" for n, v in views.items())
        doubts.append(f"nodes name different leaders ({named})")
    if any(view.leader is None for view in views.values()):
        doubts.append("no leader was elected")
    elif not all(view.leader_serving for view in views.values()):
        doubts.append("the leader has written nothing yet")
    for name, view in views.items():
        alive = {m.name for m in view.members if m.state is MemberState.ALIVE}
        missing = [other for other in expected if other not in alive]
        if missing:
            doubts.append(f"{name} does not see {', '.join(missing)} alive")
    versions = {view.version for view in views.values()}
    if len(versions) > 1:
        doubts.append(f"nodes run different versions ({', '.join(sorted(versions))})")
    return doubts


async def _ask(host: RemoteHost, goal: Goal) -> Status | None:
    try:
        done = await host.run(
            _ASK,
            *(goal.python.path, str(goal.spec.network.ports.api), layout.API_TOKEN),
            what="ask for the status",
            timeout_s=15,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=Status)
    except (BzzzError, msgspec.DecodeError, RecursionError):
        # A host that is silent is a doubt, like one that disagrees; and so is one that is lost, to
        # another run or to a changed key: that is its own failure, and not the run's.
        return None
