"""Documents about audits as text for `bzzz-agent audit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

Document = dict[str, Any]
_WORDS: Final = {
    "edit": "EDITED",
    "delete": "ENTRIES MISSING",
    "reorder": "REORDERED",
    "truncate": "CUT OFF",
    "fork": "FORKED",
}


def render_verified(found: Document) -> str:
    """Return what a verification found, the verdict first."""
    report = found["report"]
    lines = [f"{found['node']}: {_verdict(found)}"]
    if report is not None:
        fault = report["fault"]
        if fault is not None:
            place = f", {fault['place']}" if fault["place"] else ""
            lines.append(f"  {_WORDS[fault['kind']]} at entry {fault['seq']}{place}")
            lines.append(f"  {fault['words']}")
        lines.append(f"  {_read(report)}")
        lines += [f"  note: {note}" for note in report["notes"]]
        lines += [
            f"  {one['peer']} confirms entry {one['seq']} of {one['at']}"
            for one in report["confirmed"]
        ]
    if found["why"]:
        lines.append(f"  {found['why']}")
    lines += [f"  {line}" for peer in found["peers"] for line in _of_peer(peer, told=False)]
    if not found["peers"]:
        lines.append("  no voter confirms it: the end may have been cut off without a trace")
    return "\n".join(lines)


def render_checkpoints(found: Document) -> str:
    """Return what the voters hold of one node."""
    lines = [f"{found['node']} ({found['node_id']})"]
    lines += [f"  {line}" for peer in found["peers"] for line in _of_peer(peer, told=True)]
    if not found["peers"]:
        lines.append("  there is no other voter to hold anything")
    return "\n".join(lines)


def render_entries(entries: Sequence[Document], *, more: int) -> str:
    """Return entries, one a line."""
    lines = [f"(there are older ones, before entry {more})"] if more else []
    lines += [_entry(one) for one in entries]
    return "\n".join(lines) if lines else "no entry"


def render_proven(found: Document) -> str:
    """Return what a proof proves, and what it does not."""
    known = "" if found["known"] else "; whose key that is, --public-key or --ca would show"
    whose = f"{found['node']} ({found['node_id']}), cluster {found['cluster']}"
    by = f"at entry {found['signed_at_entry']} by key {found['public_key']}"
    return (
        f"proven: {_entry(found['entry'])}\n"
        f"  stands as entry {found['entry']['seq']} in the audit of {whose}\n"
        f"  signed {by}{known}"
    )


def render_denials(found: Document) -> str:
    """Return who was refused what."""
    lines = [
        f"{one['count']:>6}  {one['actor']}: "
        + ", ".join(f"{count} x {kind}" for kind, count in one["kinds"].items())
        + (f"  PAST {found['threshold']}" if one["past"] else "")
        for one in found["denied"]
    ]
    window = f"in the last {found['window_s'] // 60} min"
    return "\n".join((window, *lines)) if lines else f"nobody was refused anything {window}"


def _read(report: Document) -> str:
    """Return how much of the chain holds."""
    count = report["entries"]
    if not count:
        return "no entry stands before that" if report["fault"] else "there is no entry yet"
    entries = "1 entry" if count == 1 else f"{count} entries"
    until = f"{report['first']} to {report['last']}"
    return f"{entries} read, {until}, the last of {report['last_at'] or 'no time'}"


def _verdict(found: Document) -> str:
    if found["report"] is None:
        return "NOT VERIFIED"
    if found["ok"]:
        return "as it was written"
    return "NOT AS IT WAS WRITTEN"


def _of_peer(peer: Document, *, told: bool) -> list[str]:
    name = peer["peer"]
    if not peer["answered"]:
        return [f"{name} did not answer"]
    lines = [
        f"{name} HOLDS A CONTRADICTION of {one['at']}: {one['kind']}; it held entry {one['held']}"
        f" and was told entry {one['told']}"
        for one in peer["against"]
    ]
    if peer["seq"] is None:
        return [*lines, f"{name} holds nothing yet"]
    if told:
        lines.append(
            f"{name} holds entry {peer['seq']}, {peer['hash'][:16]}, heard {peer['heard_at']}"
            f" ({peer['checkpoints']} checkpoints)"
        )
    return lines


def _entry(one: Document) -> str:
    fields = " ".join(f"{name}={value}" for name, value in one["fields"].items())
    trace = f" trace={one['trace']}" if one["trace"] else ""
    return f"{one['seq']:>7}  {one['at']}  {one['actor']}: {one['what']} {fields}{trace}".rstrip()
