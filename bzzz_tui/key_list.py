"""All keys and commands as text: for `bzzz-tui keys`, and for docs/keys.md."""

from __future__ import annotations

from typing import Final

from bzzz_tui.action_kinds import Action, Scope, shown_key
from bzzz_tui.actions import of
from bzzz_tui.keymap import Keymap

_SCOPES: Final = {
    Scope.VIEW: "Every view of the monitor",
    Scope.LIST: "Tables of the monitor",
    Scope.TABLE: "Every table",
    Scope.NODES: "Nodes",
    Scope.ROW: "Alerts, checks, election, audit",
    Scope.HERE: "The node under the cursor",
    Scope.NODE: "One node",
    Scope.AUDIT: "Audit",
    Scope.WRITE: "Changes of the cluster (only with `--write`, or `write: true` in the profile)",
    Scope.LOGS: "Logs",
    Scope.DEMO: "The demo: break it (in any view of `bzzz-tui demo`)",
    Scope.REPLAY: "A recording (in any view of `bzzz-tui monitor --replay`)",
    Scope.EVERYWHERE: "Everywhere else",
    Scope.START: "Start screen",
    Scope.SETUP: "Setup",
    Scope.HOSTS: "Setup: hosts",
    Scope.TRUST: "Setup: host keys",
    Scope.DEPLOY: "Setup: deployment",
    Scope.CHECKS: "Setup: checks",
    Scope.DIALOG: "Questions",
}
_HEAD: Final = """# Keys and commands

Made by `bzzz-tui keys --markdown`; a test compares. The second column is what is typed behind `:`,
in brackets what may follow. All of it is also in the palette (`Ctrl+P`) when it can be done.

Other keys go into `~/.config/bzzz/keys.yaml`, by the id in the last column:

```yaml
view.pause: p
list.filter: [f, ctrl+g]
change.halt: ""        # no key; the command stays
```

A key that would mean two things at once is refused, told, and left as it was; so are ids that do
not exist. `bzzz-tui keys` shows the keys in force.
"""


def markdown() -> str:
    """Return docs/keys.md."""
    parts = [_HEAD]
    for scope, title in _SCOPES.items():
        rows = [_row(action) for action in of(scope)]
        parts.append(
            f"## {title}\n\n| key | command | what it does | id |\n|---|---|---|---|\n"
            + "".join(rows)
        )
    return "\n".join(parts)


def lines(keymap: Keymap) -> list[str]:
    """Return the keys in force, one action a line, and what is wrong with the operator's file."""
    found: list[str] = []
    for scope, title in _SCOPES.items():
        found += ["", title.replace("`", "")]
        for action in of(scope):
            keys = " ".join(shown_key(key) for key in keymap.of(action).split(",") if key)
            command = _command(action)
            ready = "" if action.ready else " (not yet)"
            found.append(f"  {keys or '-':<16} {command:<34} {action.help}{ready}  [{action.id}]")
    return [*found[1:], *keymap.problems]


def _command(action: Action) -> str:
    names = " ".join(f":{name}" for name in action.commands)
    return f"{names} [{action.argument}]" if action.argument else names


def _row(action: Action) -> str:
    keys = " ".join(f"`{shown_key(key)}`" for key in action.keys.split(",") if key)
    command = f"`{_command(action)}`" if action.commands else ""
    more = "" if action.ready else " (not yet)"
    cells = (keys, command, action.help + more, f"`{action.id}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
