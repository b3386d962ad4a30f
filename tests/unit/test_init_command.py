"""`bzzz-agent init` either makes a node or leaves the machine as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bzzz_core.cli import main
from bzzz_core.config.sources import load_agent_config
from bzzz_core.trust.ca import Authority


def init(directory: Path, address: str, *more: str) -> Result:
    words = ["init", "--name", "one", f"--address={address}", "--home", str(directory / "home")]
    authorities = str(directory / "operator" / "ca")
    return CliRunner().invoke(main, [*words, "--ca-directory", authorities, *more])


def files(directory: Path) -> Sequence[Path]:
    return sorted(directory.rglob("*"))


@pytest.mark.parametrize(
    "address",
    [
        *("999.1.1.1", "1.2.3", "::::", "127.0.0.1:22", "a..b", "host.", "::", "224.0.0.1"),
        *("0.0.0.0", "ff02::1", "foo_bar", "n1.bzzz", "-x", "", "a" * 254),  # noqa: S104
    ],
)
def test_an_impossible_address_leaves_no_file_and_a_right_one_works(
    tmp_path: Path, address: str
) -> None:
    refused = init(tmp_path, address)
    assert refused.exit_code == 2, refused.output
    assert refused.stderr.startswith("bzzz-agent: ")
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("port", "why"),
    [
        ("join=8080", "--port: ports must differ: api and join are 8080"),
        ("join=0", "join: Input should be greater than or equal to 1"),
        ("jion=1", "'jion=1' is no port: NAME=NUMBER with a name of api,"),
    ],
)
def test_a_port_that_cannot_be_is_named_in_one_line(tmp_path: Path, port: str, why: str) -> None:
    refused = init(tmp_path, "127.0.0.1", "--port", port)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"bzzz-agent: {why}")
    assert len(refused.stderr.splitlines()) == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize("address", ["203.0.113.5", "2001:db8::5", "box.example", "localhost"])
def test_an_address_of_another_machine_may_be_ours_behind_nat(tmp_path: Path, address: str) -> None:
    made = init(tmp_path, address)
    assert made.exit_code == 0, made.output
    assert load_agent_config(tmp_path / "home" / "agent.yaml", {}).me.address == address


def test_what_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The roots are written, the certificates are not: the worst place for a full disk."""
    (tmp_path / "operator").mkdir()
    kept = tmp_path / "operator" / "kept"
    kept.write_text("of the operator", encoding="utf-8")
    monkeypatch.setenv("PHRASE", "too short")
    refused = init(tmp_path, "127.0.0.1", "--ca-passphrase", "env:PHRASE")
    assert refused.exit_code == 1
    assert "12 characters" in refused.stderr
    assert files(tmp_path) == [tmp_path / "operator", kept]

    save = Authority.save

    def fails_at_the_second(self: Authority, directory: Path) -> None:
        if (directory / "node-ca.pem").exists():
            raise OSError(28, "No space left on device")
        save(self, directory)

    with monkeypatch.context() as patch:
        patch.setattr(Authority, "save", fails_at_the_second)
        assert isinstance(init(tmp_path, "127.0.0.1").exception, OSError)
    assert files(tmp_path) == [tmp_path / "operator", kept]
    assert init(tmp_path, "127.0.0.1").exit_code == 0


def test_what_others_write_meanwhile_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home may be a directory that others use, such as /srv or /tmp."""
    theirs = [tmp_path / "home" / name for name in ("theirs", "data/theirs")]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)

    def fails(_self: Authority, _directory: Path) -> None:
        for path in theirs:
            path.write_text("of another program", encoding="utf-8")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Authority, "save", fails)
    assert isinstance(init(tmp_path, "127.0.0.1").exception, OSError)
    kept = [path for path in files(tmp_path) if path.is_file()]
    assert kept == sorted(theirs)
    assert not (tmp_path / "home" / "secrets").exists()
    assert not (tmp_path / "home" / "logs").exists()


def test_a_second_init_leaves_the_first_ones_files_alone(tmp_path: Path) -> None:
    assert init(tmp_path, "127.0.0.1").exit_code == 0
    before = {path: path.read_bytes() for path in files(tmp_path) if path.is_file()}
    again = init(tmp_path, "127.0.0.1")
    assert again.exit_code == 2
    other = ("--home", str(tmp_path / "other"))
    taken = init(tmp_path, "127.0.0.1", *other)
    assert taken.exit_code == 1
    assert "never overwritten" in taken.stderr
    assert {path: path.read_bytes() for path in files(tmp_path) if path.is_file()} == before
