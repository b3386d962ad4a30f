"""What an audit costs: an act that is noted, an act on the disk, and to verify a hundred thousand.

Budgets: whoever notes an act waits `NOTED_US_MAX` at most; to verify takes no more than
`VERIFY_RATIO_MAX` times what decoding the same lines as plain JSON takes. CPU time of this process.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from bzzz_core.clock import SystemClock
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.telemetry.audit_verify import verify_files
from tests.fakes.audits import audit_at

ENTRIES = 100_000
NOTED_US_MAX = 200.0
VERIFY_RATIO_MAX = 12.0
FIELDS = {"key": "resources.log_level", "old": "info", "new": "debug"}


def test_a_hundred_thousand_entries_are_verified_in_seconds(tmp_path: Path) -> None:
    audit = audit_at(tmp_path)
    for _ in range(ENTRIES // 1_000):
        audit.write([audit.act("config changed", "root by API", FIELDS) for _ in range(1_000)])
    audit.close()
    lines = [raw for _, raw, _ in audit.files.lines()]
    began = time.process_time()
    for raw in lines:
        json.loads(raw)
    plain_s = time.process_time() - began
    began = time.process_time()
    report = verify_files(audit.files, audit.owner)
    verify_s = time.process_time() - began
    assert (report.fault, report.entries) == (None, ENTRIES + 1)
    began = time.process_time()
    thorough = verify_files(audit.files, audit.owner, thorough=True)
    thorough_s = time.process_time() - began
    print(
        f"\n{ENTRIES} entries, {sum(map(len, lines)) / 1e6:.0f} MB: verified in {verify_s:.2f} s,"
        f" with {thorough.signatures} signatures in {thorough_s:.2f} s;"
        f" plain JSON {plain_s:.2f} s"
    )
    assert verify_s < VERIFY_RATIO_MAX * plain_s


def test_noting_an_act_costs_the_event_loop_next_to_nothing(tmp_path: Path) -> None:
    audit = audit_at(tmp_path)
    desk = AuditDesk(audit, clock=SystemClock())
    began = time.thread_time()
    for number in range(1_000):
        desk.note("config changed", actor="root by API", number=number, **FIELDS)
    noted_us = (time.thread_time() - began) / 1_000 * 1e6
    desk.close()
    print(f"\nnoted: {noted_us:.1f} us of the caller (budget {NOTED_US_MAX:.0f} us)")
    assert noted_us < NOTED_US_MAX
