"""The support bundle holds what happened, and no secret in any form."""

from __future__ import annotations

import base64
import json
import tarfile
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy.support import FILE_BYTES_MAX, Scrubber, forms_of, secrets_of, write
from bzzz_core.deploy.support_texts import write_bundle
from bzzz_core.errors import ConfigError

CANARY = "c4nary/s3cret+väl&ue"
TOKEN = "made-by-setup-0123456789"  # noqa: S105  a canary


def spec() -> ClusterSpec:
    return ClusterSpec.model_validate(
        {
            "hosts": [{"name": "a", "address": "10.0.0.1"}],
            "security": {"ssh": {"password": "env:CANARY"}},
        }
    )


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster's directory whose journal quotes the secrets in every way there is."""
    monkeypatch.setenv("CANARY", CANARY)
    directory = tmp_path / "clusters" / "lab"
    (directory / "journal").mkdir(parents=True)
    (directory / "ca").mkdir()
    for name in ("api-token", "ca/passphrase"):
        path = directory / name
        path.write_text(TOKEN + "\n")
        path.chmod(0o600)
    quoted = [
        CANARY,
        urllib.parse.quote(CANARY, safe=""),
        urllib.parse.quote_plus(CANARY),
        *(base64.b64encode(f"{'x' * n}{CANARY}zz".encode()).decode() for n in range(4)),
        base64.urlsafe_b64encode(f"user:{CANARY}".encode()).decode(),
        TOKEN,
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAkeymaterial\n-----END OPENSSH PRIVATE KEY-----",
        "http://me:pr0xy-login@proxy:3128",
        "sk-abcdefghijklmnopqrstuvwx",
        '{"token": "bzzz-join-1.AAAAc2VjcmV0LWpvaW4_-w=="}',
    ]
    (directory / "journal" / "run.ndjson").write_text("\n".join(quoted))
    (directory / "journal" / "a.log").write_bytes(b"\xff\xfe said: " + CANARY.encode())
    return directory


def opened(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {
            member.name: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive
        }


def test_no_secret_is_in_it_raw_or_encoded(cluster: Path, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    scrub = Scrubber(secrets_of(spec(), cluster))
    write(target, {"answers.yaml": f"password: {CANARY}"}, cluster=cluster, scrub=scrub)
    everything = "\n".join(opened(target).values())
    for secret in (CANARY, TOKEN):
        assert secret not in everything
        assert urllib.parse.quote(secret, safe="") not in everything
    for word in ("keymaterial", "pr0xy-login", "sk-abcdef", "AAAAc2VjcmV0LWpvaW4"):
        assert word not in everything
    for token in everything.split():
        padded = token + "=" * (-len(token) % 4)
        try:
            decoded = base64.b64decode(padded, altchars=b"-_")
        except ValueError:
            continue
        assert CANARY.encode() not in decoded, token


def test_what_happened_is_in_it_and_no_file_of_a_secret(cluster: Path, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    (cluster / "journal" / "b.log").symlink_to(cluster / "api-token")
    write(target, {"versions.json": "{}"}, cluster=cluster, scrub=Scrubber([]))
    assert set(opened(target)) == {
        "bzzz-support/versions.json",
        "bzzz-support/journal/run.ndjson",
        "bzzz-support/journal/a.log",
    }
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_bundle_never_replaces_a_file(cluster: Path, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    target.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write(target, {}, cluster=cluster, scrub=Scrubber([]))
    assert target.read_text() == "mine"


def test_of_a_long_log_the_end_is_kept(cluster: Path, tmp_path: Path) -> None:
    log = cluster / "journal" / "a.log"
    log.write_bytes(b"first\n" + b"x" * FILE_BYTES_MAX + b"\nlast\n")
    target = tmp_path / "bundle.tar.gz"
    write(target, {}, cluster=cluster, scrub=Scrubber([]))
    text = opened(target)["bzzz-support/journal/a.log"]
    assert text.endswith("last\n")
    assert "first" not in text


def test_without_anything_a_bundle_is_written_all_the_same(tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    scrub = Scrubber(secrets_of(None, tmp_path / "none"))
    assert write(target, {"a": "b"}, cluster=tmp_path / "none", scrub=scrub) == 1


@given(
    st.text(alphabet=st.characters(codec="utf-8"), min_size=10, max_size=40),
    st.binary(max_size=8),
    st.binary(max_size=8),
)
def test_a_secret_is_found_wherever_it_stands_in_an_encoded_text(
    value: str, before: bytes, after: bytes
) -> None:
    encoded = base64.b64encode(before + value.encode() + after).decode()
    assert any(form in encoded for form in forms_of(value))
    assert base64.b64encode(value.encode()).decode() not in Scrubber([Secret(value)])(encoded)


def test_what_an_unfinished_session_refers_to_is_known_as_a_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    monkeypatch.setenv("SECOND", TOKEN)
    directory = tmp_path / "clusters" / "lab" / "journal"
    directory.mkdir(parents=True)
    (directory / "run.ndjson").write_text(f"{CANARY} {TOKEN}")
    entries = '[{"name": "x", "api_key": "env:SECOND"}]'
    texts = {"security.ssh.password": "env:CANARY", "ai.endpoints": entries}
    (tmp_path / "setup-session.json").write_text(json.dumps({"texts": texts}))
    write_bundle(tmp_path / "b.tar.gz", cluster="lab", base=tmp_path)
    said = opened(tmp_path / "b.tar.gz")["bzzz-support/journal/run.ndjson"]
    assert said == "*** ***"
