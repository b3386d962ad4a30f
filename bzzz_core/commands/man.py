"""`man`: the manual page of a program; and what that of `bzzz-agent` says besides commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from bzzz_core.commands.man_page import About, man_page
from bzzz_core.commands.options import CONFIG_FILE, SECRETS

AGENT: Final = About(
    description="""Every node of a BZZZ cluster runs one agent: `bzzz-agent run`, beside the message
broker that `bzzz-agent fabric run` looks after. On hosts that `bzzz-tui setup` has installed, both
are units of systemd. The other commands ask the running agent over its API on this machine, or read
this node's files; they need to read the configuration file and the secrets, so run them as root or
as the user bzzz.

Output is for people; where a command takes `--json` it prints the same as data, and nothing else,
on standard output. What went wrong is one line on standard error, and an exit status that says
whether anything was done.

On hosts that setup has installed, `/usr/local/bin/bzzz-agent` starts the release that is in force.
""",
    examples=(
        ("bzzz-agent status", "How this node and the cluster are."),
        ("bzzz-agent health --wait 60", "Wait until this node is ready, for a minute at most."),
        ("bzzz-agent leader transfer --to bzzz-2", "Let another voter lead."),
        ("bzzz-agent logs show --follow --level warning", "What goes wrong, as it happens."),
        ("bzzz-agent config set --cluster resources.log_level debug", "Let every node write more."),
        ("bzzz-agent halt --reason 'wrong repository'", "Stop all work in the cluster."),
    ),
    files=(
        (str(CONFIG_FILE), "The configuration of this node; `--config` names another."),
        (f"{SECRETS}/", "Keys, certificates, tokens and the vault; readable by the agent alone."),
        ("/var/lib/bzzz/", "Votes, the registry of members, the store of the broker."),
        ("/var/log/bzzz/agent.log", "The log, and beside it what was rotated and the audit."),
        ("/opt/bzzz/current/", "The release that is in force, where setup installed one."),
    ),
    environment=(
        (
            "BZZZ_*",
            (
                "Each value of the configuration has a variable that goes before the file:"
                " `network.ports.api` is `BZZZ_NETWORK__PORTS__API`. They are listed by"
                " `bzzz-agent config env`."
            ),
        ),
        ("BZZZ_DHT_BACKEND", "Short for services.backends.dht: mock, real or hybrid."),
        (
            "BZZZ_DHT_BOOTSTRAP_NODES",
            "Short for cluster.dht.bootstrap_nodes: HOST:PORT, by commas.",
        ),
        ("BZZZ_FALLBACK_ON_ERROR", "Short for services.fallback: true or false."),
        ("BZZZ_NATS_SERVER", "The nats-server to run instead of the one that comes along."),
        ("CREDENTIALS_DIRECTORY", "Where systemd hands over the passphrase of the vault."),
        ("NOTIFY_SOCKET", "Where systemd hears that the agent is ready, and that it lives."),
        ("SUDO_USER", "Who stands in the audit behind root."),
        ("XDG_CONFIG_HOME", "Where `init` keeps the authorities of a new cluster."),
    ),
    see_also=("bzzz-tui(1)", "journalctl(1)", "systemctl(1)"),
)


def man_of(program: str, about: About) -> click.Command:
    """Return the command `man` of a program."""

    @click.command("man", help=_HELP.format(program=program))
    @click.pass_context
    def man(context: click.Context) -> None:
        root = context.find_root().command
        assert isinstance(root, click.Group)
        text = man_page(root, about)
        if sys.stdout.isatty():
            _show(text, program)
        else:
            click.echo(text, nl=False)

    return man


_HELP: Final = """Show the manual page; into a file or a pipe, print its source.

These lines let `man {program}` find it, if ~/.local/bin is on the path:

\b
mkdir -p ~/.local/share/man/man1
{program} man > ~/.local/share/man/man1/{program}.1
"""


def _show(text: str, program: str) -> None:
    viewer = shutil.which("man")
    if viewer is None:
        raise click.ClickException(f"there is no `man` here; try: {program} --help")
    with tempfile.TemporaryDirectory(prefix="bzzz-man-") as directory:
        path = Path(directory) / f"{program}.1"  # Taken for a file, for it has a slash in it.
        path.write_text(text, encoding="utf-8")
        subprocess.run([viewer, path], check=False)  # noqa: S603  the system's own program


man: Final = man_of("bzzz-agent", AGENT)
