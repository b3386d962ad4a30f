"""No byte of an audit can be changed without being noticed, or without changing nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_verify import verify_files
from bzzz_core.trust.audit_chain import Act, Tip, follows, parse, seal, tip_of, torn
from bzzz_core.trust.audit_report import Report
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.audits import audit_at

_KEY: Final = IdentityKey.generate()
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=8),
)


def chain(logs: Path, bytes_max: int) -> Audit:
    """Return a chain of several segments, with something torn in it."""
    (logs / "audit.jsonl").write_text('{"what":"old"}\n')
    audit = audit_at(logs, key=_KEY, segment_bytes=1_500, bytes_max=bytes_max)
    for number in range(6):
        audit.write([audit.act("act", "a", {"n": number}), audit.act("act", "ü", {})])
    audit.close()
    with audit.files.segments()[-1].open("ab") as file:
        file.write(b'{"seq":99,"at":"th')
    audit.write([audit.act("again", "a", {})])
    audit.close()
    return audit


def entries(audit: Audit) -> list[bytes]:
    """Return what a reader takes for entries."""
    found = []
    for _, raw, _ in audit.files.lines():
        if raw.endswith(b'"}') and raw.startswith(b'{"seq"'):
            found.append(raw)
    return found


def verified(audit: Audit) -> Report:
    return verify_files(audit.files, audit.owner)


@pytest.mark.parametrize(
    ("bytes_max", "files"), [(100_000, {"before.jsonl"}), (3_200, {"anchors.jsonl"})]
)
def test_any_byte_of_any_file_changed_is_noticed_or_changes_no_entry(
    tmp_path: Path, bytes_max: int, files: set[str]
) -> None:
    audit = chain(tmp_path, bytes_max)
    assert verified(audit).fault is None
    assert files <= {path.name for path in (tmp_path / "audit").iterdir()}
    before = entries(audit)
    for path in sorted((tmp_path / "audit").iterdir()):
        data = path.read_bytes()
        for place in range(len(data)):
            new = data[place] ^ (1, 0x20, 0x0A, 0xFF)[place % 4]
            path.write_bytes(data[:place] + bytes([new]) + data[place + 1 :])
            if verified(audit).fault is None:  # An older anchor, on which nothing rests any more.
                assert entries(audit) == before, (path.name, place, new)
                assert path.name == "anchors.jsonl", (path.name, place, new)
        path.write_bytes(data)
    assert verified(audit).fault is None


@given(
    st.lists(
        st.tuples(
            st.text(max_size=30),
            st.text(max_size=30),
            st.dictionaries(st.text(max_size=8), VALUES, max_size=4),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=150)
def test_whatever_is_audited_can_be_verified(
    some: list[tuple[str, str, dict[str, object]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        audit = audit_at(Path(folder), key=_KEY)
        acts = [audit.act(what, actor, fields) for what, actor, fields in some]
        assert audit.write(acts)
        audit.close()
        report = verify_files(audit.files, audit.owner, thorough=True)
        assert (report.fault, report.entries) == (None, len(acts) + 1)
        written = [parse(raw) for _, raw, _ in audit.files.lines()][1:]
        assert [line.fields for line in written] == [act.fields for act in acts]


@given(st.integers(min_value=0, max_value=2_000))
@settings(max_examples=200)
def test_each_beginning_of_a_line_is_torn_and_no_other_line_is(cut: int) -> None:
    act = Act(at="then", actor='a"\\{}', what="}{", fields={"a": "\\", "b": '"', "é": 1e300})
    (raw,), ((tip, _),) = seal([act], Tip(), author=audit_at(Path("x"), key=_KEY).author, node="n")
    line = parse(raw)
    assert follows(Tip(), raw, line)
    assert tip == tip_of(line)
    assert torn(raw[:cut]) == (cut < len(raw))
    assert not torn(raw + b"x")


@pytest.mark.parametrize("raw", [b"x", b"[", b'{"a', b"{}", b'{"seq":1}x', b"\n{"])
def test_other_lines_are_not_torn(raw: bytes) -> None:
    assert not torn(raw)
