"""The scripts that change rules, run by a real shell against tools that only write down what came.

What ufw, firewalld, nft and iptables make of them is seen on real hosts
(tests/testbed/test_firewall.py).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bzzz_core.deploy import deadman, firewall_scripts, reach
from bzzz_core.deploy.facts.openings import Opening, read_openings
from bzzz_core.deploy.phases import distribute_key, harden_ssh

OLD = Opening("join", 8443, "10.0.0.9")
NEW = (Opening("fabric-cluster", 6222, "10.0.0.2"), Opening("fabric-cluster", 6222, "fd00::2"))
SCRIPTS = {
    **{f"apply {name}": script for name, script in firewall_scripts.APPLY.items()},
    **{f"back {name}": script for name, script in firewall_scripts.BACK.items()},
    "persist firewalld": firewall_scripts.PERSIST_FIREWALLD,
    "list": firewall_scripts.LIST,
    "enable": firewall_scripts.ENABLE,
    "disable": firewall_scripts.DISABLE,
    "file of iptables": firewall_scripts.file_text("iptables", NEW),
    "arm": deadman._ARM,
    "disarm": deadman._DISARM,
    "back": deadman._BACK,
    "connect": reach._CONNECT,
    "listen": reach._LISTEN,
    "add a key": distribute_key._ADD,
    "take a key": distribute_key._TAKE,
    "reload sshd": harden_ssh._RELOAD,
    "sshd back": harden_ssh._BACK,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_is_posix_sh(name: str) -> None:
    subprocess.run(["sh", "-n"], input=SCRIPTS[name].encode(), check=True, timeout=10)


def commands(tmp_path: Path, script: str, data: bytes, **tools: str) -> list[str]:
    """Run a script with tools that note their words, and return what they noted.

    Args:
        tmp_path: Where.
        script: The script.
        data: What its file holds.
        tools: Further lines of a tool's program; its name with "_" for "-".
    """
    notes = tmp_path / "notes"
    for name, lines in tools.items():
        tool = tmp_path / name.replace("_", "-")
        said = f'printf "%s\\n" "{tool.name} $*" >>"{notes}"'
        tool.write_text(f"#!/bin/sh\n{said}\n{lines}\n")
        tool.chmod(0o700)
    given = tmp_path / "data"
    given.write_bytes(data)
    subprocess.run(
        ["sh", "-c", script, "bzzz", str(given)],
        check=True,
        timeout=20,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    return notes.read_text().splitlines()


FIREWALL_CMD = """
case $* in
  --get-default-zone) echo public ;;
  --get-zone-of-interface=eth1) echo inner ;;
  --get-zone*) exit 2 ;;
esac
"""
IP = 'echo "2: eth0 inet 10.0.0.8/24 x"; echo "3: eth1 inet 10.0.0.1/24 x"'


def test_firewalld_is_told_rules_of_the_zone_that_holds_our_address(tmp_path: Path) -> None:
    data = firewall_scripts.data_of("firewalld", [OLD], NEW, own="10.0.0.1")
    script = firewall_scripts.APPLY["firewalld"]
    said = commands(tmp_path, script, data, firewall_cmd=FIREWALL_CMD, ip=IP)
    rules = [line for line in said if "rich-rule" in line]
    head = 'firewall-cmd --zone=inner --{}-rich-rule=rule priority="-16222" family="{}"'
    tail = 'source address="{}" port port="{}" protocol="tcp" accept'
    assert rules == [
        f"{head.format('remove', 'ipv4')} {tail.format('10.0.0.9', 8443)}",
        f"{head.format('add', 'ipv4')} {tail.format('10.0.0.2', 6222)}",
        f"{head.format('add', 'ipv6')} {tail.format('fd00::2', 6222)}",
    ]
    shown = "\n".join(rule.partition("rich-rule=")[2] for rule in rules[1:])
    both = read_openings(f"== firewalld\n{shown}\n== firewalld permanent\n{shown}")
    assert [rule.source for rule in both.own["firewalld"]] == ["10.0.0.2", "fd00::2"]


def test_what_undoes_firewalld_undoes_what_may_have_become_permanent(tmp_path: Path) -> None:
    data = firewall_scripts.data_of("firewalld", NEW[:1], [], own="10.0.0.99")
    script = firewall_scripts.BACK["firewalld"]
    said = commands(tmp_path, script, data, firewall_cmd=FIREWALL_CMD, ip=IP)
    removed = [line for line in said if "remove-rich-rule" in line]
    assert [line.split()[1:3] for line in removed] == [
        ["--zone=public", "--remove-rich-rule=rule"],
        ["--permanent", "--zone=public"],
    ]


def test_the_file_that_a_start_runs_makes_the_same_chain(tmp_path: Path) -> None:
    """Of itself, without the data that setup sends."""
    tools = {
        "iptables": '[ "$3" != -C ]',
        "ip6tables": '[ "$3" != -C ]',
        "iptables_restore": f"cat >>{tmp_path}/notes",
        "ip6tables_restore": f"cat >>{tmp_path}/notes",
    }
    script = firewall_scripts.file_text("iptables", NEW).replace("/run/", f"{tmp_path}/")
    said = commands(tmp_path, script, b"", **tools)
    lines = [line for line in said if line.startswith("-A BZZZ")]
    assert lines == [
        f"-A BZZZ -s {rule.source} -p tcp -m tcp --dport 6222"
        " -m comment --comment bzzz:fabric-cluster -j ACCEPT"
        for rule in NEW
    ]
    assert "iptables -w 5 -I INPUT 1 -j BZZZ" in said
    assert not list(tmp_path.glob("bzzz-firewall-*"))
