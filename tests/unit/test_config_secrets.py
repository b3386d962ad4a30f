"""A reference is fetched from where it points to, or the message says what to do about it."""

import os
import sys
from pathlib import Path

import pytest

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import check_references, operators_vault, resolve
from bzzz_core.config.sources import load_agent_config
from bzzz_core.errors import SecretError
from tests.fakes.keyrings import fake_keyring
from tests.fakes.node_files import write_node_file


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    return load_agent_config(write_node_file(tmp_path), {})


def private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "value")
    assert resolve("env:SOME_KEY").reveal() == "value"
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(SecretError, match="SOME_KEY is not set"):
        resolve("env:SOME_KEY")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "not UTF-8"), (b"x" * 65_537, "larger")],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes, message: str) -> None:
    path = private(tmp_path / "key", content)
    with pytest.raises(SecretError, match=message) as caught:
        resolve(f"file:{path}")
    assert caught.value.__cause__ is None


def test_something_that_is_no_file(tmp_path: Path) -> None:
    """A pipe would keep the agent waiting for ever."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SecretError, match=r"is no file|Is a directory"):
            resolve(f"file:{path}")
    with pytest.raises(SecretError, match="No such file"):
        resolve(f"file:{tmp_path}/absent")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_looser_modes_are_refused(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "key", b"value")
    path.chmod(mode)
    with pytest.raises(SecretError, match="chmod 600"):
        resolve(f"file:{path}")


def test_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in fake_keyring({("bzzz", "ssh"): "value"}).items():
        monkeypatch.setitem(sys.modules, name, module)
    assert resolve("keyring:bzzz/ssh").reveal() == "value"
    with pytest.raises(SecretError, match="no such entry"):
        resolve("keyring:bzzz/other")


def test_a_locked_keyring_is_our_error_and_its_words_are_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, module in fake_keyring(None).items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(SecretError, match="LockedError; is it unlocked") as caught:
        resolve("keyring:bzzz/ssh")
    assert "canary" not in str(caught.value)


def test_a_host_without_keyring_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SecretError, match="vault:NAME"):
        resolve("keyring:bzzz/ssh")


def test_the_operator_s_vault_is_in_the_operator_s_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert operators_vault() == tmp_path / "bzzz" / "secrets"
    with pytest.raises(SecretError, match=str(tmp_path)):
        resolve("vault:ssh")


def test_every_reference_of_a_configuration_is_tried(config: AgentConfig) -> None:
    check_references(config)
    Path(config.security.api_token.removeprefix("file:")).unlink()
    with pytest.raises(SecretError, match=r"^security\.api_token: .*No such file"):
        check_references(config)
