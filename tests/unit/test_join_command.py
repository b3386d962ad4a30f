"""`bzzz-agent join`: what it refuses before anybody is asked, and where its token may come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bzzz_core.cli import main
from bzzz_core.config.secrets import Secret
from bzzz_core.enrolment.reachable import refuse_unreachable
from bzzz_core.enrolment.token import new_token
from bzzz_core.errors import ConfigError
from bzzz_core.model import ClusterId
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.names import Purpose

NOBODYS = (
    *("0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1", "224.0.0.1"),  # noqa: S104
    *("::", "ff02::1", "::ffff:0.0.0.0", "::ffff:255.255.255.255"),
)
EXPIRED = "the join token has expired"
"""What the command says of the test's token once it has looked at everything else."""


@pytest.fixture(scope="module")
def token() -> str:
    root = Authority.create(
        Purpose.NODE, common_name="x", days=1, passphrase=Secret("correct horse battery")
    )
    made, _ = new_token(
        cluster=ClusterId("c"),
        root_pem=root.certificate_pem,
        places=("127.0.0.1:1",),
        expires_s=1,
        created_at="2026",
        created_by="n1",
    )
    return made.text().reveal()


def join(directory: Path, *words: str, address: str = "127.0.0.1", says: str = "") -> Result:
    place: Sequence[str] = ("--name=two", f"--address={address}", f"--home={directory / 'home'}")
    return CliRunner().invoke(main, ["join", *place, "--no-mdns", *words], input=says)


@pytest.mark.parametrize("address", NOBODYS)
def test_init_and_join_refuse_an_address_of_nobody(
    tmp_path: Path, token: str, address: str
) -> None:
    with pytest.raises(ConfigError, match="no address at which a node can be reached"):
        refuse_unreachable(address)
    home = tmp_path / "home"
    init = CliRunner().invoke(
        main, ["init", "--name=one", f"--address={address}", f"--home={home}"]
    )
    for refused in (init, join(tmp_path, address=address, says=token)):
        assert refused.exit_code == 2
        assert f"{address} is no address at which a node can be reached" in refused.stderr
    assert not home.exists()


@pytest.mark.parametrize("address", ["::1", "127.0.0.1", "10.0.0.1", "fe80::1", "::ffff:10.0.0.1"])
def test_an_address_of_somebody_is_none_of_nobody(address: str) -> None:
    refuse_unreachable(address)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_s_file_that_others_may_read_is_refused(
    tmp_path: Path, token: str, mode: int
) -> None:
    """As of every secret's file: the token is worth a membership until it is used."""
    path = tmp_path / "token"
    path.write_text(f"{token}\n", encoding="utf-8")
    path.chmod(mode)
    refused = join(tmp_path, "--token-file", str(path))
    assert refused.exit_code == 2
    assert f"can be read by others (mode {mode:04o}); run: chmod 600 {path}" in refused.stderr
    path.chmod(0o600)
    assert EXPIRED in join(tmp_path, "--token-file", str(path)).stderr


def test_a_token_comes_from_standard_input_too(tmp_path: Path, token: str) -> None:
    assert EXPIRED in join(tmp_path, says=f"{token}\n").stderr
    assert EXPIRED in join(tmp_path, "--token-file", "-", says=f"{token}\n").stderr
