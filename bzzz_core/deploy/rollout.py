"""In which waves a cluster that serves is activated: few hosts at a time, the cheapest loss first.

    1. hosts on which nothing that serves is restarted
    2. one host alone, the canary: an edge if one is to be restarted
    3. the other edges, in batches
    4. the voters, one by one: those that are away already first, the leader last

Rules: two voters are never away at once (it could cost the majority); the leader goes last (one
election instead of several). Whoever drives stops after too many failures, and after any voter's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def waves(
    names: Sequence[str],
    *,
    restarting: Collection[str],
    voters: Collection[str],
    leader: str,
    batch: str,
    away: Collection[str] = (),
) -> list[list[str]]:
    """Return the hosts in the order in which they are activated; those of one wave together.

    Args:
        names: The hosts that are still in the run.
        restarting: Those on which something that runs is restarted.
        voters: Those that vote.
        leader: Who leads now.
        batch: How many edges are restarted together: "3", or "25%" of `names`.
        away: Voters that do not serve: their restart costs nothing, and may bring them back.
    """
    calm = [name for name in names if name not in restarting]
    edges = [name for name in names if name in restarting and name not in voters]
    voting = [name for name in names if name in restarting and name in voters]
    voting.sort(key=lambda name: (name == leader, name not in away))
    size = batch_size(batch, len(names))
    rest = edges[1:]
    found = [calm, edges[:1]]
    found += [rest[at : at + size] for at in range(0, len(rest), size)]
    found += [[name] for name in voting]
    return [wave for wave in found if wave]


def batch_size(batch: str, count: int) -> int:
    """Return how many hosts a batch has; one at least."""
    if batch.endswith("%"):
        return max(1, count * int(batch[:-1]) // 100)
    return int(batch)
