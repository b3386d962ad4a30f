"""A change that could lock us out: it stays only if it is proved."""

from __future__ import annotations

import asyncio

import pytest

from bzzz_core.deploy import deadman
from bzzz_core.errors import ChangeTakenBack, CommandFailed, HostUnreachable
from tests.fakes.deploy_host import FakeHost

BACK = deadman.WayBack(what="sshd", script="true")


class Scene:
    """One host, a change, and a proof that goes as it is told."""

    def __init__(self, proof: Exception | None = None) -> None:
        self.log: list[str] = []
        self.host = FakeHost("one", number=1, log=self.log)
        self._proof = proof

    async def change(self) -> None:
        self.log.append("change")

    async def prove(self) -> None:
        self.log.append("prove")
        if self._proof is not None:
            raise self._proof

    def run(self, limit_s: int = 60) -> None:
        asyncio.run(
            deadman.guarded(self.host, BACK, change=self.change, prove=self.prove, limit_s=limit_s)
        )


def test_the_way_back_is_armed_before_the_change_and_disarmed_after_the_proof() -> None:
    scene = Scene()
    scene.run()
    assert scene.log == ["one: arm the way back of sshd", "change", "prove", "one: disarm sshd"]


def test_a_change_that_is_not_proved_is_taken_back_at_once() -> None:
    scene = Scene(HostUnreachable("one: no answer"))
    with pytest.raises(ChangeTakenBack, match="no answer; it was taken back"):
        scene.run()
    assert scene.log[-1] == "one: take sshd back"


def test_a_host_that_cannot_be_told_any_more_does_it_by_itself() -> None:
    scene = Scene(HostUnreachable("one: no answer"))
    scene.host.failing = "take sshd back"
    with pytest.raises(ChangeTakenBack, match="by itself, 61 s after the change at the latest"):
        scene.run()


def test_without_a_timer_nothing_is_changed() -> None:
    scene = Scene()
    scene.host.failing = "arm"
    with pytest.raises(CommandFailed):
        scene.run()
    assert "change" not in scene.log


def test_a_proof_that_takes_too_long_is_none() -> None:
    scene = Scene()

    async def never() -> None:
        await asyncio.Event().wait()

    scene.prove = never  # type: ignore[method-assign]
    with pytest.raises(ChangeTakenBack, match="no proof in time"):
        scene.run(limit_s=deadman.MARGIN_S)


def test_an_interrupted_run_leaves_the_timer_armed() -> None:
    """Whoever interrupts may do so because nothing answers any more."""
    scene = Scene(asyncio.CancelledError())  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        scene.run()
    assert scene.log[-1] == "prove"
