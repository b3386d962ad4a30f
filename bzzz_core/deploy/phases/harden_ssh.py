"""Lets sshd take keys alone, if the answers ask for it; and takes that back if they no longer do.

Two fresh logins by key come first, each a new connection that offers no password. Then a drop-in is
put before all others, checked by `sshd -t`, and read by a reload: connections that stand stay. The
change is guarded by a dead-man timer and stays if another login by key comes in.

A restart of the host ends the timer and leaves the drop-in, for sshd reads no place that a restart
empties. So what was there before lies in `layout.SSHD_UNPROVED` until the proof; whoever finds that
plans the change anew, proves it, and takes back what is kept there if it cannot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import deadman, layout, made
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts, Kind, PathFact
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.way import Way
from bzzz_core.deploy.work import Work

TITLE: Final = "Harden sshd"
WHAT: Final = "sshd"
"""Names the dead-man timer."""
RELOAD_S_MAX: Final = 10
LOGINS_MIN: Final = 2
_RELOAD: Final = """
sshd -t || exit 1
for unit in ssh.service sshd.service; do
  if systemctl is-active --quiet "$unit"; then exec systemctl reload "$unit"; fi
done
# Started for each connection, or not at all: the next one reads the new file.
"""
_PLACES: Final = f"""
file={layout.SSHD_DROPIN} unproved={layout.SSHD_UNPROVED}
"""
_BACK: Final = (
    _PLACES
    + """
if [ -s "$1" ]; then
  # sshd takes an empty file, or half of one, for a good one; and does not read this name.
  part=$file.part
  cat "$1" >"$part" && chmod 644 "$part" && sync "$part" && mv -fT -- "$part" "$file" || {
    rm -f -- "$part"
    exit 1
  }
else
  rm -f -- "$file" || exit 1
fi
sync "${file%/*}" && rm -f -- "$unproved" || exit 1
"""
    + _RELOAD
)
_GONE: Final = 'rm -f -- "$1" "$2" || exit 1' + _RELOAD
_CHECK: Final = """
set -- "$1" $2
said=$(sshd -T -C "user=$1,host=${2:-localhost},addr=${2:-127.0.0.1}") || exit 1
for line in 'passwordauthentication no' 'kbdinteractiveauthentication no'; do
  echo "$said" | grep -qx "$line" || { echo "sshd does not say: $line" >&2; exit 1; }
done
"""
_OLD: Final = """
for file in "$2" "$1"; do
  if [ -f "$file" ]; then exec cat -- "$file"; fi
done
"""
"""What is kept of the time before an unproved change, else what is there."""
_PROVED: Final = 'rm -f -- "$1" && sync "${1%/*}"'


def text(goal: Goal) -> str:
    """Return the drop-in."""
    lines = [
        "# Written by bzzz-tui setup; changes are overwritten.",
        "PasswordAuthentication no",
        # The older name of KbdInteractiveAuthentication, which every version understands.
        "ChallengeResponseAuthentication no",
        "PubkeyAuthentication yes",
        "PermitEmptyPasswords no",
        "PermitRootLogin prohibit-password",
    ]
    login = goal.facts.login
    if login is not None and login.user != "root":
        lines.pop()  # whether root may come in at all is not ours to loosen
    return "\n".join(lines) + "\n"


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the drop-in that is missing or differs, or its removal."""
    fact = goal.facts.path(layout.SSHD_DROPIN)
    rules = goal.facts.own_rules
    # What nobody proved is about to be undone: it counts as not being there (`openings.present`).
    armed = rules is not None and WHAT in rules.armed
    # But for a restart of the host: then nobody undoes it any more.
    pending = armed or goal.facts.path(layout.SSHD_UNPROVED).kind is Kind.FILE
    absent = armed or fact.kind in {Kind.ABSENT, Kind.UNKNOWN}
    if not goal.spec.security.ssh.harden:
        if absent:
            return ()
        return (_change("remove", "keys alone", "absent", "let sshd decide about passwords again"),)
    sha256 = hashlib.sha256(text(goal).encode()).hexdigest()
    if fact == PathFact(Kind.FILE, "644", "root", "root", sha256) and not pending:
        return ()
    kind = "a drop-in that nobody has proved" if pending else "another drop-in of ours"
    word = "passwords as sshd is configured" if absent else kind
    return (_change("create", word, text(goal), "let sshd take keys alone, no passwords"),)


def _change(action: str, before: str, after: str, sentence: str) -> Change:
    return Change(
        phase="harden_ssh",
        action="remove" if action == "remove" else "create",
        target=layout.SSHD_DROPIN,
        before=before,
        after=after,
        sentence=f"{sentence} ({layout.SSHD_DROPIN})",
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Prove, change, prove again; or undo."""
    entry = made.Made("harden_ssh", layout.SSHD_DROPIN)
    if changes[0].action == "remove":
        await remove(host, entry)
        await made.forget(host, entry)
        return
    for number in range(1, LOGINS_MIN + 1):
        work.say(host.name, f"login by key, {number} of {LOGINS_MIN}")
        await work.prove_login(host.name, Way.KEYS)
    await deadman.settle(host, WHAT)  # else what this step did before a lost link is read as old
    places = (layout.SSHD_DROPIN, layout.SSHD_UNPROVED)
    old = await host.run(_OLD, *places, what="read the drop-in")
    await made.note(host, entry)

    async def change() -> None:
        await place(host, Placed(path=layout.SSHD_UNPROVED, mode="600"), old.stdout)
        placed = Placed(path=layout.SSHD_DROPIN, mode="644")
        await place(host, placed, text(goal).encode())
        await host.run(_RELOAD, what="let sshd read its configuration")

    async def prove() -> None:
        await work.prove_login(host.name, Way.KEYS, patience_s=RELOAD_S_MAX)

    back = deadman.WayBack(what=WHAT, script=_BACK, data=old.stdout)
    await deadman.guarded(host, back, change=change, prove=prove)
    await host.run(_PROVED, layout.SSHD_UNPROVED, what="note that sshd is proved")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Ask sshd what it would do for our login."""
    del work
    login = goal.facts.login
    if goal.spec.security.ssh.harden and login is not None:
        await host.run(_CHECK, login.user, goal.facts.ssh_peer or "", what="ask sshd")


async def remove(host: RemoteHost, entry: made.Made) -> None:
    """Remove the drop-in; sshd then does what the rest of its configuration says."""
    await host.run(_GONE, entry.target, layout.SSHD_UNPROVED, what="remove the drop-in of sshd")


def findings(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Yield why keys cannot be installed, or sshd not be hardened, where that is asked for."""
    ssh = spec.security.ssh
    for host in spec.hosts:
        one = facts.get(host.name)
        if one is None or one.uid != 0:
            continue
        if ssh.install_key != "none" and (one.login is None or not one.login.file):
            yield _error(host, "where sshd looks for the login's keys is not known", "sshd -T")
        if not ssh.harden:
            continue
        if one.login is None or not one.login.dropins:
            yield _error(
                host,
                "its sshd reads no /etc/ssh/sshd_config.d, where a file could harden it",
                "add `Include /etc/ssh/sshd_config.d/*.conf` to /etc/ssh/sshd_config",
            )
        if ssh.install_key == "none" and ssh.key is None and ssh.password is not None:
            yield _error(
                host,
                "security.ssh.harden would end the login by password, and there is no key",
                "set security.ssh.install_key to generate, or security.ssh.key",
            )


def _error(host: HostSpec, message: str, fix: str) -> Finding:
    return Finding("error", "ssh", host.name, message, fix)
