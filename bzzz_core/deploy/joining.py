"""Answers that join hosts to a cluster which somebody else operates (`cluster.mode: join`).

Its operator gave join tokens, one for each host, one a line. A token says which cluster it is for
and whom to believe, so this operator knows the cluster before any host is asked: its id and the
certificate of its node authority, but no key of it. Setup signs nothing here then; certificates
come from the cluster, with the joining and ever after.
"""

from __future__ import annotations

from dataclasses import dataclass

from bzzz_core.config import secrets
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections.cluster import ClusterCommon
from bzzz_core.config.sources import parse_untrusted
from bzzz_core.enrolment.token import JoinToken, parse_token
from bzzz_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Joined:
    """What tokens say of their cluster."""

    cluster_id: str
    root_pem: str


def token_lines(spec: ClusterSpec) -> tuple[Secret, ...]:
    """Return the tokens as they were given, in the order of the hosts; none if there are none.

    Raises:
        SecretError: The reference leads nowhere.
    """
    if spec.cluster.join_tokens is None:
        return ()
    text = secrets.resolve(spec.cluster.join_tokens).reveal()
    return tuple(Secret(line.strip()) for line in text.splitlines() if line.strip())


def token_of(spec: ClusterSpec, host: str) -> JoinToken | None:
    """Return the token that is meant for a host; None if there are too few.

    Raises:
        SecretError: The reference leads nowhere.
        TokenRefused: The line is no token.
    """
    lines = token_lines(spec)
    place = [one.name for one in spec.hosts].index(host)
    return parse_token(lines[place].reveal()) if place < len(lines) else None


def cluster_of(spec: ClusterSpec, ours: str | None = None) -> Joined:
    """Return which cluster the tokens are for: ours, if one is known under this name.

    Raises:
        ConfigError: There are none, or they are for several clusters, or for another one.
        TokenRefused: A line is no token.
    """
    tokens = [parse_token(line.reveal()) for line in token_lines(spec)]
    if not tokens:
        raise ConfigError(
            "cluster.mode is join: cluster.join_tokens has to refer to a join token for each host,"
            " one a line (`bzzz-agent token create` on a voter makes one)"
        )
    if len({(token.cluster, token.root) for token in tokens}) > 1:
        raise ConfigError(
            "the join tokens are for different clusters, or for different authorities"
        )
    if ours not in {None, tokens[0].cluster}:
        raise ConfigError(
            f"the join tokens are for cluster {tokens[0].cluster}, but {spec.cluster.name} is known"
            f" here as {ours}; choose another cluster.name for the cluster to join"
        )
    return Joined(str(tokens[0].cluster), tokens[0].root_pem)


def adopted(spec: ClusterSpec, config_text: str) -> ClusterSpec:
    """Return the answers with the cluster's own settings, as a node's file has them.

    The timings of an election, say, are the cluster's; a host that joins does not bring others.
    """
    try:
        there = parse_untrusted(config_text)["cluster"]
        told = {name: there[name] for name in ClusterCommon.model_fields if name in there}
        common = ClusterCommon.model_validate(told)
    except (ConfigError, KeyError, TypeError, ValueError):
        return spec  # No file yet, or none that can be read; other checks speak of it.
    update = {name: getattr(common, name) for name in told}
    return spec.model_copy(update={"cluster": spec.cluster.model_copy(update=update)})
