"""Breaking nodes of a demo on purpose: what may be tried, and what came of it.

A key breaks the node under the cursor, and the same key makes it whole; a command names nodes, or
`leader`, `follower`, `edge`. What was done stands among the events, with what to watch for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from bzzz_core.clock import utc_now
from bzzz_core.demo.faults import Act
from bzzz_core.errors import BzzzError, ConfigError
from bzzz_tui.actions import action
from bzzz_tui.app_base import AppBase
from bzzz_tui.monitor.times import time_of_day
from bzzz_tui.parts import Part, fit_line
from bzzz_tui.store import Happening
from bzzz_tui.wording import Tone, clean

if TYPE_CHECKING:
    from screens.monitor.base import MonitorView

_UNDONE: Final = {
    Act.KILL: ("killed", Act.RESTART),
    Act.PAUSE: ("paused", Act.RESUME),
    Act.PARTITION: ("partitioned", Act.HEAL),
}
"""What breaks -> how a node is then, and what undoes it."""
_NOT_READY: Final = "nodes can be broken as soon as all of them name one leader"
_KEYS: Final = (
    ("demo.kill", "killed", "kill", "start again"),
    ("demo.freeze", "paused", "pause", "let go on"),
    ("demo.partition", "partitioned", "cut off", "connect"),
)


def toggle(view: MonitorView, act: Act, names: str) -> None:
    """Break nodes; or make the node under the cursor whole, if that is how it is broken.

    Raises:
        ConfigError: No node was named and none is under the cursor.
    """
    if names:
        do(view, act, names.split())
        return
    name, demo = view.node_here(), view.session.breaking
    if not name:
        raise ConfigError("name a node, or choose one in the overview or the list of nodes")
    condition, undo = _UNDONE[act]
    broken = demo is not None and condition in demo.conditions().get(name, "")
    do(view, undo if broken else act, [name])


def do(view: MonitorView, act: Act, targets: Sequence[str]) -> None:
    """Do something to nodes of the demo, and tell what came of it."""
    cast("AppBase", view.app).start_service(_do(view, act, targets))


async def _do(view: MonitorView, act: Act, targets: Sequence[str]) -> None:
    demo = view.session.breaking
    assert demo is not None, "only a demo has these actions"
    try:
        done = await demo.act(act, targets, view.session.store.status)
    except BzzzError as exc:
        view.shell.say(str(exc), Tone.BAD)
        return
    status = view.session.store.status
    now = status.at if status is not None else utc_now()
    at = time_of_day(now, today=now)
    view.session.remark(Happening(at, Tone.ACCENT, clean(f"you {done.words}")))
    view.session.remark(Happening(at, Tone.MUTED, clean(f"watch: {done.watch}")))
    if view.stands:
        view.say(f"{done.words}. Watch: {done.watch}")
        view.paint_frame()


def tries(view: MonitorView) -> list[list[Part]]:
    """Return the line of what may be tried now; nothing where there is no demo."""
    demo = view.session.breaking
    line: list[Part]
    if demo is None:
        return []
    if not demo.ready:
        line = [(" starting: ", Tone.ACCENT), (_NOT_READY, Tone.MUTED)]
        return [fit_line(line, view.size.width)]
    broken, name = demo.conditions(), view.node_here()
    of_node = broken.get(name, "")
    line = [(" try: ", Tone.ACCENT)]
    for id_, condition, breaks, mends in _KEYS:
        key = view.shell.keymap.shown(action(id_))
        if name and key:
            verb = mends if condition in of_node else breaks
            line += [(key, Tone.ACCENT), (f" {verb}  ", Tone.PLAIN)]
    if name:
        line.append((clean(name), Tone.PLAIN))
        leads = view.session.store.status is not None and view.session.store.status.leader == name
        line.append((" (leads)" if leads else "", Tone.OK))
    else:
        line.append((":kill leader  :partition leader  :freeze leader", Tone.PLAIN))
    if broken:
        heal = view.shell.keymap.shown(action("demo.heal"))
        line += [("   ", Tone.PLAIN), (heal, Tone.ACCENT), (" heal all   ", Tone.PLAIN)]
        words = "; ".join(f"{clean(node)} {what}" for node, what in broken.items())
        line.append((words, Tone.WARN))
    return [fit_line(line, view.size.width)]
