"""`scripts/bench fabric [--json]`: the fabric's figures in one run, each beside what it stands on.

    raw         put, get and request of the adapters beside nats-py on the same brokers, and reads
                from a watched copy
    lane        a leader's guarded lane, beside the same guarded writes of nats-py
    dht         the hash table in memory, on brokers beside nats-py, and while the cluster is away
    membership  what a node costs among 3, 10, 100 and 1,000 simulated nodes
    failover    kill -9 of the leader and its broker, until a later one serves
    etcd        the same of etcd, if it is installed

Sections run one after another: two cores carry one cluster, not two. Progress goes to stderr, the
one JSON document to stdout; without `--json` the same as a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bzzz_core import __version__
from bzzz_core.telemetry import logs
from tests.bench import etcd
from tests.bench.dht import measure_dht
from tests.bench.fabric_raw import compare
from tests.bench.failover import measure_failover
from tests.bench.lane import measure_lane
from tests.bench.measuring.figures import machine
from tests.bench.test_membership_cost import cost
from tests.fakes.broker_cluster import BrokerCluster

ROUNDS = 20
MEMBERS = (3, 10, 100, 1_000)


def raw() -> object:
    """Measure the adapters."""
    with (
        tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory,
        BrokerCluster(Path(directory), nodes=3) as cluster,
    ):
        return asyncio.run(compare(cluster))


def lane() -> object:
    """Measure the lane."""
    with (
        tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory,
        BrokerCluster(Path(directory), nodes=3) as cluster,
    ):
        return asyncio.run(measure_lane(cluster))


def dht() -> object:
    """Measure the hash table."""
    with tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory:
        place = Path(directory)
        with BrokerCluster(place / "cluster", nodes=4) as cluster:
            return asyncio.run(measure_dht(cluster, place))


def membership() -> object:
    """Measure the roster."""
    return {str(count): cost(count) for count in MEMBERS}


def sections(rounds: int) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    return {
        "raw": raw,
        "lane": lane,
        "dht": dht,
        "membership": membership,
        "failover": lambda: asyncio.run(measure_failover(rounds)),
        "etcd": lambda: (
            {"missing": etcd.missing()}
            if etcd.missing()
            else asyncio.run(etcd.measure_etcd(rounds))
        ),
    }


def show(name: str, figures: object, indent: str = "") -> None:
    """Print figures as lines of a table."""
    if isinstance(figures, dict):
        print(f"{indent}{name}")
        for inner, value in figures.items():
            show(str(inner), value, indent + "  ")
    else:
        text = f"{figures:,.1f}" if isinstance(figures, float) else str(figures)
        print(f"{indent}{name:<24}{text}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench fabric")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each failover")
    parser.add_argument("--only", action="append", choices=list(sections(0)))
    given = parser.parse_args()
    document: dict[str, object] = {"version": __version__, "machine": machine()}
    logs.set_up(level="error", node="bench")  # stdout is for the document alone.
    for name, measure in sections(given.rounds).items():
        if given.only is None or name in given.only:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            document[name] = measure()
    if given.json:
        print(json.dumps(document))
    else:
        for name, figures in document.items():
            show(name, figures)


if __name__ == "__main__":
    main()
