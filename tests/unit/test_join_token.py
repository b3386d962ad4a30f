"""Join tokens: what they say, what they prove, and how often."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.config.secrets import Secret
from bzzz_core.enrolment.token import (
    TOKENS_MAX,
    JoinToken,
    KnownToken,
    Tokens,
    decode_tokens,
    encode_tokens,
    new_token,
    parse_token,
    proof_of,
)
from bzzz_core.errors import RequestInvalid, TokenRefused
from bzzz_core.model import ClusterId, NodeId
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.chain import spki_sha256
from bzzz_core.trust.names import Purpose

NOW_S = 1_800_000_000
ROOT = Authority.create(
    Purpose.NODE, common_name="x", days=1, passphrase=Secret("p" * 20)
).certificate_pem
ONE, OTHER = NodeId("a" * 26), NodeId("b" * 26)


def made(*, expires_s: int = NOW_S + 600) -> tuple[JoinToken, KnownToken]:
    return new_token(
        cluster=ClusterId("c"),
        root_pem=ROOT,
        places=("[::1]:8443", "10.0.0.1:8443"),
        expires_s=expires_s,
        created_at="2026",
        created_by="n1",
    )


def tokens_with(known: KnownToken) -> Tokens:
    return Tokens().with_new(known, now_s=NOW_S)


def test_what_is_printed_is_read_back() -> None:
    token, _ = made()
    again = parse_token(f"  {token.text().reveal()}\n")
    assert again == token
    assert (again.root_pem, again.root_sha256) == (ROOT, spki_sha256(ROOT))


def test_a_token_shows_its_secret_nowhere_by_accident() -> None:
    """Tracebacks and logs print whatever they hold."""
    token, known = made()
    text = token.text()
    for printed in (repr(token), str(token), f"{text}", repr(text), repr(known)):
        assert token.secret.hex() not in printed
        assert base64.b64encode(token.secret).decode()[:12] not in printed


@given(st.integers(0, 800), st.integers(1, 255))
def test_a_torn_or_changed_token_is_refused_without_quoting_it(at: int, change: int) -> None:
    word = made()[0].text().reveal()
    for broken in (word[:at], word[:at] + chr((ord(word[at % len(word)]) + change) % 256)):
        if broken.strip() == word:
            continue
        with pytest.raises(TokenRefused) as refusal:
            parse_token(broken)
        assert len(broken) < 24 or broken not in str(refusal.value)


@given(st.text(max_size=200))
def test_any_text_ends_in_one_kind_of_error(text: str) -> None:
    for word in (text, f"bzzz-join-1.{text}"):
        with pytest.raises(TokenRefused):
            parse_token(word)


def test_the_cluster_keeps_no_secret_and_knows_the_proof() -> None:
    """The record is readable by every voter, and by whoever gets a backup of it."""
    token, known = made()
    assert token.secret not in encode_tokens(tokens_with(known))
    assert proof_of(known.verifier, b"me") == token.proof(b"me")
    assert proof_of(known.verifier, b"me") != token.proof(b"somebody else")


def test_a_token_is_good_for_one_node() -> None:
    _, known = made()
    used = tokens_with(known).claimed(known.id, ONE, now_s=NOW_S, at="then")
    with pytest.raises(TokenRefused, match="is used"):
        used.claimed(known.id, OTHER, now_s=NOW_S, at="later")
    # Whoever used it may ask again: the answer may have been lost. Even after it expired.
    assert used.claimed(known.id, ONE, now_s=NOW_S + 10_000, at="later") is used


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda tokens, token: tokens.without(token), "withdrawn"),
        (lambda _, __: Tokens(), "does not know"),
    ],
)
def test_a_spoilt_token_is_refused_for_its_reason(spoil: object, reason: str) -> None:
    _, known = made()
    assert callable(spoil)
    spoilt = spoil(tokens_with(known), known.id)
    with pytest.raises(TokenRefused, match=reason):
        spoilt.claimed(known.id, ONE, now_s=NOW_S, at="")


def test_a_token_ends_in_the_second_it_says() -> None:
    _, known = made(expires_s=NOW_S + 1)
    tokens = tokens_with(known)
    assert tokens.claimed(known.id, ONE, now_s=NOW_S, at="")
    with pytest.raises(TokenRefused, match="expired"):
        tokens.claimed(known.id, ONE, now_s=NOW_S + 1, at="")


def test_the_number_of_tokens_is_bounded_and_old_ones_make_room() -> None:
    tokens = Tokens()
    for _ in range(TOKENS_MAX):
        tokens = tokens.with_new(made()[1], now_s=NOW_S)
    with pytest.raises(RequestInvalid, match="revoke some"):
        tokens.with_new(made()[1], now_s=NOW_S)
    assert len(tokens.with_new(made()[1], now_s=NOW_S + 90_000).known) == 1


def test_revoking_one_makes_room_at_once() -> None:
    """The refusal says so."""
    tokens = Tokens()
    for _ in range(TOKENS_MAX):
        tokens = tokens.with_new(made()[1], now_s=NOW_S)
    first, second = tokens.known[:2]
    fuller = tokens.without(second.id).with_new(made()[1], now_s=NOW_S)
    assert (len(fuller.known), fuller.find(second.id)) == (TOKENS_MAX, None)
    assert fuller.find(first.id) is not None
    with pytest.raises(TokenRefused, match="does not know"):
        fuller.claimed(second.id, ONE, now_s=NOW_S, at="")


def test_used_tokens_make_room_last_and_the_oldest_first_and_are_never_usable_again() -> None:
    withdrawn, expired, old, new = (made()[1] for _ in range(4))
    expired = msgspec.structs.replace(expired, expires_s=NOW_S + 5)
    tokens = Tokens((new, old, expired, withdrawn)).without(withdrawn.id)
    tokens = tokens.claimed(old.id, ONE, now_s=NOW_S, at="2026-01-01")
    tokens = tokens.claimed(new.id, OTHER, now_s=NOW_S, at="2026-01-02")
    while len(tokens.known) < TOKENS_MAX:
        tokens = tokens.with_new(made()[1], now_s=NOW_S)
    for gone in (withdrawn, expired, old):
        tokens = tokens.with_new(made()[1], now_s=NOW_S + 10)
        assert tokens.find(gone.id) is None
        with pytest.raises(TokenRefused):
            tokens.claimed(gone.id, ONE, now_s=NOW_S + 10, at="")
    assert tokens.claimed(new.id, OTHER, now_s=NOW_S + 10, at="") is tokens, "it may ask again"
    with pytest.raises(TokenRefused, match="is used"):
        tokens.claimed(new.id, ONE, now_s=NOW_S + 10, at="")


def test_a_damaged_record_is_a_value_error() -> None:
    for data in (b"", b"\xc1", msgspec.msgpack.encode({"known": [{"id": "x"}]})):
        with pytest.raises(ValueError, match=r"."):
            decode_tokens(data)
