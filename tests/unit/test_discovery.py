"""Seeds are addresses to try: written by operators, looked up, or claimed by anybody."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.errors import ConfigError, TransportError
from bzzz_core.membership.discovery.dns import DnsLookup
from bzzz_core.membership.discovery.mdns import seeds_of, text_of
from bzzz_core.membership.discovery.search import Found, clusters, search, ways
from bzzz_core.membership.discovery.seed import JOIN_PORT, Seed, addresses_of, parse_seed
from tests.fakes.dns_server import Zone, dns_server

CA, OTHER_CA = "a" * 64, "b" * 64
NODE = "abcdefghijklmnopqrstuvwxyz"
HEARD = Seed("192.0.2.1", 8443, "mdns", "c-1", "bzzz", NODE, "voter", CA)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1:8443", "192.0.2.1", 8443),
        ("box.example:1", "box.example", 1),
        ("[2001:db8::1]:65535", "2001:db8::1", 65_535),
        ("[fe80::1%eth0]:8443", "fe80::1%eth0", 8443),
    ],
)
def test_a_seed_is_written_as_host_and_port(text: str, host: str, port: int) -> None:
    seed = parse_seed(text)
    assert (seed.host, seed.port, seed.source) == (host, port, "static")
    assert seed.address == text


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":1", "host:0", "host:65536", "::1:8443", "-x:1", "a b:1", "h:1\n"],
)
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_seed(text)


def raw(**changes: str) -> dict[bytes, bytes | None]:
    text = text_of(HEARD) | changes
    return {name.encode(): value.encode() for name, value in text.items()}


def test_an_announcement_survives_the_network() -> None:
    assert seeds_of(["192.0.2.1"], 8443, raw()) == [HEARD]
    assert [seed.host for seed in seeds_of(["192.0.2.1", "::1"], 8443, raw())] == [
        "192.0.2.1",
        "::1",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"v": "2"},
        {"cluster": ""},
        {"cluster": "c" * 65},
        {"cluster": "c\x1b[31m"},
        {"name": "Not A Label"},
        {"node": "short"},
        {"role": "leader"},
        {"ca": "AB" * 32},
    ],
    ids=str,
)
def test_an_announcement_that_makes_no_sense_is_passed_over(wrong: dict[str, str]) -> None:
    """Whatever is said on the network is printed on somebody's terminal in the end."""
    assert seeds_of(["192.0.2.1"], 8443, raw(**wrong)) == []
    assert seeds_of(["192.0.2.1"], None, raw()) == []
    assert seeds_of(["192.0.2.1"], 8443, {}) == []


@given(st.dictionaries(st.sampled_from(list(raw())), st.none() | st.binary(max_size=80)))
def test_no_text_record_raises(text: dict[bytes, bytes | None]) -> None:
    seeds_of(["192.0.2.1"], 8443, text)


def test_what_fits_the_token_is_tried_first_and_what_contradicts_it_never() -> None:
    seeds = [
        Seed("told.example", 8443, "static"),
        Seed("192.0.2.9", 8443, "mdns", "c-1", "bzzz", NODE, "voter", OTHER_CA),
        Seed("192.0.2.7", 8443, "mdns", "c-1", "bzzz", NODE, "edge", CA),
        HEARD,
        HEARD,
    ]
    assert addresses_of(seeds, ca_sha256=CA) == ["192.0.2.1:8443", "told.example:8443"]


def test_clusters_are_told_apart_by_all_they_claim() -> None:
    """Somebody who announces our cluster with another authority does not slip in among us."""
    liar = Seed("192.0.2.66", 8443, "mdns", "c-1", "bzzz", NODE, "voter", OTHER_CA)
    found = clusters([HEARD, liar, parse_seed("told.example:8443")])
    assert [(each.name, each.ca_sha256, len(each.seeds)) for each in found] == [
        ("", "", 1),
        ("bzzz", CA, 1),
        ("bzzz", OTHER_CA, 1),
    ]


def test_one_way_that_fails_spoils_no_other() -> None:
    async def works() -> list[Seed]:
        return [HEARD]

    async def fails() -> list[Seed]:
        raise TransportError("no network")

    found = asyncio.run(search({"mdns": works, "dns": fails}))
    assert found.seeds == [HEARD]
    assert found.problems == {"dns": "no network"}


def lookup(zone: Zone, name: str = "example.test", *, silent: bool = False) -> list[Seed]:
    async def main() -> list[Seed]:
        async with dns_server(zone, silent=silent) as port:
            where = DnsLookup(servers=("127.0.0.1",), port=port)
            return await where.seeds(name, timeout_ms=400 if silent else 10_000)

    return asyncio.run(main())


def test_service_records_say_host_and_port_in_their_order() -> None:
    zone = {
        ("_bzzz._tcp.example.test.", "SRV"): [
            "20 0 9000 later.example.test.",
            "10 1 8443 light.example.test.",
            "10 9 8443 heavy.example.test.",
        ]
    }
    assert [(seed.host, seed.port, seed.source) for seed in lookup(zone)] == [
        ("heavy.example.test", 8443, "dns"),
        ("light.example.test", 8443, "dns"),
        ("later.example.test", 9000, "dns"),
    ]


def test_without_service_records_the_addresses_are_voters() -> None:
    zone = {
        ("example.test.", "A"): ["192.0.2.2", "192.0.2.1"],
        ("example.test.", "AAAA"): ["2001:db8::1"],
    }
    assert [seed.address for seed in lookup(zone)] == [
        f"192.0.2.1:{JOIN_PORT}",
        f"192.0.2.2:{JOIN_PORT}",
        f"[2001:db8::1]:{JOIN_PORT}",
    ]


def test_a_service_that_is_declared_absent_and_a_name_that_is_not_there_bring_nothing() -> None:
    assert lookup({("_bzzz._tcp.example.test.", "SRV"): ["0 0 0 ."]}) == []
    assert lookup({}) == []


def test_a_name_that_an_operator_gave_and_the_dns_does_not_know_is_a_problem() -> None:
    """Mistyped, it looked like a network without a cluster."""

    async def main() -> Found:
        zone = {("known.test.", "A"): ["192.0.2.1"]}
        async with dns_server(zone) as port:
            resolver = DnsLookup(servers=("127.0.0.1",), port=port)
            names = ["known.test", "knwon.test"]
            return await search(ways(names=names, mdns=False, timeout_ms=10_000, lookup=resolver))

    found = asyncio.run(main())
    assert [seed.host for seed in found.seeds] == ["192.0.2.1"]
    assert list(found.problems) == ["knwon.test"]
    assert "the DNS knows neither a service _bzzz._tcp" in found.problems["knwon.test"]


def test_a_resolver_that_does_not_answer_is_a_failure_and_not_an_absence() -> None:
    with pytest.raises(TransportError, match="looking up"):
        lookup({}, silent=True)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".test", "\udcff.test"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        lookup({}, name)
