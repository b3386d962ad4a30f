"""Every error BZZZ raises on purpose.

Each class says how a program should react: `code` (stable, for machines), `exit_code` (of the
command line) and `retryable`. A message says what failed, which thing it was, and what to do about
it; it never quotes a secret. Foreign errors become ours at the adapter that saw them, with
`raise ... from exc`.
Expected outcomes are return values, not errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class BzzzError(Exception):
    """Base of every expected failure; anything else that escapes is a bug."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class ConfigError(BzzzError):
    """The configuration or the answers file says something that cannot be."""

    code = "config"
    exit_code = 2


class SecretError(ConfigError):
    """A secret reference could not be resolved, or its file is readable by others."""

    code = "secret"


class TransportError(BzzzError):
    """A peer or broker could not be reached; trying again may succeed."""

    code = "transport"
    retryable = True


class RequestTimeout(TransportError):
    """No answer within the deadline; the request may or may not have been carried out."""

    code = "timeout"


class PermissionDenied(BzzzError):
    """The broker or the API refused this identity the subject or route."""

    code = "permission_denied"


class ConsistencyError(BzzzError):
    """A store refused to do what would break its promise."""

    code = "consistency"


class RevisionConflict(ConsistencyError):
    """The record has moved on since it was read: the guard no longer matches."""

    code = "revision_conflict"


class StreamBusy(ConsistencyError):
    """Another guarded write is in flight (JetStream 10164); try again in 5-20 ms."""

    code = "stream_busy"
    retryable = True


class QuorumUnavailable(ConsistencyError):
    """Fewer than a majority of the voters answer; nothing was acknowledged."""

    code = "quorum_unavailable"
    retryable = True


class Deposed(ConsistencyError):
    """This node's fencing token was superseded: another leader serves now."""

    code = "deposed"


class IntegrityError(BzzzError):
    """Stored bytes are not what was written; trying again cannot help."""

    code = "integrity"


class TrustError(BzzzError):
    """A key, certificate, signature or ballot does not hold."""

    code = "trust"


class SignatureInvalid(TrustError):
    """The signature does not belong to the bytes or to the claimed signer."""

    code = "signature_invalid"


class BrokerError(BzzzError):
    """The node's nats-server is missing, too old, misconfigured or did not become ready."""

    code = "broker"


class DeployError(BzzzError):
    """A deployment could not go on for one host or for all."""

    code = "deploy"
    exit_code = 5


class HostUnreachable(DeployError):
    """No SSH session could be opened: name, route, port, timeout or a closed connection."""

    code = "host_unreachable"
    exit_code = 3
    retryable = True


class HostKeyUnknown(DeployError):
    """First contact: the host's key is in no known_hosts file and was not accepted explicitly."""

    code = "host_key_unknown"
    exit_code = 3


class HostKeyChanged(DeployError):
    """The host answers with another key than the recorded one; nothing secret was sent."""

    code = "host_key_changed"
    exit_code = 3


class AuthenticationFailed(DeployError):
    """The host refused the login, or sudo refused the password; never tried twice."""

    code = "authentication_failed"
    exit_code = 3


class PreconditionFailed(DeployError):
    """A host is not fit for what was asked; nothing was changed on any host."""

    code = "precondition_failed"
    exit_code = 3


class CommandFailed(DeployError):
    """A remote command ended with a status other than 0, or without one."""

    code = "command_failed"


class ProbeUnreadable(CommandFailed):
    """The probe of a host printed nothing that can be read."""

    code = "probe_unreadable"


class ReleaseError(DeployError):
    """The release could not be built on the operator's machine; no host was touched."""

    code = "release"


class PlanChanged(DeployError):
    """The plan or the hosts' facts are not those that were confirmed."""

    code = "plan_changed"
    exit_code = 3


@contextmanager
def plainly() -> Iterator[None]:
    """Raise the first expected failure inside a group of exceptions without the group.

    Task groups wrap what their tasks raise. At a place where a person is told, the first failure
    of ours is the one sentence to tell; a group that holds a bug stays as it is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        ours, bugs = group.split(BzzzError)
        if ours is None or bugs is not None:
            raise
        first: BaseException = ours
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
