"""What the monitor can be told to do: by key, by `:` command, from the palette.

Each entry names the method that does it; `MonitorView` and `TableView` have them. The views
themselves come from the registry of views. Keys follow research: what a key means in one view it
means in all.
"""

from __future__ import annotations

from typing import Final

from bzzz_tui.action_kinds import Action, Argument, Scope
from bzzz_tui.monitor.views import VIEWS


def _make(scope: Scope, prefix: str, keys: str, does: str, text: str, **more: object) -> Action:
    label = more.pop("label", "")
    commands = more.pop("commands", None) or (does.partition("(")[0].replace("_", "-"),)
    assert isinstance(commands, tuple)
    return Action(
        id=f"{prefix}.{commands[0]}",
        scope=scope,
        keys=keys,
        does=does,
        label=label,  # type: ignore[arg-type]
        help=text,
        commands=commands,
        **more,  # type: ignore[arg-type]
    )


def _view(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.VIEW, "view", keys, does, text, **more)


def _list(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.LIST, "list", keys, does, text, **more)


def _nodes(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.NODES, "nodes", keys, does, text, **more)


def _node(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.NODE, "node", keys, does, text, **more)


def _write(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.WRITE, "change", keys, does, text, mutates=True, **more)


def _demo(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.DEMO, "demo", keys, does, text, argument=Argument.NODES, **more)


def _replay(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.REPLAY, "replay", keys, does, text, **more)


def _logs(keys: str, does: str, text: str, **more: object) -> Action:
    return _make(Scope.LOGS, "logs", keys, does, text, **more)


_A = Argument
_SHOW: Final = tuple(
    _view(
        view.key,
        f"show({view.name!r})",
        f"{view.title}: {view.help[:1].lower()}{view.help[1:]}",
        commands=(view.name, *view.aliases),
        argument=_A.NODE if view.drilled else _A.FILTER,
        ready=bool(view.place),
    )
    for view in VIEWS
)
MONITOR_ACTIONS: Final[tuple[Action, ...]] = (
    *_SHOW,
    _view("question_mark,f1", "show_keys", "Show the keys of this view", label="keys",
          rank=0, commands=("keys", "help")),
    _view("colon", "command", "Command line", label="command", rank=1,
          commands=("command",)),
    _view("ctrl+p", "palette", "Everything that can be done now, to choose from",
          commands=("palette",)),
    _view("escape", "back", "Clear the filter; else back one view; never quits"),
    _view("q", "leave", "Back; at the first view, quit", label="quit", rank=0,
          commands=("leave",)),
    _view("ctrl+c", "quit", "Quit", commands=("quit", "q", "q!"), priority=True),
    _view("minus", "last_view", "The view before this one", commands=("last-view",)),
    _view("r,ctrl+r", "refresh", "Ask the cluster now", label="refresh"),
    _view("z", "pause", "Hold the picture still, or go on", label="pause"),
    _view("T", "theme", "Next theme, or the one named", argument=_A.THEME),
    _view("M", "mouse", "Give the mouse to the program, or back to the terminal"),
    _view("K", "context", "Watch another cluster, or list those known", commands=("ctx", "context"),
          argument=_A.CONTEXT),
    _view("R", "set", "Change a setting for now", commands=("set",), argument=_A.SETTING),
    _list("slash", "filter", "Filter", label="filter", argument=_A.FILTER),
    _list("S", "sort", "Sort by a column; its letter again reverses", label="sort",
          argument=_A.SORT),
    _list("less_than_sign", "sort_next(-1)", "Sort by the column on the left",
          commands=("sort-left",)),
    _list("greater_than_sign", "sort_next(1)", "Sort by the column on the right",
          commands=("sort-right",)),
    _list("W", "wide", "All columns, or those that fit"),
    _list("comma", "columns", "Choose columns: names, +name, -name, or reset",
          commands=("cols", "columns"), argument=_A.COLUMNS),
    _list("right,l", "scroll(1)", "Columns further right", commands=("scroll-right",)),
    _list("left,h", "scroll(-1)", "Columns further left", commands=("scroll-left",)),
    _list("space", "mark", "Mark the row, or take the mark off"),
    _list("asterisk", "mark_all", "Mark all rows that are shown", commands=("mark-all",)),
    _list("U,ctrl+backslash", "unmark", "Take all marks off"),
    _list("d", "describe", "Everything that is known of the row", label="describe"),
    _list("y", "raw", "The row as JSON", commands=("raw", "json")),
    _list("c", "copy_id", "Copy the name of the row, or of all marked ones",
          commands=("copy-name",)),
    _list("C", "copy_row", "Copy the row, or all marked ones, as text", commands=("copy-row",)),
    _list("ctrl+s", "export", "Write the table into a file", argument=_A.EXPORT),
    _nodes("enter", "open", "Open the node", label="open"),
    _make(Scope.ROW, "row", "enter", "describe", "Everything that is known of the row",
          label="open", commands=("read",)),
    _make(Scope.HERE, "nodes", "s", "shell", "Shell on the node, by SSH"),
    _make(Scope.HERE, "nodes", "F", "log_of", "Log of the node", commands=("log",), label="log"),
    _node("n", "next_node(1)", "The next node", label="next"),
    _node("N", "next_node(-1)", "The node before this one", commands=("previous-node",)),
    _make(Scope.AUDIT, "audit", "v", "verify", "Verify the chain, and what voters hold of it",
          label="verify"),
    _write("L", "transfer", "Hand the leadership over, to the node under the cursor if it votes",
           commands=("transfer",)),
    _write("V", "log_level", "Set the log level of the node", commands=("level", "log-level"),
           argument=_A.LEVEL),
    _write("u", "drain", "Let the node leave the cluster in order", commands=("drain", "cordon")),
    _write("i", "undrain", "Call a node's leaving off", commands=("undrain", "uncordon")),
    _write("D", "remove", "Withdraw the trust in a node, for ever", commands=("remove",)),
    _write("X", "halt", "Emergency stop: stop all work everywhere", commands=("halt", "stop")),
    _write("H", "resume", "Let work go on after an emergency stop", commands=("resume",)),
    _logs("slash", "search", "Search: words, or a pattern between slashes", label="search",
          commands=("search",), argument=_A.WORDS),
    _logs("n", "find(1)", "Next line that matches", commands=("next",)),
    _logs("N", "find(-1)", "Previous line that matches", commands=("previous",)),
    _logs("f", "follow", "Follow new lines, or stay", label="follow"),
    _logs("e", "error(1)", "Next error", label="error", commands=("next-error",)),
    _logs("E", "error(-1)", "Previous error", commands=("previous-error",)),
    _logs("ampersand", "only", "Only lines that pass a filter", label="only", commands=("only",),
          argument=_A.FILTER),
    _logs("v", "least", "Only lines of the next level and above", label="level",
          commands=("least",), argument=_A.LEVEL),
    _logs("m", "same_request", "Only lines of the same request; again: all", commands=("trace",)),
    _logs("w", "wrap", "Wrap long lines, or cut them", label="wrap"),
    _logs("t", "stamps", "Other times before lines: time, date, since the line above, none",
          label="times", commands=("times",)),
    _logs("right,l", "side(1)", "Words further right", commands=("side-right",)),
    _logs("left,h", "side(-1)", "Words further left", commands=("side-left",)),
    _logs("enter", "details", "Everything that the line says", commands=("details",)),
    _logs("y", "json", "The line as JSON", commands=("line-json",)),
    _logs("c", "copy_line", "Copy the line", commands=("copy-line",)),
    _logs("C", "copy_screen", "Copy the lines on the screen", commands=("copy-screen",)),
    _logs("ctrl+s", "save", "Write the lines into a file", commands=("save",),
          argument=_A.EXPORT),
    _demo("B", "break_node", "Kill the node (kill -9 of agent and broker), or start it again",
          commands=("kill",)),
    _demo("P", "freeze_node", "Pause the node (SIGSTOP), or let it go on", commands=("freeze",)),
    _demo("I", "isolate_node", "Cut the node off from the others, or connect it again",
          commands=("partition", "cut")),
    _demo("O", "heal_nodes", "Start, resume and connect everything that was broken",
          commands=("heal",)),
    _replay("right_square_bracket", "step(1)", "Hold after the next thing that happened",
            commands=("step",)),
    _replay("left_square_bracket", "step(-1)", "Hold before the last thing that happened",
            commands=("step-back",)),
    _replay("right_curly_bracket", "skip(60_000)", "One minute on", commands=("minute",)),
    _replay("left_curly_bracket", "skip(-60_000)", "One minute back", commands=("minute-back",)),
    _replay("at", "seek", "Go to a time of the recording, or on or back by so much",
            argument=_A.TIME),
    _replay("Z", "speed", "Twice as fast, or so many times as fast as it was",
            argument=_A.SPEED),
)  # fmt: skip
