"""What the kernel and AMD's tools say of AMD's cards.

The kernel's own files hold what matters: how much memory a card has, and how much of the host's
it may use. `amd-smi` or `rocm-smi` add the name and the kind of memory; their JSON has changed its
keys and its shape from version to version, and may stand behind remarks.

Whether a card is part of the processor (an APU) no file says. It is taken for one if its memory is
the host's kind (DDR), if its compute node has processor cores, if its name says so, or if its own
memory is small beside what it may use of the host's. Memory of a card's kind says the opposite.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from bzzz_core.deploy.facts.gpus import CARDS_MAX, Answer, CardState, Gpu, GpuDriver, slot_of
from bzzz_core.deploy.facts.sections import (
    TIMED_OUT,
    Sections,
    document,
    guarded,
    mapping,
    number,
    objects,
    pairs,
    parts,
    word,
)

_APU_NAME: Final = re.compile(r"Radeon(\(TM\)| )*(\d{3,4}[MS] )?Graphics|\d{4}S\b|MI300A|Ryzen")
_SMALL_BYTES: Final = 4 << 30
"""Own memory that no computing card of the last years is below."""
_UNITS: Final = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


class _Told(msgspec.Struct, frozen=True):
    """What a tool says of one card."""

    name: str = ""
    memory_kind: str = ""
    memory_bytes: int | None = None
    compute: str = ""


def read_amd(
    sections: Sections, cards: tuple[Gpu, ...]
) -> tuple[tuple[Gpu, ...], GpuDriver | None]:
    """Return the cards with what is known of them, and the driver; None: there is nothing of AMD's.

    A card that the driver holds but has not brought up has no entry among the kernel's files.
    """
    status, text = sections.get("amd", (1, ""))
    stopped = status in TIMED_OUT
    said = guarded(parts, text)
    if said is None or (status != 0 and not stopped):
        return cards, None
    kernel = {
        slot: one
        for name, part in said
        if name == "card" and (slot := guarded(slot_of, (one := pairs(part)).get("slot", "")))
    }
    nodes = _nodes([pairs(part) for name, part in said if name == "node"])
    answer = next((_answer(name, part) for name, part in said if _is_tool(name)), None)
    told = guarded(_tool, answer.text) if answer is not None and answer.status == 0 else None
    hung = stopped or (answer is not None and answer.status in TIMED_OUT)
    found = tuple(
        _detailed(card, kernel.get(card.slot), nodes, told or {}, hung=hung)
        if card.vendor == "amd" and card.driver in {"amdgpu", "radeon"}
        else card
        for card in cards
    )
    if not any(card.vendor == "amd" for card in cards):
        return found, None
    facts = pairs(said[0][1])
    rocm = re.match(r"\d+(\.\d+){1,3}", facts.get("rocm", ""))
    driver = GpuDriver(
        vendor="amd",
        module=word(facts.get("driver", ""), 40),
        platform=rocm[0] if rocm else "",
        tool=facts.get("tool") == "present" if "tool" in facts else None,
        words=word(answer.text) if answer is not None and answer.status != 0 else "",
    )
    return found[:CARDS_MAX], driver


def _is_tool(name: str) -> bool:
    return name.startswith(("amd-smi ", "rocm-smi "))


def _answer(name: str, text: str) -> Answer:
    return Answer(number(name.partition(" ")[2]) or 0, text)


def _nodes(nodes: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return the compute nodes by slot; the kernel packs bus and function into one number."""
    found = {}
    for node in nodes[: 2 * CARDS_MAX]:
        place, domain = number(node.get("location_id")), number(node.get("domain")) or 0
        if place is not None and number(node.get("simd_count")):
            bus, device, function = (place >> 8) & 0xFF, (place >> 3) & 0x1F, place & 0x7
            found[f"{domain:04x}:{bus:02x}:{device:02x}.{function}"] = node
    return found


def _detailed(
    card: Gpu,
    kernel: dict[str, str] | None,
    nodes: dict[str, dict[str, str]],
    told: dict[str, _Told],
    *,
    hung: bool,
) -> Gpu:
    if kernel is None:
        return msgspec.structs.replace(card, state=CardState.HUNG if hung else CardState.FAILED)
    node, tool = nodes.get(card.slot, {}), told.get(card.slot, _Told())
    total = number(kernel.get("vram_total")) or tool.memory_bytes
    shared = number(kernel.get("gtt_total"))
    name = tool.name or word(kernel.get("name", ""))
    return msgspec.structs.replace(
        card,
        state=CardState.HUNG if hung else CardState.WORKING,
        name=name,
        uuid=word(kernel.get("unique_id", ""), 64),
        memory_total_bytes=total,
        memory_used_bytes=number(kernel.get("vram_used")),
        shared_bytes=shared,
        unified=_shares(name, tool.memory_kind, node, total, shared),
        compute=tool.compute or _gfx(number(node.get("gfx_target_version"))),
    )


def _shares(
    name: str, memory_kind: str, node: dict[str, str], total: int | None, shared: int | None
) -> bool | None:
    kind = memory_kind.upper()
    if "GDDR" in kind or ("HBM" in kind and "MI300A" not in name):
        return False
    if "DDR" in kind or number(node.get("cpu_cores_count")) or _APU_NAME.search(name):
        return True
    if total is None or shared is None:
        return None
    return True if total < _SMALL_BYTES and total <= shared else None


def _gfx(version: int | None) -> str:
    """Return the name of an architecture: 90402 is gfx942, 110003 gfx1103, 90010 gfx90a."""
    if not version:
        return ""
    major, minor, step = version // 10_000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{step:x}"


def _tool(text: str) -> dict[str, _Told]:
    """Return what a tool says, by slot, whatever shape its document has."""
    said = document(text)
    if isinstance(said, dict) and "gpu_data" in said:
        said = said["gpu_data"]
    if isinstance(said, list):
        return dict(_by_amd_smi(one) for one in objects(said)[:CARDS_MAX] if "bus" in one)
    entries = [said[key] for key in said if re.fullmatch(r"card\d{1,3}", key)]
    return dict(_by_rocm_smi(one) for one in objects(entries)[:CARDS_MAX] if "PCI Bus" in one)


def _by_amd_smi(one: dict[str, Any]) -> tuple[str, _Told]:
    asic, memory = mapping(one.get("asic")), mapping(one.get("vram"))
    size = memory.get("size")
    if isinstance(size, dict):
        amount, unit = number(size.get("value")), _UNITS.get(word(size.get("unit")))
    else:  # before 6.2: "196592 MB"
        first, _, last = word(size).partition(" ")
        amount, unit = number(first), _UNITS.get(last)
    compute = word(asic.get("target_graphics_version"), 16)
    return slot_of(word(mapping(one["bus"]).get("bdf"))), _Told(
        name=_known(asic.get("market_name")),
        memory_kind=_known(memory.get("type")),
        memory_bytes=amount * unit if amount and unit else None,
        compute=compute if compute.startswith("gfx") else "",
    )


def _by_rocm_smi(one: dict[str, Any]) -> tuple[str, _Told]:
    said = {key.lower(): value for key, value in one.items()}
    return slot_of(word(said["pci bus"])), _Told(
        name=_known(said.get("card series")) or _known(said.get("device name")),
        memory_bytes=number(said.get("vram total memory (b)")),
        compute=_known(said.get("gfx version")),
    )


def _known(value: object) -> str:
    text = word(value)
    return "" if text in {"N/A", "n/a"} or text.startswith("0x") else text
