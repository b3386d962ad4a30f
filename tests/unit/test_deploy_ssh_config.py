"""What is taken from an SSH configuration, and what comes before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.fleet import login_of
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.user_config import HOPS_MAX, Said, routed, said_of
from bzzz_core.errors import ConfigError

CONFIG = """
Host 10.0.0.*
  ProxyJump bastion
Host alpha
  HostName 192.0.2.1
  User ann
  Port 2022
  ProxyJump none
Host bastion
  HostName 192.0.2.9
  User jumper
Host *
  User everybody
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    return path


def bare(address: str, name: str = "host-1") -> Login:
    return Login(name=name, address=address, port=22, user="root")


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert said_of(tmp_path / "none", "alpha") == Said()
    assert said_of(None, "alpha") == Said()


def test_the_address_is_asked_for_first_then_the_name(config: Path) -> None:
    said = said_of(config, "10.0.0.5", "alpha")
    assert (said.jump, said.user, said.port) == ("bastion", "everybody", 2022)
    said = said_of(config, "alpha", "10.0.0.5")
    assert (said.jump, said.user, said.address) == ("none", "ann", "192.0.2.1")


def test_what_the_answers_say_comes_before(config: Path) -> None:
    stated = Login(name="alpha", address="alpha", port=2200, user="bob")
    login = routed(stated, config=str(config), jump=None)
    assert (login.address, login.port, login.user) == ("192.0.2.1", 2200, "bob")
    login = routed(bare("alpha"), config=str(config), jump=None)
    assert (login.port, login.user, login.via) == (2022, "ann", None)


def test_jump_hosts_of_the_answers_take_the_place_of_others(config: Path) -> None:
    login = routed(bare("10.0.0.5"), config=str(config), jump="c@[fd00::1]:23,other")
    assert login.via is not None
    assert (login.via.address, login.via.user) == ("other", "everybody")
    first = login.via.via
    assert first is not None
    assert (first.address, first.port, first.user, first.via) == ("fd00::1", 23, "c", None)
    assert routed(bare("10.0.0.5"), config=str(config), jump="none").via is None


def test_a_jump_host_is_looked_up_too(config: Path) -> None:
    via = routed(bare("10.0.0.5"), config=str(config), jump=None).via
    assert via is not None
    assert (via.address, via.user, via.port) == ("192.0.2.9", "jumper", 22)


def test_jump_hosts_behind_each_other_end(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    with pytest.raises(ConfigError, match=f"more than {HOPS_MAX} jump hosts"):
        routed(bare("a"), config=str(path), jump=None)


def test_no_password_of_the_hosts_goes_to_a_jump_host(config: Path) -> None:
    spec = ClusterSpec.model_validate(
        {
            "hosts": [{"name": "a", "address": "10.0.0.5"}],
            "security": {"ssh": {"password": "env:PW", "config": str(config)}},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PW", "canary")
        login = login_of(spec, spec.hosts[0])
    assert login.password is not None
    assert login.via is not None
    assert login.via.password is None
    assert login.via.sudo_password is None


def test_a_damaged_configuration_says_how_to_do_without(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("Host a\n Port many\n")
    with pytest.raises(ConfigError, match=r"security\.ssh\.config"):
        said_of(path, "a")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        said_of(path, "a")


@pytest.mark.parametrize("jump", ["-oProxyCommand=x", "a b", "a,,b", ",a", "a,-b"])
def test_jump_hosts_that_cannot_be_are_refused_with_the_answers(jump: str) -> None:
    with pytest.raises(ValueError, match="jump"):
        ClusterSpec.model_validate(
            {
                "hosts": [{"name": "a", "address": "10.0.0.1"}],
                "security": {"ssh": {"jump": jump}},
            }
        )


def test_a_jump_host_that_cannot_be_parsed_is_named(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"'a:b:c' is no jump host"):
        routed(bare("10.0.0.5"), config=str(config), jump="a:b:c")
