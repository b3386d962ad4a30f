"""The scripts that change rules, run by a real shell against tools that only write down what came.

What ufw, firewalld, nft and iptables make of them is seen on real hosts
(tests/testbed/test_firewall.py).
"""

from __future__ import annotations

import os
import shutil
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
    **{f"remove {name}": script for name, script in firewall_scripts.REMOVE.items()},
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


def commands(tmp_path: Path, script: str, data: bytes, *words: str, **tools: str) -> list[str]:
    """Run a script with tools that note their words, and return what they noted.

    Args:
        tmp_path: Where.
        script: The script.
        data: What its file holds.
        words: What the script is given besides that file.
        tools: Further lines of a tool's program; its name with "_" for "-".
    """
    notes = tmp_path / "notes"
    script = script.replace("/run/", f"{tmp_path}/").replace("/etc/ufw", str(tmp_path))
    for name, lines in tools.items():
        tool = tmp_path / name.replace("_", "-")
        said = f'printf "%s\\n" "{tool.name} $*" >>"{notes}"'
        tool.write_text(f"#!/bin/sh\n{said}\n{lines}\n")
        tool.chmod(0o700)
    given = tmp_path / "data"
    given.write_bytes(data)
    subprocess.run(
        ["sh", "-c", script, "bzzz", str(given), *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SCENE": str(tmp_path)},
    )
    return notes.read_text().splitlines()


FIREWALL_CMD = """
held=$(dirname "$0")/runtime
case $* in
  --get-default-zone) echo public ;;
  --get-zone-of-interface=eth1) echo inner ;;
  --get-zone*) exit 2 ;;
esac
for word; do
  case $word in
    --permanent) held=$(dirname "$0")/permanent ;;
    --list-rich-rules) [ ! -e "$held" ] || cat "$held" ;;
    *"$REFUSED"*) echo "Warning: INVALID" >&2; [ $# -gt 3 ] || exit 1 ;;
    --add-rich-rule=*) echo "${word#*=}" >>"$held" ;;
    --remove-rich-rule=*)
      grep -vxF -e "${word#*=}" "$held" >"$held.new"
      mv "$held.new" "$held" ;;
  esac
done
""".replace("$REFUSED", "192.0.2.66")
"""Keeps what it is told. Of many rules it refuses one without a failure; of one alone, with one."""
UFW = r"""
file=$(dirname "$0")/user.rules
[ ! -e "$(dirname "$0")/slow" ] || [ "$(grep -c ^ufw "$(dirname "$0")/notes")" -le 2 ] || exit 1
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
rule() { echo "### tuple ### allow tcp $2 0.0.0.0/0 any $1 in"; }
case $1 in
  allow) echo "$(rule "$5" "$9") comment=$(shift 9; hex "$2")" >>"$file" ;;
  delete)
    grep -vF -e "$(rule "$6" "${10}")" "$file" >"$file.new"
    mv "$file.new" "$file" ;;
esac
"""
"""Keeps what it is told; where a file `slow` lies, the third command and those after it fail."""
IP = 'echo "2: eth0 inet 10.0.0.8/24 x"; echo "3: eth1 inet 10.0.0.1/24 x"'


def rich(rule: Opening) -> str:
    """Return a rule as firewalld lists it."""
    family = "ipv6" if ":" in rule.source else "ipv4"
    return (
        f'rule priority="-16222" family="{family}" source address="{rule.source}"'
        f' port port="{rule.port}" protocol="tcp" accept'
    )


RICH_OLD = rich(OLD)
MANY = [Opening("join", 8443, f"10.0.{number // 250}.{number % 250 + 1}") for number in range(300)]


def test_firewalld_is_told_rules_of_the_zone_that_holds_our_address(tmp_path: Path) -> None:
    data = firewall_scripts.data_of("firewalld", [OLD], NEW, own="10.0.0.1")
    (tmp_path / "runtime").write_text(f"{RICH_OLD}\n")
    script = firewall_scripts.APPLY["firewalld"]
    said = commands(tmp_path, script, data, firewall_cmd=FIREWALL_CMD, ip=IP)
    calls = [line for line in said if "-rich-rule=" in line]
    assert calls == [
        f"firewall-cmd --zone=inner --remove-rich-rule={RICH_OLD}",
        f"firewall-cmd --zone=inner --add-rich-rule={rich(NEW[0])} --add-rich-rule={rich(NEW[1])}",
    ]
    shown = (tmp_path / "runtime").read_text()
    both = read_openings(f"== firewalld\n{shown}\n== firewalld permanent\n{shown}")
    assert [rule.source for rule in both.own["firewalld"]] == ["10.0.0.2", "fd00::2"]


def test_what_undoes_firewalld_undoes_what_may_have_become_permanent(tmp_path: Path) -> None:
    data = firewall_scripts.data_of("firewalld", NEW[:1], [], own="10.0.0.99")
    for held in ("runtime", "permanent"):
        (tmp_path / held).write_text(f"{rich(NEW[0])}\n{RICH_OLD}\n")
    script = firewall_scripts.BACK["firewalld"]
    said = commands(tmp_path, script, data, firewall_cmd=FIREWALL_CMD, ip=IP)
    removed = [line for line in said if "remove-rich-rule" in line]
    assert [line.split()[1:3] for line in removed] == [
        ["--zone=public", "--remove-rich-rule=rule"],
        ["--permanent", "--zone=public"],
    ]
    assert (tmp_path / "permanent").read_text() == f"{RICH_OLD}\n"


def test_firewalld_is_told_hundreds_of_rules_by_few_processes(tmp_path: Path) -> None:
    data = firewall_scripts.data_of("firewalld", [], MANY, own="10.0.0.1")
    script = firewall_scripts.APPLY["firewalld"]
    said = commands(tmp_path, script, data, firewall_cmd=FIREWALL_CMD, ip=IP)
    assert len((tmp_path / "runtime").read_text().splitlines()) == len(MANY)
    assert len([line for line in said if line.startswith("firewall-cmd")]) < 10
    again = commands(tmp_path, script, data, firewall_cmd=FIREWALL_CMD, ip=IP)[len(said) :]
    assert [line for line in again if "-rich-rule=" in line] == []


def test_a_rule_that_firewalld_refused_among_others_is_not_called_made(tmp_path: Path) -> None:
    """Told many, it says 0 if it took one of them."""
    rules = [*MANY[:5], Opening("join", 8443, "192.0.2.66")]
    data = firewall_scripts.data_of("firewalld", [], rules, own="10.0.0.1")
    script = firewall_scripts.APPLY["firewalld"]
    with pytest.raises(subprocess.CalledProcessError):
        commands(tmp_path, script, data, firewall_cmd=FIREWALL_CMD, ip=IP)
    assert len((tmp_path / "runtime").read_text().splitlines()) == 5


def test_an_attempt_at_ufw_goes_on_where_the_last_was_ended(tmp_path: Path) -> None:
    """Each began with the first rule, and was ended before it came to the last."""
    script = firewall_scripts.BACK["ufw"]
    theirs = "### tuple ### allow tcp 8443 0.0.0.0/0 any 10.0.0.3 in comment=6f77"
    (tmp_path / "user.rules").write_text(f"{theirs}\n")
    made = firewall_scripts.data_of("ufw", [], MANY[3:9], own="10.0.0.1")
    commands(tmp_path, script, made, ufw=UFW)
    (tmp_path / "slow").touch()
    # One of them the owner made anew as a rule of theirs: it is not ours to delete.
    data = firewall_scripts.data_of("ufw", MANY[2:9], [], own="10.0.0.1")
    for left in (4, 2):
        (tmp_path / "notes").unlink()
        with pytest.raises(subprocess.CalledProcessError):
            commands(tmp_path, script, data, ufw=UFW)
        assert (tmp_path / "user.rules").read_text().count("comment=627a") == left
    (tmp_path / "notes").unlink()
    commands(tmp_path, script, data, ufw=UFW)
    assert (tmp_path / "user.rules").read_text() == f"{theirs}\n"


def test_ufw_is_not_told_what_it_has(tmp_path: Path) -> None:
    """And a rule of the owner's that opens the same does not become ours."""
    script = firewall_scripts.APPLY["ufw"]
    (tmp_path / "user6.rules").write_text("### tuple ### allow tcp 6222 ::/0 any fd00::2 in\n")
    data = firewall_scripts.data_of("ufw", [OLD], NEW, own="10.0.0.1")
    said = commands(tmp_path, script, data, ufw=UFW)
    assert [line.split()[1:6] for line in said] == [["allow", "proto", "tcp", "from", "10.0.0.2"]]


OVERTAKES = """
[ "$1" = allow ] && [ ! -e "$SCENE/overtaking" ] || exit 0
: >"$SCENE/overtaking"
{
  BACKWARDS=yes sh -c "$(cat "$SCENE/back.sh")" bzzz "$SCENE/back.data"
  echo $? >"$SCENE/back.rc"
} 9<&- &
until [ -e "$SCENE/back.waits" ] || [ -e "$SCENE/back.rc" ]; do :; done
"""
"""With the first rule the change is taken back, while the rest of the piece is still to come."""
FLOCK = """
[ -z "${BACKWARDS-}" ] || : >"$SCENE/back.waits"
exec REAL "$@"
""".replace("REAL", shutil.which("flock") or "flock")


def prepare_back(tmp_path: Path, rules: list[Opening]) -> None:
    """Lay down what takes rules back, for `OVERTAKES`."""
    script = firewall_scripts.BACK["ufw"].replace("/run/", f"{tmp_path}/")
    (tmp_path / "back.sh").write_text(script.replace("/etc/ufw", str(tmp_path)))
    data = firewall_scripts.data_of("ufw", rules, [], own="10.0.0.1")
    (tmp_path / "back.data").write_bytes(data)


def test_the_way_back_waits_for_a_piece_that_nobody_watches_any_more(tmp_path: Path) -> None:
    """It saw no rule yet, did nothing, and said that it was taken back."""
    rules = MANY[:8]
    prepare_back(tmp_path, rules)
    script = firewall_scripts.APPLY["ufw"]
    data = firewall_scripts.data_of("ufw", [], rules, own="10.0.0.1")
    said = commands(tmp_path, script, data, ufw=UFW + OVERTAKES, flock=FLOCK)
    assert len([line for line in said if line.startswith("ufw allow")]) == 8
    assert (tmp_path / "back.rc").read_text() == "0\n"
    assert (tmp_path / "user.rules").read_text() == ""


def test_a_piece_that_comes_after_the_way_back_began_does_nothing(tmp_path: Path) -> None:
    """It was sent before, and the host was slow to start it."""
    script = firewall_scripts.APPLY["ufw"]
    data = firewall_scripts.data_of("ufw", [], MANY[:2], own="10.0.0.1")
    (tmp_path / "notes").touch()
    undecided = tmp_path / "undecided"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        commands(tmp_path, script, data, str(undecided), ufw=UFW)
    assert refused.value.returncode == 75
    assert "begun to take the change back" in refused.value.stderr
    assert (tmp_path / "notes").read_text() == ""
    undecided.touch()
    assert len(commands(tmp_path, script, data, str(undecided), ufw=UFW)) == 2


def test_no_lock_keeps_the_host_from_going_back(tmp_path: Path) -> None:
    """Whoever holds it may hang; a piece has time for its rules, or says that it has none."""
    data = firewall_scripts.data_of("ufw", [], MANY[:2], own="10.0.0.1")
    commands(tmp_path, firewall_scripts.APPLY["ufw"], data, ufw=UFW)
    back = firewall_scripts.data_of("ufw", MANY[:2], [], own="10.0.0.1")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        commands(tmp_path, firewall_scripts.REMOVE["ufw"], back, ufw=UFW, flock="exit 1")
    assert refused.value.returncode == 75
    said = commands(tmp_path, firewall_scripts.BACK["ufw"], back, ufw=UFW, flock="exit 1")
    assert (tmp_path / "user.rules").read_text() == ""
    waits = [line for line in said if line.startswith("flock")]
    assert waits == ["flock -w 10 9", f"flock -w {firewall_scripts.WAIT_S} 9"]


def test_the_way_back_makes_no_file_of_its_own(tmp_path: Path) -> None:
    """There may be no room for one; and where no piece was, nobody holds anything."""
    back = firewall_scripts.data_of("ufw", [], MANY[:1], own="10.0.0.1")
    commands(tmp_path, firewall_scripts.BACK["ufw"], back, ufw=UFW)
    assert not (tmp_path / "bzzz-install.firewall").exists()
    commands(tmp_path, firewall_scripts.APPLY["ufw"], back, ufw=UFW)
    assert (tmp_path / "bzzz-install.firewall").stat().st_mode & 0o777 == 0o600


def test_a_rule_that_ufw_writes_down_otherwise_is_not_called_made(tmp_path: Path) -> None:
    """Of a network of one address it keeps the address, which nothing took back then."""
    data = firewall_scripts.data_of("ufw", [], [Opening("join", 8443, "10.9.0.5/32")], own="a")
    odd = UFW.replace('"$5"', '"${5%/32}"')
    with pytest.raises(subprocess.CalledProcessError) as failed:
        commands(tmp_path, firewall_scripts.APPLY["ufw"], data, ufw=odd)
    assert "and is not: add 8443 10.9.0.5/32" in failed.value.stderr


@pytest.mark.parametrize(("after", "ends"), [((), 0), (NEW, 127)])
def test_without_nft_there_are_no_rules_to_remove(
    tmp_path: Path, after: tuple[Opening, ...], ends: int
) -> None:
    """Its owner took it off the host; the file from which a start loads them is another matter."""
    data = tmp_path / "data"
    data.write_bytes(firewall_scripts.data_of("nftables", NEW, after, own="10.0.0.1"))
    for tool in ("grep", "flock"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    script = firewall_scripts.BACK["nftables"].replace("/run/", f"{tmp_path}/")
    done = subprocess.run(
        ["/bin/sh", "-c", script, "bzzz", str(data)],
        check=False,
        capture_output=True,
        timeout=20,
        env={"PATH": str(tmp_path)},
    )
    assert done.returncode == ends


@pytest.mark.parametrize(("backend", "count"), [("ufw", 20), ("firewalld", 10), ("iptables", 1)])
def test_many_rules_are_many_commands_that_each_soon_end(backend: str, count: int) -> None:
    """One that nobody watches any more must not go on after others have taken the host."""
    data = firewall_scripts.data_of(backend, MANY[:100], MANY[100:], own="10.0.0.1")
    parts = firewall_scripts.pieces(backend, data)
    assert len(parts) == count
    head, *lines = data.splitlines()
    assert all(part.splitlines()[0] == head for part in parts)
    assert [line for part in parts for line in part.splitlines()[1:]] == lines
    for part in parts:
        assert firewall_scripts.duration_s(backend, part) <= firewall_scripts.PIECE_S
    assert firewall_scripts.duration_s(backend, data) == {"ufw": 600, "firewalld": 300}.get(
        backend, 0
    )


def test_the_file_that_a_start_runs_makes_the_same_chain(tmp_path: Path) -> None:
    """Of itself, without the data that setup sends."""
    tools = {
        "iptables": '[ "$3" != -C ]',
        "ip6tables": '[ "$3" != -C ]',
        "iptables_restore": f"cat >>{tmp_path}/notes",
        "ip6tables_restore": f"cat >>{tmp_path}/notes",
    }
    script = firewall_scripts.file_text("iptables", NEW)
    said = commands(tmp_path, script, b"", **tools)
    lines = [line for line in said if line.startswith("-A BZZZ")]
    assert lines == [
        f"-A BZZZ -s {rule.source} -p tcp -m tcp --dport 6222"
        " -m comment --comment bzzz:fabric-cluster -j ACCEPT"
        for rule in NEW
    ]
    assert "iptables -w 5 -I INPUT 1 -j BZZZ" in said
    assert not list(tmp_path.glob("bzzz-firewall-*"))
