"""Graphics and compute cards: the PCI bus says what is there, a vendor's tool says more.

A tool on the PATH is no card, and a card without a working tool is still a card. So every card on
the bus stands in the list, and what the tools say is added to it by slot. Cards that are on no bus
of ours (Jetson boards, WSL) are added with an empty slot.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import each, guarded, lines_of, number, parts, word

CARDS_MAX: Final = 64
COMPUTING: Final = frozenset({"nvidia", "amd", "intel"})
_VENDORS: Final = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
_SLOT: Final = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", re.IGNORECASE)
_FIELDS_MIN: Final = 4


class CardState(StrEnum):
    """Whether a card can be used."""

    WORKING = "working driver"
    NO_DRIVER = "no driver"
    MISMATCH = "driver/library mismatch"
    """The module in the kernel and the library beside it are of different versions."""
    NOUVEAU = "nouveau"
    """The free driver for NVIDIA's cards: it shows pictures and computes nothing."""
    VFIO = "vfio-pci"
    """Set aside for a virtual machine."""
    HUNG = "hung"
    """The tool did not end, or lost the card: it needs a reboot, perhaps a new card."""
    FAILED = "driver fails"
    """The driver is there, but its tool does not show the card."""


class MigInstance(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A part of a divided card; where there are any, the card itself runs nothing."""

    profile: str
    """"1g.5gb"."""
    uuid: str


class Gpu(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One card."""

    slot: str
    """On the PCI bus: "0000:01:00.0"; "" for one that is on none."""
    vendor: str
    """"nvidia", "amd", "intel", or the number."""
    device: str = ""
    """Its number at that vendor."""
    driver: str | None = None
    """The kernel driver that holds it; None: none does."""
    state: CardState | None = None
    numa: int | None = None
    """The memory node beside it."""
    name: str = ""
    uuid: str = ""
    memory_total_bytes: int | None = None
    """Its own; a card that shares the host's memory may have none, or a small share."""
    memory_used_bytes: int | None = None
    shared_bytes: int | None = None
    """How much of the host's memory the driver lets it use beside its own."""
    unified: bool | None = None
    """It shares the host's memory, so a model's room is the host's."""
    compute: str = ""
    """NVIDIA's compute capability "9.0", AMD's "gfx942"."""
    divided: bool = False
    """MIG is on: the card itself runs nothing, also while it has no parts yet."""
    mig: tuple[MigInstance, ...] | None = None
    """Its parts, if it is divided; None: not known, or a card that cannot be."""

    @property
    def computes(self) -> bool:
        """Return whether models could run on it, and not only pictures."""
        return self.vendor in COMPUTING


class GpuLink(msgspec.Struct, frozen=True, omit_defaults=True):
    """How two cards reach each other."""

    first: str
    second: str
    """Slots."""
    way: str
    """NV18: 18 NVLinks; PIX, PXB, PHB, NODE, SYS: ever more of the host in between."""


class GpuDriver(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The driver of one vendor's cards and what belongs to it."""

    vendor: str
    module: str = ""
    """Version of the module in the kernel; "": none is loaded, or it does not say."""
    library: str = ""
    """Version of the library, where it differs from the module's."""
    platform: str = ""
    """Latest CUDA that the driver runs, or the ROCm that is installed; "" if unknown."""
    tool: bool | None = None
    """Whether the vendor's tool is installed."""
    links: tuple[GpuLink, ...] | None = None
    """None: not known; none of them: one card."""
    words: str = ""
    """What the tool complained about."""


class Answer(msgspec.Struct, frozen=True):
    """How one run of a tool ended, and what it printed."""

    status: int
    text: str


def read_cards(text: str) -> tuple[Gpu, ...]:
    """Return the cards of the section `gpu`, in the order of their slots.

    Raises:
        ValueError: They are too many, or a line is not as we print it.
    """
    said = dict(parts(text))
    cards = each(lines_of(said[""])[: CARDS_MAX + 1], _card)
    if len(cards) > CARDS_MAX:
        raise ValueError("too many cards")
    board = re.search(r"^model=(.+)$", said.get("board", ""), re.MULTILINE)
    if board:
        device = re.search(r"^device=1$", said["board"], re.MULTILINE)
        cards = (
            *cards,
            Gpu(
                slot="",
                vendor="nvidia",
                name=word(board[1]),
                driver="nvgpu" if device else None,
                state=CardState.WORKING if device else CardState.NO_DRIVER,
                unified=True,
            ),
        )
    return cards


def slot_of(text: str) -> str:
    """Return a slot as the kernel writes it; tools write longer domains and capitals.

    Raises:
        ValueError: It is no slot.
    """
    found = _SLOT.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return f"{int(found[1], 16):04x}:{found[2].lower()}"


def _card(line: str) -> Gpu:
    words = line.split()
    if len(words) < _FIELDS_MIN:
        raise ValueError(line)
    said = dict(part.partition("=")[::2] for part in words[_FIELDS_MIN:])
    vendor = _VENDORS.get(words[1], word(words[1]))
    driver = word(said.get("driver", "")) or None
    return Gpu(
        slot=guarded(slot_of, words[0]) or word(words[0]),
        vendor=vendor,
        device=word(words[2]),
        driver=driver,
        state=_state(driver),
        numa=number(said.get("numa", "")),  # -1: the firmware does not say
    )


def _state(driver: str | None) -> CardState | None:
    """Return what the driver alone tells; whether NVIDIA's works only its tool can say."""
    match driver:
        case None:
            return CardState.NO_DRIVER
        case "nouveau":
            return CardState.NOUVEAU
        case "vfio-pci":
            return CardState.VFIO
        case "nvidia":
            return None
        case _:
            return CardState.WORKING
