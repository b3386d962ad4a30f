"""Letting nodes in: join tokens, and the leader's answer to `POST /v1/join`.

A request is believed when its bytes decode, the identity that it names has signed them, and the
proof shows that the sender holds a token that is good. Nothing is written before certificates were
signed, so a request that cannot be satisfied does not use its token up.

A refusal is counted by its kind and audited. A request that is sent again, by whomever, gives the
same node the same place again and nobody anything new: certificates are useless without the keys.
Whoever has left needs another token, because its place is gone.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment.issuers import HeldIssuers
from bzzz_core.enrolment.messages import (
    JOIN_CONTEXT,
    JoinAnswer,
    JoinRequest,
    JoinStatement,
    Named,
    Nothing,
    TokenInfo,
    TokenMade,
    TokenWish,
    pack,
    unpack,
)
from bzzz_core.enrolment.reachable import refuse_unreachable
from bzzz_core.enrolment.registrar import Registrar
from bzzz_core.enrolment.registry import EnrolledNode, NodeState, Registry, encode
from bzzz_core.enrolment.renewing import find_member
from bzzz_core.enrolment.token import (
    TTL_S_MAX,
    TTL_S_MIN,
    KnownToken,
    Tokens,
    new_token,
    proof_of,
)
from bzzz_core.errors import (
    BzzzError,
    ConfigError,
    NotEnrolled,
    PermissionDenied,
    RequestInvalid,
    SignatureInvalid,
    TokenRefused,
    TrustError,
)
from bzzz_core.model import NodeId
from bzzz_core.trust.certify import Applicant, certify
from bzzz_core.trust.enrol import CertificateBundle
from bzzz_core.trust.keys import node_id_of, verify

Audit = Callable[..., None]
Now = Callable[[], datetime]


class Admission:
    """The leader's side of tokens and joining."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        registrar: Registrar,
        issuers: HeldIssuers,
        now: Now,
        audit: Audit,
    ) -> None:
        """Take what it decides with; `config` gives the configuration in force."""
        self._config = config
        self._registrar = registrar
        self._issuers = issuers
        self._now = now
        self._audit = audit
        self.counters: Counter[str] = Counter()
        """joined, join_repeated, and refusals by the code of their error."""

    async def join(self, asker: NodeId, body: bytes) -> bytes:
        """Take a node, or say why not; `asker` is the voter that passes the request on.

        Raises:
            BzzzError: The refusal.
        """
        await self.voters_only(asker, "join")
        try:
            return await self._join(body)
        except BzzzError as exc:
            self.counters[f"join_refused_{exc.code}"] += 1
            self._audit("join refused", actor=asker, code=exc.code, reason=str(exc))
            raise

    async def create_token(self, asker: NodeId, body: bytes) -> bytes:
        """Make a token; raises if the asker is no voter or the lifetime cannot be."""
        registry = await self.voters_only(asker, "token create")
        ttl_s = unpack(body, TokenWish).ttl_s
        if not TTL_S_MIN <= ttl_s <= TTL_S_MAX:
            raise RequestInvalid(f"a join token lives {TTL_S_MIN} to {TTL_S_MAX} seconds")
        now = self._now()
        creator = registry.find(asker)
        token, known = new_token(
            cluster=registry.cluster,
            root_pem=registry.node_roots[-1],
            places=_places(registry),
            expires_s=int((now + timedelta(seconds=ttl_s)).timestamp()),
            created_at=_text(now),
            created_by=creator.name if creator else asker,
        )
        now_s = int(now.timestamp())
        await self._registrar.change_tokens(lambda tokens: tokens.with_new(known, now_s=now_s))
        self._audit("join token made", actor=asker, token=token.id, ttl_s=ttl_s)
        info = _info(known, now)
        return pack(TokenMade(token.id, token.text().reveal(), info.expires_at))

    async def list_tokens(self, asker: NodeId, body: bytes) -> bytes:
        """List the tokens without their secrets."""
        unpack(body, Nothing)
        await self.voters_only(asker, "token list")
        now = self._now()
        return pack([_info(token, now) for token in (await self._registrar.tokens()).known])

    async def revoke_token(self, asker: NodeId, body: bytes) -> bytes:
        """Withdraw a token; raises if there is none of that id."""
        await self.voters_only(asker, "token revoke")
        token = unpack(body, Named).name
        await self._registrar.change_tokens(lambda tokens: tokens.without(token))
        self._audit("join token withdrawn", actor=asker, token=token)
        return pack(Nothing())

    async def members_only(self, asker: NodeId, asked: str) -> None:
        """Return if the asker is a member by the registry in force.

        The brokers' lists of users follow the registry, each in its own time; this does not wait
        for them. A new leadership reads the registry before its first answer, so it knows whom the
        one before let in and put out.

        Raises:
            NotEnrolled: It is none, or no more.
            BzzzError: The registry cannot be read, or this node leads no more.
        """
        registry = self._registrar.present() or await self._registrar.registry()
        try:
            find_member(registry, asker)
        except NotEnrolled:
            self.counters["refused_no_member"] += 1
            self._audit("refused", actor=asker, asked=asked[:64], reason="no member")
            raise

    async def voters_only(self, asker: NodeId, what: str) -> Registry:
        """Return the registry if the asker votes.

        An edge's key must not be able to bring further nodes in or to put others out.

        Raises:
            PermissionDenied: It does not.
        """
        registry = await self._registrar.registry()
        known = registry.find(asker)
        if known is None or not known.member or not known.voter:
            self.counters["refused_no_voter"] += 1
            self._audit("refused", actor=asker, asked=what, reason="no voter")
            raise PermissionDenied(f"`{what}` is for voters; run it on one of them")
        return registry

    async def _join(self, body: bytes) -> bytes:
        request = unpack(body, JoinRequest)
        statement = unpack(request.statement, JoinStatement)
        verify(statement.public_key, JOIN_CONTEXT, request.statement, request.signature)
        # First of all the proof: nobody without a token gets anything signed or looked up.
        _proven(await self._registrar.tokens(), statement, request)
        now = self._now()
        node = EnrolledNode(
            id=node_id_of(statement.public_key),
            name=statement.name,
            public_key=statement.public_key,
            address=_normal(statement.address),
            fabric_client=statement.fabric_client,
            fabric_cluster=statement.fabric_cluster,
            join=statement.join,
            route_pin=statement.route_pin,
            joined_at=_text(now),
        )
        bundle = self._certify(node, statement)

        def step(registry: Registry, tokens: Tokens) -> tuple[Registry, Tokens]:
            token = _proven(tokens, statement, request)
            before = registry.find(node.id)
            if token.used_by == node.id and before is not None:
                return _again(registry, before, node, token), tokens
            claimed = tokens.claimed(token.id, node.id, now_s=int(now.timestamp()), at=_text(now))
            return registry.with_node(node), claimed

        before = await self._registrar.registry()
        registry, _ = await self._registrar.change_both(step)
        self.counters["joined" if registry is not before else "join_repeated"] += 1
        self._audit(
            "joined", actor=node.id, name=node.name, address=node.address, token=statement.token
        )
        return self._answer(registry, bundle)

    def _certify(self, node: EnrolledNode, statement: JoinStatement) -> CertificateBundle:
        applicant = Applicant(
            node_id=node.id,
            addresses=[node.address],
            voter=False,  # A joining node is an edge; the steward makes voters of edges.
            node_csr=statement.node_csr,
        )
        leaf_s = self._config().security.leaf_s
        return certify(applicant, issuers=self._issuers.open(), lifetime_s=leaf_s)

    def _answer(self, registry: Registry, bundle: CertificateBundle) -> bytes:
        config = self._config()
        cluster = config.cluster.model_dump(mode="json", exclude={"nodes"})
        return pack(
            JoinAnswer(
                bundle=bundle,
                registry=encode(registry),
                cluster=msgspec.json.encode(cluster),
                leaf_s=config.security.leaf_s,
            )
        )


def _proven(tokens: Tokens, statement: JoinStatement, request: JoinRequest) -> KnownToken:
    """Return the token that the request names, if the sender holds it."""
    token = tokens.find(statement.token)
    if token is None:
        raise TokenRefused("the cluster does not know this join token; make a new one")
    expected = proof_of(token.verifier, request.statement)
    if not hmac.compare_digest(expected, request.proof):
        raise SignatureInvalid("the request is not from the holder of its join token")
    return token


def _again(
    registry: Registry, before: EnrolledNode, node: EnrolledNode, token: KnownToken
) -> Registry:
    """Return the registry for a node that asks again with the token it has used."""
    if before.member:
        return registry
    if before.state is NodeState.LEFT and before.ended_at < token.used_at:
        # It used the token after it had left, and the second write of that time failed.
        return registry.with_node(node)
    if before.state is NodeState.REVOKED:
        raise TrustError(f"the identity {node.id} was revoked; make new keys to join again")
    raise TokenRefused(f"the join token {token.id} is used; make a new one")


def _normal(address: str) -> str:
    try:
        refuse_unreachable(address)
    except ConfigError as exc:
        raise RequestInvalid(str(exc)) from exc
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address.lower()


def _places(registry: Registry) -> tuple[str, ...]:
    places = []
    for node in registry.voters:
        host = f"[{node.address}]" if ":" in node.address else node.address
        places.append(f"{host}:{node.join}")
    return tuple(places[:8])


def _info(token: KnownToken, now: datetime) -> TokenInfo:
    expires = datetime.fromtimestamp(token.expires_s, tz=now.tzinfo)
    return TokenInfo(
        id=token.id,
        state=token.state(int(now.timestamp())),
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=_text(expires),
        used_by=token.used_by,
        used_at=token.used_at,
    )


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
