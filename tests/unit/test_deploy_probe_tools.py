"""The probe's script among the tools of a host: old, hanging, or saying more than it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from bzzz_core.deploy.facts.parse import parse
from bzzz_core.deploy.facts.routes import read_proxies
from bzzz_core.deploy.facts.sections import split_sections
from tests.fakes.probe_outputs import WORD
from tests.fakes.probe_script import fake, run

OLLAMA = 'LISTEN 0 4096 {} *:* users:(("ollama",pid=1,fd=3))'


def test_a_model_server_is_asked_over_loopback(tmp_path: Path) -> None:
    fake(tmp_path, "ss", f"echo '{OLLAMA.format('*:11434')}'")
    fake(
        tmp_path,
        "curl",
        "for url; do :; done\ncase $url in\n"
        """http://127.0.0.1:11434/api/version) echo '{"version":"0.5.7"}' ;;\n"""
        """*/api/tags) printf '{"models":[{"name":"a:1","size":5,"digest":"d"}]}\\n' ;;\n"""
        "*) exit 22 ;;\nesac",
    )
    facts = parse(run(tmp_path, "containers.sh"), WORD)
    assert facts.ai_servers is not None
    (server,) = (one for one in facts.ai_servers if one.port)
    assert (server.program, server.version, server.exposed) == ("ollama", "0.5.7", True)
    assert server.models is not None
    assert server.models[0].name == "a:1"
    assert server.loaded is None, "that question failed"


def test_a_model_server_that_nobody_can_ask_is_known_by_its_port(tmp_path: Path) -> None:
    fake(tmp_path, "ss", f"echo '{OLLAMA.format('127.0.0.1:9999')}'")
    fake(tmp_path, "curl", "exit 7")
    facts = parse(run(tmp_path, "containers.sh"), WORD)
    (server,) = (one for one in facts.ai_servers or () if one.port)
    assert (server.port, server.version, server.models) == (9999, None, None)
    assert not server.exposed


def test_a_host_with_neither_curl_nor_wget_asks_with_python(tmp_path: Path) -> None:
    said = """case $5 in */version) echo '{"version":"7"}' ;; esac"""
    ai_host(tmp_path, [11434], "python3", said, "x")
    change = {"command -v curl": "command -v no-curl", "command -v wget": "command -v no-wget"}
    output = run(tmp_path, "containers.sh", change=change)
    assert [one.version for one in parse(output, WORD).ai_servers or () if one.port] == ["7"]


def ai_host(tools: Path, ports: list[int], asker: str, body: str, program: str) -> None:
    """Fake a host on which asking takes time that only its clock shows: `pass_s SECONDS`."""
    (tools / "now").write_text("1000")
    fake(tools, "date", f"cat {tools}/now")
    lines = "\n".join(
        f'LISTEN 0 4096 127.0.0.{n}:{port} *:* users:(("{program}",pid=1,fd=3))'
        for n, port in enumerate(ports, 1)
    )
    fake(tools, "ss", f"echo '{lines}'")
    clock = f"pass_s() {{ echo $(($(cat {tools}/now) + $1)) > {tools}/now; }}\n"
    fake(tools, asker, f"{clock}for url; do :; done\n{body}")


ANSWERS = """case $url in *version) echo '{"version":"1"}' ;; *) echo '{"models":[]}' ;; esac"""


def test_servers_that_hang_cost_only_their_own_facts(tmp_path: Path) -> None:
    """Of sixteen, each would take three seconds; the section as a whole has twenty."""
    hung = f"case $url in *:9*) pass_s 3; exit 28 ;; esac\n{ANSWERS}"
    ports = [11434, *range(9001, 9015), 11435]
    ai_host(tmp_path, ports, "curl", hung, "ollama")
    output = run(tmp_path, "containers.sh")
    servers = parse(output, WORD).ai_servers
    assert servers is not None
    said = {one.port: (one.version, one.models, one.loaded) for one in servers if one.port}
    assert set(said) == set(ports), "that they listen is known of all"
    assert said.pop(11434) == ("1", (), ())
    assert set(said.values()) == {(None, None, None)}
    assert int((tmp_path / "now").read_text()) - 1000 <= 20 - 2 * 3


def test_a_server_that_was_not_asked_is_not_taken_for_another_program(tmp_path: Path) -> None:
    """A container's server stands behind a process of another name, which only asking tells."""
    hung = f"case $url in *0.1:*) pass_s 60; exit 28 ;; esac\n{ANSWERS}"
    ai_host(tmp_path, [11434, 11434], "curl", hung, "docker-proxy")
    (server,) = parse(run(tmp_path, "containers.sh"), WORD).ai_servers or ()
    assert (server.program, server.port, server.version) == ("docker-proxy", 11434, None)
    assert server.address == "127.0.0.2", "the first was asked, and did not answer"


def test_wget_asks_once(tmp_path: Path) -> None:
    """By itself it tries twenty times."""
    tries = "n=20; case $* in *'-t 1 '*) n=1 ;; esac\n"
    hung = f"{tries}case $url in *:9*) pass_s $((3 * n)); exit 4 ;; esac\n{ANSWERS}"
    ai_host(tmp_path, [9001, 11434], "wget", hung, "ollama")
    output = run(tmp_path, "containers.sh", change={"command -v curl": "command -v no-curl"})
    servers = {one.port: one.version for one in parse(output, WORD).ai_servers or () if one.port}
    assert servers == {9001: None, 11434: "1"}


def test_servers_with_many_models_do_not_hide_the_others(tmp_path: Path) -> None:
    """All answers together stay below what is read of a section."""
    (tmp_path / "many").write_text('{"models":[{"name":"' + "a" * 250_000 + '"}]}')
    long = f"case $url in *:900[12]/api/tags) cat {tmp_path}/many; exit ;; esac\n{ANSWERS}"
    ai_host(tmp_path, [9001, 9002, 11434], "curl", long, "ollama")
    servers = parse(run(tmp_path, "containers.sh"), WORD).ai_servers or ()
    counts = {one.port: one.models and len(one.models) for one in servers if one.port}
    assert counts == {9001: 1, 9002: None, 11434: ()}
    assert {one.version for one in servers if one.port} == {"1"}


def test_the_login_of_a_proxy_stays_on_the_host(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text(
        "# http_proxy=http://old.test:1\n"
        'https_proxy="http://somebody:se/cr@t@proxy.test:3128"\n'
        'Acquire::http::Proxy "http://u:se/cr@t@apt.test:3142/";\nNO_PROXY=localhost\n'
    )
    output = run(tmp_path, "network.sh", change={"/etc/environment": str(file)})
    assert b"cr@t" not in output
    found = [one.url for one in parse(output, WORD).proxies or () if one.source == str(file)]
    assert found == ["http://proxy.test:3128", "http://apt.test:3142/"]


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("http_proxy=alice:se=cr@t@proxy.test:3128", ""),
        ("export HTTPS_PROXY=alice:se//cr@t@proxy.test:3128", ""),
        ('all_proxy="alice:se cr@t@proxy.test:3128"', ""),
        ("proxy = alice:cr@t@proxy.test:3128", ""),
        ('  "http-proxy": "alice:cr@t@proxy.test:3128",', ""),
        ('Environment="HTTP_PROXY=alice:cr@t@a.test" "HTTPS_PROXY=bob:cr@t@b.test"', ""),
        ("http_proxy=alice:cr@t@a.test https_proxy=http://b.test:1", "http://b.test:1"),
        ("at=http://alice:cr@t@a.test; http_proxy=$at", ""),
        ("http_proxy=HTTP://alice:cr@t@proxy.test:3128", ""),
        ("http_proxy=http://proxy.test:3128", "http://proxy.test:3128"),
        ('https_proxy="socks5h://alice:cr@t@proxy.test:1"', "socks5h://proxy.test:1"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "proxy.conf"])
def test_a_login_without_a_scheme_stays_on_the_host_too(
    line: str, url: str, place: str, tmp_path: Path
) -> None:
    (tmp_path / place).write_text(line + "\n")
    output = run(tmp_path, "network.sh", change={"/etc/environment": f"{tmp_path}/{place}"})
    said = split_sections(output.decode(), WORD)["proxy"][1]
    assert "test" in said or "$at" in said
    for secret in ("alice", "bob", "cr@t", "se=", "se/"):
        assert secret not in said.replace(str(tmp_path), "")
    found = [one.url for one in read_proxies(said.splitlines()) if str(tmp_path) in one.source]
    assert found == [url]


def test_rules_that_cannot_be_read_are_not_no_rules(tmp_path: Path) -> None:
    fake(tmp_path, "id", "echo 0")
    fake(tmp_path, "nft", "exit 1")
    fake(tmp_path, "iptables", "exit 4")
    assert parse(run(tmp_path, "system.sh"), WORD).firewall is None
    fake(tmp_path, "nft", "exit 0")
    fake(tmp_path, "iptables", "echo -P INPUT ACCEPT")
    firewall = parse(run(tmp_path, "system.sh"), WORD).firewall
    assert firewall is not None
    assert (firewall.backend, firewall.active) == ("none", False)


def test_every_loaded_table_of_the_older_kind_is_read(tmp_path: Path) -> None:
    """One that drops before the input was not looked at; one that is not loaded stays so."""
    loaded = tmp_path / "tables"
    loaded.write_text("filter\nraw\n")
    fake(tmp_path, "id", "echo 0")
    fake(tmp_path, "nft", "exit 0")
    fake(
        tmp_path,
        "iptables",
        "case $* in *raw*) echo -P PREROUTING DROP ;; *-t*) echo asked >&2; exit 1 ;;"
        " *) echo -P INPUT ACCEPT ;; esac",
    )
    change = {"/proc/net/ip_tables_names": str(loaded)}
    firewall = parse(run(tmp_path, "system.sh", change=change), WORD).firewall
    assert firewall is not None
    assert (firewall.active, firewall.ssh_allowed) == (True, None)


def test_empty_lines_hide_no_cut(tmp_path: Path) -> None:
    fake(tmp_path, "id", "echo 0")
    fake(tmp_path, "nft", f"cat {tmp_path}/rules")
    (tmp_path / "rules").write_text("table inet a {\n\n}\n" * 1_500)
    change = {"/proc/net/ip_tables_names": str(tmp_path / "none")}
    firewall = parse(run(tmp_path, "system.sh", change=change), WORD).firewall
    assert firewall is not None
    assert firewall.active is None


def test_an_old_lsblk_is_asked_for_what_it_knows(tmp_path: Path) -> None:
    fake(
        tmp_path,
        "lsblk",
        "case $* in *MOUNTPOINTS*) echo 'lsblk: unknown column: MOUNTPOINTS' >&2; exit 1 ;; esac\n"
        """echo '{"blockdevices": [{"name":"vda", "size":"5", "mountpoint":"/"}]}'""",
    )
    devices = parse(run(tmp_path, "hardware.sh"), WORD).devices
    assert devices is not None
    assert [(one.name, one.size_bytes, one.mounts) for one in devices] == [("vda", 5, ("/",))]


def test_an_ip_without_json_is_read_as_text(tmp_path: Path) -> None:
    fake(
        tmp_path,
        "ip",
        "case $* in *-j*) exit 255 ;; *addr*) echo '1: lo    inet 127.0.0.1/8 scope host' ;; esac",
    )
    found = {
        one.name: one.addresses for one in parse(run(tmp_path, "network.sh"), WORD).interfaces or ()
    }
    assert found["lo"] == ("127.0.0.1/8",)
