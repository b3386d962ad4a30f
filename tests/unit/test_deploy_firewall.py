"""Whether a packet filter lets SSH in: said only where its rules leave no doubt."""

from __future__ import annotations

import pytest

from bzzz_core.deploy.facts.firewall import Firewall, read_firewall

UFW = "== ufw\nStatus: active\nDefault: deny (incoming), allow (outgoing)\n\n"


@pytest.mark.parametrize(
    ("rules", "ports", "allowed"),
    [
        ("22/tcp                     ALLOW IN    Anywhere", {22}, True),
        ("22                         LIMIT       Anywhere", {22}, True),
        ("OpenSSH                    ALLOW IN    Anywhere", {22}, True),
        ("22/tcp (OpenSSH)           ALLOW IN    Anywhere", {22}, True),
        ("22/tcp                     ALLOW IN    Anywhere", {2222}, False),
        ("22/tcp                     DENY IN     Anywhere", {22}, False),
        ("", {22}, False),
        ("22/tcp                     ALLOW IN    10.0.0.0/8", {22}, None),
        ("20:30/tcp                  ALLOW IN    Anywhere", {22}, None),
        ("Anywhere on eth1           ALLOW IN    Anywhere", {22}, None),
        ("22/tcp                     ALLOW IN    Anywhere", set(), None),
    ],
)
def test_ufw_lets_ssh_in_or_not_or_nobody_can_say(
    rules: str, ports: set[int], *, allowed: bool | None
) -> None:
    found = read_firewall(f"through=\n{UFW}{rules}", ports)
    assert (found.backend, found.active, found.ssh_allowed) == ("ufw", True, allowed)


NFT = "== nft\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy "


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("accept;\n\t}\n}", Firewall(backend="none", active=False, ssh_allowed=True)),
        ("drop;\n\t}\n}", Firewall(backend="nftables", active=True)),
        (
            "drop;\n\t\ttcp dport 22 accept\n\t}\n}",
            Firewall(backend="nftables", active=True, ssh_allowed=True),
        ),
        (
            "drop;\n\t\tip saddr 10.0.0.0/8 tcp dport 22 accept\n\t}\n}",
            Firewall(backend="nftables", active=True),
        ),
        (
            "accept;\n\t\tjump b\n\t}\n\tchain b {\n\t\ttcp dport { 22, 80 } accept\n\t\tdrop\n}",
            Firewall(backend="nftables", active=True, ssh_allowed=True),
        ),
        (
            "accept;\n\t}\n\tchain elsewhere {\n\t\tdrop\n\t}\n}",
            Firewall(backend="none", active=False, ssh_allowed=True),
        ),
        (
            "accept;\n\t}\n\tchain f {\n\t\ttype filter hook forward priority 0; policy drop;\n}",
            Firewall(backend="none", active=False, ssh_allowed=True),
        ),
    ],
)
def test_rules_filter_only_where_incoming_packets_come_by(rules: str, found: Firewall) -> None:
    assert read_firewall(NFT + rules, {22}) == found


NEW = (
    '\t\tct state established,related accept\n\t\tct state invalid drop\n\t\tiifname "lo" accept\n'
)
OPEN = "\t\ttcp dport 22 accept\n"


def judged(rules: str, *, more: str = "", policy: str = "drop") -> bool | None:
    found = read_firewall(f"{NFT}{policy};\n{NEW}{rules}\t}}\n{more}}}", {22})
    assert (found.backend, found.active) == ("nftables", True)
    return found.ssh_allowed


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (OPEN, True),
        ("\t\tcounter packets 1 bytes 2 tcp dport { 22, 80 } ct state new counter accept\n", True),
        ('\t\ttcp dport 20-30 accept comment "drop this later"\n', True),
        ("\t\tmeta l4proto tcp tcp dport ssh accept\n", True),
        ("\t\tct state vmap { established : accept, invalid : drop }\n" + OPEN, True),
        ("\t\tudp dport 22 drop\n\t\ttcp dport 23 drop\n\t\tmeta l4proto icmp drop\n" + OPEN, True),
        ("\t\tjump a\n", True),
        ("\t\tgoto a\n\t\tdrop\n", True),
        ('\t\tlog prefix "drop " level info\n' + OPEN, True),
        ("\t\tip saddr 10.0.0.0/8 accept\n" + OPEN, True),
        ("\t\tjump b\n" + OPEN, True),
        ("\t\ttcp dport 22 drop\n" + OPEN, None),
        ("\t\treject with icmpx admin-prohibited\n" + OPEN, None),
        ("\t\tip saddr @bad drop\n" + OPEN, None),
        ("\t\ttcp dport { 20, 22 } ct state new jump c\n" + OPEN, None),
        ("\t\tip saddr 10.0.0.0/8 jump a\n", None),
        ('\t\tiifname "eth1" goto a\n', None),
        ("\t\tip saddr 10.0.0.0/8 return\n" + OPEN, None),
        ("\t\treturn\n" + OPEN, None),
        ("\t\tip saddr vmap @verdicts\n" + OPEN, None),
        ("\t\tct state vmap { established : accept, new : drop }\n" + OPEN, None),
        ("\t\ttcp dport vmap { 22 : drop, 80 : accept }\n" + OPEN, None),
        ("\t\ttcp dport != 22 accept\n", None),
        ("\t\ttcp dport @open accept\n", None),
        ("\t\ttcp dport 22 limit rate 3/minute accept\n", None),
        ('\t\txt match "recent" xt target "DROP"\n' + OPEN, None),
        ("\t\ttcp dport 22 redirect to :2222\n" + OPEN, None),
        ("\t\tip saddr { " + "10.0.0.1, " * 60 + "} drop\n" + OPEN, None),
        ("\t\tjump d\n" + OPEN, None),
        ("\t\tjump nowhere\n" + OPEN, None),
        ('\t\tiifname "lo0" drop\n' + OPEN, None),
    ],
)
def test_a_port_is_open_only_if_nothing_before_may_close_it(
    rules: str, *, allowed: bool | None
) -> None:
    chains = (
        "\tchain a {\n" + OPEN + "\t}\n\tchain b {\n\t\ttcp dport 80 drop\n\t\treturn\n\t}\n"
        "\tchain c {\n\t\tdrop\n\t}\n\tchain d {\n\t\tjump d\n\t\tip saddr 10.0.0.1 drop\n\t}\n"
    )
    assert judged(rules, more=chains) is allowed


def test_a_policy_that_accepts_lets_in_what_no_rule_may_refuse() -> None:
    assert judged("\t\ttcp dport 3306 drop\n", policy="accept") is True
    assert judged("\t\tip saddr 10.0.0.0/8 drop\n", policy="accept") is None


def hooked(hook: str, rules: str, policy: str = "accept") -> str:
    return (
        f"\tchain other {{\n\t\ttype filter hook {hook} priority raw; policy {policy};\n"
        f"{rules}\t}}\n"
    )


@pytest.mark.parametrize("hook", ["prerouting", 'ingress device "eth0"', "output", "postrouting"])
@pytest.mark.parametrize(
    ("rules", "policy"), [("\t\tip saddr @bad drop\n", "accept"), ("", "drop")]
)
def test_what_another_hook_refuses_counts(hook: str, rules: str, policy: str) -> None:
    """Until then it was "no firewall": only chains at the input were looked at."""
    assert judged(OPEN, more=hooked(hook, rules, policy)) is None
    alone = read_firewall(f"== nft\ntable inet t {{\n{hooked(hook, rules, policy)}}}", {22})
    assert alone == Firewall(backend="nftables", active=True)


def test_what_another_hook_only_hands_on_does_not() -> None:
    """So Docker does it with the ports of containers."""
    docker = (
        "== nft\ntable ip nat {\n\tchain PREROUTING {\n"
        "\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
        "\t\tfib daddr type local counter packets 3 bytes 5 jump DOCKER\n\t}\n"
        '\tchain DOCKER {\n\t\tiifname "docker0" counter packets 0 bytes 0 return\n'
        '\t\tiifname != "docker0" tcp dport 8080 counter packets 0 bytes 0 dnat to 172.17.0.2:80\n'
        "\t}\n}\n"
    )
    assert read_firewall(docker, {22}).backend == "none"
    both = docker + NFT.removeprefix("== nft\n") + "drop;\n" + OPEN + "\t}\n}"
    assert read_firewall(both, {22}).ssh_allowed is True
    assert read_firewall(both.replace("8080", "22"), {22}).ssh_allowed is None


LISTED = (
    "== iptables\n-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-N T\n{}\n"
    "-A T -p tcp -m tcp --dport 22 -j ACCEPT"
)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ("-A INPUT -j T", True),
        ("-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -g T", True),
        ("-A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -j LOG\n-A INPUT -j T", True),
        ("-A INPUT -i lo -j ACCEPT\n-A INPUT -p udp -j DROP\n-A INPUT -j T", True),
        ('-A INPUT -p tcp -m multiport --dports 22,80 -m comment --comment "a b" -j ACCEPT', True),
        ("-A INPUT -p tcp --dport 80 -j DROP\n-A INPUT -j T", True),
        ("-A INPUT -s 10.0.0.0/8 -j T", None),
        ("-A INPUT -p tcp -m tcp ! --dport 22 -j ACCEPT", None),
        (
            "-A INPUT -p tcp -m tcp --dport 20:30 -j REJECT --reject-with tcp-reset\n-A INPUT -j T",
            None,
        ),
        ("-A INPUT -p tcp -m recent --update -j DROP\n-A INPUT -j T", None),
        ("-A INPUT -j NFQUEUE --queue-num 0\n-A INPUT -j T", None),
        ("-P OUTPUT DROP\n-A INPUT -j T", None),
        ("*raw\n-P PREROUTING DROP\n*filter\n-A INPUT -j T", None),
        ("*raw\n-P PREROUTING ACCEPT\n*filter\n-A INPUT -j T", True),
    ],
)
def test_the_order_of_older_rules_counts_too(rules: str, *, allowed: bool | None) -> None:
    found = read_firewall(LISTED.format(rules), {22})
    assert (found.backend, found.active, found.ssh_allowed) == ("iptables", True, allowed)


def test_rules_of_both_kinds_decide_together() -> None:
    """The newer tool does not show the old ones, so that it shows nothing says nothing of them."""
    assert read_firewall("== nft\n== iptables\n-P INPUT DROP", {22}) == Firewall(
        backend="iptables", active=True
    )
    both = f"{NFT}drop;\n{OPEN}\t}}\n}}\n== iptables\n-P INPUT DROP"
    assert read_firewall(both, {22}).ssh_allowed is None


def test_rules_that_were_cut_prove_nothing() -> None:
    many = NFT + "drop;\n" + OPEN + "\t\ttcp dport 80 accept\n" * 2_000
    assert read_firewall(many, {22}) == Firewall(backend="nftables", active=True)


def test_rules_of_iptables_are_called_so_whoever_shows_them() -> None:
    listed = "== iptables\n-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"
    shown = (
        "== nft\ntable ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter;"
        " policy drop;\n\t\ttcp dport 22 counter packets 0 bytes 0 accept\n\t}\n}"
    )
    wanted = Firewall(backend="iptables", active=True, ssh_allowed=True)
    assert (read_firewall(listed, {22}), read_firewall(shown, {22})) == (wanted, wanted)


def test_a_chain_that_leads_in_a_circle_ends() -> None:
    rules = "== iptables\n-P INPUT ACCEPT\n-N A\n-A INPUT -j A\n-A A -j INPUT\n-A A -j DROP"
    assert read_firewall(rules, {22}).active


def test_more_rules_than_were_read_are_no_proof_of_freedom() -> None:
    rules = "== iptables\n-P INPUT ACCEPT\n" + "-A FORWARD -j ACCEPT\n" * 2_000
    assert read_firewall(rules, {22}).active is None


def test_two_managers_are_in_each_others_way() -> None:
    found = read_firewall(f"{UFW}\n== firewalld\nrunning\n", {22})
    assert (found.backend, found.conflicts) == ("ufw", ("firewalld",))
