"""What setup will take without having asked, in a few lines: the short way's last look. Pure."""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import surroundings
from bzzz_tui.parts import Part
from bzzz_tui.wording import UNKNOWN, Tone, clean, size
from screens.setup.context import Context

_LABEL: Final = 14
_PAIR: Final = 2


def taken_lines(context: Context) -> list[list[Part]]:
    """Return the answers that matter most, each with why it is so if the hosts suggested it."""
    draft = context.draft
    hosts = [host.name for host in draft.hosts]
    subnet = surroundings.shared_subnet(
        [(h.address, context.seen.get(h.name)) for h in draft.hosts]
    )
    store = draft.get("resources.store_bytes_max")
    ports = ", ".join(
        draft.get(f"network.ports.{name}") for name in ("api", "fabric_client", "fabric_cluster")
    )
    rows = [
        ("Cluster", draft.get("cluster.name")),
        ("Voters", _quorum(context.voters, len(hosts))),
        ("Subnet", draft.get("network.subnet") or (str(subnet) if subnet else UNKNOWN)),
        ("Ports", f"{ports} (API, fabric, routes)"),
        ("Firewall", draft.get("network.firewall.mode")),
        ("Certificates", f"two authorities made here, {draft.get('security.tls.leaf_days')} days"),
        ("Data", f"{draft.get('resources.paths.data')}, broker at most {_size(store)}"),
        ("Failover", draft.get("cluster.failover")),
    ]
    lines: list[list[Part]] = [[("Taken without asking", Tone.ACCENT)]]
    for label, words in rows:
        lines.append([(label.ljust(_LABEL), Tone.MUTED), (clean(words), Tone.PLAIN)])
    for key, found in sorted(context.detected.items()):
        words = f"{key} is {found.text}, because {found.words}"
        lines.append([(" " * _LABEL, Tone.MUTED), (clean(words), Tone.INFO)])
    unseen = [name for name in hosts if name not in context.seen]
    if unseen:
        words = f"{', '.join(unseen)} not seen yet: nothing is detected there"
        lines.append([(clean(words), Tone.WARN)])
    return lines


def _quorum(voters: tuple[str, ...], count: int) -> str:
    if count == _PAIR and len(voters) == 1:
        return f"{voters[0]} alone: two hosts tolerate no loss; use one or three"
    spare = len(voters) - (len(voters) // 2 + 1)
    lost = "none may be lost" if not spare else f"{spare} may be lost"
    return f"{', '.join(voters)}; {lost}" if voters else UNKNOWN


def _size(text: str) -> str:
    return size(int(text)) if text.isdecimal() else text
