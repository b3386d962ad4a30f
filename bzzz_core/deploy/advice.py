"""What a person should know of a host before trusting it with work, though setup can go on.

Every finding here is a warning. What is not known is one only where not knowing is a risk of its
own; a host that says nothing of its cards has none that setup would use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bzzz_core.config.schema import HostSpec
from bzzz_core.deploy import layout
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.gpus import CardState, Gpu
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.phases import install_command


def advise(host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Yield every warning about one host."""
    for rule in _RULES:
        yield from rule(host, facts)


def _firewall(host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    found = facts.firewall
    if facts.uid != 0:
        return  # nobody else may read the rules, and that we are nobody is said already
    if found is None or found.active is None:
        yield _warning(
            "firewall",
            host,
            "which firewall filters here is not known",
            "look at `ufw status`, `firewall-cmd --state` and `nft list ruleset`; the ports of"
            " network.ports must be open between the hosts",
        )
        return
    if found.conflicts:
        both = " and ".join((found.backend, *found.conflicts))
        yield _warning(
            "firewall",
            host,
            f"{both} are both active: each may close what the other opens",
            f"keep one of them: systemctl disable --now {found.conflicts[0]}",
        )
    if found.ssh_allowed is False:
        yield _warning(
            "firewall",
            host,
            f"{found.backend} refuses new connections to the port of sshd",
            "allow it before this connection ends: ufw allow ssh",
        )


def _time(host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    source = facts.time_source
    if source is None or source.synchronised is not False:
        return
    if facts.system is not None and facts.system.container:
        return  # its clock is its host's, and nothing inside can set it
    yield _warning(
        "clock",
        host,
        "its clock follows no other"
        + (f", though {source.service} runs" if source.service else ": no time service runs"),
        "let it reach its time servers (`chronyc sources`, `timedatectl timesync-status`)"
        if source.service
        else "timedatectl set-ntp true, or install chrony",
    )


def _cards(host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    modules = {driver.vendor: driver for driver in facts.gpu_drivers or ()}
    for state, fix in _CARD_FIXES.items():
        cards = [card for card in facts.gpus or () if card.state is state and card.computes]
        if not cards:
            continue
        driver = modules.get(cards[0].vendor)
        versions = (
            f" (module {driver.module}, library {driver.library})"
            if state is CardState.MISMATCH and driver and driver.module and driver.library
            else ""
        )
        yield _warning("gpu", host, f"{_named(cards)}: {state.value}{versions}", fix)


def _named(cards: list[Gpu]) -> str:
    if len(cards) > 1:
        return f"{len(cards)} cards"
    (card,) = cards
    return " ".join(part for part in (card.name or card.vendor, card.slot) if part)


_CARD_FIXES: Final = {
    CardState.MISMATCH: "reboot the host: the driver was updated, and the old one is still loaded",
    CardState.HUNG: "reboot the host, and look for `Xid` or `amdgpu` in `dmesg`; it hangs without"
    " ever ending, so nothing asks it again",
    CardState.FAILED: "see what `nvidia-smi` or `amd-smi` says on the host, and `dmesg`",
    CardState.NO_DRIVER: "install its vendor's driver if models are to run on it",
    CardState.NOUVEAU: "install NVIDIA's driver, which takes nouveau's place, if models are to run"
    " on it",
}
"""A card that was set aside for a virtual machine was set aside by somebody."""


def _ai_servers(host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    for server in facts.ai_servers or ():
        if server.exposed:
            yield _warning(
                "ai",
                host,
                f"{server.program} listens on {server.place} and asks nobody for a password",
                "let it listen on 127.0.0.1 alone (OLLAMA_HOST), or close the port",
            )


def _command(host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    if install_command.foreign(facts):
        yield _warning(
            "command",
            host,
            f"{layout.COMMAND} is there though BZZZ never was; it is left as it is",
            "move it away and run setup again, if the command is to be the cluster's",
        )


_RULES: Final[tuple[Callable[[HostSpec, HostFacts], Iterator[Finding]], ...]] = (
    _firewall,
    _time,
    _cards,
    _ai_servers,
    _command,
)


def _warning(check: str, host: HostSpec, message: str, fix: str) -> Finding:
    return Finding("warning", check, host.name, message, fix)
