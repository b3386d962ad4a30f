"""What `nvidia-smi` says of NVIDIA's cards, and what it means when it says something else.

The tool is asked in CSV, with a shorter list of fields for drivers that do not know the long one.
Values may be `[N/A]`, `[Not Supported]` or `[Unknown Error]`. A card that shares the host's memory
has no memory of its own to report; it is kept, and marked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from bzzz_core.deploy.facts.gpus import (
    CARDS_MAX,
    Answer,
    CardState,
    Gpu,
    GpuDriver,
    GpuLink,
    MigInstance,
    slot_of,
)
from bzzz_core.deploy.facts.sections import (
    TIMED_OUT,
    Sections,
    guarded,
    lines_of,
    number,
    pairs,
    parts,
    short_lines,
    word,
)

_MIB: Final = 1 << 20
_FIELDS: Final = ("uuid", "name", "slot", "total", "used", "driver", "compute", "mig")
"""In the order in which the probe asks; the short list ends with the driver."""
_FIELDS_MIN: Final = 6
_NO_SUCH: Final = frozenset({"[N/A]", "N/A", "[Not Supported]", "Not Supported"})
_LOST: Final = ("GPU is lost", "Unable to determine the device handle", "fallen off the bus")
_MIG_MAX: Final = 16
"""Parts of one card; the hardware makes seven at most."""
_WAY: Final = re.compile(r"NV\d{1,3}|PIX|PXB|PHB|NODE|SYS")
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")


def read_nvidia(
    sections: Sections, cards: tuple[Gpu, ...]
) -> tuple[tuple[Gpu, ...], GpuDriver | None]:
    """Return the cards with what the tool says of them, and the driver.

    No driver is None: the section is not known, or there is neither module, tool nor card.
    """
    status, text = sections.get("nvidia", (1, ""))
    said, answers = guarded(_answers, text) or ("", {})
    if status in TIMED_OUT:
        # Stopped from outside: the tool hangs so deep in the kernel that nothing can end it.
        answers["query"] = Answer(137, "")
    elif status != 0:
        return cards, None
    driver = _driver(said, answers)
    if not driver.tool and not driver.module and not any(_ours(card) for card in cards):
        return cards, None
    query = answers.get("short") or answers.get("query")
    if query is None:
        return cards, driver
    if query.status != 0:
        return _blamed(cards, query), msgspec.structs.replace(driver, words=_complaint(query))
    rows = [row for line in lines_of(query.text)[:CARDS_MAX] if (row := _row(line))]
    mig = _mig(answers.get("list"))
    cards = _joined(cards, rows, mig)
    links = _links(answers.get("topology"), [slot for slot, _ in rows])
    return cards, msgspec.structs.replace(driver, links=links)


def _answers(text: str) -> tuple[str, dict[str, Answer]]:
    """Return what comes first, and by label each answer: its part is headed "label status"."""
    first, *rest = parts(text)
    found = {}
    for name, said in rest:
        label, _, status = name.partition(" ")
        found[label] = Answer(int(status[:4]) if status.isdecimal() else 1, said)
    return first[1], found


def _driver(said: str, answers: dict[str, Answer]) -> GpuDriver:
    facts = pairs(said)
    module = re.search(r"\b(\d{3,4}\.\d{1,4}(?:\.\d{1,4})?)\b", facts.get("module", ""))
    printed = "\n".join(answer.text for answer in answers.values())
    library = re.search(r"NVML library version:\s*([0-9.]{1,20})", printed)
    cuda = re.search(r"CUDA[A-Za-z ]{0,20} Version\s*:\s*([0-9.]{1,10})", printed)
    return GpuDriver(
        vendor="nvidia",
        module=module[1] if module else "",
        library=library[1] if library else "",
        platform=cuda[1] if cuda else "",
        tool=facts.get("tool") == "present",
    )


def _ours(card: Gpu) -> bool:
    return card.vendor == "nvidia"


def _blamed(cards: tuple[Gpu, ...], query: Answer) -> tuple[Gpu, ...]:
    """Return the cards with the reason why the tool says nothing of them."""
    if query.status in TIMED_OUT or any(words in query.text for words in _LOST):
        state = CardState.HUNG
    elif "version mismatch" in query.text:
        state = CardState.MISMATCH
    else:
        state = CardState.FAILED
    return tuple(
        msgspec.structs.replace(card, state=state)
        if _ours(card) and card.driver == "nvidia"
        else card
        for card in cards
    )


def _complaint(query: Answer) -> str:
    return word(query.text) or f"nvidia-smi ended with status {query.status}"


def _row(line: str) -> tuple[str, dict[str, str]] | None:
    values = [value.strip() for value in line.split(",")]
    if len(values) < _FIELDS_MIN:
        return None
    said = dict(zip(_FIELDS, values, strict=False))
    slot = guarded(slot_of, said["slot"])
    return ("" if slot is None else slot, said)


def _joined(
    cards: tuple[Gpu, ...],
    rows: Sequence[tuple[str, dict[str, str]]],
    mig: dict[str, tuple[MigInstance, ...]] | None,
) -> tuple[Gpu, ...]:
    told = dict(rows)
    found = []
    for card in cards:
        if not _ours(card):
            found.append(card)
        elif card.slot in told:
            found.append(_detailed(card, told.pop(card.slot), mig))
        elif not card.slot and len(told) == 1:
            # A Jetson board has one, and the tool gives it a slot that no bus has.
            found.append(_detailed(card, told.popitem()[1], mig))
        elif card.driver == "nvidia":
            found.append(msgspec.structs.replace(card, state=CardState.FAILED))
        else:
            found.append(card)
    # Not on our bus, as in WSL: the tool is all there is to go by.
    found.extend(
        _detailed(Gpu(slot="", vendor="nvidia", driver="nvidia"), said, mig)
        for said in told.values()
    )
    return tuple(found[:CARDS_MAX])


def _detailed(
    card: Gpu, said: dict[str, str], mig: dict[str, tuple[MigInstance, ...]] | None
) -> Gpu:
    total = number(said["total"])
    used = number(said["used"])
    shares = said["total"] in _NO_SUCH
    divided = {"Enabled": True, "Disabled": False}.get(said.get("mig", ""))
    parts_of = None if mig is None else mig.get(said["uuid"], ())
    if divided is None and parts_of:
        divided = True  # An old driver tells nothing of the mode, and lists what there is.
    return msgspec.structs.replace(
        card,
        state=CardState.WORKING,
        name=word(said["name"]) or card.name,
        uuid="" if said["uuid"] in _NO_SUCH else word(said["uuid"], 64),
        memory_total_bytes=None if total is None else total * _MIB,
        memory_used_bytes=None if used is None else used * _MIB,
        unified=True if shares or card.unified else (False if total else None),
        compute="" if said.get("compute", "") in _NO_SUCH else word(said.get("compute", ""), 16),
        divided=divided is True,
        mig={True: parts_of, False: (), None: None}[divided],
    )


def _mig(answer: Answer | None) -> dict[str, tuple[MigInstance, ...]] | None:
    """Return by the UUID of a card its parts; None if the tool did not list them."""
    if answer is None or answer.status != 0:
        return None
    found: dict[str, tuple[MigInstance, ...]] = {}
    card = ""
    for line in short_lines(answer.text):
        if whole := re.match(r"GPU \d+: .*\(UUID: (GPU-[0-9A-Fa-f-]{8,60})\)", line):
            card = whole[1]
            found[card] = ()
        elif part := re.match(r"\s+MIG (\S{1,40})\s+Device\s+\d+: \(UUID: (MIG-\S{8,100})\)", line):
            found[card] = (*found.get(card, ()), MigInstance(profile=part[1], uuid=part[2]))
    return {uuid: instances[:_MIG_MAX] for uuid, instances in found.items()}


def _links(answer: Answer | None, slots: Sequence[str]) -> tuple[GpuLink, ...] | None:
    """Return how each pair of cards is connected; the columns are in the tool's own order."""
    if len(slots) < 2:  # noqa: PLR2004  a pair
        return ()
    if answer is None or answer.status != 0:
        return None
    # A line may hold the end of a colour and nothing else.
    lines = [line for raw in short_lines(answer.text) if (line := _ESCAPE.sub("", raw)).strip()]
    header = next((line.split() for line in lines if line.split()[:1] == ["GPU0"]), [])
    columns = [name for name in header if re.fullmatch(r"GPU\d{1,3}", name)]
    if len(columns) != len(slots):
        return None
    found = []
    for line in lines:
        row, *cells = line.split()
        if row not in columns or not set(cells) & {"X"}:
            continue
        first = columns.index(row)
        for second, cell in enumerate(cells[: len(columns)]):
            if second > first and _WAY.fullmatch(cell):
                found.append(GpuLink(slots[first], slots[second], cell))
    return tuple(found)
