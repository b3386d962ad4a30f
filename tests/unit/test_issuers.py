"""Issuers: what they may sign, for how long, and who can open them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import TrustError
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certify import Applicant, Issuers, certify
from bzzz_core.trust.enrol import CertificateBundle, Enrolment, init_node, install, open_issuer
from bzzz_core.trust.issuing import Issuer
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.names import Purpose
from bzzz_core.trust.sealing import open_sealed, seal, sealing_key_of
from bzzz_core.trust.secrets_directory import SecretsDirectory

PASSPHRASE = Secret("correct horse battery staple")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def roots() -> tuple[Authority, Authority]:
    node, fabric = (
        Authority.create(purpose, common_name="test", days=900, passphrase=PASSPHRASE)
        for purpose in (Purpose.NODE, Purpose.FABRIC)
    )
    return node, fabric


@pytest.fixture(scope="module")
def issuers(roots: tuple[Authority, Authority]) -> Issuers:
    return Issuers.below(*roots)


@pytest.fixture
def node(tmp_path: Path) -> Enrolment:
    return init_node(tmp_path / "secrets")


def applicant(node: Enrolment, *, voter: bool) -> Applicant:
    return Applicant(
        node_id=node.node_id,
        addresses=["192.0.2.7"],
        voter=voter,
        node_csr=node.node_csr,
        route_csr=node.route_csr,
        system_csr=node.system_csr,
        sealing_key=node.sealing_key,
    )


def test_an_edge_gets_nothing_that_opens_a_route(issuers: Issuers, node: Enrolment) -> None:
    """Not the certificate, and neither of the issuers that could make one."""
    bundle = certify(applicant(node, voter=False), issuers=issuers, lifetime_s=3_600)
    given = {name for name in bundle.__struct_fields__ if getattr(bundle, name) is not None}
    assert given == {"node_certificate", "node_ca"}


def test_a_voter_gets_everything_and_can_sign(
    tmp_path: Path, issuers: Issuers, node: Enrolment
) -> None:
    bundle = certify(applicant(node, voter=True), issuers=issuers, lifetime_s=3_600)
    install(tmp_path / "secrets", bundle)
    files = SecretsDirectory(tmp_path / "secrets")
    identity = IdentityKey.load(files.identity_key)
    for purpose in (Purpose.NODE, Purpose.FABRIC):
        assert open_issuer(files, identity, purpose).purpose is purpose
    assert {p.stat().st_mode & 0o777 for p in files.path.iterdir()} == {0o600}


def test_the_operations_identity_serves_nowhere(issuers: Issuers, node: Enrolment) -> None:
    pem = issuers.node.issue_system(node.system_csr, node_id=node.node_id, lifetime_s=60)
    leaf = x509.load_pem_x509_certificate(pem.encode())
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{node.node_id}.system.bzzz"]


def test_an_issuer_cannot_make_issuers(tmp_path: Path, issuers: Issuers, node: Enrolment) -> None:
    """A stolen one dies with its year; path length 0 lets no verifier accept a child of it."""
    certificate = x509.load_pem_x509_certificate(issuers.node.certificate_pem.encode())
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert (limits.value.ca, limits.value.path_length) == (True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {
        x509.ExtendedKeyUsageOID.SERVER_AUTH,
        x509.ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    del tmp_path, node


def test_openssl_accepts_the_chain_strictly_and_refuses_the_other_root(
    tmp_path: Path, roots: tuple[Authority, Authority], issuers: Issuers, node: Enrolment
) -> None:
    pem = issuers.fabric.issue_route(
        node.route_csr, node_id=node.node_id, addresses=["192.0.2.7"], lifetime_s=3_600
    )
    (tmp_path / "chain.pem").write_text(pem)
    for root in roots:
        (tmp_path / f"{root.purpose}.pem").write_text(root.certificate_pem)

    def verified(purpose: Purpose) -> bool:
        done = subprocess.run(
            [
                *("openssl", "verify", "-x509_strict", "-purpose", "sslserver"),
                *("-CAfile", tmp_path / f"{purpose}.pem"),
                *("-untrusted", tmp_path / "chain.pem", tmp_path / "chain.pem"),
            ],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    assert verified(Purpose.FABRIC)
    assert not verified(Purpose.NODE)


@pytest.mark.parametrize(("lifetime_s", "backdated_s"), [(60, 6), (3_000, 300), (2_592_000, 300)])
def test_a_certificate_begins_a_little_before_its_making(
    roots: tuple[Authority, Authority], node: Enrolment, lifetime_s: int, backdated_s: int
) -> None:
    """Five minutes for slow clocks, but never so much that a short life looks half over."""
    issuer = roots[0].delegate()
    now = datetime.now(UTC).replace(microsecond=0)
    pem = issuer.issue_node(
        node.node_csr, node_id=node.node_id, addresses=[], lifetime_s=lifetime_s, now=now
    )
    leaf = x509.load_pem_x509_certificate(pem.encode())
    assert now - leaf.not_valid_before_utc == timedelta(seconds=backdated_s)
    assert leaf.not_valid_after_utc - now == timedelta(seconds=lifetime_s)


def test_a_life_below_a_minute_is_refused(issuers: Issuers, node: Enrolment) -> None:
    with pytest.raises(TrustError, match="at least 60"):
        issuers.node.issue_node(node.node_csr, node_id=node.node_id, addresses=[], lifetime_s=59)


def test_an_issuer_lives_a_year_and_never_longer_than_its_root() -> None:
    long, short = (
        Authority.create(
            Purpose.NODE, common_name="x", days=days, passphrase=PASSPHRASE, now=NOW
        ).delegate(now=NOW)
        for days in (900, 100)
    )
    assert long.expires_at == NOW + timedelta(days=365)
    assert short.expires_at == NOW + timedelta(days=100)


def test_a_sealed_issuer_opens_for_one_node_only(issuers: Issuers) -> None:
    owner, other = IdentityKey.generate(), IdentityKey.generate()
    sealed = issuers.node.sealed_to(sealing_key_of(owner))
    assert Issuer.open(sealed, owner).certificate_pem == issuers.node.certificate_pem
    with pytest.raises(TrustError):
        Issuer.open(sealed, other)


@pytest.mark.parametrize("spoil", ["", "key", "certificate", "cut"])
def test_a_changed_sealed_issuer_is_refused(issuers: Issuers, spoil: str) -> None:
    owner = IdentityKey.generate()
    sealed = issuers.node.sealed_to(sealing_key_of(owner))
    spoilt = {
        "": "",
        "key": sealed[:-60] + ("A" if sealed[-60] != "A" else "B") + sealed[-59:],
        "certificate": sealed.replace(issuers.node.certificate_pem, issuers.fabric.certificate_pem),
        "cut": sealed[:-80],
    }[spoil]
    with pytest.raises(TrustError):
        Issuer.open(spoilt, owner)


def test_a_foreign_issuer_is_not_installed(
    tmp_path: Path, issuers: Issuers, node: Enrolment
) -> None:
    """Whoever could slip one in would sign for this cluster from then on."""
    good = certify(applicant(node, voter=True), issuers=issuers, lifetime_s=3_600)
    foreign = Authority.create(Purpose.NODE, common_name="test", days=9, passphrase=PASSPHRASE)
    for wrong in (
        foreign.delegate().sealed_to(node.sealing_key),
        issuers.fabric.sealed_to(node.sealing_key),
        issuers.node.sealed_to(sealing_key_of(IdentityKey.generate())),
    ):
        parts = {name: getattr(good, name) for name in good.__struct_fields__}
        with pytest.raises(TrustError):
            install(tmp_path / "secrets", CertificateBundle(**{**parts, "node_issuer": wrong}))
        assert not (tmp_path / "secrets" / "node.pem").exists()


def test_what_is_sealed_for_one_use_does_not_open_for_another() -> None:
    owner = IdentityKey.generate()
    sealed = seal(sealing_key_of(owner), b"plain", context=b"one")
    assert open_sealed(owner, sealed, context=b"one") == b"plain"
    with pytest.raises(TrustError):
        open_sealed(owner, sealed, context=b"two")


@pytest.mark.parametrize("key", [b"", b"\0" * 32, b"x" * 31])
def test_nothing_is_sealed_to_what_is_no_key(key: bytes) -> None:
    """A key of all zeros would agree on a secret that everybody knows."""
    with pytest.raises(TrustError):
        seal(key, b"plain", context=b"")


def test_an_issuer_does_not_leave_the_process_by_accident(issuers: Issuers) -> None:
    with pytest.raises(TypeError):
        issuers.node.__reduce__()
    assert "Issuer(node" in repr(issuers.node)
