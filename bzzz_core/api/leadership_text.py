"""Leadership for people, 80 columns wide: names, local time, reasons in words.

Takes the documents as plain JSON values, as the API's client hands them over; what is missing in
them is left out, so that agents of another release can be asked.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

WIDTH: Final = 80
_INDENT: Final = " " * 9
_DATE: Final = len("Nov 21 ")
_SECOND_MS: Final = 1_000
_SHORT_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400


def render_leader(document: Mapping[str, Any], *, now: datetime, zone: tzinfo | None = None) -> str:
    """Return who leads; `zone` is the reader's, None for this machine's."""
    return "\n".join(_leader_lines(document, now, zone))


def render_history(
    document: Mapping[str, Any],
    *,
    now: datetime,
    limit: int,
    votes: bool,
    zone: tzinfo | None = None,
) -> str:
    """Return the last `limit` leaderships, newest last; with `votes` also this node's own votes."""
    lines: list[str] = []
    stories = document.get("leaderships") or []
    if not stories:
        lines.append("Nobody has led yet.")
    for story in stories[-limit:]:
        lines += _story_lines(story, now, zone)
    if votes:
        lines += ["", f"What {document.get('node', 'this node')} answered and asked:"]
        decisions = document.get("decisions") or []
        for decision in decisions[-3 * limit :]:
            lines += _wrap(_decision(decision, zone), "  ")
    if document.get("stale"):
        lines += ["", "There is no leader: this may be out of date."]
    elif not document.get("complete", True):
        lines += ["", "The cluster's record could not be read: this is what the node has seen."]
    return "\n".join(lines)


def _leader_lines(document: Mapping[str, Any], now: datetime, zone: tzinfo | None) -> Iterator[str]:
    leader, term = document.get("leader"), document.get("term", 0)
    if leader is None:
        yield f"Leader    none (last term {term})"
        if document.get("waits_for_operator"):
            yield "          failover is manual: run `bzzz-agent leader elect` on a voter"
    else:
        since = _time(document.get("since_at"))
        serving = "serves" if document.get("serving") else "does not serve yet"
        for_how_long = f", for {_span((now - since).total_seconds())}" if since else ""
        yield f"Leader    {leader}, {serving}{for_how_long}"
        yield f"Term      {term}, fencing token {document.get('token', 0)}"
        if document.get("cause"):
            yield f"Because   {document['cause']}"
    voters = document.get("voters") or []
    yield from _wrap(
        f"Voters    {', '.join(voters)} (set {document.get('voters_number', 1)}; "
        f"{document.get('majority', 0)} make a majority)",
        " " * 10,
    )
    yield f"This node {document.get('node')}, {document.get('role')}"
    yield (
        f"Failover  {document.get('failover')}; without quorum: {document.get('without_quorum')}"
    )
    if document.get("stale"):
        yield "Stale     there is no leader: what this node shows may be out of date"
    for note in document.get("quarantined") or []:
        how = "until released" if note.get("until_released") else "for some minutes"
        at = _clock(_time(note.get("at")), zone)
        text = f"Ignored   {note.get('node')} {how}, since {at}: {note.get('reason')}"
        yield from _wrap(text, " " * 10)


def _story_lines(story: Mapping[str, Any], now: datetime, zone: tzinfo | None) -> Iterator[str]:
    yield from _wrap(
        f"Term {story.get('term', 0):<4}{story.get('leader')}{_duration(story, now, zone)}"
    )
    if story.get("ended_at"):
        yield from _labelled("end", story.get("end") or "unknown")
    if not story.get("cause"):
        return  # Only hearsay.
    before = f" ({story['predecessor']})" if story.get("predecessor") else ""
    took_ms = story.get("took_ms") or 0
    took = f"{took_ms} ms" if took_ms < _SECOND_MS else f"{took_ms / _SECOND_MS:.1f} s"
    yield from _labelled("why", f"{story['cause']}{before}; elected in {took}")
    stood = [f"{one['name']} (score {one['score']:.0f})" for one in story.get("candidates") or []]
    yield from _labelled("stood", ", ".join(stood))
    ballots = story.get("ballots") or []
    given = [each["voter"] for each in ballots if each.get("given")]
    yield from _labelled("votes", ", ".join(given) or "nobody")
    for each in ballots:
        if not each.get("given"):
            yield from _labelled("refused", f"{each['voter']}: {each.get('reason')}")


def _duration(story: Mapping[str, Any], now: datetime, zone: tzinfo | None) -> str:
    began, ended = _time(story.get("began_at")), _time(story.get("ended_at"))
    if began is None:
        return ""
    lasted = _span(((ended or now) - began).total_seconds())
    if ended is None:
        return f", since {_clock(began, zone)} ({lasted})"
    first, last = _clock(began, zone), _clock(ended, zone)
    if first[:_DATE] == last[:_DATE]:
        last = last[_DATE:]
    return f", {first} to {last} ({lasted})"


def _labelled(label: str, text: str) -> list[str]:
    return _wrap(f"{_INDENT}{label:<9}{text}", " " * 18)


def _decision(decision: Mapping[str, Any], zone: tzinfo | None) -> str:
    at = _clock(_time(decision.get("at")), zone)
    what = "voted for" if decision.get("given") else "no vote for"
    reason = f": {decision['reason']}" if decision.get("reason") else ""
    return f"  {at}  term {decision.get('term')}  {what} {decision.get('candidate')}{reason}"


def _wrap(text: str, indent: str = _INDENT) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [text]


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _clock(at: datetime | None, zone: tzinfo | None) -> str:
    if at is None:
        return "an unknown time"
    local = at.replace(tzinfo=at.tzinfo or UTC).astimezone(zone)
    return local.strftime("%b %d %H:%M:%S")


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < _SHORT_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // 60} min {whole % 60} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // 60} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"
