"""Who calls: bearer tokens, their names and roles, and what is refused.

Of a token its hash is kept. A caller's is compared with every known one, each in constant time and
all of them each time, so an answer's time tells neither which was nearly right nor how many there
are. A known token costs from the bucket of its name; a wrong or missing one from the bucket of the
address it came from, so that nobody can keep others out by guessing.

Every refusal is audited, with the desk's rule against floods; one that is only too fast is counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from starlette.requests import HTTPConnection

from bzzz_core.api.answers import Refusal
from bzzz_core.api.operations import ADMIN, Caller
from bzzz_core.api.permissions import Permission, least_role
from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.enrolment.limit import AttemptLimit
from bzzz_core.errors import ConfigError
from bzzz_core.model import ApiRole
from bzzz_core.ports import Clock

BURST_S: Final = 4
"""A token may use up so many seconds' worth at once."""
_GUESSES: Final = 20
_GUESS_MS: Final = 1_000
"""Of one address: 20 wrong tokens at once, then one a second; a token has 256 bits."""


class Audit(Protocol):
    """Where acts are written down."""

    def __call__(self, what: str, *, actor: str, **fields: object) -> None:
        """Record one act."""
        ...


class Keys:
    """The tokens that an agent takes."""

    def __init__(self, tokens: Sequence[tuple[str, ApiRole, Secret]]) -> None:
        """Take some tokens: name, role, value.

        Raises:
            ConfigError: Two are the same, so that nobody could say who called.
        """
        self._known = _known(tokens)

    @classmethod
    def single(cls, token: Secret) -> Self:
        """Return the one token of an administrator."""
        return cls(((ADMIN.name, ADMIN.role, token),))

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        """Return the tokens of a configured node.

        Raises:
            ConfigError: One cannot be read, or two are the same.
        """
        return cls(_tokens(config))

    async def follow(self, config: AgentConfig) -> None:
        """Take the tokens of another configuration; at a failure the former ones stay.

        Raises:
            ConfigError: As `of`.
        """
        # In a thread: a vault takes 0.4 s to open.
        self._known = _known(await asyncio.to_thread(_tokens, config))

    def find(self, authorization: str, peer: str = "") -> Caller | None:
        """Return who presents this header; None: nobody that is known."""
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip())
        found: Caller | None = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None or scheme.lower() != "bearer":
            return None
        return Caller(found.name, found.role, peer)


class Doorkeeper:
    """Lets a request pass to the endpoint that it asks for, or says why not."""

    def __init__(
        self,
        keys: Keys,
        *,
        clock: Clock,
        audit: Audit,
        rate_per_s: Callable[[], int],
    ) -> None:
        """Let nobody in yet.

        Args:
            keys: Whom to know.
            clock: For the rates.
            audit: Told of refusals.
            rate_per_s: How many requests a second one token may ask for in the long run.
        """
        self._keys = keys
        self._clock = clock
        self._audit = audit
        self._rate_per_s = rate_per_s
        self._guesses = AttemptLimit(burst=_GUESSES, refill_ms=_GUESS_MS)
        self._rate = 0
        self._requests = AttemptLimit(burst=1, refill_ms=1)
        self.counters: Counter[str] = Counter()
        """Requests let in, and refusals by code."""

    @classmethod
    def of_one(cls, token: Secret) -> Self:
        """Return a doorkeeper that knows one token, an administrator's, and has no audit."""
        return cls(
            Keys.single(token), clock=SystemClock(), audit=_unwritten, rate_per_s=lambda: 10_000
        )

    def admit(self, request: HTTPConnection, permission: Permission) -> Caller | Refusal:
        """Return who asks if it may, else why not."""
        peer = request.client.host if request.client else ""
        caller = self._keys.find(request.headers.get("authorization", ""), peer)
        route = f"{request.scope.get('method', 'GET')} {request.scope['path']}"[:200]
        if caller is None:
            return self._refuse_stranger(peer, route)
        wait_ms = self._limit().wait_ms(caller.name, self._clock.now_ms())
        if wait_ms:
            return self._too_fast(wait_ms, f"token {caller.name}")
        if not caller.may(permission):
            self.counters["forbidden"] += 1
            self._audit(
                "API request refused",
                actor=f"token {caller.name}",
                code="forbidden",
                asked=permission,
                route=route,
                peer=peer,
            )
            return Refusal(
                403,
                "permission_denied",
                f"the token {caller.name} has the role {caller.role}; {permission} takes the role"
                f" {least_role(permission)}",
            )
        self.counters["admitted"] += 1
        return caller

    def still_knows(self, request: HTTPConnection, caller: Caller) -> bool:
        """Return whether who was let in would be now; for answers that go on."""
        found = self._keys.find(request.headers.get("authorization", ""), caller.peer)
        return found == caller

    def _refuse_stranger(self, peer: str, route: str) -> Refusal:
        wait_ms = self._guesses.wait_ms(peer, self._clock.now_ms())
        if wait_ms:
            return self._too_fast(wait_ms, peer or "your address")
        self.counters["unauthorized"] += 1
        self._audit(
            "API request refused",
            actor=peer or "unknown address",
            code="unauthorized",
            route=route,
        )
        return Refusal(
            401,
            "unauthorized",
            "present an API token as a bearer token",
            {"www-authenticate": "Bearer"},
        )

    def _too_fast(self, wait_ms: float, whose: str) -> Refusal:
        self.counters["rate_limited"] += 1
        wait_s = max(1, round(wait_ms / 1000 + 0.5))
        return Refusal(
            429,
            "rate_limited",
            f"too many requests by {whose}; try again in {wait_s} s",
            {"retry-after": str(wait_s)},
        )

    def _limit(self) -> AttemptLimit:
        rate = self._rate_per_s()
        if rate != self._rate:
            self._rate = rate
            self._requests = AttemptLimit(burst=rate * BURST_S, refill_ms=1000 / rate)
        return self._requests


def _unwritten(what: str, *, actor: str, **fields: object) -> None:
    """Write nothing down."""


def _tokens(config: AgentConfig) -> list[tuple[str, ApiRole, Secret]]:
    vault = Path(config.security.directory)
    more = config.security.api_tokens
    return [
        (ADMIN.name, ADMIN.role, resolve(config.security.api_token, vault=vault)),
        *((one.name, one.role, resolve(one.token, vault=vault)) for one in more),
    ]


def _known(tokens: Sequence[tuple[str, ApiRole, Secret]]) -> tuple[tuple[bytes, Caller], ...]:
    names: dict[bytes, str] = {}
    for name, _, token in tokens:
        same = names.setdefault(_digest(token.reveal()), name)
        if same != name:
            raise ConfigError(f"the API tokens {same} and {name} are the same; make another one")
    return tuple((_digest(token.reveal()), Caller(name, role)) for name, role, token in tokens)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
