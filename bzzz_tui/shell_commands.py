"""`bzzz-tui completion` and `man`: what the program says of itself to a shell and to `man`."""

from __future__ import annotations

from typing import Final

from bzzz_core.commands.completion import completion_of
from bzzz_core.commands.man import man_of
from bzzz_core.commands.man_page import About

ABOUT: Final = About(
    description="""`bzzz-tui setup` installs a cluster on Linux hosts over SSH: by a wizard that
takes the whole terminal, or headless from an answers file. `bzzz-tui monitor` watches a cluster
live. It only reads, unless it is told `--write` or the profile of the cluster allows changes.
`bzzz-tui demo` runs a real cluster on the loopback of this machine and breaks it on purpose.
Without a command a start screen offers the three.

On a screen `?` shows the keys of where you are, `:` takes commands, Ctrl+P finds either by its
words, and `q` leaves. `bzzz-tui keys` lists them all.

Without a terminal, or where TERM is dumb, the program prints text: `monitor --plain` and
`demo --headless` say line by line what happens, and `monitor --once --json` is for programs.

Host keys are checked against known_hosts. Nothing on a host is changed before you have seen the
plan and said yes, or given `--yes`.""",
    examples=(
        ("bzzz-tui demo", "Try it on this machine."),
        ("bzzz-tui setup --answers cluster.yaml --plan", "What would be changed on the hosts."),
        ("bzzz-tui setup --answers cluster.yaml --apply --yes", "Change it."),
        ("bzzz-tui monitor --cluster prod", "Watch one of several clusters."),
        ("bzzz-tui monitor --view nodes --filter 'state=down cpu>80'", "Only these nodes."),
        ("bzzz-tui monitor --once --json", "The present state as one document."),
        ("bzzz-tui demo --headless --do 'kill leader@5, heal@15'", "Break a cluster by a script."),
    ),
    files=(
        ("~/.config/bzzz/clusters/NAME/profile.yaml", "How to find a cluster; setup writes it."),
        (
            "~/.config/bzzz/clusters/NAME/",
            (
                "Beside it the token of the API, the host keys, the encrypted authorities and the"
                " journal of each run of setup."
            ),
        ),
        (
            "~/.config/bzzz/clusters/NAME/answers.last.yaml",
            "The answers of the last run of setup that ended well.",
        ),
        ("~/.config/bzzz/keys.yaml", "Keys of your own."),
        ("~/.config/bzzz/views.yaml", "Columns and order chosen in each view of the monitor."),
        ("~/.config/bzzz/themes/NAME.yaml", "Colours of your own."),
        ("~/.config/bzzz/setup-session.json", "A wizard that was left, to go on with."),
        ("~/.config/bzzz/secrets/vault", "Secrets that answers refer to as `vault:NAME`."),
        ("~/.cache/bzzz/releases/", "Releases that were built for hosts."),
    ),
    environment=(
        ("COLORTERM", "If it is truecolor or 24bit, the terminal has all colours."),
        ("NO_COLOR", "If it is set, only attributes and the sixteen colours of the terminal."),
        ("SSH_CONNECTION", "If it is set, fewer frames, no mouse and no animation."),
        ("TERM", "What the terminal can do; dumb means text instead of a screen."),
        ("XDG_CACHE_HOME", "Instead of ~/.cache."),
        ("XDG_CONFIG_HOME", "Instead of ~/.config."),
    ),
    see_also=("bzzz-agent(1)", "ssh(1)", "ssh_config(5)"),
)

completion: Final = completion_of("bzzz-tui")
man: Final = man_of("bzzz-tui", ABOUT)
