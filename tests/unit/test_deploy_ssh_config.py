"""What is taken from an SSH configuration, and what comes before it."""

from __future__ import annotations

import dataclasses
import getpass
import os
from pathlib import Path

import pytest

from bzzz_core.config.profile import ProfileHost, SshAccess
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy.fleet import login_of
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.user_config import HOPS_MAX, Said, routed, said_of
from bzzz_core.errors import ConfigError
from bzzz_tui.feed.opening import shell_of

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
    assert said_of(None, "alpha", port=23) == Said(port=23)


def test_what_is_more_special_and_stands_before_counts(config: Path) -> None:
    assert said_of(config, "alpha") == Said(address="192.0.2.1", user="ann", port=2022, jump="none")
    assert said_of(config, "10.0.0.5") == Said(user="everybody", jump="bastion")


def test_a_hosts_name_never_leads_elsewhere_than_its_address(config: Path) -> None:
    """`alpha` may be what the answers call a machine that is not the alpha of the file."""
    login = routed(bare("10.9.9.9", name="alpha"), config=str(config), jump=None)
    assert (login.address, login.port, login.user) == ("10.9.9.9", 22, "everybody")


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
    none = routed(bare("10.0.0.5"), config=str(config), jump="none")
    assert (none.via, none.proxy_command) == (None, ())


def test_a_jump_host_is_looked_up_too(config: Path) -> None:
    via = routed(bare("10.0.0.5"), config=str(config), jump=None).via
    assert via is not None
    assert (via.address, via.user, via.port) == ("192.0.2.9", "jumper", 22)


def test_a_jump_host_without_a_user_is_logged_in_to_as_ssh_does() -> None:
    login = routed(bare("10.0.0.5"), config=None, jump="other")
    assert login.via is not None
    assert login.via.user == getpass.getuser()


def test_a_locked_key_of_the_answers_opens_for_jump_hosts_too() -> None:
    locked = dataclasses.replace(
        bare("10.0.0.5"), key=Path("/k"), passphrase=Secret("locked by this")
    )
    via = routed(locked, config=None, jump="other").via
    assert via is not None
    assert (via.key, via.passphrase) == (locked.key, locked.passphrase)


def test_a_proxy_command_is_told_the_port_and_user_of_the_answers(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("Host *\n ProxyCommand gate %r@%h:%p\n")
    stated = Login(name="a", address="10.0.0.5", port=2222, user="bob")
    login = routed(stated, config=str(path), jump=None)
    assert login.proxy_command == ("sh", "-c", "exec gate bob@10.0.0.5:2222")
    assert routed(stated, config=str(path), jump="none").proxy_command == ()


def test_a_file_that_changed_is_read_again(config: Path) -> None:
    assert said_of(config, "alpha").user == "ann"
    config.write_text("Host alpha\n User bea\n")
    os.utime(config, ns=(1, 1))
    assert said_of(config, "alpha").user == "bea"


def test_a_shell_takes_the_way_of_setup(config: Path) -> None:
    access = SshAccess(user="root", known_hosts="/k", config=str(config), jump="other")
    host = ProfileHost(name="a", address="alpha", api_port=8080)
    command = shell_of(access, host)
    assert command[:5] == ("ssh", "-F", str(config), "-J", "other")
    assert command[-6:] == ("-p", "2022", "-l", "ann", "--", "alpha")
    none = shell_of(access.model_copy(update={"config": None, "jump": None}), host)
    assert none[1:3] == ("-F", "none")
    assert none[-6:] == ("-p", "22", "-l", "root", "--", "alpha")


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
