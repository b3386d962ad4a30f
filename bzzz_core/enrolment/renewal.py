"""A node keeps its own certificates fresh.

When to renew, in parts of a certificate's life:

    0                                      2/3 - 1/12      2/3                 1
    |------------ nothing to do -------------|-- any time --|-- alarm, go on ---|

The moment between 7/12 and 8/12 is chosen anew each time, so that nodes which were set up together
do not ask together. A failure is tried again after a second, then twice as long, up to a tenth of
the life or a minute. What is past two thirds is an alarm in the status: somebody should look.

Besides, a node asks at once when the registry makes it a voter (it needs route certificates), and
within a short random time when a newer root comes into use. A voter without issuers asks until it
has them: if it came to lead without, nobody could join, renew, or be made a voter.

The keys stay: a renewal under a new key would have to replace two files in one step, and a thief of
the old key has the identity key, which lies beside it, as well. Who doubts a key revokes the node.

Wall-clock time is compared here because certificates are dated; a jump of the clock leads to one
renewal too many or an alarm. `look_ms` bounds how long a jump stays unnoticed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from bzzz_core.enrolment.messages import (
    RENEW,
    RENEW_CONTEXT,
    RenewRequest,
    RenewStatement,
    pack,
    unpack,
)
from bzzz_core.errors import BzzzError, TrustError
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.trust import private_files
from bzzz_core.trust.certificate import CertificateFacts, describe
from bzzz_core.trust.enrol import CertificateBundle, Enrolment, init_node, install
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.secrets_directory import SecretsDirectory

ANSWER_MS_MAX: Final = 10_000
_LOOK_MS: Final = (200, 30_000)
_RETRY_MS: Final = (1_000, 60_000)

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""Puts a question to the leader and returns its answer."""


@dataclass(frozen=True, slots=True)
class Held:
    """The certificate that ends first of those this node holds."""

    begins_s: float
    ends_s: float

    def left(self, now_s: float) -> float:
        """Return the part of its life that is left, from 1 down to 0."""
        life_s = self.ends_s - self.begins_s
        return max(0.0, min(1.0, (self.ends_s - now_s) / life_s)) if life_s > 0 else 0.0


class Renewal:
    """Renews this node's certificates as long as `run` runs."""

    def __init__(
        self,
        *,
        secrets: SecretsDirectory,
        identity: IdentityKey,
        votes: Callable[[], bool],
        root: Callable[[], str | None],
        pin: Callable[[], str | None],
        ask: Ask,
        installed: Callable[[frozenset[Path]], Awaitable[None]],
        clock: Clock,
        now: Callable[[], datetime],
        random: Callable[[], float],
    ) -> None:
        """Look at nothing yet.

        Args:
            secrets: Where keys and certificates are.
            identity: The node's own key, which signs the requests.
            votes: Whether the registry makes this node a voter.
            root: Key id (hexadecimal) of the root in use, None while that is unknown.
            pin: Key hash that the registry has for this voter's routes, None while unknown.
            ask: Asks the leader.
            installed: Told of the files that were replaced: connections must take them up.
            clock: For the waits.
            now: Wall-clock UTC.
            random: Numbers from 0 to 1.
        """
        self._secrets = secrets
        self._identity = identity
        self._votes = votes
        self._root = root
        self._pin = pin
        self._ask = ask
        self._installed = installed
        self._clock = clock
        self._now = now
        self._random = random
        self._log = logs.get("renewal")
        self._spread = random()
        self._wanted = asyncio.Event()
        self._failed = ""
        self.counters: Counter[str] = Counter()
        """renewed, failed."""

    @property
    def alarm(self) -> str | None:
        """Return what is wrong, in words, if less than a third of a life is left."""
        held = self.held()
        if held is None:
            return "this node has no certificate"
        left_s = held.ends_s - self._now().timestamp()
        if held.left(self._now().timestamp()) >= 1 / 3:
            return None
        how = f"ends in {left_s:.0f} s" if left_s > 0 else "has ended"
        why = f": {self._failed}" if self._failed else ""
        return f"this node's certificate {how} and could not be renewed{why}"

    @property
    def below_another_root(self) -> bool:
        """Return whether this node's chain does not end below the root in use."""
        root, leaf = self._root(), _read(self._secrets.node_certificate)
        return root is not None and leaf is not None and leaf.root_key_id != root

    @property
    def issuer_alarm(self) -> str | None:
        """Return what is wrong if a voter has no issuers, or less than a third of their life left.

        Only the operator can renew them, so nothing happens by itself then.
        """
        if not self._votes():
            return None
        if self._lacks_issuers():
            return (
                "this voter holds no issuers and asks the leader for them; should it lead itself,"
                " nobody can join or be made a voter: let another one lead (`bzzz-agent leader"
                " transfer`)"
            )
        secrets, now_s = self._secrets, self._now().timestamp()
        held = [_read(path) for path in (secrets.node_issuer, secrets.fabric_issuer)]
        spans = [Held(one.not_before_s, one.not_after_s) for one in held if one is not None]
        if not spans:
            return None
        first = min(spans, key=lambda span: span.ends_s)
        if first.left(now_s) >= 1 / 3:
            return None
        days = max(0.0, first.ends_s - now_s) / 86_400
        return (
            f"this voter's issuers end in {days:.0f} days; run setup again, or"
            " `bzzz-agent node rotate-ca --issuers-only`"
        )

    def held(self) -> Held | None:
        """Return the span of the certificate that ends first, or None without any."""
        facts = [one for one in self._facts().values() if one is not None]
        if not facts:
            return None
        first = min(facts, key=lambda one: one.not_after_s)
        return Held(first.not_before_s, first.not_after_s)

    def renew_now(self) -> None:
        """Let `run` renew at its next look, whatever the dates say."""
        self._wanted.set()

    async def run(self) -> None:
        """Renew whenever it is due, until cancelled."""
        delay_ms = _RETRY_MS[0]
        while True:
            if self._due():
                if not await self._try():
                    await self._clock.sleep_ms(int(delay_ms * (0.5 + self._random())))
                    delay_ms = min(2 * delay_ms, self._retry_ms_max())
                    continue
                delay_ms = _RETRY_MS[0]
            # After a success too: what is still due then (a leader that does not know of our vote
            # yet, or has no issuer of the new root) would otherwise be asked for without a pause.
            await self._sleep(self._look_ms())

    async def renew(self) -> frozenset[Path]:
        """Renew once and return the files that changed.

        Raises:
            BzzzError: The leader did not answer or refused, or what it sent does not fit.
        """
        enrolment = await asyncio.to_thread(init_node, self._secrets.path)
        statement = pack(self._statement(enrolment))
        signature = self._identity.sign(RENEW_CONTEXT, statement)
        answer = await self._ask(RENEW, pack(RenewRequest(statement, signature)))
        bundle = unpack(answer, CertificateBundle)
        changed = await asyncio.to_thread(install, self._secrets.path, bundle)
        await self._installed(changed)
        return changed

    def _statement(self, enrolment: Enrolment) -> RenewStatement:
        return RenewStatement(
            node=enrolment.node_id,
            node_csr=enrolment.node_csr,
            route_csr=enrolment.route_csr,
            system_csr=enrolment.system_csr,
            # Whether it votes, the leader decides: this node may hear of its vote only afterwards,
            # and would then stand there with a route and without issuers.
            sealing_key=enrolment.sealing_key if self._lacks_issuers() else b"",
        )

    async def _try(self) -> bool:
        self._wanted.clear()
        try:
            changed = await self.renew()
        except (BzzzError, OSError) as exc:
            self.counters["failed"] += 1
            self._failed = str(exc)
            self._log.warning("certificates not renewed", reason=self._failed)
            return False
        self.counters["renewed"] += 1
        self._failed = ""
        self._spread = self._random()
        self._log.info("certificates renewed", files=sorted(path.name for path in changed))
        return True

    def _due(self) -> bool:
        if self._wanted.is_set():
            return True
        facts, now_s = self._facts(), self._now().timestamp()
        if any(one is None for one in facts.values()) or (self._votes() and self._lacks_issuers()):
            return True
        early = 1 / 3 + self._spread / 12
        for one in facts.values():
            assert one is not None, "the case was dealt with above"
            if Held(one.not_before_s, one.not_after_s).left(now_s) < early:
                return True
        return self.below_another_root or self._route_key_unknown(facts)

    def _route_key_unknown(self, facts: dict[Path, CertificateFacts | None]) -> bool:
        """Return whether the cluster expects another route key than this voter has."""
        pin, route = self._pin(), facts.get(self._secrets.route_certificate)
        return pin is not None and route is not None and route.key_sha256 != pin

    def _facts(self) -> dict[Path, CertificateFacts | None]:
        """Return what this node must hold and what of it is there and readable."""
        secrets = self._secrets
        wanted = [secrets.node_certificate]
        if self._votes():
            wanted += [secrets.route_certificate, secrets.system_certificate]
        return {path: _read(path) for path in wanted}

    def _lacks_issuers(self) -> bool:
        secrets = self._secrets
        return not (secrets.node_issuer.exists() and secrets.fabric_issuer.exists())

    def _life_ms(self) -> float:
        held = self.held()
        return 1000 * (held.ends_s - held.begins_s) if held else 0.0

    def _look_ms(self) -> int:
        return int(min(max(self._life_ms() / 100, _LOOK_MS[0]), _LOOK_MS[1]))

    def _retry_ms_max(self) -> int:
        return int(min(max(self._life_ms() / 10, _RETRY_MS[0]), _RETRY_MS[1]))

    async def _sleep(self, duration_ms: int) -> None:
        async with asyncio.TaskGroup() as either:
            sleep = either.create_task(self._clock.sleep_ms(duration_ms))
            wanted = either.create_task(self._wanted.wait())
            await asyncio.wait((sleep, wanted), return_when=asyncio.FIRST_COMPLETED)
            sleep.cancel()
            wanted.cancel()


def _read(path: Path) -> CertificateFacts | None:
    try:
        return describe(private_files.read(path).decode("ascii", "replace"))
    except TrustError:
        return None
