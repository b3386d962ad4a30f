"""Tokens, rates and names of the host: with a clock that a test holds in its hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from bzzz_core.api.answers import Refusal
from bzzz_core.api.auth import BURST_S, Doorkeeper, Keys
from bzzz_core.api.limits import HEADERS_BYTES_MAX, HEADERS_MAX, Hosts, check_head
from bzzz_core.api.operations import Caller
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sources import load_agent_config
from bzzz_core.errors import ConfigError, SecretError
from bzzz_core.model import ApiRole
from tests.fakes.api_node import founded

THREE: tuple[tuple[str, ApiRole, Secret], ...] = (
    ("admin", "admin", Secret("a")),
    ("desk", "operator", Secret("o")),
    ("wall", "viewer", Secret("v")),
)


class HeldClock:
    """Stands still until it is moved; satisfies `ports.Clock`."""

    def __init__(self) -> None:
        self.now = 1_000

    def now_ms(self) -> int:
        return self.now

    async def sleep_ms(self, duration_ms: int) -> None:
        raise AssertionError(f"nobody sleeps here, for {duration_ms} ms or at all")


def _request(token: str, peer: str) -> HTTPConnection:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/status",
        "client": (peer, 5),
        "headers": [(b"authorization", f"Bearer {token}".encode())],
    }
    return HTTPConnection(scope)


class Door:
    """A doorkeeper and what it wrote down."""

    def __init__(self, *, rate: int = 10) -> None:
        self.clock = HeldClock()
        self.rate = rate
        self.audited: list[dict[str, Any]] = []
        self.keeper = Doorkeeper(
            Keys(THREE), clock=self.clock, audit=self._note, rate_per_s=lambda: self.rate
        )

    def knock(self, token: str, peer: str = "192.0.2.1") -> Caller | Refusal:
        return self.keeper.admit(_request(token, peer), "status:read")

    def still(self, token: str, caller: Caller) -> bool:
        return self.keeper.still_knows(_request(token, caller.peer), caller)

    def knocks(self, number: int, token: str, peer: str = "192.0.2.1") -> list[int]:
        """Return the status of each refusal, 200 where it was let in."""
        found = [self.knock(token, peer) for _ in range(number)]
        return [one.status if isinstance(one, Refusal) else 200 for one in found]

    def _note(self, what: str, *, actor: str, **fields: object) -> None:
        self.audited.append({"what": what, "actor": actor, **fields})


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Bearer a", "admin"),
        ("bearer  v ", "wall"),
        ("Bearer o", "desk"),
        ("Bearer", None),
        ("", None),
        ("Basic a", None),
        ("Bearer A", None),
        ("Bearer a b", None),
        ("Bearer ä\ud800", None),
    ],
)
def test_a_token_is_known_by_its_whole_value(header: str, name: str | None) -> None:
    found = Keys(THREE).find(header)
    assert (found.name if found else None) == name


def test_a_token_that_was_withdrawn_or_has_another_role_is_not_the_one_let_in() -> None:
    """An answer that goes on asks this before it says more."""
    door = Door()
    caller = door.knock("v")
    assert isinstance(caller, Caller)
    assert door.still("v", caller)
    assert not door.still("v", Caller("wall", "operator", caller.peer))
    assert not door.still("x", caller)


def test_two_names_for_one_token_are_refused() -> None:
    """Nobody could say who called."""
    with pytest.raises(ConfigError, match="wall and desk are the same"):
        Keys((("wall", "viewer", Secret("x")), ("desk", "operator", Secret("x"))))


def test_a_token_has_a_burst_and_then_its_rate() -> None:
    door = Door(rate=10)
    assert door.knocks(10 * BURST_S, "v") == [200] * 10 * BURST_S
    refusal = door.knock("v")
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.headers) == (429, {"retry-after": "1"})
    door.clock.now += 100
    assert door.knocks(2, "v") == [200, 429]
    assert door.knocks(1, "a") == [200], "another token has a bucket of its own"


def test_a_changed_rate_holds_at_once() -> None:
    door = Door(rate=1)
    door.knocks(BURST_S, "v")
    assert door.knocks(1, "v") == [429]
    door.rate = 100
    assert door.knocks(1, "v") == [200]


def test_who_guesses_tokens_is_slowed_down_and_keeps_nobody_else_out() -> None:
    door = Door()
    assert door.knocks(25, "nope") == [401] * 20 + [429] * 5
    assert len(door.audited) == 20, "what is only too fast is counted, not written"
    assert door.knocks(1, "v") == [200], "a known token from the same address"
    assert door.knocks(1, "nope", peer="192.0.2.2") == [401], "another address"
    door.clock.now += 1_000
    assert door.knocks(2, "nope") == [401, 429]
    assert door.keeper.counters["rate_limited"] == 6


def test_no_refusal_repeats_what_was_presented() -> None:
    door = Door()
    refusal = door.knock("sesame")
    assert isinstance(refusal, Refusal)
    assert "sesame" not in f"{refusal}{door.audited}"


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("192.0.2.7", True),
        ("node.example:1", True),
        ("node.example.", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("localhost:80@evil.example", False),
        ("127.0.0.1.nip.example", False),
        ("[::1].evil.example", False),
        ("[evil.example]", False),
        ("localhost:", False),
        ("localhost:999999", False),
        ("", False),
        ("a" * 5_000, False),
    ],
)
def test_only_names_of_this_host_are_taken(header: str, *, known: bool) -> None:
    """A page can point a name of its own here, but no address and no localhost."""
    assert Hosts(("Node.Example",)).knows(header) is known


def test_a_head_has_bounds() -> None:
    usual = [(b"host", b"localhost")]
    assert check_head(b"/v1/status", b"a=1", usual) is None
    for path, query, headers, status in (
        (b"/" * 3_000, b"", usual, 414),
        (b"/", b"q" * 9_000, usual, 414),
        (b"/", b"", usual * (HEADERS_MAX + 1), 431),
        (b"/", b"", [(b"x-long", b"a" * HEADERS_BYTES_MAX)], 431),
    ):
        refusal = check_head(path, query, headers)
        assert refusal is not None
        assert refusal.status == status


# ---- as configured


def with_tokens(tmp_path: Path, *entries: str) -> Any:
    file = founded(tmp_path)
    for name in ("wall", "desk"):
        secret = tmp_path / name
        secret.write_text(f"the token of {name}\n")
        secret.chmod(0o600)
    text = f"[{', '.join(entries)}]".replace("DIR", str(tmp_path))
    return load_agent_config(file, {"BZZZ_SECURITY__API_TOKENS": text})


def test_configured_tokens_have_names_and_roles(tmp_path: Path) -> None:
    config = with_tokens(tmp_path, '{"name": "wall", "role": "viewer", "token": "file:DIR/wall"}')
    found = Keys.of(config).find("Bearer the token of wall")
    assert found == Caller("wall", "viewer")


@pytest.mark.parametrize(
    "entries",
    [
        ('{"name": "admin", "token": "file:DIR/wall"}',),
        ('{"name": "a", "token": "file:DIR/wall"}', '{"name": "a", "token": "file:DIR/desk"}'),
        ('{"name": "Wall", "token": "file:DIR/wall"}',),
        ('{"name": "a", "role": "root", "token": "file:DIR/wall"}',),
        ('{"name": "a", "token": "s3cret-pasted-in"}',),
    ],
    ids=["admin", "twice", "upper case", "role", "no reference"],
)
def test_what_is_no_list_of_tokens_is_refused(tmp_path: Path, entries: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        with_tokens(tmp_path, *entries)
    assert "s3cret" not in str(refused.value)


def test_a_token_that_cannot_be_read_names_its_key(tmp_path: Path) -> None:
    config = with_tokens(tmp_path, '{"name": "gone", "token": "file:DIR/gone"}')
    with pytest.raises(SecretError, match="gone"):
        Keys.of(config)
