"""How rules get into each packet filter, and out of it: constant scripts, and their data.

Data is a file, `$1`. For ufw, firewalld and iptables it has a line for each rule,

    host ADDRESS                  first: the host's own address
    add ROLE PORT SOURCE          to be there afterwards
    del ROLE PORT SOURCE          not to be there afterwards
    keep ROLE PORT SOURCE         there before and after: iptables makes its chain anew as a whole

and for nftables it is one transaction. Doing the same twice is doing it once. What undoes a change
is the same script with the data of the other direction.

ufw writes its rules down by itself. The others are changed for now first; `PERSIST` makes that last
after the proof, so that until then a restart of the host is a way back too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.openings import CLOSED, PRIORITY, Opening

_UFW: Final = """
set -eu
while read -r op role port source; do
  case $op in
    add) ufw allow proto tcp from "$source" to any port "$port" comment "bzzz:$role" ;;
    del) ufw delete allow proto tcp from "$source" to any port "$port" ;;
  esac >/dev/null
done <"$1"
"""
_FIREWALLD_ZONE: Final = """
set -eu
family() { case $1 in *:*) echo ipv6 ;; *) echo ipv4 ;; esac; }
zone=$(firewall-cmd --get-default-zone)
read -r _ own <"$1"
at=$(ip -o addr show | while read -r _ name _ address _; do
  [ "${address%%/*}" = "$own" ] && echo "$name" && break
done) || :
if [ -n "$at" ]; then
  found=$(firewall-cmd --get-zone-of-interface="${at%%@*}" 2>/dev/null) && zone=$found
fi
each() {
  while read -r op _ port source; do
    rule="rule priority=\\"PRIORITY\\" family=\\"$(family "$source")\\""
    rule="$rule source address=\\"$source\\" port port=\\"$port\\" protocol=\\"tcp\\" accept"
    case $op in
      add) firewall-cmd "$@" --zone="$zone" --add-rich-rule="$rule" ;;
      del) firewall-cmd "$@" --zone="$zone" --remove-rich-rule="$rule" ;;
    esac >/dev/null
  done
}
""".replace("PRIORITY", str(PRIORITY))
_FIREWALLD: Final = _FIREWALLD_ZONE + 'each <"$1"\n'
_FIREWALLD_BACK: Final = _FIREWALLD_ZONE + 'each <"$1"\neach --permanent <"$1"\n'
_FIREWALLD_LASTING: Final = _FIREWALLD_ZONE + 'each --permanent <"$1"\n'
_NFT: Final = 'exec nft -f "$1"\n'
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
APPLY: Final = {
    "ufw": _UFW,
    "firewalld": _FIREWALLD,
    "nftables": _NFT,
    "iptables": _IPTABLES,
}
"""Filter -> what changes it for now; ufw for good."""
BACK: Final = {**APPLY, "firewalld": _FIREWALLD_BACK}
"""Filter -> what undoes a change, wherever it has got to."""
PERSIST_FIREWALLD: Final = _FIREWALLD_LASTING
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
LIST: Final = """
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
"""Filter -> what there is, as the probe's section `openings` prints it."""
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
