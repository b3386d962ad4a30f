"""Lets the other nodes through the host's packet filter, and proves that they come through.

`openings.py` says who belongs in which filter. What is there and what should be are compared rule
by rule; only what differs is touched. The change is guarded by a dead-man timer: it stays if a
fresh login comes in and every other host that is in the run reaches every port (`reach.py`); one
that the run loses meanwhile proves nothing and refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from bzzz_core.deploy import deadman, firewall_scripts, layout, made, reach
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.openings import CLOSED, Opening, openings_script, read_openings
from bzzz_core.deploy.goal import Goal, node_address
from bzzz_core.deploy.openings import (
    BACKENDS,
    IPTABLES,
    NFTABLES,
    WHAT,
    present,
    unfinished,
    wanted,
)
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work
from bzzz_core.errors import CommandFailed

TITLE: Final = "Open the firewall"
_Rules = tuple[str, Sequence[Opening], Sequence[Opening], Sequence[Opening]]
"""A filter, our rules there now, those that are there by half and unwanted, and those wanted."""
_WITH_UNIT: Final = frozenset({NFTABLES, IPTABLES})
_GONE: Final = """
if command -v nft >/dev/null; then nft delete table inet bzzz 2>/dev/null; fi
:
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each port whose list of those that may reach it differs."""
    before, half, after = present(goal.facts), unfinished(goal), wanted(goal)
    changes = []
    for backend in BACKENDS:
        old, new = _sources((*before[backend], *half[backend])), _sources(after[backend])
        for port in sorted(old.keys() | new.keys()):
            if old.get(port) == new.get(port):
                continue
            was, will = ", ".join(old.get(port, ())), ", ".join(new.get(port, ()))
            changes.append(
                Change(
                    phase="open_firewall",
                    action="remove" if not will else "update" if was else "create",
                    target=f"{backend} {port}/tcp",
                    before=was or "nobody's rule",
                    after=will or "no rule of ours",
                    sentence=f"{backend}: let {will} reach port {port}"
                    if will
                    else f"{backend}: remove our rules for port {port} ({was})",
                )
            )
    return tuple(changes)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Change the rules of each filter that differs, each under a timer of its own."""
    settled = await _settled(host, goal)
    before, half, after = present(settled.facts), unfinished(settled), wanted(goal)
    for backend in BACKENDS:
        if any(change.target.startswith(f"{backend} ") for change in changes):
            rules = (backend, before[backend], half[backend], after[backend])
            await _change(host, goal, work, rules)


async def _settled(host: RemoteHost, goal: Goal) -> Goal:
    """Return the goal with our rules on its host once no unproved change is left there.

    What such a change will leave behind when it is undone, only the host can say.

    Raises:
        CommandFailed: It could not be undone, or what there is then cannot be read.
    """
    armed = goal.facts.own_rules.armed if goal.facts.own_rules else ()
    pending = [what for what in armed if what.startswith(WHAT)]
    if not pending:
        return goal
    for what in pending:
        await deadman.settle(host, what)
    done = await host.run(openings_script(), what="read our rules again", timeout_s=20)
    try:
        rules = read_openings(done.stdout.decode("utf-8", errors="replace"))
    except ValueError as exc:
        raise CommandFailed(f"{host.name}: our rules cannot be read: {exc}") from exc
    return replace(goal, facts=msgspec.structs.replace(goal.facts, own_rules=rules))


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing more to look at: a change that was not proved did not stay."""
    del host, goal, work


async def _change(host: RemoteHost, goal: Goal, work: Work, of: _Rules) -> None:
    backend, before, half, after = of
    own = node_address(goal.host)
    data = firewall_scripts.data_of(backend, (*before, *half), after, own=own)
    # A rule that was half removed, and that nobody wants, no way back makes whole again.
    back = firewall_scripts.data_of(backend, after, before, own=own)
    # Rules that are noted and were never made are removed without harm; the other way round not.
    entry = made.Made("open_firewall", backend, (own,))
    await made.note(host, entry)

    what = f"{WHAT}{backend}"

    async def change() -> None:
        unless_back = deadman.undecided(what)
        await run_rules(host, firewall_scripts.APPLY, backend, data, while_there=unless_back)

    async def prove() -> None:
        await work.prove_login(host.name)
        if after:
            await _prove_ports(host, goal, work)

    more_s = firewall_scripts.duration_s(backend, data)
    await deadman.guarded(
        host,
        deadman.WayBack(
            what=what,
            script=firewall_scripts.BACK[backend],
            data=back,
            attempt_s=deadman.BACK_S_MAX + firewall_scripts.WAIT_S + more_s,
        ),
        change=change,
        prove=prove,
        limit_s=deadman.LIMIT_S + more_s,
    )
    await _make_last(host, backend, after, data)
    if not after:
        await made.forget(host, entry)


async def _prove_ports(host: RemoteHost, goal: Goal, work: Work) -> None:
    nodes = {node.name: node for node in work.nodes}
    me = nodes.get(host.name)
    if me is None:  # When the run began it had no interpreter; by now it has ours.
        python = goal.python.path
        me = reach.Node(name=host.name, host=host, address=node_address(goal.host), python=python)
    rules = wanted(goal).values()
    ports = sorted({r.port for of in rules for r in of if r.role not in {"ssh", CLOSED}})
    others = [node for node in work.nodes if node.name != me.name]
    if not others:
        work.doubt(host.name, "its ports are NOT proved: no other host of this run can try them")
        return
    word = reach.new_word()
    work.say(host.name, f"{len(others)} other hosts try its ports")
    async with reach.listening(me, ports, word):
        matrix = await reach.reach(others, {me.name: ports}, [me, *others], word=word)
    seen = matrix.of_asked()
    if not seen.whole:
        raise CommandFailed(seen.sentence())
    for name in matrix.unasked:
        work.doubt(host.name, f"its ports are NOT proved from {name}, which was lost meanwhile")


async def _make_last(host: RemoteHost, backend: str, after: Sequence[Opening], data: bytes) -> None:
    """Let the rules outlive a restart of the host."""
    if backend == "firewalld":
        await run_rules(host, {backend: firewall_scripts.PERSIST_FIREWALLD}, backend, data)
    if backend not in _WITH_UNIT:
        return
    if not after:
        await _forget_unit(host)
        return
    text = firewall_scripts.file_text(backend, after)
    await place(host, Placed(path=layout.FIREWALL_RULES, mode="600"), text.encode())
    unit = firewall_scripts.unit_text(backend)
    await place(host, Placed(path=layout.FIREWALL_UNIT, mode="644"), unit.encode())
    await host.run(firewall_scripts.ENABLE, what="load the rules at every start")


async def _forget_unit(host: RemoteHost) -> None:
    paths = (layout.FIREWALL_RULES, layout.FIREWALL_UNIT)
    await host.run(firewall_scripts.DISABLE, *paths, what="load no rules at a start")


async def remove(host: RemoteHost, entry: made.Made) -> None:
    """Remove every rule of ours from one filter; those of others stay as they are."""
    backend = entry.target
    if backend == NFTABLES:
        await host.run(_GONE, what="remove our table")
    else:
        done = await host.run(firewall_scripts.LIST, backend, what="look for our rules")
        found = read_openings(done.stdout.decode("utf-8", errors="replace"))
        rules = (*found.own.get(backend, ()), *found.half.get(backend, ()))
        data = firewall_scripts.data_of(backend, rules, (), own=entry.words[0])
        await run_rules(host, firewall_scripts.REMOVE, backend, data)
    if backend in _WITH_UNIT:
        await _forget_unit(host)


def _sources(rules: Sequence[Opening]) -> dict[int, tuple[str, ...]]:
    """Return who may reach each port, as a plan says it."""
    found: dict[int, list[str]] = {}
    for rule in rules:
        source = "nobody else" if rule.role == CLOSED else rule.source
        found.setdefault(rule.port, []).append(source)
    return {port: tuple(sorted(sources)) for port, sources in found.items()}


async def run_rules(
    host: RemoteHost,
    scripts: Mapping[str, str],
    backend: str,
    data: bytes,
    *,
    while_there: str = "",
) -> None:
    """Run a filter's script with its data, in as many commands as the rules need.

    Args:
        host: Where.
        scripts: By filter.
        backend: The filter.
        data: The rules.
        while_there: A file on the host; without it nothing is done any more.
    """
    for piece in firewall_scripts.pieces(backend, data):
        staged = await host.stage(piece)
        await host.run(
            scripts[backend],
            *(staged, while_there),
            what="change the rules of the firewall",
            timeout_s=firewall_scripts.PIECE_S_MAX,
        )
