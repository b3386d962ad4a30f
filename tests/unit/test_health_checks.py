"""What each check makes of what it sees."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bzzz_core.api.documents import ClusterRef, FabricStatus, MemberStatus, Status
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.fabric.monitor import BrokerHealth
from bzzz_core.health.checks import cluster, disk, process, services, trust
from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_core.model import FabricState, MemberState, NodeId, Term
from bzzz_core.telemetry.loop_lag import LoopLag
from bzzz_core.telemetry.process import Memory, descriptors, memory
from bzzz_core.trust.certificate import CertificateFacts
from tests.fakes.virtual_time import VirtualClock, run

GIB = 1 << 30
MIB = 1 << 20
DAY_S = 86_400
HERE = Path("/somewhere")


@pytest.mark.parametrize(
    ("free", "total", "state"),
    [
        (200 * GIB, 4_000 * GIB, "ok"),
        (9 * GIB, 10 * GIB, "ok"),
        (4 * GIB, 100 * GIB, "warning"),
        (GIB // 4, 100 * GIB, "critical"),
        (0, 0, "critical"),
    ],
    ids=["a small share of much", "a small disk", "little", "nearly none", "none at all"],
)
def test_a_disk_is_full_when_little_is_left_by_both_measures(
    free: int, total: int, state: str
) -> None:
    assert disk.judge_room(free, total, HERE).state == state


def test_a_real_disk_has_room_and_takes_a_file(tmp_path: Path) -> None:
    assert str(tmp_path) in disk.look_at_room(tmp_path).words
    assert disk.write(tmp_path).state in {"ok", "warning"}
    assert list(tmp_path.iterdir()) == [], "the probe leaves nothing behind"


def test_a_probe_follows_no_link_that_somebody_laid_out(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".health-probe").symlink_to(victim)
    with pytest.raises(OSError, match=r"Too many levels|symbolic"):
        disk.write(tmp_path)
    assert victim.read_text() == "precious"


def test_a_directory_that_is_gone_is_critical(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(FileNotFoundError):
            await disk.writable("data-writable", tmp_path / "gone").look()

    asyncio.run(body())


@pytest.mark.parametrize(("own_mib", "state"), [(80, "ok"), (300, "warning"), (480, "critical")])
def test_memory_of_our_own(own_mib: int, state: str) -> None:
    now = Memory(own_bytes=own_mib * MIB, available_bytes=GIB, total_bytes=2 * GIB)
    assert process.judge_own(now).state == state


def test_memory_of_the_machine() -> None:
    def state(available: int, total: int) -> str:
        return process.judge_machine(Memory(0, available, total)).state

    assert [state(50, 100), state(8, 100), state(2, 100), state(0, 0)] == [
        "ok",
        "warning",
        "critical",
        "unknown",
    ]


def test_this_process_can_be_read() -> None:
    assert 1 * MIB < memory().own_bytes < memory().total_bytes
    used, most = descriptors()
    assert 0 < used < (most or used + 1)


def test_descriptors_and_lateness() -> None:
    assert [process.judge_descriptors(n, 100).state for n in (10, 70, 95)] == [
        "ok",
        "warning",
        "critical",
    ]
    assert process.judge_descriptors(10, None).state == "ok"
    assert [process.judge_lag(ms).state for ms in (40, 400, 6_000)] == ["ok", "warning", "critical"]


def test_the_loop_is_judged_by_its_worst_moment_since_the_last_look() -> None:
    lag = LoopLag()
    check = process.loop_check(lag)

    async def body() -> list[str]:
        lag.note(6.0)
        lag.note(0.001)
        return [(await check.look()).state, (await check.look()).state]

    assert run(body()) == ["critical", "ok"]


def facts(begin_day: int, end_day: int) -> CertificateFacts:
    return CertificateFacts("", begin_day * DAY_S, end_day * DAY_S, (), "", None, None)


@pytest.mark.parametrize(
    ("day", "state"), [(-1, "critical"), (10, "ok"), (25, "warning"), (31, "critical")]
)
def test_a_certificate_of_thirty_days(day: int, state: str) -> None:
    assert trust.judge_certificate("node.pem", facts(0, 30), day * DAY_S).state == state


def test_a_node_without_certificates_is_told(tmp_path: Path) -> None:
    found = trust.look_at_certificates([tmp_path / "node.pem"], 0)
    assert found.state == "critical"
    (tmp_path / "node.pem").write_text("no certificate")
    (tmp_path / "node.pem").chmod(0o600)
    assert "cannot be read" in trust.look_at_certificates([tmp_path / "node.pem"], 0).words


def test_a_jump_of_the_wall_clock_is_seen_once() -> None:
    wall = [1_000_000.0]
    clock = VirtualClock()
    check = trust.wall_clock(clock=clock, now=lambda: datetime.fromtimestamp(wall[0], UTC))

    async def body() -> list[str]:
        seen = []
        for jump_s in (0, 0, 3_600, 0):
            await clock.sleep_ms(30_000)
            wall[0] += 30 + jump_s
            seen.append((await check.look()).state)
        return seen

    assert run(body()) == ["ok", "ok", "warning", "ok"]


def status(*voters: MemberState, leader: str | None = "bzzz-1", serving: bool = True) -> Status:
    return Status(
        node="bzzz-1",
        node_id=NodeId("n1"),
        version="0",
        at="",
        uptime_s=1,
        cluster=ClusterRef("c", "demo"),
        leader=leader,
        leader_id=None,
        leader_serving=serving,
        leader_since_at=None,
        term=Term(3),
        role="follower",
        members=tuple(
            MemberStatus(f"bzzz-{n}", NodeId(f"n{n}"), state, voter=True, address="192.0.2.1")
            for n, state in enumerate(voters, 1)
        ),
        fabric=FabricStatus(FabricState.CONNECTED, "b", None, len(voters), len(voters) // 2 + 1),
    )


def test_leadership() -> None:
    alive, dead = MemberState.ALIVE, MemberState.DEAD
    assert cluster.judge_leadership(status(alive, alive, alive)).state == "ok"
    missing = cluster.judge_leadership(status(alive, dead, alive))
    assert missing.state == "warning"
    assert "bzzz-2" in missing.words
    assert cluster.judge_leadership(status(alive, alive, serving=False)).state == "warning"
    nobody = cluster.judge_leadership(status(alive, dead, dead, leader=None))
    assert nobody.state == "critical"
    assert "1 of 3 voters are alive, 2 are needed" in nobody.words


def broker(**other: object) -> BrokerHealth:
    known: dict[str, object] = {
        "healthy": True,
        "meta_leader": "b",
        "size": 3,
        "member": True,
        "store_bytes": 10,
        "problem": "",
    }
    return BrokerHealth(**{**known, **other})  # type: ignore[arg-type]


def test_a_broker() -> None:
    judge = cluster.judge_broker
    assert judge(broker(), note="").state == "ok"
    assert judge(None, note="the disk is full").words == "the disk is full"
    assert judge(None, note="").state == "critical"
    assert judge(broker(disabled=True), note="").state == "critical"
    assert judge(broker(meta_leader=None), note="").state == "critical"
    assert judge(broker(healthy=False, problem="catching up"), note="").words == "catching up"
    assert judge(broker(member=False), note="").state == "warning"
    assert judge(broker(), note="a change waits").state == "warning"


def test_a_store() -> None:
    def state(held: int) -> str:
        return cluster.judge_store(broker(store_bytes=held), bytes_max=100).state

    assert [state(10), state(75), state(95)] == ["ok", "warning", "critical"]
    assert cluster.judge_store(None, bytes_max=100).state == "unknown"


def test_an_endpoint_is_never_critical() -> None:
    assert services.judge(EndpointReport(works=True, words="answers")).state == "ok"
    assert services.judge(EndpointReport(works=False, words="refused")).state == "warning"


def test_a_message_goes_round_the_bus() -> None:
    async def body() -> None:
        fabric = MemoryHub(clock=VirtualClock()).attach(NodeId("n1"))
        look = cluster.fabric(fabric, NodeId("n1"), clock=VirtualClock()).look
        seen = {}
        for state in (FabricState.CONNECTED, FabricState.DEGRADED, FabricState.LOST):
            fabric.state = state
            seen[state] = (await look()).state
        assert list(seen.values()) == ["ok", "warning", "critical"]
        assert fabric.interests == [], "a look leaves no interest behind"

    run(body())
