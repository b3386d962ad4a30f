"""Whether this node is led, and what it does while it is not.

    held      a leader is heard and serves, or was until less than `grace_ms` ago: a failover is no
              loss of quorum
    lost      anything else

While it is lost, the operator's choice holds (`cluster.without_quorum`):

    read-only    what is known is shown, marked as stale; whatever changes something waits or fails
    stop         what the cluster knows (hash table, history) is not answered and not taken. What a
                 node knows of itself, and whatever helps to get a leader, is always answered

What only a leader does ends with its office under either choice, and begins again with the next
one: that is not the operator's to choose.

`grace_ms` is what a failover takes at the worst while a majority is well: detection, every rank
delay, and a stream that finds a new leader of its own (measured: up to 9 s).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from bzzz_core.election.machine import View
from bzzz_core.errors import QuorumUnavailable
from bzzz_core.ports import Clock

GRACE_MS: Final = 10_000
_LOOK_MS: Final = 250

Policy = Literal["read-only", "stop"]


class QuorumWatch:
    """Looks at one node's view of leadership."""

    def __init__(
        self,
        *,
        view: Callable[[], View | None],
        policy: Policy,
        clock: Clock,
        changed: Callable[[bool], None] = lambda _held: None,
        grace_ms: int = GRACE_MS,
    ) -> None:
        """Start as if there had been a leader just now.

        Args:
            view: What this node believes; None before it knows anything.
            policy: What the operator wants while there is no quorum.
            clock: The node's monotonic clock.
            changed: Told when the quorum is lost or is back; must not block.
            grace_ms: How long a node may be without leader before that counts.
        """
        self._view = view
        self._policy = policy
        self._clock = clock
        self._changed = changed
        self._grace_ms = grace_ms
        self._led_ms = clock.now_ms()
        self._held = True

    def is_held(self) -> bool:
        """Return whether there is a quorum, as far as this node can see."""
        view = self._view()
        now_ms = self._clock.now_ms()
        if view is not None and view.leader is not None and view.served:
            self._led_ms = now_ms
        held = now_ms - self._led_ms < self._grace_ms
        if held != self._held:
            self._held = held
            self._changed(held)
        return held

    def check(self) -> bool:
        """Return whether what this node knows may be out of date; call before answering from it.

        Raises:
            QuorumUnavailable: It may, and the operator wants no such answers.
        """
        if self.is_held():
            return False
        if self._policy == "stop":
            raise QuorumUnavailable(
                "there is no leader, and cluster.without_quorum is stop: nothing is answered that"
                " may be out of date"
            )
        return True

    async def run(self) -> None:
        """Look again and again until cancelled, so that a loss is told when it comes."""
        while True:
            self.is_held()
            await self._clock.sleep_ms(_LOOK_MS)
