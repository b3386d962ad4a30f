"""When a node renews its certificates, and what it does when that fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bzzz_core.config.secrets import Secret
from bzzz_core.enrolment.messages import (
    RENEW_CONTEXT,
    RenewRequest,
    RenewStatement,
    pack,
    unpack,
)
from bzzz_core.enrolment.renewal import Held, Renewal
from bzzz_core.errors import NotLeader, TrustError
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.certify import Applicant, Issuers, certify
from bzzz_core.trust.enrol import init_node, install
from bzzz_core.trust.keys import IdentityKey, verify
from bzzz_core.trust.names import Purpose
from bzzz_core.trust.secrets_directory import SecretsDirectory

NOW = datetime.now(UTC).replace(microsecond=0)
PASSPHRASE = Secret("correct horse battery")
LIFE_S = 600


class World:
    """One node, its leader, and a clock that goes on only while somebody sleeps."""

    def __init__(self, tmp_path: Path, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.now = NOW
        self.voter = False
        self.voter_to_the_leader = False
        """The leader writes who votes, so it knows earlier than the node."""
        self.withheld = False
        """Whether the leader hands out no issuers, as one of an older release."""
        self.asked = 0
        self.asked_ms: list[int] = []
        self.slept_ms: list[int] = []
        self.answers: list[Exception] = []
        self.installed: list[frozenset[Path]] = []
        self.secrets = SecretsDirectory(tmp_path / "secrets")
        init_node(self.secrets.path)
        self.identity = IdentityKey.load(self.secrets.identity_key)
        self.roots = [
            Authority.create(purpose, common_name="x", days=9, passphrase=PASSPHRASE)
            for purpose in (Purpose.NODE, Purpose.FABRIC)
        ]
        self.issuers = Issuers.below(*self.roots)
        self.root: str | None = None
        self.renewal = Renewal(
            secrets=self.secrets,
            identity=self.identity,
            votes=lambda: self.voter,
            root=lambda: self.root,
            pin=lambda: None,
            ask=self.ask,
            installed=self.take,
            clock=self,
            now=lambda: self.now,
            random=lambda: 0.5,
        )

    @property
    def renewed(self) -> int:
        return self.renewal.counters["renewed"]

    def now_ms(self) -> int:
        return int((self.now - NOW).total_seconds() * 1000)

    async def sleep_ms(self, duration_ms: int) -> None:
        self.slept_ms.append(duration_ms)
        self.now += timedelta(milliseconds=duration_ms)
        await asyncio.sleep(0)

    async def take(self, files: frozenset[Path]) -> None:
        self.installed.append(files)

    async def ask(self, _question: str, body: bytes) -> bytes:
        self.asked += 1
        self.asked_ms.append(self.now_ms())
        if self.answers:
            raise self.answers.pop(0)
        request = unpack(body, RenewRequest)
        verify(self.identity.public_key, RENEW_CONTEXT, request.statement, request.signature)
        said = unpack(request.statement, RenewStatement)
        return pack(self._certify(said))

    def _certify(self, said: RenewStatement) -> object:
        applicant = Applicant(
            node_id=said.node,
            addresses=["127.0.0.1"],
            voter=self.voter or self.voter_to_the_leader,
            node_csr=said.node_csr,
            route_csr=said.route_csr,
            system_csr=said.system_csr,
            sealing_key=b"" if self.withheld else said.sealing_key,
        )
        # Issued at the world's time, which runs ahead of the machine's.
        return _shifted(applicant, self.issuers, self.now)

    def run_until(self, holds: Callable[[], bool]) -> None:
        """Run the renewal until something holds."""

        async def play() -> None:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.renewal.run())
                deadline = time.monotonic() + 60  # Files are written in a thread, in real time.
                while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                running.cancel()
            assert holds()

        self.runner.run(play())


def _shifted(applicant: Applicant, issuers: Issuers, now: datetime) -> object:
    bundle = certify(applicant, issuers=issuers, lifetime_s=LIFE_S)
    leaf = issuers.node.issue_node(
        applicant.node_csr,
        node_id=applicant.node_id,
        addresses=applicant.addresses,
        lifetime_s=LIFE_S,
        now=now,
    )
    return msgspec.structs.replace(bundle, node_certificate=leaf)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with asyncio.Runner() as runner:
        yield World(tmp_path, runner)


def leaf_end(world: World) -> int:
    return describe(world.secrets.node_certificate.read_text()).not_after_s


def test_a_node_without_a_certificate_asks_at_once(world: World) -> None:
    assert world.renewal.alarm == "this node has no certificate"
    world.run_until(lambda: world.renewed == 1)
    assert world.asked_ms == [0]
    assert world.renewal.alarm is None


def test_a_certificate_is_renewed_at_two_thirds_of_its_life(world: World) -> None:
    """Not before 7/12, not after 8/12: the rest of its life is for failures."""
    world.run_until(lambda: world.renewed == 1)
    world.run_until(lambda: world.renewed == 2)
    waited = world.asked_ms[1] / 1000
    assert LIFE_S * 0.50 <= waited <= LIFE_S * 0.67
    assert leaf_end(world) > NOW.timestamp() + LIFE_S


def test_failures_are_tried_again_ever_later_and_raise_an_alarm(world: World) -> None:
    """Nobody leads for a long time: the node goes on asking, and says so in its status."""
    world.run_until(lambda: world.renewed == 1)
    world.now = NOW + timedelta(seconds=LIFE_S * 0.75)
    world.answers = [NotLeader("nobody leads")] * 6
    world.slept_ms.clear()
    alarm: list[str | None] = []
    world.run_until(lambda: (alarm.append(world.renewal.alarm), world.asked >= 7)[1])
    assert world.slept_ms[:4] == [1_000, 2_000, 4_000, 8_000]
    assert any(text and "nobody leads" in text for text in alarm)
    world.run_until(lambda: world.renewal.alarm is None)
    assert world.renewal.counters["failed"] == 6


def test_a_new_voter_asks_for_what_voters_have(world: World) -> None:
    world.run_until(lambda: world.renewed == 1)
    assert not world.secrets.route_certificate.exists()
    world.voter = True
    world.run_until(lambda: world.renewed == 2)
    for path in (
        world.secrets.route_certificate,
        world.secrets.system_certificate,
        world.secrets.node_issuer,
        world.secrets.fabric_issuer,
    ):
        assert path.exists()
    assert world.installed[-1] >= {world.secrets.route_certificate, world.secrets.node_issuer}


def test_a_voter_gets_its_issuers_though_the_leader_knew_first_that_it_votes(world: World) -> None:
    """Without them it lets nobody in while it leads, and makes nobody a voter."""
    world.run_until(lambda: world.renewed == 1)
    world.voter_to_the_leader = True
    world.renewal.renew_now()
    world.run_until(lambda: world.renewed == 2)
    world.voter = True
    assert world.secrets.route_certificate.exists()
    assert world.secrets.node_issuer.exists()
    assert world.secrets.fabric_issuer.exists()


def test_a_voter_without_issuers_asks_for_them_until_it_has_them(world: World) -> None:
    world.voter = world.withheld = True
    world.run_until(lambda: world.renewed == 2)
    assert "holds no issuers" in (world.renewal.issuer_alarm or "")
    assert world.secrets.route_certificate.exists()
    world.withheld = False
    world.run_until(world.secrets.fabric_issuer.exists)
    assert world.renewal.issuer_alarm is None
    assert min(world.slept_ms) >= 200, "not without a pause"


def test_a_root_that_came_into_use_is_taken_up(world: World) -> None:
    world.run_until(lambda: world.renewed == 1)
    new = Authority.create(Purpose.NODE, common_name="y", days=9, passphrase=PASSPHRASE)
    both = world.roots[0].certificate_pem + new.certificate_pem
    world.issuers = Issuers(
        node=new.delegate(),
        fabric=world.issuers.fabric,
        node_roots=both,
        fabric_root=world.issuers.fabric_root,
    )
    world.root = describe(new.certificate_pem).key_id
    world.run_until(lambda: world.renewed == 2)
    leaf = describe(world.secrets.node_certificate.read_text())
    assert leaf.root_key_id == world.root
    assert world.secrets.node_ca.read_text() == both


def test_a_leader_that_does_not_know_the_new_root_is_not_asked_without_a_pause(
    world: World,
) -> None:
    world.root = "ff"
    world.run_until(lambda: world.renewed == 4)
    assert len(world.slept_ms) >= 3
    assert min(world.slept_ms) >= 200


def test_an_answer_for_another_key_changes_nothing(world: World, tmp_path: Path) -> None:
    """It would lock the node out at its next start."""
    world.run_until(lambda: world.renewed == 1)
    before = world.secrets.node_certificate.read_bytes()
    stranger = init_node(tmp_path / "stranger")
    applicant = Applicant(
        node_id=stranger.node_id, addresses=[], voter=False, node_csr=stranger.node_csr
    )
    wrong = pack(certify(applicant, issuers=world.issuers, lifetime_s=LIFE_S))

    async def ask(_question: str, _body: bytes) -> bytes:
        return wrong

    world.renewal._ask = ask
    with pytest.raises(TrustError, match="not for this key"):
        world.runner.run(world.renewal.renew())
    assert world.secrets.node_certificate.read_bytes() == before


def test_life_that_is_left_is_a_part_between_one_and_nothing() -> None:
    held = Held(100.0, 200.0)
    assert [held.left(now) for now in (0, 100, 150, 200, 999)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert Held(100.0, 100.0).left(100) == 0.0


def test_what_setup_installed_is_kept_until_it_is_due(world: World) -> None:
    enrolment = init_node(world.secrets.path)
    applicant = Applicant(
        node_id=enrolment.node_id,
        addresses=["127.0.0.1"],
        voter=False,
        node_csr=enrolment.node_csr,
    )
    bundle = certify(applicant, issuers=world.issuers, lifetime_s=LIFE_S)
    install(world.secrets.path, bundle)
    world.run_until(lambda: len(world.slept_ms) >= 3)
    assert world.asked == 0


def test_issuers_near_their_end_are_the_operators_matter(world: World) -> None:
    world.voter = True
    world.run_until(lambda: world.renewed == 1)
    assert world.renewal.issuer_alarm is None
    world.now = NOW + timedelta(days=7)  # The roots of this world live for nine.
    assert "issuers end in 2 days" in (world.renewal.issuer_alarm or "")
    world.voter = False
    assert world.renewal.issuer_alarm is None
