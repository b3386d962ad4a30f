"""A node's part in replacing the node authority: trust what the registry says, and say so.

The roots in the registry become `node-ca.pem`, from which every connection and the broker read. As
long as there are two roots the node tells the leader how far it is, and takes the issuers that wait
for it there. Once there is one root, only voters go on telling, seldom: they may get new issuers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from bzzz_core.enrolment.messages import TRUST, TrustReport, pack, unpack
from bzzz_core.enrolment.registry import Registry
from bzzz_core.enrolment.rotation import REPORT_MS, SEALING_CONTEXT, TrustAnswer
from bzzz_core.errors import BzzzError, TrustError
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.trust import private_files
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.chain import load_all, spki_sha256
from bzzz_core.trust.issuing import Issuer
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.names import Purpose
from bzzz_core.trust.sealing import sealing_key_of
from bzzz_core.trust.secrets_directory import SecretsDirectory

Ask = Callable[[str, bytes], Awaitable[bytes]]
_LOOK_MS: Final = 1_000
_SELDOM_MS: Final = 30_000
"""A voter's report is needed for new issuers too, for which nobody waits long."""


def apply_roots(secrets: SecretsDirectory, registry: Registry) -> bool:
    """Make `node-ca.pem` hold exactly the registry's roots; return whether it changed.

    Raises:
        TrustError: The file cannot be read.
    """
    wanted = "".join(registry.node_roots).encode("ascii")
    if not wanted or private_files.read(secrets.node_ca) == wanted:
        return False
    private_files.replace(secrets.node_ca, wanted)
    return True


def split_roots(pem: str) -> tuple[str, ...]:
    """Return the certificates of a PEM text one by one, as the registry keeps them."""
    end = "-----END CERTIFICATE-----\n"
    text = pem if pem.endswith("\n") else pem + "\n"
    return tuple(part.lstrip() + end for part in text.split(end) if part.strip())


class TrustReporter:
    """Tells the leader what this node trusts and shows, while a rotation is under way."""

    def __init__(
        self,
        *,
        secrets: SecretsDirectory,
        identity: IdentityKey,
        registry: Callable[[], Registry],
        ask: Ask,
        clock: Clock,
    ) -> None:
        """Report nothing yet; `registry` gives the newest one this node knows."""
        self._secrets = secrets
        self._identity = identity
        self._registry = registry
        self._ask = ask
        self._clock = clock
        self._log = logs.get("trust")

    async def run(self) -> None:
        """Report until cancelled: often while there are several roots, else voters now and then."""
        told_ms: int | None = None
        while True:
            registry, now_ms = self._registry(), self._clock.now_ms()
            every_ms = REPORT_MS if len(registry.node_roots) > 1 else _SELDOM_MS
            me = registry.find(self._identity.node_id)
            needed = every_ms == REPORT_MS or (me is not None and me.voter)
            if needed and (told_ms is None or now_ms - told_ms >= every_ms):
                await self._tell()
                told_ms = now_ms
            await self._clock.sleep_ms(_LOOK_MS)

    async def _tell(self) -> None:
        try:
            report = await asyncio.to_thread(self._report)
            answer = unpack(await self._ask(TRUST, pack(report)), TrustAnswer)
            await asyncio.to_thread(self._take, answer)
        except (BzzzError, OSError) as exc:
            self._log.info("trust not reported", reason=str(exc))

    def _report(self) -> TrustReport:
        secrets = self._secrets
        roots = split_roots(private_files.read(secrets.node_ca).decode("ascii", "replace"))
        by_key_id = {describe(root).key_id: spki_sha256(root) for root in roots}
        key = sealing_key_of(self._identity)
        return TrustReport(
            roots=tuple(by_key_id.values()),
            leaf_root=_above(secrets.node_certificate, by_key_id),
            issuer_root=_above(secrets.node_issuer, by_key_id),
            sealing_key=key,
            signature=self._identity.sign(SEALING_CONTEXT, key),
        )

    def _take(self, answer: TrustAnswer) -> None:
        """Keep issuers that are for this node, of the right purpose, and below a trusted root."""
        secrets = self._secrets
        for sealed, path, roots, purpose in (
            (answer.node_issuer, secrets.node_issuer, secrets.node_ca, Purpose.NODE),
            (answer.fabric_issuer, secrets.fabric_issuer, secrets.fabric_ca, Purpose.FABRIC),
        ):
            if sealed is None or (path.exists() and private_files.read(path) == sealed.encode()):
                continue
            issuer = Issuer.open(sealed, self._identity)
            trusted = load_all(private_files.read(roots).decode("ascii", "replace"))
            if issuer.purpose is not purpose or not issuer.is_below(trusted):
                raise TrustError("an issuer that was handed out is not below a root we trust")
            private_files.replace(path, sealed.encode("ascii"))
            self._log.info("issuer replaced", purpose=str(purpose))


def _above(path: Path, roots: dict[str | None, str]) -> str | None:
    """Return the key hash of the root above the chain in a file, if it is one of ours."""
    if not path.exists():
        return None
    return roots.get(describe(private_files.read(path).decode("ascii", "replace")).root_key_id)
