"""What whole hosts print, and what is made of it; and that nothing they print does harm."""

from __future__ import annotations

import contextlib
import json
import re
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.deploy.facts import parse as parser
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.parse import parse
from bzzz_core.errors import ProbeUnreadable
from tests.fakes.probe_outputs import NAMES, PLACE, WORD, recorded, section, whole

BASICS = frozenset(
    (
        *("uid", "hostname", "arch", "kernel", "libc", "init", "systemd", "machine_id"),
        *("boot_id", "memory_total_bytes", "memory_available_bytes"),
    )
)


@pytest.mark.parametrize("name", NAMES)
def test_a_host_is_understood(name: str, request: pytest.FixtureRequest) -> None:
    """The values beside each output were read by a person before they were kept."""
    facts = msgspec.to_builtins(parse(recorded(name), WORD))
    found = {key: value for key, value in facts.items() if key not in BASICS}
    kept = PLACE / f"{name}.json"
    if request.config.getoption("--snapshot-update"):
        kept.write_text(json.dumps(found, indent=1) + "\n")
    assert msgspec.json.decode(msgspec.json.encode(found)) == json.loads(kept.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_facts_survive_being_written_down(name: str) -> None:
    facts = parse(recorded(name), WORD)
    assert msgspec.json.decode(msgspec.json.encode(facts), type=HostFacts) == facts


ROOMS = (
    *("cpu", "memory", "devices", "interfaces", "routing", "resolver", "proxies", "firewall"),
    *("time_source", "system", "gpus", "gpu_drivers", "docker", "podman", "ai_servers"),
)


@pytest.mark.parametrize("status", [1, 124, 125, 127])
def test_what_failed_is_unknown(status: int) -> None:
    """No section that failed leaves anything that could pass for an absence."""
    names = (
        *("cpu", "cgroup", "memory", "block", "link", "ip", "route", "resolver", "proxy"),
        *("firewall", "time", "system", "gpu", "nvidia", "amd", "docker", "podman", "ai"),
    )
    facts = parse(b"".join(section(name, "", status) for name in names), WORD)
    assert {room for room in ROOMS if getattr(facts, room) is not None} == set()


def test_what_was_looked_for_and_not_found_is_absent() -> None:
    said = [
        section("ai", ""),
        section("docker", ""),
        section("podman", ""),
        section("proxy", ""),
        section("gpu", ""),
        section("nvidia", "tool=absent"),
        section("amd", "tool=absent"),
        section("firewall", "through="),
        section("resolver", "== upstream"),
    ]
    facts = parse(b"".join(said), WORD)
    assert (facts.ai_servers, facts.docker, facts.podman) == ((), (), "")
    assert (facts.proxies, facts.gpus, facts.gpu_drivers) == ((), (), ())
    assert facts.firewall is not None
    assert facts.firewall.backend == "none"
    assert facts.resolver is not None
    assert facts.resolver.servers == ()


OUTPUTS = [whole(name) for name in NAMES]
INSERTS = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            *(
                b"\n== ",
                b"\n== query 0\n",
                b"=",
                b"[",
                b"{",
                b"null",
                b"\x1b[4m",
                b",",
                b"|",
                b"-1",
            ),
            *(b"9" * 40, b"[" * 3_000, b"0x" + b"f" * 20, "\u0663".encode(), b"\xff", b"\\g<9>"),
            *(b"fe80::1%", b"0-99999999", b"9-1", b"\n\n", b"\r", b"\x00", b"\x85", b"true"),
        ]
    ),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An output in which a few places were cut out, doubled or overwritten."""
    output = draw(st.sampled_from(OUTPUTS))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(output)))
        length = draw(st.sampled_from([0, 1, 5, 80, 2_000]))
        gone = output[at : at + length]
        output = (
            output[:at]
            + draw(INSERTS)
            + draw(st.sampled_from([b"", gone * 2]))
            + output[at + length :]
        )
    return output


@settings(max_examples=400)
@given(damaged())
def test_a_damaged_output_is_facts_or_unreadable(output: bytes) -> None:
    try:
        facts = parse(output, WORD)
    except ProbeUnreadable:
        return
    msgspec.json.encode(facts)


BLANKS = st.sampled_from(
    [b"\x1b[0m", b"\x1b[4;31m", b"\x1b[m\x1b[0m", b" \x1b[0m ", b"\t", b"\x0c", b""]
)


@settings(max_examples=200)
@given(st.sampled_from(OUTPUTS), st.lists(st.tuples(st.integers(0, 10**6), BLANKS), max_size=40))
def test_colours_and_blank_lines_anywhere_do_no_harm(
    output: bytes, put: list[tuple[int, bytes]]
) -> None:
    """Tools colour what they print; a line may hold nothing but the end of a colour."""
    lines = output.split(b"\n")
    for at, blank in put:
        lines.insert(at % len(lines), blank)
    msgspec.json.encode(parse(b"\n".join(lines), WORD))


def test_a_line_of_colour_alone_hides_no_link_between_cards() -> None:
    output = recorded("nvidia_nvswitch")
    coloured = re.sub(rb"(?m)^GPU1\b", b"\x1b[0m\nGPU1", output)
    assert coloured != output
    assert parse(coloured, WORD).gpu_drivers == parse(output, WORD).gpu_drivers


@pytest.mark.parametrize("fault", [ValueError, KeyError, AttributeError, OverflowError])
@pytest.mark.parametrize(
    "room",
    [
        name
        for name in vars(parser)
        if name.startswith(("read_", "with_", "_ssh_")) and name not in {"read_text", "read_lines"}
    ],
)
def test_a_room_that_stumbles_costs_its_own_facts_alone(
    room: str, fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a host makes a reader do, the other readers still say what they found."""

    def stumble(*_: object) -> None:
        raise fault("a host printed something new")

    monkeypatch.setattr(parser, room, stumble)
    facts = parse(recorded("server"), WORD)
    assert facts != HostFacts()


KEYS = st.sampled_from(
    [
        *("blockdevices", "name", "type", "size", "mountpoints", "mountpoint", "children"),
        *("ifname", "addr_info", "local", "prefixlen", "family", "linkinfo", "info_kind"),
        *("gpu_data", "asic", "bus", "bdf", "vram", "value", "unit", "market_name", "card0"),
        *("PCI Bus", "models", "version", "ServerVersion", "Runtimes", "ClientInfo", "Name"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=10),
    st.sampled_from(["vlan", "bridge", "0000:01:00.0", "10.0.0.1", "27.1", "compose", "inet"]),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=20,
)
HOLDERS = [
    ("block", "{}"),
    ("block", '{"blockdevices": [{"name": "a", "children": {}, "mountpoints": {}}]}'),
    ("ip", "[{}]"),
    ("ip", '[{"ifname": "eth0", "addr_info": [{"family": "inet", "local": {}, "prefixlen": {}}]}]'),
    ("ip", '[{"ifname": "eth0", "linkinfo": {"info_kind": "vlan", "info_data": {}}, "link": {}}]'),
    ("docker", "== info\n{}\n== networks\na|b|c"),
    ("docker", '== info\n{"ServerVersion": "27", "Runtimes": {}, "ClientInfo": {"Plugins": {}}}'),
    ("docker", '== info\n{"ServerVersion": "27", "SecurityOptions": {}, "ServerErrors": {}}'),
    ("amd", "tool=present\n== card\nslot=0000:01:00.0\n== rocm-smi 0\n{}"),
    ("amd", '== amd-smi 0\n[{"bus": {"bdf": "0000:01:00.0"}, "asic": {}, "vram": {}}]'),
    ("amd", '== amd-smi 0\n{"gpu_data": [{"bus": {"bdf": {}}, "vram": {"size": {}}}]}'),
    ("ai", '== server\nport=1\nprocess=(("ollama"\nversion={}\ntags={}\nps={"models": {}}'),
    ("ai", '== server\nport=1\nprocess=(("ollama"\ntags={"models": [{"name": {}}, {}]}'),
]


@settings(max_examples=300)
@given(st.sampled_from(HOLDERS), DOCUMENTS)
def test_no_document_is_more_than_malformed(holder: tuple[str, str], document: object) -> None:
    """Tools change the shape of their documents; an array where an object was is no surprise."""
    name, text = holder[0], holder[1].replace("{}", json.dumps(document))
    said = section("link", "== eth0\nstate=up") + section(
        "gpu", "0000:01:00.0 0x1002 0x1 0x030000 numa=0 driver=amdgpu"
    )
    msgspec.json.encode(parse(said + section(name, text), WORD))


def test_values_are_bounded() -> None:
    """One host must not fill the memory of whoever looks at it, nor his screen."""
    long = "x" * 100_000
    said = section("cpu", f"== lscpu\nModel name: {long}\nCPU(s): 4") + section(
        "block", json.dumps({"blockdevices": [{"name": f"sd{n}"} for n in range(5_000)]})
    )
    facts = parse(said + section("podman", f"podman version {long}"), WORD)
    assert facts.cpu is not None
    assert len(facts.cpu.model or "") == 200
    assert facts.devices is None, "nobody has so many"
    assert len(facts.podman or "") == 40


WHERE = (
    *("cpu", "cgroup", "memory", "block", "link", "ip", "route", "resolver", "proxy", "firewall"),
    *("time", "system", "gpu", "nvidia", "amd", "docker", "podman", "ai", "owner", "listen"),
)
HEADS = {
    "cpu": "== lscpu\n",
    "route": "== 4\n10.0.0.0/8 ",
    "nvidia": "tool=present\n== query 0\n",
    "docker": "== info\n",
    "firewall": "== ufw\nStatus: active\n",
    "ai": "== server\nport=1\nversion=",
}
FLOOD = 400_000
"""Characters; the probe cuts sections at that."""


@pytest.mark.parametrize(
    "token",
    [
        *(
            " ",
            "\n",
            "\t\n",
            "CUDA",
            "nexthop ",
            "tcp dport {",
            "http://",
            "[",
            "{",
            "== ",
            "=",
            ",",
        ),
        *(
            "policy ",
            "ALLOW ",
            "0-1,",
            'users:(("',
            "/a",
            f"@@{WORD} begin x\n",
            "GPU 0: ",
            "Radeon ",
        ),
    ],
)
def test_no_flood_takes_longer_than_it_is_long(token: str) -> None:
    """An expression that looks again and again at the same text would stop the wizard."""
    flood = token * (FLOOD // len(token))
    output = b"".join(section(name, HEADS.get(name, "") + flood) for name in WHERE)
    output += section("firewall", f"== nft\ntable a b {{\nchain c {{\n{flood}\n}}\n}}")
    begun = time.process_time()
    with contextlib.suppress(ProbeUnreadable):
        parse(output, WORD)
    assert time.process_time() - begun < FLOOD_S_MAX


FLOOD_S_MAX = 5.0
"""Of our processor, for 21 flooded sections. Looking twice at each character would take hours."""
