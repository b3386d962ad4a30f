"""What the start screen, the wizard, dialogs and every table can be told to do."""

from __future__ import annotations

from typing import Final

from bzzz_tui.action_kinds import Action, Scope


def _action(scope: Scope, keys: str, does: str, label: str, text: str, **more: object) -> Action:
    """Make an action whose id is its scope's last word and its method's name."""
    name = more.pop("name", does.partition("(")[0].replace("_", "-"))
    return Action(
        id=f"{scope.value.rpartition(': ')[2].replace(' ', '-')}.{name}",
        scope=scope,
        keys=keys,
        does=does,
        label=label,
        help=text,
        **more,  # type: ignore[arg-type]
    )


def _row(keys: str, does: str, text: str, name: str, *, show: str = "") -> Action:
    return _action(Scope.TABLE, keys, does, "", text, name=name, commands=(name,), show=show)


_S = Scope
SETUP_ACTIONS: Final[tuple[Action, ...]] = (
    _action(_S.EVERYWHERE, "question_mark,f1", "show_keys", "keys", "Show the keys of this view"),
    _action(_S.EVERYWHERE, "escape", "back", "", "Back; never quits", show="Esc"),
    _action(_S.EVERYWHERE, "q", "leave", "quit", "Back; at the first screen, quit"),
    _action(_S.EVERYWHERE, "ctrl+c", "quit", "", "Quit", show="Ctrl+C", priority=True),
    _row("down,j", "cursor(1)", "Next row", "down", show="↓ j"),
    _row("up,k", "cursor(-1)", "Previous row", "up", show="↑ k"),
    _row("pagedown,ctrl+d,ctrl+f", "page(1)", "Page down", "page-down"),
    _row("pageup,ctrl+u,ctrl+b", "page(-1)", "Page up", "page-up"),
    _row("home,g", "edge(-1)", "First row", "first", show="g"),
    _row("end,G", "edge(1)", "Last row", "last", show="G"),
    _action(_S.START, "down,j", "choose(1)", "", "Next", show="↓ j", name="next"),
    _action(_S.START, "up,k", "choose(-1)", "", "Previous", show="↑ k", name="previous"),
    _action(_S.START, "enter", "open", "open", "Open", show="Enter"),
    _action(_S.START, "1", "pick(0)", "", "Setup", name="setup"),
    _action(_S.START, "2", "pick(1)", "", "Monitor", name="monitor"),
    _action(_S.START, "3", "pick(2)", "", "Demo", name="demo"),
    _action(
        _S.SETUP,
        "ctrl+n",
        "next",
        "next",
        "Check this step, go to the next",
        show="Ctrl+N",
        priority=True,
    ),
    _action(
        _S.SETUP,
        "escape",
        "back",
        "back",
        "Leave the field; on the rail, one step back",
        show="Esc",
    ),
    _action(_S.SETUP, "tab", "focus_next", "field", "Next field", show="Tab"),
    _action(
        _S.SETUP,
        "1,2,3,4,5,6,7,8",
        "none",
        "",
        "Go to a step (on the rail)",
        name="step",
        show="1-8",
    ),
    _action(
        _S.SETUP,
        "ctrl+r,f2",
        "reveal",
        "",
        "Show or hide what is masked in the field with the focus",
        show="Ctrl+R",
        priority=True,
    ),
    _action(_S.SETUP, "y", "show_yaml", "yaml", "Answers as YAML, and the command that uses them"),
    _action(_S.SETUP, "q", "leave", "", "Leave setup; the answers are kept"),
    _action(_S.SETUP, "e", "edit", "", "Open answers again that hosts were changed by"),
    _action(
        _S.SETUP, "A", "all_questions", "", "Ask everything, not only what has no safe default"
    ),
    _action(_S.SETUP, "b", "bundle", "", "Write a support bundle, without secrets"),
    _action(_S.HOSTS, "enter", "edit_host", "edit", "Edit the host under the cursor", show="Enter"),
    _action(_S.HOSTS, "delete,D", "remove_host", "remove", "Remove the host", show="Del"),
    _action(_S.HOSTS, "p", "probe", "probe", "Look at all hosts now"),
    _action(_S.HOSTS, "t", "trust", "trust", "Trust the host key shown"),
    _action(_S.HOSTS, "T", "trust_all", "", "Trust all host keys shown"),
    _action(_S.TRUST, "t", "trust", "trust", "Trust this host key"),
    _action(_S.TRUST, "T", "trust_all", "trust all", "Trust all host keys shown"),
    _action(_S.TRUST, "p", "probe", "ask again", "Ask the hosts for their keys again"),
    _action(_S.DEPLOY, "a", "apply", "apply", "Apply the plan that is shown"),
    _action(_S.DEPLOY, "p", "plan", "plan", "Make the plan anew"),
    _action(_S.DEPLOY, "d", "difference", "diff", "Show what changes within files"),
    _action(_S.DEPLOY, "r", "retry_host", "", "Try the host under the cursor again"),
    _action(_S.DEPLOY, "s", "skip_host", "", "Leave the host out, if a quorum remains"),
    _action(_S.DEPLOY, "R", "retry", "retry", "Run again what failed"),
    _action(_S.DEPLOY, "x", "stop", "stop", "Stop after the running action"),
    _action(_S.CHECKS, "enter", "check_one", "again", "Run this check again", show="Enter"),
    _action(_S.CHECKS, "r", "check_all", "all again", "Run all checks again"),
    _action(_S.DIALOG, "y", "yes", "yes", "Yes"),
    _action(_S.DIALOG, "n", "no", "no", "No"),
)
