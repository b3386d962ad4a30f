"""Whose key is whose: the lookup decides between "first contact" and "changed"."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import asyncssh
import pytest

from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.errors import ConfigError


def key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519").convert_to_public()


def line(host: str, public: asyncssh.SSHKey) -> str:
    return f"{host} {public.export_public_key().decode()}"


def test_what_was_pinned_is_known_and_pinned_once(tmp_path: Path) -> None:
    known, public = KnownHosts(tmp_path / "deep" / "known_hosts"), key()
    assert not known.find("10.0.0.1", 22).known
    assert known.pin("10.0.0.1", 22, public)
    assert not known.pin("10.0.0.1", 22, public)
    assert known.find("10.0.0.1", 22).holds(public)
    assert not known.find("10.0.0.1", 22).holds(key())
    assert (tmp_path / "deep" / "known_hosts").stat().st_mode & 0o777 == 0o600


def test_another_port_is_another_host(tmp_path: Path) -> None:
    """A key for port 22 must not make the server on 2222 look changed."""
    known = KnownHosts(tmp_path / "own")
    known.pin("10.0.0.1", 22, key())
    assert not known.find("10.0.0.1", 2222).known
    known.pin("10.0.0.1", 2222, key())
    assert "[10.0.0.1]:2222 ssh-ed25519 " in (tmp_path / "own").read_text()
    assert known.find("10.0.0.1", 2222).known


def test_other_files_are_read_and_never_written(tmp_path: Path) -> None:
    public, other = key(), tmp_path / "theirs"
    other.write_text(line("10.0.0.1", public))
    known = KnownHosts(tmp_path / "own", [other, tmp_path / "missing"])
    assert known.find("10.0.0.1", 22).holds(public)
    before = other.read_text()
    assert known.pin("10.0.0.1", 22, public), "our own file has it from now on"
    assert other.read_text() == before


def test_hashed_names_are_found(tmp_path: Path) -> None:
    """Debian's ssh hashes names by default."""
    public, salt = key(), b"s" * 20
    digest = hmac.new(salt, b"db-1.lan", hashlib.sha1).digest()
    name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    (tmp_path / "own").write_text(line(name, public))
    assert KnownHosts(tmp_path / "own").find("db-1.lan", 22).holds(public)


def test_a_revoked_key_is_held_by_nobody(tmp_path: Path) -> None:
    public = key()
    (tmp_path / "own").write_text(line("h", public) + line("@revoked h", public))
    trust = KnownHosts(tmp_path / "own").find("h", 22)
    assert trust.known
    assert not trust.holds(public)


def test_a_fingerprint_leaves_only_its_key_and_no_authority(tmp_path: Path) -> None:
    one, other, gone = key(), key(), key()
    (tmp_path / "own").write_text(
        line("h", one)
        + line("h", other)
        + line("@cert-authority h", key())
        + line("@revoked h", gone)
    )
    trust = KnownHosts(tmp_path / "own").find("h", 22).narrowed(one.get_fingerprint())
    assert (trust.holds(one), trust.holds(other), trust.authorities) == (True, False, [])
    assert trust.revokes(gone), "and what is revoked stays so"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("@what is this\n")
    with pytest.raises(ConfigError, match="own is no known_hosts file"):
        KnownHosts(tmp_path / "own").find("h", 22)


def test_a_file_that_grows_shrinks_or_is_another_is_read_as_it_is_now(tmp_path: Path) -> None:
    one, two, own = key(), key(), tmp_path / "own"
    known = KnownHosts(own)
    own.write_text(line("a", one))
    assert known.find("a", 22).holds(one)
    with own.open("a") as file:
        file.write(line("b", two))
    assert known.find("b", 22).holds(two)
    assert known.find("a", 22).holds(one)
    own.write_text(line("b", two))
    assert not known.find("a", 22).known
    own.write_text(line("b", one))
    assert not known.find("b", 22).holds(two)
    own.unlink()
    assert not known.find("b", 22).known


def test_a_line_that_was_not_written_to_its_end_is_read_again_when_it_is(tmp_path: Path) -> None:
    own, whole = tmp_path / "own", line("a", key()) + line("b", key())
    known = KnownHosts(own)
    for length in range(len(whole) - 60, len(whole) + 1):
        own.write_text(whole[:length])
        known.find("a", 22)
    assert known.find("b", 22).known


def test_a_damaged_addition_is_said_and_what_is_mended_is_read_anew(tmp_path: Path) -> None:
    own, public = tmp_path / "own", key()
    known = KnownHosts(own)
    own.write_text(line("a", public))
    assert known.find("a", 22).known
    own.write_text(line("a", public) + line("b", public) + "nonsense\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="no known_hosts file"):
            known.find("b", 22)
    own.write_text(line("a", public) + line("b", public))
    assert len(known.find("b", 22).keys) == 1


def test_a_key_is_pinned_after_a_last_line_without_an_end(tmp_path: Path) -> None:
    one, two, own = key(), key(), tmp_path / "own"
    own.write_text(line("a", one).rstrip("\n"))
    known = KnownHosts(own)
    assert known.pin("b", 22, two)
    for again in (known, KnownHosts(own)):
        assert again.find("a", 22).holds(one)
        assert again.find("b", 22).holds(two)
