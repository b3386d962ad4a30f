"""Real election machines against a modelled network, compare-and-set stream, disk and clock.

One seed is one complete history: faults for `FAULT_MS`, then a calm end. A broken invariant raises
`Broken` with the time in it. Faults, drawn per seed (`weather`): loss, doubling, delay (so
reordering), cuts in one or both directions, freezes, clocks that run up to 8 % fast or slow, late
timers, crashes with or without the vote file, links slower than others, a store that stops
answering, applies a write after it was given up, shows old data, or takes a record that no ballots
stand behind; a voter that signs ballots for whoever asks, and as leader says that
its record lies where it does not. And what operators do: transfers, manual
failover, other voters.

What is modelled is what the machine relies on: the store checks the guard of a write and nothing
else; a signature is an entry in a ledger, so that a forged ballot cannot exist; messages and
records of another voter set make a node read `_voters` and are dropped. Machines are woken by their
own deadlines and by nothing else.
"""

from __future__ import annotations

import copy
import heapq
import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import ModuleType
from typing import Final

import msgspec

from bzzz_core.config.sections import Timings
from bzzz_core.election import machine as real_machine
from bzzz_core.election.ballot import verify_certificate
from bzzz_core.election.events import (
    NO_TERM,
    Action,
    BecameLeader,
    Broadcast,
    CastBallot,
    Cause,
    CheckVoters,
    Decided,
    Drain,
    Drained,
    Event,
    GuardRefused,
    HandingFailed,
    HandOver,
    Heard,
    LeaderBack,
    LeaderFound,
    LeaderLost,
    NotDrained,
    PollFailed,
    Quarantined,
    ReadTerm,
    Resign,
    SaveVote,
    Scored,
    Send,
    SendWarrant,
    Served,
    Stand,
    StepDown,
    SteppedDown,
    Suspend,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
    Tick,
    VoteSaved,
    WriteTerm,
)
from bzzz_core.election.messages import (
    Ballot,
    Evidence,
    Heartbeat,
    Message,
    SignedBallot,
    SignedWarrant,
    Stock,
    TermRecord,
    Transfer,
    VoteReply,
    VoteRequest,
)
from bzzz_core.election.quarantine import Quarantine
from bzzz_core.election.state import TERM_LEAP
from bzzz_core.errors import SignatureInvalid, TrustError
from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term, Vote, Voter, VoterSet
from tests.simulation.weather import NEVER, Store, Weather

TIMINGS = Timings()
CLUSTER = ClusterId("sim")
STREAM = StreamId("stream-1")
FAULT_MS = 30_000
CALM_MS = 8_000
SLOW_MS = 16_000
"""For abstentions to end, and for a leader to find out that an old read misled it."""
STORE_PATIENCE_MS = 700
LANE_MS = 120
CHECK_AGAIN_MS = 300
FAILOVER_MS = 2_200
"""Detection, every rank delay, a lost duel, and what the slowest clock makes of it."""
LOOKS = 0.005
"""Share of the moments in which a machine's deadline is put to the test."""


LIE: Final = 10**6
"""How far off a traitor places its record: further than any history comes."""


class Broken(AssertionError):
    """An invariant does not hold; the seed is the bug report."""


@dataclass(slots=True)
class Node:
    """One node: a machine, its disk, its imperfect clock, and the voters it knows."""

    name: NodeId
    rate: float
    offset_ms: int
    score: float
    disk: Vote | None
    voters: VoterSet
    machine: real_machine.Election = field(init=False)
    quarantine: Quarantine = field(init=False)
    up: bool = False
    start: int = 0
    frozen_until: float = 0.0
    saving_until: float = 0.0
    term: int = 0
    leading: Term | None = None
    floor: Term = NO_TERM
    wake_at: float = NEVER
    checked_at: float = -NEVER
    seen: dict[tuple[NodeId, int, int], NodeId] = field(default_factory=dict)
    handed: int = -1
    """The revision of the last record that this node has handed over."""

    def clock_ms(self, now: float) -> int:
        return int(self.offset_ms + now * self.rate)

    def time_of(self, clock_ms: int) -> float:
        return (clock_ms - self.offset_ms) / self.rate + 1e-3


class World:
    """A seeded world. `run` raises `Broken` at the first invariant that does not hold."""

    def __init__(self, seed: int, module: ModuleType = real_machine) -> None:
        self.rng = random.Random(seed)
        self.looks = random.Random(seed)
        self.module = module
        self.quarantine = getattr(module, "Quarantine", Quarantine)
        self.weather = Weather.draw(self.rng)
        self.now = 0.0
        self.calm = False
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.sets = [self.voter_set(n, names) for n, names in enumerate(self.weather.sets, 1)]
        self.by_digest = {voters.digest(): voters for voters in reversed(self.sets)}
        self.store = Store(self.sets[0])
        names = sorted(
            {NodeId(f"n{letter}") for letters in self.weather.sets for letter in letters}
        )
        self.nodes = {name: self.make_node(name) for name in names}
        self.traitor = self.nodes[self.rng.choice(names)] if self.weather.traitor else None
        self.operated = True
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

    @staticmethod
    def voter_set(number: int, letters: str) -> VoterSet:
        names = [NodeId(f"n{letter}") for letter in letters]
        return VoterSet(tuple(Voter(n, n, n.encode().ljust(32)) for n in names), number)

    def make_node(self, name: NodeId) -> Node:
        empty = Vote(Term(0), NodeId(""), Revision(0), StreamId(""))
        rate = 1 + self.rng.uniform(-0.08, 0.08)
        offset_ms, score = self.rng.randrange(10**6), self.rng.uniform(0, 100)
        return Node(name, rate, offset_ms, score, empty, self.sets[0])

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
            (self.transfer, self.weather.transfer_every_ms),
            (self.change_voters, self.weather.change_every_ms),
        ):
            self.again(fault, every_ms)
        if self.weather.manual:
            self.at(2_000, self.operate)
        self.advance(FAULT_MS)
        self.heal()
        misled = self.weather.stale > 0 and len(self.sets) > 1
        slow = self.weather.forget_all or self.traitor is not None or misled
        calm_ms = CALM_MS + (SLOW_MS if slow else 0)
        self.advance(FAULT_MS + calm_ms * 0.7)
        settled = len(self.history)
        self.advance(FAULT_MS + calm_ms)
        self.check_calm(settled)
        self.check_failover()
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
            node.quarantine = self.quarantine(me=node.name, voters=node.voters)
            node.seen.clear()
            node.machine = self.module.Election(
                TIMINGS,
                me=node.name,
                cluster=CLUSTER,
                stream=STREAM,
                voters=node.voters,
                vote=node.disk,
                now_ms=node.clock_ms(self.now),
                manual=self.weather.manual,
                floor=node.floor,
            )
            node.floor = NO_TERM
            node.wake_at = NEVER
            self.feed(node, node.start, Scored(node.score))

        return step

    def wake(self, node: Node) -> None:
        """Let a node be woken at its own deadline."""
        now_ms = node.clock_ms(self.now)
        deadline_ms = node.machine.next_deadline_ms(now_ms)
        if deadline_ms is None:
            return
        late_ms = 0 if self.calm else self.rng.uniform(0, self.weather.late_ms)
        at = max(node.time_of(deadline_ms) + late_ms, self.now)
        if at >= node.wake_at:
            return
        node.wake_at = at
        start = node.start

        def ring() -> None:
            if node.start == start and node.wake_at == at:
                node.wake_at = NEVER
                self.feed(node, start, Tick())

        self.at(at - self.now, ring)

    # ---- faults

    def cut(self) -> None:
        """Cut some off from the rest; perhaps one way only, perhaps from the store."""
        ends = [*self.nodes, "store"]
        some = set(self.rng.sample(ends, self.rng.randint(1, max(1, len(ends) // 2))))
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
        """Kill one; most worlds lose a vote file only while all others remember.

        No voter loses it twice on one record: it has leapt once and does not know it.
        """
        node = node or self.rng.choice(list(self.nodes.values()))
        if self.calm or not node.up:
            return
        node.up = False
        node.start += 1
        others = [other for other in self.nodes.values() if other is not node]
        remembered = all(o.disk is not None and not self.abstains(o) for o in others)
        leapt = node.disk is not None and node.disk.term >= max(self.leaders, default=0) + TERM_LEAP
        forgettable = remembered or (self.weather.forget_all and not leapt)
        if forgettable and self.rng.random() < self.weather.forget:
            node.disk = None
        self.at(self.rng.choice((20, 50, 400, 2_000)) * self.rng.random(), self.boot(node))

    def hunt(self, leader: Node) -> None:
        """Hit a new leader where it hurts: unheard, half heard, frozen; then one of its voters."""
        others = [node for node in self.nodes.values() if node is not leader]
        if self.calm or not others:
            return
        name = leader.name
        match self.rng.randrange(4):
            case 0:
                # Its voters' answers crawl, and while they do it falls silent.
                crawl = 1 + 600 / self.weather.delay_ms
                for node in others:
                    self.slow[node.name, name] = crawl
                rest = {node.name for node in others}
                self.at(self.rng.uniform(300, 900), lambda: self.separate({name}, rest))
                self.at(4_000, self.slow.clear)
            case 1 | 2:
                self.separate({name}, {self.rng.choice(others).name})
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
        claimed = self.rng.choice((0, max(self.leaders, default=0) + 1, 10**9))
        self.store.forge(claimed)

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

    # ---- what operators do

    def awake(self) -> list[Node]:
        return [n for n in self.nodes.values() if n.up and n.start and n.frozen_until <= self.now]

    def serving(self) -> list[Node]:
        return [node for node in self.awake() if self.serves(node)]

    def transfer(self) -> None:
        """Let a leader hand over, to somebody or to the fittest."""
        for node in self.serving():
            to = self.rng.choice([None, *self.nodes])
            self.feed(node, node.start, HandOver(to))

    def drain(self, node: Node, start: int, term: Term) -> None:
        """Let its writes end, in time, late, or not at all."""
        self.require(not self.leads(node), f"{node.name} leads while it hands over")
        if self.rng.random() < 0.15:
            return
        answer: Event = Drained(term, Stock(1, ()))
        if self.rng.random() < 0.2:
            answer = NotDrained(term)
        longest = self.rng.choice((50, 500, 4_000))
        self.at(longest * self.rng.random(), lambda: self.feed(node, start, answer))

    def operate(self) -> None:
        """Elect by hand, where nobody stands by himself."""
        nodes = [node for node in self.awake() if node.voters.find(node.name)]
        if nodes and self.operated and not self.leading_nodes():
            node = self.rng.choice(nodes)
            self.feed(node, node.start, Stand())
        self.at(1_200, self.operate)

    def change_voters(self) -> None:
        """Let the serving leader change the voters, as its shell does."""
        position = self.store.voters.number
        if position >= len(self.sets):
            return
        for node in self.serving():
            if node.voters.number != position:
                continue
            start, sequence = node.start, node.machine.view().sequence
            term = node.machine.view().term
            self.feed(node, start, Suspend())
            self.require(not self.leads(node), f"{node.name} leads while the voters change")
            wanted = msgspec.structs.replace(self.sets[position], term=term)
            carry_out = partial(self.put_voters, wanted, sequence, term)
            resign = Resign(StepDown.VOTERS_CHANGED)
            self.request(node, start, carry_out, unknown=resign, after=self.check_voters)

    def put_voters(self, wanted: VoterSet, sequence: Revision, term: Term) -> Event:
        if self.store.put_voters(wanted, sequence):
            return Resign(StepDown.VOTERS_CHANGED)
        return GuardRefused(term)

    def check_voters(self, node: Node, then: Callable[[VoterSet], None] | None = None) -> None:
        """Read `_voters` and live with what it says."""
        if then is None and self.now - node.checked_at < CHECK_AGAIN_MS:
            return
        node.checked_at = self.now
        start = node.start

        def carry_out() -> Event:
            stale = not self.calm and self.rng.random() < self.weather.stale
            read.append(self.store.older_voters if stale else self.store.voters)
            return Scored(node.score)

        def done(_node: Node) -> None:
            if node.start != start or not node.up or not read:
                return
            if read[0].number > node.voters.number:
                if read[0].digest() != node.voters.digest():
                    self.adopt(node, read[0])
                    return
                node.voters = read[0]
            if then is not None:
                then(read[0])

        read: list[VoterSet] = []
        self.request(node, start, carry_out, unknown=Scored(node.score), after=done)

    def adopt(self, node: Node, voters: VoterSet) -> None:
        """Build the election anew with the committed voters; the vote file stays."""
        node.floor = node.machine.highest_term()
        node.voters = voters
        node.up = False
        node.start += 1
        self.boot(node)()

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

    def post(self, a: Node, b: Node, message: Message) -> None:
        for delay_ms in self.copies(a.name, b.name):
            self.at(delay_ms, lambda: self.arrive(a.name, b, message))

    def spread(self, node: Node, message: Message) -> None:
        for other in self.nodes.values():
            if other is not node:
                self.post(node, other, message)

    def arrive(self, sender: NodeId, node: Node, message: Message) -> None:
        """Let in what the shell would let in."""
        if not node.up or node.start == 0:
            return
        if node.frozen_until > self.now:
            wake_ms = node.frozen_until - self.now
            self.at(wake_ms, lambda: self.arrive(sender, node, message))
            return
        ballots: tuple[SignedBallot, ...] = ()
        match message:
            case Heartbeat(record=record):
                ballots = record.certificate
                message = self.misplaced(sender, node, message)
            case VoteReply(ballot=SignedBallot() as ballot):
                ballots = (ballot,)
            case Evidence() as evidence:
                if node.quarantine.convict(evidence, at="") is not None:
                    self.quarantined(node)
        ours = all(signed.ballot.voters == node.voters.digest() for signed in ballots)
        if not ours or node.voters.find(sender) is None:
            self.check_voters(node)
            return
        if node is self.traitor and isinstance(message, VoteRequest):
            self.betray(node, sender, message)
        for signed in ballots:
            self.look_at(node, signed)
        self.feed(node, node.start, Heard(sender, message))

    def look_at(self, node: Node, signed: SignedBallot) -> None:
        self.compare(node, signed)
        if self.doubted(node, signed):
            traitors = node.quarantine.nodes(node.clock_ms(self.now))
            self.require(signed.ballot.voter in traitors, f"{node.name} overlooked a traitor")

    def doubted(self, node: Node, signed: SignedBallot) -> bool:
        """Return whether a node has seen another ballot where an honest voter gives one."""
        ballot = signed.ballot
        key = (ballot.voter, ballot.previous, ballot.term)
        return node.seen.setdefault(key, ballot.candidate) != ballot.candidate

    def compare(self, node: Node, signed: SignedBallot) -> None:
        evidence = node.quarantine.see(signed)
        if evidence is not None and node.quarantine.convict(evidence, at="") is not None:
            guilty = self.traitor is not None and self.traitor.name == signed.ballot.voter
            self.require(guilty or self.weather.stale > 0, f"{signed.ballot.voter} was framed")
            self.quarantined(node)
            self.spread(node, evidence)

    def quarantined(self, node: Node) -> None:
        self.feed(node, node.start, Quarantined(node.quarantine.nodes(node.clock_ms(self.now))))

    def misplaced(self, sender: NodeId, node: Node, heartbeat: Heartbeat) -> Heartbeat:
        """Let a traitor that leads tell some that its record lies where nothing ever lay."""
        lies = self.traitor is not None and self.traitor.name == sender and not self.calm
        if not lies or (heartbeat.term + ord(node.name[-1])) % 3:
            return heartbeat
        sequence = Revision(heartbeat.sequence + LIE)
        return msgspec.structs.replace(heartbeat, sequence=sequence)

    def betray(self, node: Node, candidate: NodeId, request: VoteRequest) -> None:
        """Give a ballot to whoever asks."""
        ballot = Ballot(
            CLUSTER,
            STREAM,
            request.previous,
            request.term,
            candidate,
            node.name,
            node.voters.digest(),
        )
        self.post(node, self.nodes[candidate], self.sign(node, ballot))

    def sign(self, node: Node, ballot: Ballot) -> VoteReply:
        payload = msgspec.msgpack.encode(ballot)
        self.ledger.add((node.name.encode().ljust(32), payload))
        signed = SignedBallot(ballot, bytes(64))
        return VoteReply(ballot.candidate, ballot.term, signed, "", ballot.term, ballot.previous)

    def feed(self, node: Node, start: int, event: Event) -> None:
        """Hand `event` to a machine, when it wakes if it is frozen, unless it died meanwhile."""
        if not node.up or node.start != start:
            return
        if node.frozen_until > self.now:
            wake_ms = node.frozen_until - self.now
            self.at(wake_ms, lambda: self.feed(node, start, event))
            return
        now_ms = node.clock_ms(self.now)
        actions = node.machine.handle(event, now_ms)
        if isinstance(event, Tick):
            due_ms = node.machine.next_deadline_ms(now_ms)
            self.require(due_ms is None or due_ms > now_ms, f"{node.name} wakes and does nothing")
        self.obey(node, start, actions)
        if node.start == start:
            self.check(node)
            self.wake(node)
            if self.looks.random() < LOOKS:
                self.check_deadline(node)

    # ---- the shell, modelled

    def obey(self, node: Node, start: int, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Broadcast(message):
                    self.spread(node, message)
                case Send(to, message):
                    self.post(node, self.nodes[to], message)
                case SaveVote(vote):
                    self.save(node, start, vote)
                case CastBallot(ballot):
                    self.cast(node, start, ballot)
                case WriteTerm(record):
                    self.write(node, start, record)
                case ReadTerm():
                    self.read(node, start)
                case CheckVoters():
                    self.check_voters(node)
                case _:
                    self.take_note(node, start, action)

    def take_note(
        self,
        node: Node,
        start: int,
        action: BecameLeader
        | Drain
        | SendWarrant
        | SteppedDown
        | LeaderFound
        | LeaderLost
        | LeaderBack
        | Decided
        | PollFailed
        | HandingFailed,
    ) -> None:
        match action:
            case BecameLeader():
                self.became_leader(node, start, action)
            case Drain(term):
                self.drain(node, start, term)
            case SendWarrant(warrant, number):
                node.handed = warrant.sequence
                self.spread(node, Transfer(SignedWarrant(warrant, bytes(64)), number))
            case SteppedDown(term, _):
                self.require(node.leading == term, f"{node.name} ended term {term}")
                node.leading = None
            case LeaderFound(term, leader, _):
                self.require(self.leaders.get(term) == leader, f"{leader} is not {term}'s")
            case LeaderBack(term):
                back = node.machine.view().term == term and node.term == term
                self.require(back, f"{node.name} heard {term} again, which it did not know")
            case LeaderLost() | Decided() | PollFailed() | HandingFailed():
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
            f"ballot of {node.name} left before its vote was saved",
        )
        key = (ballot.voter, ballot.previous, ballot.term)
        # With old reads a voter without memory can mistake the record at its start for a newer
        # one; then only the store keeps the two certificates apart, as `put` checks below.
        if not self.weather.stale:
            first = self.ballots.setdefault(key, ballot.candidate)
            self.require(first == ballot.candidate, f"{ballot.voter} voted twice in {ballot.term}")
        if not self.calm and self.rng.random() < self.weather.hunt / 2:
            self.at(self.rng.uniform(0, 300), partial(self.crash, node))
        reply = self.sign(node, ballot)
        if ballot.candidate == node.name:
            self.at(0, lambda: self.feed(node, start, Heard(node.name, reply)))
        else:
            self.post(node, self.nodes[ballot.candidate], reply)

    def verify(self, public_key: bytes, _context: bytes, payload: bytes, _sig: bytes) -> None:
        if (public_key, payload) not in self.ledger:
            raise SignatureInvalid("nobody signed this")

    # ---- the store

    def request(
        self,
        node: Node,
        start: int,
        carry_out: Callable[[], Event],
        *,
        unknown: Event,
        after: Callable[[Node], None] | None = None,
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
                if after is not None:
                    after(node)

        def arrive() -> None:
            if self.store.gap_until > self.now:
                if self.rng.random() < 0.5:
                    self.at(self.store.gap_until - self.now, arrive)
                return
            event = carry_out()
            for delay_ms in self.copies("store", node.name)[:1]:
                self.at(delay_ms, lambda: answer(event))

        for delay_ms in self.copies(node.name, "store")[:1]:
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
            self.cuts["store", node.name] = self.now + self.rng.uniform(200, 2_500)
            others = [other.name for other in self.nodes.values() if other is not node]
            self.separate({node.name}, set(self.rng.sample(others, len(others) // 2)))
        self.request(node, start, carry_out, unknown=TermUnknown(record.term))

    def read(self, node: Node, start: int) -> None:
        foreign: list[tuple[Revision, TermRecord]] = []

        def carry_out() -> Event:
            stale = not self.calm and self.rng.random() < self.weather.stale
            sequence, record = self.store.older if stale else self.store.current
            if record is None:
                return TermRead(sequence, None, self.store.claimed)
            if record.certificate[0].ballot.voters != node.voters.digest():
                foreign.append((sequence, record))
                return Scored(node.score)
            for signed in record.certificate:
                self.look_at(node, signed)
            return TermRead(sequence, record)

        def look(_node: Node) -> None:
            """Believe a record of other voters only if `_voters` says that ours are the ones."""
            if not foreign:
                return
            sequence, record = foreign[0]

            def unproven(_committed: VoterSet) -> None:
                self.feed(node, start, TermRead(sequence, None, record.term))

            self.check_voters(node, unproven)
            self.at(2 * STORE_PATIENCE_MS, lambda: self.feed(node, start, TermUnread()))

        self.request(node, start, carry_out, unknown=TermUnread(), after=look)

    # ---- a leader's work

    def became_leader(self, node: Node, start: int, action: BecameLeader) -> None:
        name, term, campaign = node.name, action.term, action.campaign
        self.require(node.leading is None, f"{name} became leader twice")
        self.require(self.leaders.get(term) == name, f"{name} leads {term} without the record")
        by_itself = campaign.cause is Cause.TIMEOUT and campaign.predecessor != name
        if self.weather.manual and len(node.voters.voters) > 1:
            self.require(not by_itself, f"{name} stood although failover is manual")
        if campaign.warrant is not None:
            self.require(campaign.warrant.successor == name, f"{name} used another's warrant")
            fresh = campaign.warrant.sequence == action.record.previous
            self.require(fresh, f"{name} used an old warrant")
        node.leading = term
        self.history.append((int(self.now), name, term))
        self.lane(node, start, term, action.sequence)

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
        served: list[Revision] = []

        def carry_out() -> Event:
            revision = self.store.append(sequence)
            if revision is None:
                return GuardRefused(term)
            record = self.store.current[1]
            self.require(
                record is not None and (record.term, record.leader) == (term, node.name),
                f"the store took a write of {node.name}, deposed since {term}",
            )
            served.append(revision)
            return Scored(node.score)

        def serve(_node: Node) -> None:
            """Serve once the voters are known to be those that elected this leader."""
            if first and served:
                self.check_voters(node, lambda _: self.feed(node, start, Served(term, served[0])))

        self.request(node, start, carry_out, unknown=Scored(node.score), after=serve)
        if node.machine.view().sequence == sequence and node.leading == term:
            self.at(LANE_MS, lambda: self.lane(node, start, term, sequence))

    # ---- invariants

    def require(self, holds: bool, what: str) -> None:  # noqa: FBT001  an assertion
        if not holds:
            raise Broken(f"{int(self.now)} ms: {what}")

    def leads(self, node: Node) -> bool:
        if not node.up or node.start == 0 or node.frozen_until > self.now:
            return False
        return node.machine.token_at(node.clock_ms(self.now)) is not None

    def serves(self, node: Node) -> bool:
        return self.leads(node) and node.machine.view().served > 0

    def rivals(self, node: Node) -> list[NodeId]:
        """Return who else holds itself to be the leader, where that must not be.

        A traitor answers two leaders. While the voters change, majorities of the old and of the new
        ones need not meet, so only whoever has seen that its voters are the committed ones counts;
        with old reads, nobody. The store's guard holds for all of them.
        """
        if self.traitor is not None:
            return []
        if len(self.sets) == 1:
            return [o.name for o in self.leading_nodes() if o is not node and self.leads(o)]
        if self.weather.stale:
            return []
        return [o.name for o in self.leading_nodes() if o is not node and self.serves(o)]

    def check(self, node: Node) -> None:
        """After each event: terms only grow, and whoever leads leads alone."""
        view = node.machine.view()
        self.require(view.term >= node.term, f"{node.name} went back to term {view.term}")
        node.term = view.term
        if node.leading is None:
            return
        if self.leads(node):
            self.require(view.sequence > node.handed, f"{node.name} leads by what it handed over")
        if self.serves(node) or (self.leads(node) and len(self.sets) == 1):
            others = self.rivals(node)
            self.require(not others, f"{node.name} leads and so does {others}")

    def check_deadline(self, node: Node) -> None:
        """Nothing is due before the time at which the machine wants to be woken."""
        now_ms = node.clock_ms(self.now)
        deadline_ms = node.machine.next_deadline_ms(now_ms)
        before_ms = now_ms + 60_000 if deadline_ms is None else deadline_ms - 1
        if before_ms > now_ms:
            actions = copy.deepcopy(node.machine).handle(Tick(), before_ms)
            self.require(not actions, f"{node.name} would oversleep: {actions}")

    def check_record(self, node: Node, record: TermRecord) -> None:
        """At each accepted record: proven, newer, one leader per term, nobody else leads."""
        digest = record.certificate[0].ballot.voters
        self.require(digest in self.by_digest, "nobody knows these voters")
        voters = self.by_digest[digest]
        self.require(voters.number <= self.store.voters.number, "voters that are not committed yet")
        try:
            verify_certificate(
                record, cluster=CLUSTER, stream=STREAM, voters=voters, verify=self.verify
            )
        except TrustError as exc:
            self.require(holds=False, what=str(exc))
        self.require(record.leader == node.name, "a node wrote another one's record")
        self.require(record.term > max(self.leaders, default=0), f"{record.term} is not newer")
        self.leaders[record.term] = record.leader
        if len(self.sets) == 1:
            others = self.rivals(node)
            self.require(not others, f"term {record.term} began while {others} led")

    def check_calm(self, settled: int) -> None:
        """After the calm: one leader, serving, followed by all, and no election any more."""
        leading = [node for node in self.nodes.values() if self.leads(node)]
        self.require(len(leading) == 1, f"{len(leading)} leaders after the calm")
        self.require(len(self.history) == settled, "leadership moved in calm weather")
        leader = leading[0].machine.view()
        self.require(leader.served > 0, "the leader never served")
        self.require(leader.sequence == self.store.current[0], "the leader's writes are refused")
        committed = self.store.voters.digest()
        for node in self.nodes.values():
            view = node.machine.view()
            self.require(
                (view.leader, view.term, view.served)
                == (leader.leader, leader.term, leader.served),
                f"{node.name} does not follow: {view}",
            )
            self.require(node.voters.digest() == committed, f"{node.name} has old voters")

    def check_failover(self) -> None:
        """At last kill the leader: in calm weather another one serves before long."""
        voters = [self.nodes[voter.node] for voter in self.store.voters.voters]
        if len(voters) == 1 or self.traitor is not None or any(map(self.abstains, voters)):
            return
        (leader,) = self.leading_nodes()
        leader.up, leader.start, leader.leading = False, leader.start + 1, None
        self.operated = False
        self.advance(self.now + FAILOVER_MS)
        if self.weather.manual:
            self.require(not self.serving(), "somebody took over although failover is manual")
            voter = next(voter for voter in voters if voter is not leader)
            self.feed(voter, voter.start, Stand())
            self.advance(self.now + FAILOVER_MS)
        self.require(len(self.serving()) == 1, f"nobody serves {FAILOVER_MS} ms after the loss")
