"""Real election machines against a modelled network, compare-and-set stream, disk and clock.

One seed is one complete history: faults for `FAULT_MS`, then a calm end. A broken invariant raises
`Broken` with the time in it. Faults, drawn per seed: loss, doubling, delay (so reordering), cuts in
one or both directions, freezes, clocks that run up to 8 % fast or slow, crashes with or without the
vote file, links slower than others, a store that stops answering, applies a write after it was
given up, shows old data, or takes a record that no ballots stand behind.

What is modelled is what the machine relies on: the store checks the guard of a write and nothing
else; a signature is an entry in a ledger, so that a forged ballot cannot exist.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import ModuleType

import msgspec

from bzzz_core.config.sections import Timings
from bzzz_core.election import machine as real_machine
from bzzz_core.election.ballot import verify_certificate
from bzzz_core.election.events import (
    Action,
    BecameLeader,
    Broadcast,
    CastBallot,
    Decided,
    Event,
    GuardRefused,
    Heard,
    LeaderFound,
    LeaderLost,
    ReadTerm,
    SaveVote,
    Scored,
    Send,
    Served,
    SteppedDown,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
    Tick,
    VoteSaved,
    WriteTerm,
)
from bzzz_core.election.messages import Ballot, SignedBallot, TermRecord, VoteReply
from bzzz_core.errors import SignatureInvalid, TrustError
from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term, Vote, Voter, VoterSet

TIMINGS = Timings()
CLUSTER = ClusterId("sim")
STREAM = StreamId("stream-1")
FAULT_MS = 40_000
CALM_MS = 10_000
TICK_MS = 50
STORE_PATIENCE_MS = 700
LANE_MS = 120


class Broken(AssertionError):
    """An invariant does not hold; the seed is the bug report."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The faults of one seed."""

    voters: int
    loss: float
    double: float
    delay_ms: float
    slow_links: float
    cut_every_ms: float
    freeze_every_ms: float
    crash_every_ms: float
    gap_every_ms: float
    forge_every_ms: float
    hunt: float
    forget: float
    stale: float

    @classmethod
    def draw(cls, rng: random.Random) -> Weather:
        """Choose how hostile this world is; each fault is absent in some seeds."""
        return cls(
            voters=rng.choice((3, 5)),
            loss=rng.choice((0.0, 0.05, 0.15)),
            double=rng.choice((0.0, 0.1)),
            delay_ms=rng.choice((2.0, 15.0, 60.0, 200.0)),
            slow_links=rng.choice((0.0, 0.0, 0.2)),
            cut_every_ms=rng.choice((2_000.0, 6_000.0, 1e9)),
            freeze_every_ms=rng.choice((2_000.0, 6_000.0, 1e9)),
            crash_every_ms=rng.choice((2_000.0, 6_000.0, 1e9)),
            gap_every_ms=rng.choice((5_000.0, 1e9)),
            forge_every_ms=rng.choice((8_000.0, 1e9, 1e9)),
            hunt=rng.choice((0.0, 0.5, 0.9)),
            forget=rng.choice((0.0, 0.8)),
            stale=rng.choice((0.0, 0.0, 0.0, 0.2)),
        )


@dataclass(slots=True)
class Node:
    """One voter: a machine, its disk and its imperfect clock."""

    voter: Voter
    rate: float
    offset_ms: int
    score: float
    disk: Vote | None
    machine: real_machine.Election = field(init=False)
    up: bool = False
    start: int = 0
    frozen_until: float = 0.0
    saving_until: float = 0.0
    term: int = 0
    leading: Term | None = None

    def clock_ms(self, now: float) -> int:
        return int(self.offset_ms + now * self.rate)


class Store:
    """`_term` and a lane behind one guard each, linearizable, in true time."""

    def __init__(self) -> None:
        self.sequence = 0
        self.current: tuple[Revision, TermRecord | None] = (Revision(0), None)
        self.older: tuple[Revision, TermRecord | None] = self.current
        self.gap_until = 0.0

    def put(self, record: TermRecord, guard: Revision) -> Revision | None:
        if self.current[0] != guard:
            return None
        self.sequence += 1
        self.older = self.current
        self.current = (Revision(self.sequence), record)
        return self.current[0]

    def forge(self) -> None:
        self.sequence += 1
        self.older = self.current
        self.current = (Revision(self.sequence), None)

    def append(self, guard: Revision) -> Revision | None:
        if self.current[0] != guard:
            return None
        self.sequence += 1
        return Revision(self.sequence)


class World:
    """A seeded world. `run` raises `Broken` at the first invariant that does not hold."""

    def __init__(self, seed: int, module: ModuleType = real_machine) -> None:
        self.rng = random.Random(seed)
        self.module = module
        self.weather = Weather.draw(self.rng)
        self.now = 0.0
        self.calm = False
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.store = Store()
        names = [NodeId(f"n{i}") for i in range(self.weather.voters)]
        self.voters = VoterSet(tuple(Voter(n, n, n.encode().ljust(32)) for n in names))
        self.nodes = {v.node: self.make_node(v) for v in self.voters.voters}
        self.cuts: dict[tuple[str, str], float] = {}
        self.slow: dict[tuple[str, str], float] = {
            (a, b): 12.0
            for a in self.nodes
            for b in self.nodes
            if self.rng.random() < self.weather.slow_links
        }
        self.ledger: set[tuple[bytes, bytes]] = set()
        self.ballots: dict[tuple[NodeId, int, int], NodeId] = {}
        self.leaders: dict[int, NodeId] = {}
        self.history: list[tuple[int, str, int]] = []

    def make_node(self, voter: Voter) -> Node:
        empty = Vote(Term(0), NodeId(""), Revision(0), StreamId(""))
        rate = 1 + self.rng.uniform(-0.08, 0.08)
        return Node(voter, rate, self.rng.randrange(10**6), self.rng.uniform(0, 100), empty)

    # ---- the course of one history

    def run(self) -> list[tuple[int, str, int]]:
        for node in self.nodes.values():
            self.at(self.rng.uniform(0, 1_500), self.boot(node))
        for fault, every_ms in (
            (self.cut, self.weather.cut_every_ms),
            (self.freeze, self.weather.freeze_every_ms),
            (self.crash, self.weather.crash_every_ms),
            (self.gap, self.weather.gap_every_ms),
            (self.forge, self.weather.forge_every_ms),
        ):
            self.again(fault, every_ms)
        self.advance(FAULT_MS)
        self.heal()
        self.advance(FAULT_MS + CALM_MS * 0.7)
        settled = len(self.history)
        self.advance(FAULT_MS + CALM_MS)
        self.check_calm(settled)
        return self.history

    def advance(self, until: float) -> None:
        while self.queue and self.queue[0][0] <= until:
            self.now, _, step = heapq.heappop(self.queue)
            step()
        self.now = until

    def at(self, delay_ms: float, step: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (self.now + delay_ms, next(self.order), step))

    def again(self, fault: Callable[[], None], every_ms: float) -> None:
        def strike() -> None:
            if not self.calm:
                fault()
                self.again(fault, every_ms)

        if every_ms < FAULT_MS:
            self.at(self.rng.expovariate(1 / every_ms), strike)

    def boot(self, node: Node) -> Callable[[], None]:
        def step() -> None:
            node.up = True
            node.start += 1
            node.term = 0
            node.leading = None
            node.saving_until = self.now
            node.machine = self.module.Election(
                TIMINGS,
                me=node.voter.node,
                cluster=CLUSTER,
                stream=STREAM,
                voters=self.voters,
                vote=node.disk,
                now_ms=node.clock_ms(self.now),
            )
            self.feed(node, node.start, Scored(node.score))
            self.tick(node, node.start)

        return step

    def tick(self, node: Node, start: int) -> None:
        if node.start == start and node.up:
            self.feed(node, start, Tick())
            self.at(TICK_MS, lambda: self.tick(node, start))

    # ---- faults

    def cut(self) -> None:
        """Cut some off from the rest; perhaps one way only, perhaps from the store."""
        ends = [*self.nodes, "store"]
        some = set(self.rng.sample(ends, self.rng.randint(1, len(ends) // 2)))
        self.separate(some, set(ends) - some)

    def separate(self, some: AbstractSet[str], rest: AbstractSet[str]) -> None:
        if self.calm:
            return
        until = self.now + self.rng.uniform(100, 2_000)
        both_ways = self.rng.random() < 0.4
        for a in some:
            for b in rest:
                self.cuts[a, b] = until
                if both_ways:
                    self.cuts[b, a] = until

    def freeze(self, node: Node | None = None) -> None:
        node = node or self.rng.choice(list(self.nodes.values()))
        longest = self.rng.choice((300, 900, 1_500, 3_000))
        node.frozen_until = self.now + longest * self.rng.random()

    def crash(self, node: Node | None = None) -> None:
        """Kill one; its vote file is lost only while all others remember, as quorums assume."""
        node = node or self.rng.choice(list(self.nodes.values()))
        if self.calm or not node.up:
            return
        node.up = False
        node.start += 1
        others = [other for other in self.nodes.values() if other is not node]
        remembered = all(o.disk is not None and not self.abstains(o) for o in others)
        if remembered and self.rng.random() < self.weather.forget:
            node.disk = None
        self.at(self.rng.choice((20, 50, 400, 2_000)) * self.rng.random(), self.boot(node))

    def hunt(self, leader: Node) -> None:
        """Hit a new leader where it hurts: unheard, half heard, frozen; then one of its voters."""
        if self.calm:
            return
        name = leader.voter.node
        others = [node for node in self.nodes.values() if node is not leader]
        match self.rng.randrange(4):
            case 0:
                # Its voters' answers crawl, and while they do it falls silent.
                crawl = 1 + 600 / self.weather.delay_ms
                for node in others:
                    self.slow[node.voter.node, name] = crawl
                rest = {node.voter.node for node in others}
                self.at(self.rng.uniform(300, 900), lambda: self.separate({name}, rest))
                self.at(4_000, self.slow.clear)
            case 1 | 2:
                self.separate({name}, {self.rng.choice(others).voter.node})
            case _:
                self.freeze(leader)
        for _ in range(self.rng.randrange(3)):
            prey = self.rng.choice(others)
            self.at(self.rng.uniform(0, 2_000), partial(self.crash, prey))

    def gap(self) -> None:
        """Let the stream be without leader, as after the loss of a broker."""
        self.store.gap_until = self.now + self.rng.uniform(200, 3_000)

    def forge(self) -> None:
        """Let someone with access to the store put a record there that proves nothing."""
        self.store.forge()

    def heal(self) -> None:
        self.calm = True
        self.cuts.clear()
        self.store.gap_until = 0.0
        for node in self.nodes.values():
            node.frozen_until = self.now

    def abstains(self, node: Node) -> bool:
        return node.start > 0 and node.machine.view().abstains

    def leading_nodes(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.leading]

    # ---- the network

    def copies(self, a: str, b: str) -> list[float]:
        """Return the delay of each copy that arrives."""
        if self.calm:
            return [self.rng.uniform(2, 12)]
        if self.cuts.get((a, b), 0) > self.now or self.rng.random() < self.weather.loss:
            return []
        mean = self.weather.delay_ms * self.slow.get((a, b), 1)
        copies = 2 if self.rng.random() < self.weather.double else 1
        return [1 + self.rng.expovariate(1 / mean) for _ in range(copies)]

    def post(self, a: Node, b: Node, event: Event) -> None:
        for delay_ms in self.copies(a.voter.node, b.voter.node):
            self.at(delay_ms, lambda: self.feed(b, b.start, event))

    def feed(self, node: Node, start: int, event: Event) -> None:
        """Hand `event` to a machine, when it wakes if it is frozen, unless it died meanwhile."""
        if not node.up or node.start != start:
            return
        if node.frozen_until > self.now:
            wake_ms = node.frozen_until - self.now
            if not isinstance(event, Tick):
                self.at(wake_ms, lambda: self.feed(node, start, event))
            return
        now_ms = node.clock_ms(self.now)
        actions = node.machine.handle(event, now_ms)
        self.obey(node, start, actions)
        self.check(node)

    # ---- the shell, modelled

    def obey(self, node: Node, start: int, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Broadcast(message):
                    for other in self.nodes.values():
                        if other is not node:
                            self.post(node, other, Heard(node.voter.node, message))
                case Send(to, message):
                    self.post(node, self.nodes[to], Heard(node.voter.node, message))
                case SaveVote(vote):
                    self.save(node, start, vote)
                case CastBallot(ballot):
                    self.cast(node, start, ballot)
                case WriteTerm(record):
                    self.write(node, start, record)
                case ReadTerm():
                    self.read(node, start)
                case _:
                    self.take_note(node, start, action)

    def take_note(
        self,
        node: Node,
        start: int,
        action: BecameLeader | SteppedDown | LeaderFound | LeaderLost | Decided,
    ) -> None:
        match action:
            case BecameLeader(term, sequence):
                self.became_leader(node, start, term, sequence)
            case SteppedDown(term, _):
                self.require(node.leading == term, f"{node.voter.node} ended term {term}")
                node.leading = None
            case LeaderFound(term, leader, _):
                self.require(self.leaders.get(term) == leader, f"{leader} is not {term}'s")
            case LeaderLost() | Decided():
                pass

    def save(self, node: Node, start: int, vote: Vote) -> None:
        """Take some time to be durable, in order; a crash in between loses the newer vote."""

        def done() -> None:
            if node.up and node.start == start:
                node.disk = vote
                self.feed(node, start, VoteSaved(vote))

        longest = 5 if self.calm else 60
        node.saving_until = max(node.saving_until, self.now) + self.rng.uniform(0.5, longest)
        self.at(node.saving_until - self.now, done)

    def cast(self, node: Node, start: int, ballot: Ballot) -> None:
        saved = node.disk
        self.require(
            saved is not None and (saved.term, saved.candidate) == (ballot.term, ballot.candidate),
            f"ballot of {node.voter.node} left before its vote was saved",
        )
        key = (ballot.voter, ballot.previous, ballot.term)
        # With old reads a voter without memory can mistake the record at its start for a newer
        # one; then only the store keeps the two certificates apart, as `put` checks below.
        if not self.weather.stale:
            first = self.ballots.setdefault(key, ballot.candidate)
            self.require(first == ballot.candidate, f"{ballot.voter} voted twice in {ballot.term}")
        if not self.calm and self.rng.random() < self.weather.hunt / 2:
            self.at(self.rng.uniform(0, 300), partial(self.crash, node))
        payload = msgspec.msgpack.encode(ballot)
        self.ledger.add((node.voter.public_key, payload))
        signed = SignedBallot(ballot, bytes(64))
        reply = VoteReply(ballot.candidate, ballot.term, signed, "", ballot.term, ballot.previous)
        if ballot.candidate == node.voter.node:
            self.at(0, lambda: self.feed(node, start, Heard(node.voter.node, reply)))
        else:
            self.post(node, self.nodes[ballot.candidate], Heard(node.voter.node, reply))

    def verify(self, public_key: bytes, _context: bytes, payload: bytes, _sig: bytes) -> None:
        if (public_key, payload) not in self.ledger:
            raise SignatureInvalid("nobody signed this")

    # ---- the store

    def request(
        self, node: Node, start: int, carry_out: Callable[[], Event], *, unknown: Event
    ) -> None:
        """Carry one request to the store and its answer back, or tell that none came.

        The request may still be carried out after the node gave it up.
        """
        answered = False

        def answer(event: Event) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self.feed(node, start, event)

        def arrive() -> None:
            if self.store.gap_until > self.now:
                if self.rng.random() < 0.5:
                    self.at(self.store.gap_until - self.now, arrive)
                return
            event = carry_out()
            for delay_ms in self.copies("store", node.voter.node)[:1]:
                self.at(delay_ms, lambda: answer(event))

        for delay_ms in self.copies(node.voter.node, "store")[:1]:
            slow = 1_200 if not self.calm and self.rng.random() < 0.05 else 0
            self.at(delay_ms + slow, arrive)
        self.at(STORE_PATIENCE_MS, lambda: answer(unknown))

    def write(self, node: Node, start: int, record: TermRecord) -> None:
        def carry_out() -> Event:
            sequence = self.store.put(record, record.previous)
            if sequence is None:
                return TermRefused(record.term)
            self.check_record(node, record)
            return TermWritten(record.term, sequence)

        if not self.calm and self.rng.random() < self.weather.hunt / 4:
            # The record lands and few learn of it, its author last.
            self.cuts["store", node.voter.node] = self.now + self.rng.uniform(200, 2_500)
            others = [other.voter.node for other in self.nodes.values() if other is not node]
            self.separate({node.voter.node}, set(self.rng.sample(others, len(others) // 2)))
        self.request(node, start, carry_out, unknown=TermUnknown(record.term))

    def read(self, node: Node, start: int) -> None:
        def carry_out() -> Event:
            stale = not self.calm and self.rng.random() < self.weather.stale
            return TermRead(*(self.store.older if stale else self.store.current))

        self.request(node, start, carry_out, unknown=TermUnread())

    # ---- a leader's work

    def became_leader(self, node: Node, start: int, term: Term, sequence: Revision) -> None:
        name = node.voter.node
        self.require(node.leading is None, f"{name} became leader twice")
        self.require(self.leaders.get(term) == name, f"{name} leads {term} without the record")
        node.leading = term
        self.history.append((int(self.now), name, term))
        self.lane(node, start, term, sequence)

    def lane(self, node: Node, start: int, term: Term, sequence: Revision) -> None:
        """Write with the token for as long as the machine says that it leads, then once more."""
        if not node.up or node.start != start:
            return
        if node.frozen_until > self.now:
            self.at(node.frozen_until - self.now, lambda: self.lane(node, start, term, sequence))
            return
        if self.rng.random() < self.weather.hunt / 6:
            self.hunt(node)
        first = node.machine.view().served == 0

        def carry_out() -> Event:
            revision = self.store.append(sequence)
            if revision is None:
                return GuardRefused(term)
            record = self.store.current[1]
            self.require(
                record is not None and (record.term, record.leader) == (term, node.voter.node),
                f"the store took a write of {node.voter.node}, deposed since {term}",
            )
            return Served(term, revision) if first else Tick()

        self.request(node, start, carry_out, unknown=Tick())
        token = node.machine.token_at(node.clock_ms(self.now))
        if token is not None and token.sequence == sequence:
            self.at(LANE_MS, lambda: self.lane(node, start, term, sequence))

    # ---- invariants

    def require(self, holds: bool, what: str) -> None:  # noqa: FBT001  an assertion
        if not holds:
            raise Broken(f"{int(self.now)} ms: {what}")

    def leads(self, node: Node) -> bool:
        if not node.up or node.start == 0 or node.frozen_until > self.now:
            return False
        return node.machine.token_at(node.clock_ms(self.now)) is not None

    def check(self, node: Node) -> None:
        """After each event: terms only grow, and whoever leads leads alone."""
        term = node.machine.view().term
        self.require(term >= node.term, f"{node.voter.node} went back to term {term}")
        node.term = term
        if node.leading is None:
            return
        if self.leads(node):
            others = [o.voter.node for o in self.leading_nodes() if o is not node and self.leads(o)]
            self.require(not others, f"{node.voter.node} leads and so does {others}")

    def check_record(self, node: Node, record: TermRecord) -> None:
        """At each accepted record: proven, newer, one leader per term, nobody else leads."""
        try:
            verify_certificate(
                record, cluster=CLUSTER, stream=STREAM, voters=self.voters, verify=self.verify
            )
        except TrustError as exc:
            self.require(holds=False, what=str(exc))
        self.require(record.leader == node.voter.node, "a node wrote another one's record")
        self.require(record.term > max(self.leaders, default=0), f"{record.term} is not newer")
        self.leaders[record.term] = record.leader
        others = [o.voter.node for o in self.leading_nodes() if o is not node and self.leads(o)]
        self.require(not others, f"term {record.term} began while {others} led")

    def check_calm(self, settled: int) -> None:
        """After the calm: one leader, serving, followed by all, and no election any more."""
        leading = [node for node in self.nodes.values() if self.leads(node)]
        self.require(len(leading) == 1, f"{len(leading)} leaders after the calm")
        self.require(len(self.history) == settled, "leadership moved in calm weather")
        leader = leading[0].machine.view()
        self.require(leader.served > 0, "the leader never served")
        self.require(leader.sequence == self.store.current[0], "the leader's writes are refused")
        for node in self.nodes.values():
            view = node.machine.view()
            self.require(
                (view.leader, view.term, view.served)
                == (leader.leader, leader.term, leader.served),
                f"{node.voter.node} does not follow: {view}",
            )
