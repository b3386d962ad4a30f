"""A voter's duties begin, end and begin again with the vote, and outlive a lack of rights."""

import asyncio
from collections.abc import Awaitable, Callable

from bzzz_core.errors import PermissionDenied
from bzzz_core.while_voting import WhileVoting
from tests.fakes.virtual_time import VirtualClock, run


class Node:
    def __init__(self) -> None:
        self.votes = False
        self.denied = 0
        self.running = 0
        self.begun = 0
        self.voting = WhileVoting(
            votes=lambda: self.votes, duties={"duty": self.duty}, clock=VirtualClock()
        )

    async def duty(self) -> None:
        self.begun += 1
        if self.denied:
            self.denied -= 1
            raise PermissionDenied("this node may not hear that")
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1

    async def now(self, *, votes: bool) -> None:
        self.votes = votes
        self.voting.look()
        await VirtualClock().sleep_ms(10)


def play(scenario: Callable[[Node], Awaitable[None]]) -> None:
    async def body() -> None:
        node = Node()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(node.voting.run())
            await scenario(node)
            task.cancel()
        assert node.running == 0

    run(body())


def test_duties_follow_the_vote() -> None:
    async def scenario(node: Node) -> None:
        assert node.begun == 0
        for time in (1, 2):
            await node.now(votes=True)
            assert (node.running, node.begun) == (1, time)
            await node.now(votes=False)
            assert node.running == 0

    play(scenario)


def test_a_look_without_a_change_disturbs_nothing() -> None:
    async def scenario(node: Node) -> None:
        await node.now(votes=True)
        await node.now(votes=True)
        assert (node.running, node.begun) == (1, 1)

    play(scenario)


def test_without_the_rights_a_duty_is_tried_again() -> None:
    """Brokers may know of a demotion first, or of a promotion last; neither ends the agent."""

    async def scenario(node: Node) -> None:
        node.denied = 3
        await node.now(votes=True)
        assert node.running == 0
        await VirtualClock().sleep_ms(4_000)
        assert (node.running, node.begun) == (1, 4)

    play(scenario)
