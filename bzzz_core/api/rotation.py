"""The operator's side of replacing the node authority; the steps are in `enrolment.rotation`.

The new root is made in `next/` below the directory of the roots before anything else, so that an
interrupted rotation goes on with the same one. At the end the old root's files move to `old-.../`
and the new one's take their place. The roots are unlocked here and nowhere else; what leaves are a
certificate and issuers sealed to voters.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.api.client import ApiClient, local
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import Secret
from bzzz_core.enrolment.rotation import MemberTrust, RotateStatus, RotateStep
from bzzz_core.errors import RequestInvalid, RequestTimeout, TransportError, TrustError
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.chain import spki_sha256
from bzzz_core.trust.names import Purpose

ROOT_DAYS: Final = 3_650
_POLL_MS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """One rotation's conversation with the local agent."""

    client: ApiClient
    clock: Clock
    say: Callable[[str], None]
    deadline_ms: int

    async def ask(self, step: RotateStep) -> RotateStatus:
        """Take a step, again and again while somebody is not ready for it.

        Raises:
            RequestTimeout: Somebody is still not ready; the message says who.
        """
        said = ""
        while True:
            try:
                answer = await self.client.call("POST", "/v1/trust", step)
                return msgspec.convert(answer, RotateStatus)
            except (RequestInvalid, TransportError) as exc:
                if str(exc) != said:
                    self.say(f"waiting: {exc}")
                said = str(exc)
                if self.clock.now_ms() >= self.deadline_ms:
                    raise RequestTimeout(
                        f"gave up waiting ({exc}); nothing is lost, run the command again"
                    ) from exc
            await self.clock.sleep_ms(_POLL_MS)

    async def voters(self) -> tuple[MemberTrust, ...]:
        """Return the voters once all have told their sealing keys."""
        while True:
            status = await self.ask(RotateStep("status"))
            voters = tuple(member for member in status.members if member.voter)
            if all(voter.sealing_key for voter in voters):
                return voters
            if self.clock.now_ms() >= self.deadline_ms:
                late = ", ".join(v.name for v in voters if not v.sealing_key)
                raise RequestTimeout(f"no word from {late}; run the command again")
            await self.clock.sleep_ms(_POLL_MS)


async def rotate(
    config: AgentConfig,
    *,
    ca_directory: Path,
    passphrase: Secret,
    issuers_only: bool,
    wait_ms: int,
    clock: Clock,
    say: Callable[[str], None],
) -> None:
    """Replace the node authority, or only the issuers.

    Raises:
        TrustError: The roots do not open.
        RequestTimeout: Somebody was not ready in time; run it again.
        BzzzError: The local agent or the leader failed.
    """
    async with local(config, timeout_s=30.0) as client:
        talk = _Talk(client=client, clock=clock, say=say, deadline_ms=clock.now_ms() + wait_ms)
        if issuers_only:
            await _renew_issuers(talk, ca_directory, passphrase)
        else:
            await _rotate(talk, ca_directory, passphrase, config.cluster.name)


async def _rotate(talk: _Talk, directory: Path, passphrase: Secret, cluster: str) -> None:
    new = _new_root(directory, passphrase, cluster)
    wanted = spki_sha256(new.certificate_pem)
    status = await talk.ask(RotateStep("begin", root=new.certificate_pem))
    talk.say(f"all nodes are told to trust the new root {wanted[:16]} beside the old one")
    if status.roots[-1] != wanted:
        voters = await talk.voters()
        issuer = new.delegate()
        sealed = {v.id: issuer.sealed_to(v.sealing_key) for v in voters}
        await talk.ask(RotateStep("issuers", node_issuers=sealed))
        talk.say("every node trusts it; the voters get issuers below it")
        await talk.ask(RotateStep("use", root=new.certificate_pem))
        talk.say("the new root is in use; every node renews its certificate")
    await talk.ask(RotateStep("finish", root=new.certificate_pem))
    _put_in_place(directory)
    talk.say("the old root is trusted by nobody any more")


async def _renew_issuers(talk: _Talk, directory: Path, passphrase: Secret) -> None:
    node, fabric = (
        Authority.load(directory, purpose, passphrase).delegate()
        for purpose in (Purpose.NODE, Purpose.FABRIC)
    )
    voters = await talk.voters()
    await talk.ask(
        RotateStep(
            "issuers",
            node_issuers=_sealed(node.sealed_to, voters),
            fabric_issuers=_sealed(fabric.sealed_to, voters),
        )
    )
    talk.say(f"new issuers for {', '.join(voter.name for voter in voters)}")


def _sealed(seal: Callable[[bytes], str], voters: Iterable[MemberTrust]) -> dict[NodeId, str]:
    return {voter.id: seal(voter.sealing_key) for voter in voters}


def _new_root(directory: Path, passphrase: Secret, cluster: str) -> Authority:
    """Return the root of the rotation under way, or make one."""
    Authority.load(directory, Purpose.NODE, passphrase)  # The passphrase is the cluster's.
    beside = directory / "next"
    if not (beside / "node-ca.pem").exists():
        Authority.create(
            Purpose.NODE,
            # Names of roots tell old and new apart in what people look at.
            common_name=f"{cluster[:40]} node {secrets.token_hex(3)}",
            days=ROOT_DAYS,
            passphrase=passphrase,
        ).save(beside)
    return Authority.load(beside, Purpose.NODE, passphrase)


def _put_in_place(directory: Path) -> None:
    """Let the new root's files take the place of the old one's, which are kept."""
    old = directory / f"old-{spki_sha256((directory / 'node-ca.pem').read_text())[:16]}"
    try:
        old.mkdir(mode=0o700, exist_ok=True)
        for name in ("node-ca.key", "node-ca.pem"):
            (directory / name).rename(old / name)
            (directory / "next" / name).rename(directory / name)
        (directory / "next").rmdir()
    except OSError as exc:
        raise TrustError(
            f"the new root is in force, but its files could not be moved: {exc}; move"
            f" {directory}/next/* to {directory} by hand"
        ) from exc
