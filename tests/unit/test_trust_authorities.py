"""Two authorities with one job each, checked by OpenSSL rather than by the library that signed."""

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import TrustError
from bzzz_core.model import NodeId
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.enrol import CertificateBundle, Enrolment, init_node
from bzzz_core.trust.enrol import install as install_bundle
from bzzz_core.trust.names import Purpose, node_name, route_name
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import client_context

DAY_S = 86_400
PASSPHRASE = Secret("correct horse battery staple")
ADDRESSES = ["192.0.2.7", "2001:db8::7", "Host-7.example.net"]


@pytest.fixture(scope="module")
def node_ca() -> Authority:
    return Authority.create(Purpose.NODE, common_name="test", days=10, passphrase=PASSPHRASE)


@pytest.fixture(scope="module")
def fabric_ca() -> Authority:
    return Authority.create(Purpose.FABRIC, common_name="test", days=10, passphrase=PASSPHRASE)


@pytest.fixture
def enrolment(tmp_path: Path) -> Enrolment:
    return init_node(tmp_path / "secrets")


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def issue(authority: Authority, enrolment: Enrolment, *, days: int = 5) -> str:
    issuer = authority.delegate()
    sign = issuer.issue_node if authority.purpose is Purpose.NODE else issuer.issue_route
    csr = enrolment.node_csr if authority.purpose is Purpose.NODE else enrolment.route_csr
    return sign(csr, node_id=enrolment.node_id, addresses=ADDRESSES, lifetime_s=days * DAY_S)


def install(
    directory: Path, enrolment: Enrolment, node_ca: Authority, fabric_ca: Authority
) -> None:
    bundle = CertificateBundle(
        node_certificate=issue(node_ca, enrolment),
        node_ca=node_ca.certificate_pem,
        route_certificate=issue(fabric_ca, enrolment),
        fabric_ca=fabric_ca.certificate_pem,
    )
    install_bundle(directory, bundle)


def test_openssl_verifies_strictly(
    tmp_path: Path, enrolment: Enrolment, node_ca: Authority, fabric_ca: Authority
) -> None:
    """Python verifies this strictly from 3.13 on: without SKI, AKI and key usage it would fail."""
    install(tmp_path / "secrets", enrolment, node_ca, fabric_ca)
    files = SecretsDirectory(tmp_path / "secrets")
    for root, leaf in (
        (files.node_ca, files.node_certificate),
        (files.fabric_ca, files.route_certificate),
    ):
        # The leaf alone is not enough: what a peer presents is the chain.
        assert "unable to get local issuer" in openssl("verify", "-CAfile", root, leaf)
        for purpose in ("sslserver", "sslclient"):
            said = openssl(
                "verify",
                "-x509_strict",
                "-check_ss_sig",
                "-purpose",
                purpose,
                "-CAfile",
                root,
                "-untrusted",
                leaf,
                leaf,
            )
            assert said.endswith(": OK\n"), said
    chain = files.node_certificate
    wrong = openssl("verify", "-CAfile", files.fabric_ca, "-untrusted", chain, chain)
    assert "verification failed" in wrong


def test_names_come_from_the_inventory_not_from_the_request(
    node_ca: Authority, enrolment: Enrolment
) -> None:
    """A node asks with its own key; what it may be called is not its to say."""
    key = ec.generate_private_key(ec.SECP256R1())
    wish = x509.SubjectAlternativeName([x509.DNSName("victim.node.bzzz")])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "victim.node.bzzz")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(wish, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    pem = node_ca.delegate().issue_node(
        request, node_id=enrolment.node_id, addresses=ADDRESSES, lifetime_s=DAY_S
    )
    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        node_name(enrolment.node_id),
        "localhost",
        "host-7.example.net",
    ]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [
        "192.0.2.7",
        "2001:db8::7",
        "127.0.0.1",
        "::1",
    ]
    assert "victim" not in certificate.subject.rfc4514_string()


def test_a_route_certificate_has_its_own_kind_of_name(
    fabric_ca: Authority, enrolment: Enrolment
) -> None:
    certificate = x509.load_pem_x509_certificate(issue(fabric_ca, enrolment).encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        route_name(enrolment.node_id),
        "host-7.example.net",
    ]


@pytest.mark.parametrize("address", ["other.node.bzzz", "x.BZZZ", "bzzz", "a b", "-x", "", "*.net"])
def test_an_address_cannot_be_an_identity_or_nonsense(
    node_ca: Authority, enrolment: Enrolment, address: str
) -> None:
    """Else whoever writes the inventory's address column could make one node pass for another."""
    with pytest.raises(TrustError):
        node_ca.delegate().issue_node(
            enrolment.node_csr, node_id=enrolment.node_id, addresses=[address], lifetime_s=DAY_S
        )


def test_an_authority_does_only_its_own_work(
    node_ca: Authority, fabric_ca: Authority, enrolment: Enrolment
) -> None:
    """A node certificate of the fabric authority would open routes."""
    with pytest.raises(TrustError, match="fabric authority does not sign node"):
        fabric_ca.delegate().issue_node(
            enrolment.node_csr, node_id=enrolment.node_id, addresses=[], lifetime_s=DAY_S
        )
    with pytest.raises(TrustError, match="node authority does not sign route"):
        node_ca.delegate().issue_route(
            enrolment.route_csr, node_id=enrolment.node_id, addresses=[], lifetime_s=DAY_S
        )


def _tampered(pem: str) -> str:
    request = x509.load_pem_x509_csr(pem.encode())
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    at = bytes(der).index(request.subject.rfc4514_string().removeprefix("CN=").encode()[:8])
    der[at] ^= 1
    return openssl_pem(bytes(der))


def openssl_pem(der: bytes) -> str:
    done = subprocess.run(
        ["openssl", "req", "-inform", "DER"], input=der, capture_output=True, check=True
    )
    return done.stdout.decode()


def _rsa_request() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_request_must_be_signed_by_its_own_key(node_ca: Authority, enrolment: Enrolment) -> None:
    with pytest.raises(TrustError, match="not signed by its own key"):
        node_ca.delegate().issue_node(
            _tampered(enrolment.node_csr), node_id=enrolment.node_id, addresses=[], lifetime_s=DAY_S
        )


@pytest.mark.parametrize("request_pem", ["", "x" * 20_000, "-----BEGIN CERTIFICATE REQUEST-----"])
def test_a_malformed_request_is_refused(
    node_ca: Authority, enrolment: Enrolment, request_pem: str
) -> None:
    with pytest.raises(TrustError):
        node_ca.delegate().issue_node(
            request_pem, node_id=enrolment.node_id, addresses=[], lifetime_s=DAY_S
        )


def test_only_p256_keys_are_signed(node_ca: Authority, enrolment: Enrolment) -> None:
    with pytest.raises(TrustError, match="P-256"):
        node_ca.delegate().issue_node(
            _rsa_request(), node_id=enrolment.node_id, addresses=[], lifetime_s=DAY_S
        )


def test_a_malformed_node_id_is_refused(node_ca: Authority, enrolment: Enrolment) -> None:
    """The id becomes part of a name; a dot or a star in it would be another name."""
    with pytest.raises(TrustError):
        node_ca.delegate().issue_node(
            enrolment.node_csr, node_id=NodeId("*"), addresses=[], lifetime_s=DAY_S
        )


def test_a_certificate_starts_before_and_ends_with_its_authority(enrolment: Enrolment) -> None:
    """Clocks of hosts may be slow by minutes; a leaf that outlives its root verifies nowhere."""
    now = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    authority = Authority.create(
        Purpose.NODE, common_name="short", days=3, passphrase=PASSPHRASE, now=now
    )
    issuer = authority.delegate(now=now)
    pem = issuer.issue_node(
        enrolment.node_csr, node_id=enrolment.node_id, addresses=[], lifetime_s=30 * DAY_S, now=now
    )
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert certificate.not_valid_before_utc == now - dt.timedelta(minutes=5)
    assert certificate.not_valid_after_utc == now + dt.timedelta(days=3)
    with pytest.raises(TrustError, match="expired"):
        issuer.issue_node(
            enrolment.node_csr,
            node_id=enrolment.node_id,
            addresses=[],
            lifetime_s=DAY_S,
            now=now + dt.timedelta(days=4),
        )


def test_an_authority_survives_its_files_and_only_with_its_passphrase(
    tmp_path: Path, enrolment: Enrolment
) -> None:
    made = Authority.create(Purpose.NODE, common_name="kept", days=10, passphrase=PASSPHRASE)
    made.save(tmp_path / "ca")
    loaded = Authority.load(tmp_path / "ca", Purpose.NODE, PASSPHRASE)
    assert loaded.sha256 == made.sha256
    assert issue(loaded, enrolment)
    with pytest.raises(TrustError, match="wrong passphrase"):
        Authority.load(tmp_path / "ca", Purpose.NODE, Secret("correct horse battery stable"))
    with pytest.raises(TrustError, match="never overwritten"):
        made.save(tmp_path / "ca")
    assert {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "ca").iterdir()} == {
        "node-ca.key": 0o600,
        "node-ca.pem": 0o600,
    }


def test_authorities_cannot_be_swapped_on_disk(tmp_path: Path, fabric_ca: Authority) -> None:
    fabric_ca.save(tmp_path)
    for kind in ("key", "pem"):
        (tmp_path / f"fabric-ca.{kind}").rename(tmp_path / f"node-ca.{kind}")
    with pytest.raises(TrustError, match="another's"):
        Authority.load(tmp_path, Purpose.NODE, PASSPHRASE)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(TrustError, match="12 characters"):
        Authority.create(Purpose.NODE, common_name="x", days=1, passphrase=Secret("short"))


def test_enrolling_again_keeps_the_keys(tmp_path: Path, enrolment: Enrolment) -> None:
    """A repeated setup must not make another node of this one."""
    before = {p.name: p.read_bytes() for p in (tmp_path / "secrets").iterdir()}
    again = init_node(tmp_path / "secrets")
    assert (again.node_id, again.public_key) == (enrolment.node_id, enrolment.public_key)
    assert {p.name: p.read_bytes() for p in (tmp_path / "secrets").iterdir()} == before
    assert set(before) == {"identity.key", "node.key", "route.key", "system.key"}


def test_enrolling_makes_everything_private(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o755)
    init_node(tmp_path / "secrets")
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "secrets").iterdir()} == {0o600}


def test_a_certificate_for_another_key_is_not_installed(
    tmp_path: Path, enrolment: Enrolment, node_ca: Authority, fabric_ca: Authority
) -> None:
    """It would lock the node out at its next start; nothing may have changed."""
    install(tmp_path / "secrets", enrolment, node_ca, fabric_ca)
    before = {p.name: p.read_bytes() for p in (tmp_path / "secrets").iterdir()}
    stranger = init_node(tmp_path / "stranger")
    with pytest.raises(TrustError, match="is not for this key"):
        install(tmp_path / "secrets", stranger, node_ca, fabric_ca)
    foreign = Authority.create(Purpose.NODE, common_name="test", days=1, passphrase=PASSPHRASE)
    with pytest.raises(TrustError, match="given authority"):
        install_bundle(
            tmp_path / "secrets",
            CertificateBundle(
                node_certificate=issue(foreign, enrolment), node_ca=node_ca.certificate_pem
            ),
        )
    assert {p.name: p.read_bytes() for p in (tmp_path / "secrets").iterdir()} == before


def test_the_installed_certificate_opens_a_tls_context(
    tmp_path: Path, enrolment: Enrolment, node_ca: Authority, fabric_ca: Authority
) -> None:
    files = SecretsDirectory(tmp_path / "secrets")
    with pytest.raises(TrustError):
        client_context(files)
    install(files.path, enrolment, node_ca, fabric_ca)
    assert client_context(files).check_hostname
