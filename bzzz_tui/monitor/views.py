"""The views of the monitor: their names, keys and where each one lives.

To add a view: give it a line here, a screen that extends `screens.monitor.base.MonitorView` (or
`table.TableView`), and the lines that `--plain` prints. Everything else follows from the line: its
digit, its command with aliases and completion, its entry in the palette, in `?` and in the docs.

`place` and `text` are "module:name" and are imported when they are first used, so that a view that
nobody opens costs nothing at the start. A view without a `place` is still to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from bzzz_core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSpec:
    """One view."""

    name: str
    """Its command, its name in crumbs and files."""
    aliases: tuple[str, ...]
    key: str
    """Opens it from any other view; empty: opened from another view only."""
    title: str
    help: str
    place: str = ""
    """The screen's class, built with (shell, argument); empty: not yet."""
    text: str = ""
    """A function (store, now_ms, query, glyphs) -> lines, for `--plain`; empty: none."""
    ask: str = ""
    """A function (call, store) -> `Asked` that comes before `text`: of a view that is made of more
    than the feed tells."""
    stream: str = ""
    """A function (target, clock, how, write) -> exit code that prints lines as they come, for
    `--plain`: of a view that is not made of the store."""
    drilled: bool = False
    """Is about one thing (a node), named by an argument."""


VIEWS: Final = (
    ViewSpec(
        name="overview",
        aliases=("ov",),
        key="1",
        title="Overview",
        help="The cluster at a glance",
        place="screens.monitor.overview:Overview",
        text="bzzz_tui.plain:overview",
    ),
    ViewSpec(
        name="nodes",
        aliases=("no",),
        key="2",
        title="Nodes",
        help="All nodes with their load and their roles",
        place="screens.monitor.nodes:NodesView",
        text="bzzz_tui.monitor.nodes:text",
    ),
    ViewSpec(
        name="peers",
        aliases=("pe",),
        key="3",
        title="Peers",
        help="Who reaches whom, how quickly, and who runs which version",
        place="screens.monitor.peers:PeersView",
        text="bzzz_tui.monitor.peers:text",
        ask="bzzz_tui.monitor.peers:ask",
    ),
    ViewSpec(name="tasks", aliases=("ta",), key="4", title="Tasks", help="Work and who does it"),
    ViewSpec(
        name="models",
        aliases=("mo",),
        key="5",
        title="Models",
        help="Models and graphics processors",
    ),
    ViewSpec(
        name="storage", aliases=("st",), key="6", title="Storage", help="Copies and their repair"
    ),
    ViewSpec(
        name="election",
        aliases=("el",),
        key="7",
        title="Election",
        help="Terms, votes and their reasons",
        place="screens.monitor.election:ElectionView",
        text="bzzz_tui.monitor.election:text",
        ask="bzzz_tui.monitor.election:ask",
    ),
    ViewSpec(name="costs", aliases=("co",), key="8", title="Costs", help="What it costs"),
    ViewSpec(
        name="logs",
        aliases=("lo",),
        key="9",
        title="Logs",
        help="The logs of all nodes by time",
        place="screens.monitor.logs:LogsView",
        stream="bzzz_tui.logs.printing:run",
    ),
    ViewSpec(
        name="alerts",
        aliases=("al",),
        key="0",
        title="Alerts",
        help="What is wrong, and what to do",
        place="screens.monitor.alerts:AlertsView",
        text="bzzz_tui.monitor.alerts:text",
    ),
    ViewSpec(
        name="audit",
        aliases=("au",),
        key="A",
        title="Audit",
        help="Who did what, with its proof",
        place="screens.monitor.audit:AuditView",
        text="bzzz_tui.monitor.audit:text",
        ask="bzzz_tui.monitor.audit:ask",
    ),
    ViewSpec(
        name="checks",
        aliases=("health", "he"),
        key="J",
        title="Checks",
        help="How well the answering node is",
        place="screens.monitor.checks:ChecksView",
        text="bzzz_tui.monitor.checks:text",
    ),
    ViewSpec(
        name="node",
        aliases=("nd",),
        key="",
        title="Node",
        help="Everything about one node",
        drilled=True,
        place="screens.monitor.node:NodeView",
        text="bzzz_tui.monitor.node:text",
    ),
)
HOME: Final = "overview"
"""What is opened when nothing else was asked for."""

_BY_NAME: Final = {name: view for view in VIEWS for name in (view.name, *view.aliases)}


def view_named(name: str) -> ViewSpec | None:
    """Return a view by its name or an alias."""
    return _BY_NAME.get(name)


def known_view(name: str) -> ViewSpec:
    """Return a view that there is, by its name or an alias.

    Raises:
        ConfigError: No view has this name, or it is still to come.
    """
    spec = view_named(name)
    if spec is None or not spec.place:
        known = ", ".join(view.name for view in VIEWS if view.place and not view.drilled)
        why = "is not there yet" if spec else "is unknown"
        raise ConfigError(f"the view {name!r} {why}; there are {known}")
    return spec


def load(place: str) -> Any:
    """Import what a place names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
