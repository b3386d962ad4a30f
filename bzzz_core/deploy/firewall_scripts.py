"""How rules get into each packet filter, and out of it: constant scripts, and their data.

Data is a file, `$1`. For ufw, firewalld and iptables it has a line for each rule,

    host ADDRESS                  first: the host's own address
    add ROLE PORT SOURCE          to be there afterwards
    del ROLE PORT SOURCE          not to be there afterwards
    keep ROLE PORT SOURCE         there before and after: iptables makes its chain anew as a whole

and for nftables it is one transaction. Doing the same twice is doing it once. What undoes a change
is the same script with the data of the other direction.

ufw and firewalld take rule by rule, and hundreds take minutes. So what is as it should be already
is not touched again: whoever is ended half-way goes on there at the next attempt. Setup sends such
data in `pieces`, for a command that nobody watches any more has to end soon.

A piece may go on after whoever sent it is gone. So all of them, and what undoes them, take one lock
on the host; and a piece of a change that the host has begun to take back does nothing any more.
What undoes a change waits for that lock no longer than a piece may take: then it goes without.

ufw writes its rules down by itself. The others are changed for now first; `PERSIST` makes that last
after the proof, so that until then a restart of the host is a way back too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.openings import CLOSED, PRIORITY, Opening
from bzzz_core.deploy.remote import KILL_AFTER_S

RULE_S: Final = {"ufw": 2, "firewalld": 1}
"""Filter -> seconds that one rule may take there; the others take all of theirs at once.

For one rule ufw starts an interpreter: 0.7 s on a testbed host of two busy cores. firewalld needs
less, and what undoes a change tells it each rule twice.
"""
PIECE_S: Final = 30
"""So long the rules of one piece may take."""
PIECE_S_MAX: Final = PIECE_S + 10
"""Then a piece is ended; so long it may wait for the lock and still have `PIECE_S`."""
WAIT_S: Final = PIECE_S_MAX + KILL_AFTER_S
"""So long what undoes a change waits for a piece that nobody watches any more."""
_LOCK_FILE: Final = "/run/bzzz-install.firewall"
"""Whoever changes rules holds it; not in `/run/bzzz-install`, for that is swept."""
_LOCK: Final = f"""
lock={_LOCK_FILE}
# Nobody else may open it: who can, can hold it.
(umask 077 && : >>"$lock") && exec 9<"$lock" || exit 1
taken() {{ flock -w "$1" 9 || {{ echo "rules are being changed by another run" >&2; exit 75; }}; }}
"""
_PIECE: Final = (
    _LOCK
    + f"taken {PIECE_S_MAX - PIECE_S}"
    + """
if [ "${2-}" ] && [ ! -e "$2" ]; then
  echo "the host has begun to take the change back" >&2
  exit 75
fi
"""
)
"""`$2` is a file that goes when the change is taken back; none or "" where that cannot be."""
_UNDO: Final = f"""
# Without that file there was no piece; and making it may need room that there is none.
lock={_LOCK_FILE}
if [ -e "$lock" ]; then
  exec 9<"$lock"
  flock -w {WAIT_S} 9 || :
fi
"""
_UFW: Final = """
set -eu
data=$1 nl='
'
look() {
  have=$nl$(grep -hs '^### tuple ### allow tcp ' /etc/ufw/user.rules /etc/ufw/user6.rules || :)$nl
}
differs() {
  case $source in *:*) to=::/0 ;; *) to=0.0.0.0/0 ;; esac
  rule="$nl### tuple ### allow tcp $port $to any $source in"
  case $op$have in
    add*"$rule$nl"* | add*"$rule "*) return 1 ;;
    add*) ;;
    # Marked as ours: `bzzz:`, as ufw writes it down.
    del*"$rule comment=627a7a7a3a"*) ;;
    *) return 1 ;;
  esac
}
tell() {
  case $op in
    add) ufw allow proto tcp from "$source" to any port "$port" comment "bzzz:$role" ;;
    *) ufw delete allow proto tcp from "$source" to any port "$port" ;;
  esac >/dev/null
}
# It calls it success, too, if it wrote something else than it was told.
for last in '' '' yes; do
  look
  left=
  while read -r op role port source; do
    differs || continue
    left="$op $port $source"
    [ "$last" ] || tell
  done <"$data"
  [ "$left" ] || exit 0
done
echo "ufw says that it is done, and is not: $left" >&2
exit 1
"""
_FIREWALLD_ZONE: Final = """
set -eu
data=$1 nl='
'
zone=$(firewall-cmd --get-default-zone)
read -r _ own <"$data"
at=$(ip -o addr show | while read -r _ name _ address _; do
  [ "${address%%/*}" = "$own" ] && echo "$name" && break
done) || :
if [ -n "$at" ]; then
  found=$(firewall-cmd --get-zone-of-interface="${at%%@*}" 2>/dev/null) && zone=$found
fi
look() { have=$nl$(firewall-cmd $lasting --zone="$zone" --list-rich-rules)$nl; }
tell() { [ $# -eq 0 ] || firewall-cmd $lasting --zone="$zone" "$@" >/dev/null; }
read_one() {
  read -r op _ port source || return 1
  case $source in *:*) family=ipv6 ;; *) family=ipv4 ;; esac
  rule="rule priority=\\"PRIORITY\\" family=\\"$family\\" source address=\\"$source\\""
  rule="$rule port port=\\"$port\\" protocol=\\"tcp\\" accept"
  case $op in add) option=--add-rich-rule=$rule ;; *) option=--remove-rich-rule=$rule ;; esac
}
differs() {
  case $op$have in
    add*"$nl$rule$nl"*) return 1 ;;
    add* | del*"$nl$rule$nl"*) ;;
    *) return 1 ;;
  esac
}
each() {
  lasting=${1-}
  look
  for now in del add; do
    set --
    while read_one; do
      if [ "$op" = "$now" ] && differs; then set -- "$@" "$option"; fi
      [ $# -lt 100 ] || { tell "$@"; set --; }
    done <"$data"
    tell "$@"
  done
  # Told many, it calls it success if it took one; told one, it says what it does not like.
  look
  while read_one; do
    ! differs || tell "$option"
  done <"$data"
}
""".replace("PRIORITY", str(PRIORITY))
_FIREWALLD: Final = _FIREWALLD_ZONE + "each\n"
_FIREWALLD_BACK: Final = _FIREWALLD_ZONE + "each\neach --permanent\n"
_FIREWALLD_LASTING: Final = _FIREWALLD_ZONE + "each --permanent\n"
_NFT: Final = """
# Where it is gone nothing is left to remove.
if ! command -v nft >/dev/null && ! grep -q dport "$1"; then exit 0; fi
exec nft -f "$1"
"""
_IPTABLES: Final = """
set -eu
fill() {
  tool=$1
  {
    echo '*filter'
    echo ':BZZZ - [0:0]'
    while read -r op role port source; do
      case $op in add|keep) ;; *) continue ;; esac
      case $tool/$source in
        iptables/*:*) continue ;;
        ip6tables/*:*|iptables/*) ;;
        *) continue ;;
      esac
      echo "-A BZZZ -s $source -p tcp -m tcp --dport $port" \\
        "-m comment --comment bzzz:$role -j ACCEPT"
    done
    echo COMMIT
  } <"$2" | "$tool-restore" -w 5 --noflush
  "$tool" -w 5 -C INPUT -j BZZZ 2>/dev/null || "$tool" -w 5 -I INPUT 1 -j BZZZ
}
empty() {
  while "$1" -w 5 -D INPUT -j BZZZ 2>/dev/null; do :; done
  "$1" -w 5 -F BZZZ 2>/dev/null && "$1" -w 5 -X BZZZ || :
}
one() {
  command -v "$1" >/dev/null || return 0
  if grep -qE "^(add|keep) $2" "$3"; then fill "$1" "$3"; else empty "$1"; fi
}
one iptables '[^:]*$' "$1"
one ip6tables '.*:' "$1"
"""
_IPTABLES_HEAD: Final = """\
# Written by bzzz-tui setup; changes are overwritten.
set -- "$(mktemp /run/bzzz-firewall-XXXXXXXXXX)"
trap 'rm -f -- "$1"' EXIT
cat >"$1" <<'RULES'
"""
"""Makes a program of its own of that script, which holds its data."""
_MAKE: Final = {
    "ufw": _UFW,
    "firewalld": _FIREWALLD,
    "nftables": _NFT,
    "iptables": _IPTABLES,
}
_UNMAKE: Final = {**_MAKE, "firewalld": _FIREWALLD_BACK}
APPLY: Final = {name: _PIECE + script for name, script in _MAKE.items()}
"""Filter -> what changes it for now; ufw for good."""
BACK: Final = {name: _UNDO + script for name, script in _UNMAKE.items()}
"""Filter -> what undoes a change, wherever it has got to."""
REMOVE: Final = {name: _PIECE + script for name, script in _UNMAKE.items()}
"""Filter -> what removes rules for now and for good, in pieces."""
PERSIST_FIREWALLD: Final = _PIECE + _FIREWALLD_LASTING
ENABLE: Final = """
set -eu
systemctl daemon-reload
systemctl enable --quiet bzzz-firewall.service
"""
DISABLE: Final = """
systemctl disable --quiet bzzz-firewall.service 2>/dev/null
rm -f -- "$1" "$2"
systemctl daemon-reload
"""
LIST: Final = (
    _LOCK
    + f"taken {WAIT_S}"
    + """
echo "== $1"
case $1 in
  ufw) grep -hs '^### tuple ### allow tcp ' /etc/ufw/user.rules /etc/ufw/user6.rules ;;
  firewalld)
    firewall-cmd --list-all-zones | sed -n 's/^[[:space:]]*\\(rule .*\\)/\\1/p'
    echo "== firewalld permanent"
    firewall-cmd --permanent --list-all-zones | sed -n 's/^[[:space:]]*\\(rule .*\\)/\\1/p'
    ;;
esac
:
"""
)
"""Filter -> what there is, as the probe's section `openings` prints it; once it stands still."""
_AFTER: Final = "nftables.service netfilter-persistent.service iptables.service ufw.service"
"""They load rules at a start and may empty everything first; ours come after them."""


def unit_text(backend: str) -> str:
    """Return the unit that loads rules of our own again when the host starts."""
    program = "/usr/sbin/nft -f" if backend == "nftables" else "/bin/sh"
    return f"""\
# Written by bzzz-tui setup; changes are overwritten.
[Unit]
Description=BZZZ's own rules of the packet filter
DefaultDependencies=no
After=local-fs.target {_AFTER}
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} {layout.FIREWALL_RULES}

[Install]
WantedBy=multi-user.target
"""


def file_text(backend: str, rules: Sequence[Opening]) -> str:
    """Return the file from which that unit loads them."""
    if backend == "nftables":
        return "# Written by bzzz-tui setup; changes are overwritten.\n" + table_text(rules)
    lines = "".join(f"{_words('add', rule)}\n" for rule in rules)
    return f"{_IPTABLES_HEAD}{lines}RULES\n{_IPTABLES}"


def data_of(
    backend: str, before: Sequence[Opening], after: Sequence[Opening], *, own: str
) -> bytes:
    """Return the data that leads from some rules to others."""
    if backend == "nftables":
        return table_text(after).encode()
    old, new = {_key(rule) for rule in before}, {_key(rule) for rule in after}
    lines = [f"host {own}"]
    lines += [_words("del", rule) for rule in before if _key(rule) not in new]
    lines += [_words("keep" if _key(rule) in old else "add", rule) for rule in after]
    return "".join(f"{line}\n" for line in lines).encode()


def pieces(backend: str, data: bytes) -> tuple[bytes, ...]:
    """Return the data in parts that one command each can do in `PIECE_S`, in order."""
    if backend not in RULE_S:
        return (data,)
    head, *_ = data.splitlines(keepends=True)
    lines = _changing(data)
    size = PIECE_S // RULE_S[backend]
    return tuple(
        head + b"".join(lines[start : start + size]) for start in range(0, len(lines), size)
    )


def duration_s(backend: str, data: bytes) -> int:
    """Return how long the rules in some data may take, all of them."""
    return RULE_S[backend] * len(_changing(data)) if backend in RULE_S else 0


def _changing(data: bytes) -> list[bytes]:
    return [line for line in data.splitlines(keepends=True) if line.startswith((b"add ", b"del "))]


def table_text(rules: Sequence[Opening]) -> str:
    """Return one transaction of nft that leaves exactly these rules in our own table."""
    # A table has to be there to be deleted.
    head = "table inet bzzz\ndelete table inet bzzz\n"
    if not rules:
        return head
    return f"""\
{head}table inet bzzz {{
\tchain input {{
\t\ttype filter hook input priority -5; policy accept;
\t\tiif "lo" accept
\t\tct state established,related accept
{"".join(_rule(rule) for rule in _closed_last(rules))}\t}}
}}
"""


def _closed_last(rules: Iterable[Opening]) -> list[Opening]:
    return sorted(rules, key=lambda rule: rule.role == CLOSED)


def _rule(rule: Opening) -> str:
    if rule.role == CLOSED:
        return f'\t\ttcp dport {rule.port} drop comment "bzzz:{CLOSED}"\n'
    family = "ip6" if ":" in rule.source else "ip"
    return (
        f"\t\t{family} saddr {rule.source} tcp dport {rule.port} accept"
        f' comment "bzzz:{rule.role}"\n'
    )


def _words(op: str, rule: Opening) -> str:
    return f"{op} {rule.role or 'node'} {rule.port} {rule.source}"


def _key(rule: Opening) -> tuple[int, str]:
    return rule.port, rule.source
