"""Each failure is answered with a status that says whose it is; 500 is for what is broken here."""

from __future__ import annotations

from bzzz_core.api.operations import status_of
from bzzz_core.errors import BzzzError, DeployError, IntegrityError, RateLimited, RevisionConflict

OURS = {"error", "integrity", "audit_broken", "already_running", "health_critical"}
"""What stays a failure of the node itself: what nobody named, stored bytes that are damaged, and
what ends an agent rather than one request."""


def kinds() -> list[type[BzzzError]]:
    found: list[type[BzzzError]] = [BzzzError]
    for kind in found:
        found += kind.__subclasses__()
    return found


def test_no_failure_on_purpose_is_answered_as_a_broken_node() -> None:
    """Deployments run on the operator's machine and are no business of the API."""
    broken = {
        kind.code
        for kind in kinds()
        if not issubclass(kind, DeployError)
        and kind.__module__ == "bzzz_core.errors"
        and status_of(kind.from_wire("x")) == 500
    }
    assert broken == OURS


def test_some_failures_have_statuses_that_callers_go_by() -> None:
    assert status_of(RevisionConflict("x")) == 409
    assert status_of(RateLimited("x")) == 429
    assert status_of(IntegrityError("x")) == 500
