"""Rules of the probe's rooms, one at a time: what each tool's words mean, and what they do not."""

from __future__ import annotations

import pytest

from bzzz_core.deploy.facts.ai_servers import AiServer, read_ai_servers
from bzzz_core.deploy.facts.containers import Docker, read_docker
from bzzz_core.deploy.facts.gpus import CardState, Gpu, slot_of
from bzzz_core.deploy.facts.gpus_amd import read_amd
from bzzz_core.deploy.facts.gpus_nvidia import read_nvidia
from bzzz_core.deploy.facts.hardware import cpu_count, read_cpu, read_memory
from bzzz_core.deploy.facts.network import InterfaceKind, only_private, read_interfaces
from bzzz_core.deploy.facts.routes import read_proxies, read_resolver, read_routing
from bzzz_core.deploy.facts.system import read_system, read_time_source


@pytest.mark.parametrize(
    ("addresses", "private"),
    [
        (["127.0.0.1", "10.0.0.1/24", "fd00::1"], True),
        (["10.0.0.1", "100.64.0.1"], True),
        (["10.0.0.1", "8.8.8.8/24"], False),
        (["10.0.0.1", "2a00::1"], False),
        (["127.0.0.1", "fe80::1"], None),
        ([], None),
    ],
)
def test_only_private_addresses_are_a_sign_of_translation(
    addresses: list[str], *, private: bool | None
) -> None:
    assert only_private(addresses) is private


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("type=1\ndevice=1", InterfaceKind.PHYSICAL),
        ("type=1\nbridge=1", InterfaceKind.BRIDGE),
        ("type=1\nDEVTYPE=vlan", InterfaceKind.VLAN),
        ("type=1\nDEVTYPE=bond", InterfaceKind.BOND),
        ("type=65534\nDEVTYPE=wireguard", InterfaceKind.VPN),
        ("type=65534\ntun=0x1001", InterfaceKind.VPN),
        ("type=1\ntun=0x1002", InterfaceKind.OTHER),
        ("type=1\nDEVTYPE=vxlan", InterfaceKind.TUNNEL),
        ("type=772", InterfaceKind.LOOPBACK),
        ("type=1", InterfaceKind.OTHER),
    ],
)
def test_the_kernel_alone_tells_the_kind(said: str, kind: InterfaceKind) -> None:
    """Without `ip` at all; then no address is known, which is not the same as none."""
    found = read_interfaces({"link": (0, f"== x0\nstate=up\n{said}")})
    assert found is not None
    assert (found[0].kind, found[0].addresses) == (kind, None)


@pytest.mark.parametrize("speed", ["speed=-1", "", "speed=4294967295", "speed=0"])
def test_a_speed_that_is_not_told_is_unknown(speed: str) -> None:
    found = read_interfaces({"link": (0, f"== eth0\nstate=down\ndevice=1\n{speed}")})
    assert found is not None
    assert found[0].speed_mbps is None


def test_a_table_that_was_cut_is_not_complete() -> None:
    lines = "\n".join(f"10.{n // 256}.{n % 256}.0/24 dev eth0" for n in range(1_000))
    assert not read_routing(f"== 4\n{lines}\n== 6").complete
    assert read_routing("== 4\n10.0.0.0/8 dev eth0\n== 6").complete


def test_the_servers_behind_the_stub_are_the_servers() -> None:
    behind = "nameserver 127.0.0.53\nsearch a.test b.test\n== upstream\nnameserver 10.0.0.2"
    found = read_resolver(behind)
    assert (found.servers, found.search, found.stub) == (("10.0.0.2",), ("a.test", "b.test"), True)
    # A file that says where the stub would be, and another server in use.
    other = read_resolver("nameserver 10.9.9.9\n== upstream\nnameserver 10.0.0.2")
    assert (other.servers, other.stub) == (("10.9.9.9",), False)


def test_a_login_that_the_host_let_through_is_dropped_here_too() -> None:
    (found,) = read_proxies(["/etc/environment:https_proxy=http://me:secret@proxy.test:1"])
    assert found.url == "http://proxy.test:1"


def test_where_a_proxy_is_not_used_is_no_proxy() -> None:
    assert read_proxies(["/etc/environment:no_proxy=localhost"]) == ()


def test_lists_of_processors() -> None:
    assert [cpu_count(text) for text in ("0", "0-3", "0-3,8,10-11")] == [1, 4, 7]
    for wrong in ("", "a", "3-1", "0-", "0-999999999", "1 2"):
        with pytest.raises(ValueError, match=r".*"):
            cpu_count(wrong)


def test_no_control_group_that_could_be_read_is_no_statement() -> None:
    cpu = ("cpu", (0, "== lscpu\nCPU(s): 4\n== nodes"))
    found = read_cpu(dict([cpu]))
    assert found is not None
    assert (found.threads, found.allowed, found.quota_milli, found.nodes) == (4, None, None, ())
    limited = read_cpu(dict([cpu, ("cgroup", (0, "version=2\naffinity=0-1"))]))
    assert limited is not None
    assert (limited.allowed, limited.quota_milli) == ("0-1", 0)
    memory = read_memory({"memory": (0, "SwapTotal:       0 kB")})
    assert memory is not None
    assert (memory.swap_total_bytes, memory.limit_bytes) == (0, None)


def test_slots_are_written_as_the_kernel_does() -> None:
    assert slot_of("00000000:3B:00.0") == "0000:3b:00.0"
    assert slot_of("0000000F:01:00.0") == "000f:01:00.0"
    with pytest.raises(ValueError, match="01:00"):
        slot_of("01:00.0")


CARD = Gpu(slot="0000:01:00.0", vendor="nvidia", driver="nvidia")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("== query 124", CardState.HUNG),
        ("== query 137", CardState.HUNG),
        ("== query 15\nGPU is lost.  Reboot the system to recover this GPU", CardState.HUNG),
        ("== query 18\nFailed to initialize NVML: Driver/library version mismatch", "mismatch"),
        ("== query 9\nNVIDIA-SMI has failed because it couldn't communicate", CardState.FAILED),
        ("== query 6\nNo devices were found", CardState.FAILED),
        ("== query 0\nGPU-2, A, 00000000:02:00.0, 1, 1, 550.1, 9.0, [N/A]", CardState.FAILED),
        ("== query 0\nGPU-1, A, 00000000:01:00.0, 1, 1, 550.1, 9.0, [N/A]", CardState.WORKING),
        ("", None),
    ],
)
def test_what_the_tool_says_tells_how_a_card_is(said: str, state: CardState | str | None) -> None:
    cards, driver = read_nvidia({"nvidia": (0, f"tool=present\n{said}")}, (CARD,))
    wanted = CardState.MISMATCH if state == "mismatch" else state
    assert cards[0].state == wanted
    assert driver is not None


def test_without_its_tool_nobody_knows_whether_a_driver_works() -> None:
    cards, driver = read_nvidia({"nvidia": (0, "tool=absent")}, (CARD,))
    assert cards == (CARD,)
    assert driver is not None
    assert driver.tool is False
    assert CARD.state is None


@pytest.mark.parametrize(
    ("total", "unified"),
    [("[N/A]", True), ("[Not Supported]", True), ("24564", False), ("[Unknown Error]", None)],
)
def test_memory_that_is_not_the_cards_own(total: str, *, unified: bool | None) -> None:
    row = f"GPU-1, NVIDIA GB10, 00000000:01:00.0, {total}, {total}, 580.1, 12.1, [N/A]"
    cards, _ = read_nvidia({"nvidia": (0, f"tool=present\n== query 0\n{row}")}, (CARD,))
    assert (cards[0].state, cards[0].unified) == (CardState.WORKING, unified)


def test_a_card_on_no_bus_of_ours_is_known_by_its_tool() -> None:
    """So it is under WSL."""
    row = "GPU-1, NVIDIA RTX 4090, 00000000:01:00.0, 24564, 900, 555.85, 8.9, [N/A]"
    cards, _ = read_nvidia({"nvidia": (0, f"tool=present\n== query 0\n{row}")}, ())
    assert [(card.slot, card.name) for card in cards] == [("", "NVIDIA RTX 4090")]


AMD = Gpu(slot="0000:03:00.0", vendor="amd", driver="amdgpu", state=CardState.WORKING)


@pytest.mark.parametrize(
    ("memory", "tool", "unified"),
    [
        ((512 << 20, 14 << 30), "", True),
        ((8 << 30, 31 << 30), "", None),
        ((8 << 30, 31 << 30), '{"vram": {"type": "GDDR6"}, "bus": {"bdf": "0000:03:00.0"}}', False),
        (
            (96 << 30, 15 << 30),
            '{"vram": {"type": "LPDDR5"}, "bus": {"bdf": "0000:03:00.0"}}',
            True,
        ),
    ],
)
def test_which_cards_share_the_memory_of_the_host(
    memory: tuple[int, int], tool: str, *, unified: bool | None
) -> None:
    """A card with 8 GiB beside 31 GiB of the host's may be either; then nobody says."""
    said = (
        f"tool=present\n== card\nslot=0000:03:00.0\nvram_total={memory[0]}\ngtt_total={memory[1]}"
    )
    if tool:
        said += f"\n== amd-smi 0\n[{tool}]"
    cards, _ = read_amd({"amd": (0, said)}, (AMD,))
    assert cards[0].unified is unified


def test_a_card_that_the_driver_did_not_bring_up_fails() -> None:
    cards, _ = read_amd({"amd": (0, "tool=absent")}, (AMD,))
    assert cards[0].state is CardState.FAILED
    hung, _ = read_amd({"amd": (124, "tool=present")}, (AMD,))
    assert hung[0].state is CardState.HUNG


def test_podman_under_dockers_name_is_not_docker() -> None:
    assert read_docker('== info\n{"host": {"arch": "amd64"}, "version": {}}') == ()


def test_a_client_without_an_engine_knows_nothing_of_the_engine() -> None:
    (found,) = read_docker('== info\n{"ServerVersion": "", "ServerErrors": ["no daemon"]}')
    assert found == Docker(words="no daemon")
    assert (found.nvidia, found.rootless, found.compose) == (None, None, None)


def test_a_rootless_engine_without_nvidias_runtime() -> None:
    said = (
        '{"ServerVersion": "27.0", "SecurityOptions": ["name=seccomp", "name=rootless"],'
        ' "Runtimes": {"runc": {}}, "ClientInfo": {"Plugins": []}}'
    )
    (found,) = read_docker(f"== info\n{said}")
    assert (found.rootless, found.nvidia, found.compose) == (True, False, "")


SERVER = '== server\naddress={}\nport=11434\nprocess=users:(("{}",pid=1,fd=3))\nversion={}'


@pytest.mark.parametrize(
    ("address", "exposed"),
    [("127.0.0.1", False), ("[::1]", False), ("0.0.0.0", True), ("*", True), ("10.0.0.1", True)],  # noqa: S104
)
def test_whoever_listens_to_all_is_exposed(address: str, *, exposed: bool) -> None:
    (server,) = read_ai_servers(SERVER.format(address, "ollama", '{"version":"1"}'))
    assert server.exposed is exposed


def test_another_program_on_that_port_is_no_model_server() -> None:
    assert read_ai_servers(SERVER.format("*", "nginx", "<html>")) == ()
    (server,) = read_ai_servers(SERVER.format("*", "docker-proxy", '{"version":"1"}'))
    assert server.program == "docker-proxy"


def test_what_is_installed_and_does_not_run_is_said() -> None:
    assert read_ai_servers("installed=ollama\n") == (AiServer(program="ollama"),)
    running = read_ai_servers("installed=ollama\n" + SERVER.format("*", "ollama", ""))
    assert [server.port for server in running] == [11434]


def test_who_sets_the_clock() -> None:
    states = "inactive\nactive\ninactive\ninactive\ninactive\ninactive\ninactive"
    said = f"== timedatectl\nNTPSynchronized=yes\n== services\n{states}"
    found = read_time_source({"time": (0, said)})
    assert found is not None
    assert (found.synchronised, found.service) == (True, "chronyd")
    silent = read_time_source({"time": (0, "== timedatectl\n== services\nactive")})
    assert silent is not None
    assert (silent.synchronised, silent.service) == (None, None)


def test_the_guards_of_a_host() -> None:
    found = read_system({"system": (0, "virtualisation=lxc\nselinux=0\nlocks=read")})
    assert found is not None
    assert (found.container, found.selinux, found.package_lock) == (True, "permissive", "")
    assert found.reboot_required is None
    blind = read_system({"system": (0, "selinux=9")})
    assert blind is not None
    assert (blind.container, blind.selinux, blind.package_lock) == (None, None, None)
