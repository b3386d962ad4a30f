"""The vault keeps secrets of a host: sealed, bound to their names, never printed."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.errors import ConfigError, SecretError
from bzzz_core.trust.vault import Vault

VALUE = Secret("hunter2-canary ü")


def vault_of(directory: Path, **entries: str) -> Vault:
    vault = Vault(directory)
    vault.create(with_passphrase=False)
    for name, value in entries.items():
        vault.put(name, Secret(value), at="2026-01-01T00:00:00Z")
    return vault


def rewrite(directory: Path, **changes: object) -> None:
    path = directory / "vault"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_put_in_comes_out(tmp_path: Path) -> None:
    vault = vault_of(tmp_path, a="one", b="two")
    vault.put("a", VALUE, at="2026-02-02T00:00:00Z")
    assert vault.get("a").reveal() == VALUE.reveal()
    assert resolve("vault:b", vault=tmp_path).reveal() == "two"
    assert vault.entries() == {"a": "2026-02-02T00:00:00Z", "b": "2026-01-01T00:00:00Z"}
    assert vault.remove("a")
    assert not vault.remove("a")
    with pytest.raises(SecretError, match="config secret set a"):
        vault.get("a")


def test_files_are_private_and_hold_no_value(tmp_path: Path) -> None:
    vault_of(tmp_path, a=VALUE.reveal())
    for name in ("vault", "vault.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert b"canary" not in (tmp_path / name).read_bytes()


def test_the_same_value_is_sealed_differently_each_time(tmp_path: Path) -> None:
    vault_of(tmp_path, a="same", b="same")
    entries = json.loads((tmp_path / "vault").read_text())["entries"]
    assert entries["a"]["sealed"] != entries["b"]["sealed"]


def test_an_entry_does_not_open_under_another_name(tmp_path: Path) -> None:
    vault = vault_of(tmp_path, a="one", b="two")
    entries = json.loads((tmp_path / "vault").read_text())["entries"]
    rewrite(tmp_path, entries={"a": entries["b"], "b": entries["a"]})
    with pytest.raises(SecretError, match=r"entry a of .* does not open"):
        vault.get("a")


def test_an_entry_does_not_open_in_another_vault(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    vault_of(one, a="one")
    (two).mkdir()
    (two / "vault.key").write_bytes((one / "vault.key").read_bytes())
    (two / "vault.key").chmod(0o600)
    vault_of(two, a="two")
    rewrite(two, entries=json.loads((one / "vault").read_text())["entries"])
    with pytest.raises(SecretError, match="does not open"):
        Vault(two).get("a")


@pytest.mark.parametrize("at", [0, 11, 12, 20, -1])
def test_a_changed_byte_is_noticed(tmp_path: Path, at: int) -> None:
    vault = vault_of(tmp_path, a="one")
    document = json.loads((tmp_path / "vault").read_text())
    sealed = bytearray(base64.b64decode(document["entries"]["a"]["sealed"]))
    sealed[at] ^= 1
    document["entries"]["a"]["sealed"] = base64.b64encode(sealed).decode()
    rewrite(tmp_path, entries=document["entries"])
    with pytest.raises(SecretError, match="does not open"):
        vault.get("a")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "bzzz-vault 2"},
        {"id": "x"},
        {"lock": {"kind": "none"}},
        {"lock": {"kind": "scrypt", "salt": base64.b64encode(b"s" * 16).decode(), "n": 2**30}},
        {"entries": {"../x": {"sealed": "", "at": ""}}},
        {"entries": []},
        {"key": 1},
    ],
)
def test_a_damaged_vault_is_our_error(tmp_path: Path, change: dict[str, object]) -> None:
    """The bound on scrypt's cost is part of it: a forged file must not cost us a gigabyte."""
    vault = vault_of(tmp_path, a="one")
    rewrite(tmp_path, **change)
    with pytest.raises(SecretError, match="damaged"):
        vault.get("a")


def test_a_passphrase_locks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Vault(tmp_path, passphrase=lambda: Secret("correct horse"), scrypt_n=2**14)
    right.create(with_passphrase=True)
    right.put("a", VALUE, at="")
    assert not (tmp_path / "vault.key").exists()
    assert right.get("a").reveal() == VALUE.reveal()
    with pytest.raises(SecretError, match="with this passphrase does not open"):
        Vault(tmp_path, passphrase=lambda: Secret("wrong")).get("a")
    with pytest.raises(SecretError, match="bzzz-vault-passphrase"):
        Vault(tmp_path).get("a")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "bzzz-vault-passphrase").write_text("correct horse\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert Vault(tmp_path).get("a").reveal() == VALUE.reveal()


def test_the_service_manager_may_hand_over_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault_of(tmp_path, a="one")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (tmp_path / "vault.key").rename(credentials / "bzzz-vault-key")
    (credentials / "bzzz-vault-key").chmod(0o440)
    with pytest.raises(SecretError, match=r"vault\.key"):
        Vault(tmp_path).get("a")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert Vault(tmp_path).get("a").reveal() == "one"


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="there is no vault"):
        Vault(tmp_path).get("a")
    vault = vault_of(tmp_path)
    with pytest.raises(SecretError, match="there already"):
        vault.create(with_passphrase=True)
    for value in ("", "x" * 65_537):
        with pytest.raises(SecretError, match="65536 bytes"):
            vault.put("a", Secret(value), at="")
    for name in ("", "../a", "a b", "x" * 65):
        with pytest.raises(SecretError, match="64 at most"):
            vault.put(name, VALUE, at="")


@pytest.mark.parametrize("content", ["", "AAAA", "not base64"])
def test_a_bad_key_file_is_our_error(tmp_path: Path, content: str) -> None:
    vault = vault_of(tmp_path, a="one")
    (tmp_path / "vault.key").write_text(content)
    with pytest.raises(SecretError, match=r"vault\.key"):
        vault.get("a")


def test_looser_modes_are_refused(tmp_path: Path) -> None:
    vault = vault_of(tmp_path, a="one")
    (tmp_path / "vault").chmod(0o640)
    with pytest.raises(SecretError, match="chmod 600"):
        vault.get("a")
    (tmp_path / "vault").chmod(0o600)
    (tmp_path / "vault.key").chmod(0o640)
    with pytest.raises(SecretError, match=r"vault\.key"):
        vault.get("a")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")
def test_what_root_writes_belongs_to_the_service(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12_345, 12_346)
    vault_of(directory, a="one")
    for name in ("vault", "vault.key"):
        found = (directory / name).stat()
        assert (found.st_uid, found.st_gid) == (12_345, 12_346)


@pytest.mark.parametrize("reference", ["vault:", "vault:../x", "vault:a b", "keyring:x", "env:1"])
def test_a_reference_has_one_of_four_forms(reference: str) -> None:
    with pytest.raises((ValueError, ConfigError), match="write a reference"):
        resolve(reference)
