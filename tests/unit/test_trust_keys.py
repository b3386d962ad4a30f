"""A node is its key: the id follows from it, and a signature says one thing only."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.errors import SignatureInvalid, TrustError
from bzzz_core.trust.keys import IdentityKey, node_id_of, verify

KEY = IdentityKey.generate()


def test_the_key_survives_its_file(tmp_path: Path) -> None:
    made = IdentityKey.create(tmp_path / "identity.key")
    loaded = IdentityKey.load(tmp_path / "identity.key")
    assert loaded.public_key == made.public_key
    verify(made.public_key, b"context", b"payload", loaded.sign(b"context", b"payload"))


def test_the_key_file_is_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    """Not even for the moment of writing could another user read the key."""
    IdentityKey.create(tmp_path / "identity.key")
    assert [path.name for path in tmp_path.iterdir()] == ["identity.key"]
    assert (tmp_path / "identity.key").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    """Replacing it would make another node of this one."""
    first = IdentityKey.create(tmp_path / "identity.key")
    with pytest.raises(FileExistsError):
        IdentityKey.create(tmp_path / "identity.key")
    assert IdentityKey.load(tmp_path / "identity.key").node_id == first.node_id


def test_a_key_open_to_others_is_refused(tmp_path: Path) -> None:
    IdentityKey.create(tmp_path / "identity.key")
    (tmp_path / "identity.key").chmod(0o640)
    with pytest.raises(TrustError, match="chmod 600"):
        IdentityKey.load(tmp_path / "identity.key")


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_a_trust_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(TrustError):
        IdentityKey.load(path)


def test_a_missing_key_is_a_trust_error(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="identity"):
        IdentityKey.load(tmp_path / "identity.key")


def test_the_id_is_derived_from_the_public_key() -> None:
    """The value is fixed for ever: every certificate and ballot refers to it."""
    assert node_id_of(bytes(32)) == "mzuhvlpymk6xo3epygfy5h4oea"
    assert KEY.node_id == node_id_of(KEY.public_key)
    with pytest.raises(TrustError):
        node_id_of(bytes(31))


@settings(max_examples=50)
@given(st.binary(min_size=1, max_size=20), st.binary(max_size=40), st.integers(0, 19))
def test_context_and_payload_cannot_be_shifted(context: bytes, payload: bytes, cut: int) -> None:
    """Bytes signed for one purpose must not pass for another one with the border moved."""
    signature = KEY.sign(context, payload)
    verify(KEY.public_key, context, payload, signature)
    joined = context + payload
    other_context, other_payload = joined[: cut + 1], joined[cut + 1 :]
    if other_context != context:
        with pytest.raises(SignatureInvalid):
            verify(KEY.public_key, other_context, other_payload, signature)


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_a_wrong_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(KEY.public_key, b"context", b"payload", signature)


def test_a_foreign_or_malformed_key_is_refused() -> None:
    signature = KEY.sign(b"context", b"payload")
    with pytest.raises(SignatureInvalid):
        verify(IdentityKey.generate().public_key, b"context", b"payload", signature)
    with pytest.raises(SignatureInvalid):
        verify(b"short", b"context", b"payload", signature)


def test_a_key_does_not_print() -> None:
    assert repr(KEY) == f"IdentityKey({KEY.node_id})"
