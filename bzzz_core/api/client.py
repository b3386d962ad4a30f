"""Asks an agent's API; the one client for the command line, the demo, the monitor and tests."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bzzz_core.api.asking import (
    BODY_BYTES_MAX,
    TIMEOUT_S,
    ApiClient,
    Document,
    decode,
    exchange,
    raise_refusal,
)
from bzzz_core.api.place import present
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import resolve
from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.messages import JoinAnswer, JoinRequest
from bzzz_core.enrolment.registry import effective
from bzzz_core.errors import (
    IntegrityError,
    NotTheCluster,
    RequestTimeout,
    TransportError,
    TrustError,
)
from bzzz_core.model import ClusterId
from bzzz_core.trust.tls import EVERY_NODE, pinned_context

__all__ = ["BODY_BYTES_MAX", "ApiClient", "JoinClient", "call", "local", "send_join"]


def local(config: AgentConfig, *, timeout_s: float = TIMEOUT_S) -> ApiClient:
    """Return a client of the agent that runs with this configuration on this machine."""
    found = present(config)
    host = f"[{found.host}]" if ":" in found.host else found.host
    token = resolve(config.security.api_token, vault=Path(config.security.directory))
    return ApiClient(f"http://{host}:{found.port}", token=token, timeout_s=timeout_s)


def call(
    config: AgentConfig,
    method: str,
    path: str,
    body: object | None = None,
    *,
    timeout_s: float = 30.0,
) -> Any:
    """Ask this machine's agent for one operation; for command lines, outside any event loop.

    Raises:
        NotEnrolled: There is no agent to ask, because the cluster let this node go.
        BzzzError: As `ApiClient.call`.
    """

    async def ask() -> Any:
        async with local(config, timeout_s=timeout_s) as client:
            return await client.call(method, path, body)

    try:
        return asyncio.run(ask())
    except RequestTimeout:
        raise
    except TransportError:
        _raise_if_let_go(config)
        raise


def _raise_if_let_go(config: AgentConfig) -> None:
    try:
        cluster = ClusterId(config.cluster.id)
        registry = RegistryCache(Path(config.resources.paths.data), cluster=cluster).load()
    except (IntegrityError, TrustError):
        return  # Then nobody knows; what was told stands.
    effective(config, registry)


class JoinClient:
    """Asks the join listener of one voter; the context decides who is believed."""

    def __init__(self, place: str, *, context: ssl.SSLContext, timeout_s: float = 30.0) -> None:
        """Open nothing yet; `place` is `host:port`."""
        self._place = place
        self._context = context
        self._timeout_s = timeout_s

    async def ask(self, method: str, kind: type[Document], body: object | None = None) -> Document:
        """Send one request to `/v1/join` and return the answer.

        Raises:
            TransportError: Nobody answered.
            NotTheCluster: Somebody answered whom the context does not believe.
            BzzzError: The refusal, told by its code.
        """
        content = None if body is None else msgspec.json.encode(body)
        try:
            async with httpx.AsyncClient(
                base_url=f"https://{self._place}",
                verify=self._context,
                timeout=self._timeout_s,
                trust_env=False,
            ) as client:
                status, answer = await exchange(
                    client, method, "/v1/join", content, sni_hostname=EVERY_NODE
                )
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as exc:
            if _unverified(exc):
                raise NotTheCluster(
                    f"{self._place} is not the cluster that the join token is for: nothing was"
                    " sent. Somebody may be in between, or the cluster's authority was replaced"
                    " since; make a new token"
                ) from exc
            reason = str(exc) or type(exc).__name__
            raise TransportError(f"{self._place}: {reason}") from exc
        raise_refusal(status, answer)
        return decode(answer, kind)


async def send_join(place: str, root: str, request: JoinRequest) -> JoinAnswer:
    """Ask a voter below `root` to be taken.

    Raises:
        TransportError: Nobody answered.
        NotTheCluster: Somebody else did.
        BzzzError: The refusal.
    """
    client = JoinClient(place, context=pinned_context(root))
    return await client.ask("POST", JoinAnswer, request)


def _unverified(error: BaseException) -> bool:
    """Return whether a certificate was not believed; the reason lies some layers below."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
