"""Every error BZZZ raises on purpose.

Each class says how a program should react: `code` (stable, for machines), `exit_code` (of the
command line; said nowhere else) and `retryable`. What may be tried again because nothing was done
ends a command with `UNDONE`, whichever command it is. A message says what failed, which thing it
was, and what to do about it; it never quotes a secret. Foreign errors become ours at the adapter
that saw them, with `raise ... from exc`.
Expected outcomes are return values, not errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

UNDONE: Final = 3
"""Exit code: who should have done it could not be reached, or was not fit; nothing was done."""


class BzzzError(Exception):
    """Base of every expected failure; anything else that escapes is a bug."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    @classmethod
    def from_wire(cls, message: str) -> BzzzError:
        """Return an instance that says `message`; a class with other arguments overrides this."""
        return cls(message)


class ConfigError(BzzzError):
    """The configuration or the answers file says something that cannot be."""

    code = "config"
    exit_code = 2


class SecretError(ConfigError):
    """A secret reference could not be resolved, or its file is readable by others."""

    code = "secret"


class AddressError(BzzzError, ValueError):
    """A text is no UCXL address, or no text can stand for what was given."""

    code = "address"
    exit_code = 2

    def __init__(self, message: str, *, position: int | None = None) -> None:
        """Say what is wrong.

        Args:
            message: What and why.
            position: The first character at fault, counted from 0; None if no text was read.
        """
        place = "" if position is None else f" (at character {position})"
        super().__init__(f"{message}{place}")
        self.position = position


class KeyNotFound(BzzzError, KeyError):
    """Nothing is stored under the key."""

    code = "key_not_found"
    __str__ = Exception.__str__  # A KeyError would put its message in quotes.


class TransportError(BzzzError):
    """A peer or broker could not be reached; trying again may succeed."""

    code = "transport"
    exit_code = UNDONE
    retryable = True


class RequestTimeout(TransportError):
    """No answer within the deadline; the request may or may not have been carried out."""

    code = "timeout"
    exit_code = 1  # Whoever reads 3 may take it that nothing was done.


class BrokerRefused(TransportError):
    """A broker was reached and does not know this node: its list lags, or the node was revoked."""

    code = "broker_refused"


class NoResponders(TransportError):
    """Nobody listens on the subject asked: the one who would answer is not there now."""

    code = "no_responders"


class NotOffered(TransportError):
    """The agent that was asked is of a version that does not offer this."""

    code = "not_offered"


class RateLimited(TransportError):
    """Too many attempts from one place, too many at a time, or too soon after the last one."""

    code = "rate_limited"


class ProxyFailed(TransportError):
    """The proxy on the way to a service refused, or could not reach it."""

    code = "proxy_failed"


class UnexpectedAnswer(TransportError):
    """Something answers at a service's place, and not as that service does."""

    code = "unexpected_answer"


class ModelServerError(BzzzError):
    """A model server could not do what was asked: no such model, no space, a damaged download."""

    code = "model_server"


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
    exit_code = UNDONE
    retryable = True


class QuorumUnavailable(ConsistencyError):
    """Fewer than a majority of the voters answer; nothing was acknowledged."""

    code = "quorum_unavailable"
    exit_code = UNDONE
    retryable = True


class Deposed(ConsistencyError):
    """This node's fencing token was superseded: another leader serves now."""

    code = "deposed"


class NotLeader(ConsistencyError):
    """No leader serves right now, or this node is asked for what only the leader does."""

    code = "not_leader"
    exit_code = UNDONE
    retryable = True


class Halted(ConsistencyError):
    """An operator has stopped all work; nothing was done."""

    code = "halted"
    exit_code = UNDONE


class RequestInvalid(BzzzError):
    """What was asked is malformed or impossible; asking again in the same way cannot help."""

    code = "request_invalid"
    exit_code = 2


class EntryRefused(RequestInvalid, ValueError):
    """A key, value or provider name of the hash table is empty, too large or no text."""

    code = "entry_refused"


class CapacityExceeded(BzzzError):
    """There is no room for more; trying again may succeed once there is."""

    code = "capacity_exceeded"
    exit_code = UNDONE
    retryable = True


class TransferFailed(ConsistencyError):
    """Leadership could not be handed over, or nobody could be elected as the operator wished."""

    code = "transfer_failed"


class IntegrityError(BzzzError):
    """Stored bytes are not what was written; trying again cannot help."""

    code = "integrity"


class AuditBroken(IntegrityError):
    """An audit is not what was written, or a peer holds another one."""

    code = "audit_broken"
    exit_code = 8


class TrustError(BzzzError):
    """A key, certificate, signature or ballot does not hold."""

    code = "trust"


class SignatureInvalid(TrustError):
    """The signature does not belong to the bytes or to the claimed signer."""

    code = "signature_invalid"


class NotEnrolled(TrustError):
    """This node is no member of the cluster: it never joined, has left, or was revoked."""

    code = "not_enrolled"
    exit_code = 7


class NotTheCluster(TrustError):
    """Who answers is not the cluster that a join token is for; nothing was sent to them."""

    code = "not_the_cluster"


class TokenRefused(TrustError):
    """A join token is malformed, unknown, used, expired, withdrawn, or another cluster's."""

    code = "token_refused"


class BrokerError(BzzzError):
    """The node's nats-server is missing, too old, misconfigured or did not become ready."""

    code = "broker"


class BrokerHindered(BrokerError):
    """Something is in the broker's way that may pass: a full disk, a machine that is too busy."""

    code = "broker_hindered"
    exit_code = UNDONE
    retryable = True


class AlreadyRunning(BzzzError):
    """Another agent runs on this data directory; this one did nothing."""

    code = "already_running"
    exit_code = UNDONE


class HealthCritical(BzzzError):
    """A check of the agent's own health was critical for too long; it ended in order for it."""

    code = "health_critical"
    exit_code = 9


class DeployError(BzzzError):
    """A deployment could not go on for one host or for all."""

    code = "deploy"
    exit_code = 5


class HostUnreachable(DeployError):
    """No SSH session could be opened: name, route, port, timeout or a closed connection."""

    code = "host_unreachable"
    exit_code = UNDONE
    retryable = True


class LinkLost(HostUnreachable):
    """An open connection broke while a command ran; what it did there is not known."""

    code = "link_lost"
    exit_code = 5  # Whoever reads 3 may take it that nothing was done.
    retryable = False


class HostLocked(DeployError):
    """Another run of setup holds the lease of a host; nothing was changed on any host."""

    code = "host_locked"
    exit_code = UNDONE


class LeaseLost(DeployError):
    """A run lost its lease of a host to another one while it worked."""

    code = "lease_lost"


class HostKeyUnknown(DeployError):
    """First contact: the host's key is in no known_hosts file and was not accepted explicitly."""

    code = "host_key_unknown"
    exit_code = UNDONE


class HostKeyChanged(DeployError):
    """The host answers with another key than the recorded one; nothing secret was sent."""

    code = "host_key_changed"
    exit_code = UNDONE


class AuthenticationFailed(DeployError):
    """The host refused the login, or sudo refused the password; never tried twice."""

    code = "authentication_failed"
    exit_code = UNDONE


class PreconditionFailed(DeployError):
    """A host is not fit for what was asked; nothing was changed on any host."""

    code = "precondition_failed"
    exit_code = UNDONE


class CommandFailed(DeployError):
    """A remote command ended with a status other than 0, or without one."""

    code = "command_failed"


class ProbeUnreadable(CommandFailed):
    """The probe of a host printed nothing that can be read."""

    code = "probe_unreadable"


class ReleaseError(DeployError):
    """The release could not be built on the operator's machine; no host was touched."""

    code = "release"


class BundleRefused(DeployError):
    """A bundle is damaged, expired, signed by a stranger, older, or not for these hosts."""

    code = "bundle_refused"
    exit_code = UNDONE


class ChangeTakenBack(DeployError):
    """A change that could lock us out was not proved good; the host is, or will be, as before."""

    code = "change_taken_back"


class NotWritten(DeployError):
    """The operator's machine cannot write down what a run does, so nothing further is begun."""

    code = "not_written"
    exit_code = UNDONE


class Unforeseen(DeployError):
    """Setup stumbled over something that nobody foresaw: a mistake of its own, to be reported."""

    code = "unforeseen"
    exit_code = 1


class PlanChanged(DeployError):
    """The plan or the hosts' facts are not those that were confirmed."""

    code = "plan_changed"
    exit_code = UNDONE


def error_of(code: str, message: str) -> BzzzError:
    """Return the failure that another process named by `code`; an unknown code stays general.

    The message is repeated as text only; nothing else of the other side's failure is taken over.
    """
    kinds: list[type[BzzzError]] = [BzzzError]
    for kind in kinds:  # Grows while it is walked: every class below the base.
        kinds += kind.__subclasses__()
        if kind.code == code:
            return kind.from_wire(message)
    return BzzzError(f"{code}: {message}")


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
