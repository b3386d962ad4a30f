"""Verifies the files of one audit as they lie on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bzzz_core.errors import IntegrityError
from bzzz_core.telemetry.audit import measured
from bzzz_core.telemetry.audit_files import AuditFiles
from bzzz_core.trust.audit_chain import BEGUN, Line
from bzzz_core.trust.audit_report import Checkpoint, Fault, Owner, Report
from bzzz_core.trust.audit_verify import verify_chain


def verify_files(
    files: AuditFiles,
    owner: Owner,
    *,
    checkpoints: Sequence[Checkpoint] = (),
    thorough: bool = False,
) -> Report:
    """Verify a directory, with the file of earlier releases that its first entry stands for."""
    report = verify_chain(
        files.lines,
        owner,
        anchors=files.anchors(),
        checkpoints=checkpoints,
        thorough=thorough,
    )
    return with_before(report, files)


def with_before(report: Report, files: AuditFiles) -> Report:
    """Return a report with what became of the audit of earlier releases."""
    first = files.first()
    if report.fault is not None or first is None or first.what != BEGUN:
        return report
    fault, notes = _check_before(files, first)
    return msgspec.structs.replace(report, fault=fault, notes=(*report.notes, *notes))


def _check_before(files: AuditFiles, first: Line) -> tuple[Fault | None, Iterable[str]]:
    sha256 = first.fields.get("before_sha256")
    if sha256 is None:
        return None, ()
    try:
        found = measured(files.before)
    except OSError as exc:
        words = f"the audit of earlier releases cannot be read: {exc.strerror}"
        return Fault(kind="delete", seq=0, place=files.before.name, words=words), ()
    if found["before_sha256"] != sha256:
        words = "the audit of earlier releases is not what was taken over"
        return Fault(kind="edit", seq=0, place=files.before.name, words=words), ()
    return None, (f"{found['before_lines']} unsigned lines of earlier releases are as taken over",)


def owner_in(files: AuditFiles) -> tuple[str, str, bytes]:
    """Return cluster, node id and key as the files themselves say; nothing is proven by that.

    Raises:
        IntegrityError: They do not say it: the first entry is gone, or was changed.
    """
    first = files.first()
    said = {} if first is None or first.what != BEGUN else first.fields
    try:
        key = bytes.fromhex(str(said["public_key"]))
        return str(said["cluster"]), str(said["node_id"]), key
    except (KeyError, ValueError) as exc:
        raise IntegrityError(
            f"{files.directory} does not say whose audit it is: its first entry is gone, or was"
            " changed; say it with --node NAME"
        ) from exc
