"""Whoever follows the events ends with the same documents, wherever it began or went on."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.api.event_documents import Bye, Delta, Message, Snapshot
from bzzz_core.api.event_position import Position
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.reading import EventsQuery, Reader, Speaker
from bzzz_core.model import NodeId

SPEAKER = Speaker(node="n", node_id=NodeId("a" * 26), version="1", epoch="e")
COLLECTIONS = ("members", "alerts", "checks")


class Doc(msgspec.Struct, frozen=True):
    """Any document."""

    value: int


class Follower:
    """Folds messages, and may lose its connection at any time."""

    def __init__(self, board: Board, topics: str) -> None:
        self._board = board
        self._topics = topics
        self.position: Position | None = None
        self.held: dict[str, dict[str, bytes]] = {}
        self.reconnect()

    def reconnect(self) -> None:
        where = self.position
        query = EventsQuery(
            topics=self._topics,
            epoch=where.epoch if where else "",
            after=where.revision if where else None,
        )
        self._reader = Reader(
            query, board=self._board, log=None, speaker=SPEAKER, now=lambda: "now"
        )

    def read(self) -> None:
        frame = self._reader.state() or self._reader.beat()
        message = msgspec.json.decode(frame.body, type=Message)
        self.position = Position.after(self.position, message)
        assert self.position is not None, "a message that does not build on the last one"
        assert frame.id == f"{self.position.epoch}:{self.position.revision}"
        match message:
            case Snapshot():
                self.held = {
                    name: {key: bytes(raw) for key, raw in documents.items()}
                    for name, documents in message.documents.items()
                }
            case Delta():
                for name, documents in message.changed.items():
                    for key, raw in documents.items():
                        self.held.setdefault(name, {})[key] = bytes(raw)
                for name, gone in message.gone.items():
                    for key in gone:
                        self.held.get(name, {}).pop(key, None)  # Perhaps it was never held.
            case Bye():
                raise AssertionError(message)


keys = st.sampled_from("abcd")
steps = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(COLLECTIONS), keys, st.integers(0, 3)),
    st.tuples(st.just("remove"), st.sampled_from(COLLECTIONS), keys),
    st.tuples(
        st.just("replace"), st.sampled_from(COLLECTIONS), st.dictionaries(keys, st.integers(0, 3))
    ),
    st.tuples(st.just("read"), st.integers(0, 3)),
    st.tuples(st.just("reconnect"), st.integers(0, 3)),
)


def play(board: Board, followers: list[Follower], step: tuple) -> None:  # type: ignore[type-arg]
    match step:
        case ("put", name, key, value):
            board.put(name, key, Doc(value))
        case ("remove", name, key):
            board.remove(name, key)
        case ("replace", name, documents):
            board.replace(name, {key: Doc(value) for key, value in documents.items()})
        case ("read", number):
            followers[number].read()
        case ("reconnect", number):
            followers[number].reconnect()


@given(st.lists(steps, max_size=60), st.integers(0, 4))
def test_any_reader_that_goes_on_anywhere_ends_with_the_same(
    script: list[tuple],  # type: ignore[type-arg]
    gone_max: int,
) -> None:
    board = Board(changed=lambda: None, gone_max=gone_max)
    topics = [",".join(COLLECTIONS)] * 3 + ["alerts"]
    followers = [Follower(board, named) for named in topics]
    for step in script:
        play(board, followers, step)
    for follower, named in zip(followers, topics, strict=True):
        follower.read()
        held = {
            name: {key: msgspec.json.encode(document) for key, document in documents.items()}
            for name, documents in board.everything(named.split(",")).items()
        }
        assert {n: d for n, d in follower.held.items() if d} == {n: d for n, d in held.items() if d}
