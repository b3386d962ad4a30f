"""The joining node's side: what it asks, whom it believes, and what it keeps.

    token ──▶ a connection that believes the token's root alone ──▶ request, answer ──▶ files

Nothing is said about this node before the cluster has been recognised. The answer is checked as
everything that comes from elsewhere: the chain must be for the node's own key and end below the
pinned root, and the registry must hold the node under the name it asked for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Self

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import NAME, ClusterConfig, Ports
from bzzz_core.config.sources import of_values
from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.messages import JOIN_CONTEXT, JoinAnswer, JoinRequest, JoinStatement, pack
from bzzz_core.enrolment.reachable import refuse_unreachable
from bzzz_core.enrolment.registry import Registry, decode
from bzzz_core.enrolment.token import JoinToken
from bzzz_core.errors import ConfigError, NotTheCluster, TokenRefused, TransportError, TrustError
from bzzz_core.trust.certificate import requested_key_sha256
from bzzz_core.trust.chain import check_chain
from bzzz_core.trust.enrol import init_node, install, tls_public_key
from bzzz_core.trust.keys import IdentityKey

Elsewhere = Callable[[], Awaitable[list[str]]]
"""Looks for further places (`host:port`) once those of the token have failed."""


async def nowhere() -> list[str]:
    """Look nowhere else."""
    return []


Send = Callable[[str, str, JoinRequest], Awaitable[JoinAnswer]]
"""Sends a request to one place, believing one root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """What this machine wants to be."""

    name: str
    address: str
    ports: Ports

    @classmethod
    def described(cls, name: str, address: str, ports: Iterable[str]) -> Self:
        """Return what command line words ask for; `ports` are `name=number`.

        Raises:
            ConfigError: A word cannot be.
        """
        if not re.fullmatch(NAME, name):
            raise ConfigError(f"{name!r} is no name: lower-case letters, digits and hyphens")
        refuse_unreachable(address)
        chosen = {}
        for word in ports:
            port, _, number = word.partition("=")
            if port not in Ports.model_fields or not number.isascii() or not number.isdigit():
                known = ", ".join(Ports.model_fields)
                raise ConfigError(f"{word!r} is no port: NAME=NUMBER with a name of {known}")
            chosen[port] = int(number)
        return cls(name=name, address=address, ports=of_values(Ports, chosen, of="--port"))


async def join(
    newcomer: Newcomer,
    token: JoinToken,
    *,
    home: Home,
    now_s: int,
    send: Send,
    elsewhere: Elsewhere = nowhere,
) -> AgentConfig:
    """Join the token's cluster and write everything that the agent needs to run.

    The places that the token names are tried first, then those that `elsewhere` finds: anybody may
    claim to be the cluster there, so one that turns out to be another is passed over.

    Raises:
        TokenRefused: The token has expired, or the cluster refuses it.
        TrustError: The other end is not the token's cluster, or its answer does not hold.
        TransportError: No voter named in the token could be reached.
        ConfigError: A node lives here already.
    """
    home.refuse_if_taken()
    if now_s >= token.expires_s:
        raise TokenRefused("the join token has expired; make a new one (or mend this clock)")
    home.prepare()
    request = _request(newcomer, token, home)
    reasons: list[str] = []
    stranger: TrustError | None = None
    async for place in _places(token, elsewhere):
        try:
            answer = await send(place, token.root_pem, request)
        except TransportError as exc:
            reasons.append(str(exc))
        except NotTheCluster as exc:
            reasons.append(str(exc))
            stranger = exc
        else:
            return _settle(answer, newcomer, token, home)
    if stranger is not None:
        raise stranger
    raise TransportError(f"no voter of the cluster was reached: {'; '.join(reasons)}")


async def _places(token: JoinToken, elsewhere: Elsewhere) -> AsyncIterator[str]:
    for place in token.places:
        yield place
    for place in await elsewhere():
        yield place


def _request(newcomer: Newcomer, token: JoinToken, home: Home) -> JoinRequest:
    enrolment = init_node(home.secrets.path)
    statement = pack(
        JoinStatement(
            token=token.id,
            name=newcomer.name,
            address=newcomer.address,
            fabric_client=newcomer.ports.fabric_client,
            fabric_cluster=newcomer.ports.fabric_cluster,
            join=newcomer.ports.join,
            public_key=enrolment.public_key,
            node_csr=enrolment.node_csr,
            route_pin=requested_key_sha256(enrolment.route_csr),
        )
    )
    identity = IdentityKey.load(home.secrets.identity_key)
    return JoinRequest(statement, token.proof(statement), identity.sign(JOIN_CONTEXT, statement))


def _settle(answer: JoinAnswer, newcomer: Newcomer, token: JoinToken, home: Home) -> AgentConfig:
    # Roots that come along with the one that was pinned are believed once the chain holds.
    check_chain(
        answer.bundle.node_certificate, token.root_pem, tls_public_key(home.secrets.node_key)
    )
    registry = decode(answer.registry, cluster=token.cluster)
    config = _config(answer, registry, newcomer, home)
    install(home.secrets.path, answer.bundle)
    RegistryCache(home.data, cluster=token.cluster).store(registry)
    home.settle(config)
    return config


def _config(answer: JoinAnswer, registry: Registry, newcomer: Newcomer, home: Home) -> AgentConfig:
    me = registry.find(IdentityKey.load(home.secrets.identity_key).node_id)
    if me is None or not me.member or me.name != newcomer.name:
        raise TrustError("the cluster's answer does not name this node as a member")
    try:
        cluster = msgspec.json.decode(answer.cluster)
        nodes = tuple(node.entry() for node in registry.members)
        section = ClusterConfig.model_validate({**cluster, "nodes": nodes})
    except (ValueError, TypeError, RecursionError) as exc:
        raise ConfigError(
            "the cluster's settings are not understood here; install the same release as there"
        ) from exc
    return home.agent_config(
        name=newcomer.name,
        address=me.address,
        ports=newcomer.ports,
        cluster=section,
        leaf_s=answer.leaf_s,
    )
