"""What setup reads from a certificate before it decides to renew it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import TrustError
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certificate import describe, requested_key_sha256
from bzzz_core.trust.enrol import init_node
from bzzz_core.trust.names import Purpose

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_certificate_says_whose_it_is_and_until_when(tmp_path: Path) -> None:
    root = Authority.create(
        Purpose.NODE, common_name="x", days=10, passphrase=Secret("p" * 12), now=NOW
    )
    node = init_node(tmp_path / "secrets")
    pem = root.delegate(now=NOW).issue_node(
        node.node_csr, node_id=node.node_id, addresses=["10.0.0.1"], lifetime_s=3 * 86_400, now=NOW
    )
    said = describe(pem)
    assert said.names == tuple(
        sorted([f"{node.node_id}.node.bzzz", "localhost", "10.0.0.1", "127.0.0.1", "::1"])
    )
    assert said.not_after_s == NOW.timestamp() + 3 * 86_400
    assert said.root_key_id == describe(root.certificate_pem).key_id
    assert said.key_sha256 == requested_key_sha256(node.node_csr)
    assert said.key_sha256 != requested_key_sha256(node.route_csr)


@given(st.text(max_size=300))
def test_anything_else_is_a_trust_error(text: str) -> None:
    for read in (describe, requested_key_sha256):
        with pytest.raises(TrustError):
            read(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
