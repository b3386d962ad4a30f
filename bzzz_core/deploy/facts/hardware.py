"""Processors, memory and disks: what there is, and how much of it a control group allows.

A container sees the processors and the memory of its host in most places, so the limits of the
control group are facts of their own. The strictest one counts.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from bzzz_core.deploy.facts.sections import (
    Sections,
    document,
    flag,
    guarded,
    kilobytes,
    number,
    objects,
    pairs_list,
    parts,
    text_of,
    word,
)

DEVICES_MAX: Final = 1_000
MOUNTS_MAX: Final = 32
"""Places at which one device is mounted that are kept."""
NOTABLE_FLAGS: Final = (
    *("avx", "avx2", "f16c", "avx_vnni", "avx512f", "avx512_bf16", "avx512_vnni"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "sve", "sve2", "i8mm", "bf16"),
)
"""What decides how fast a model runs on the processor; the last line is Arm's."""
_UNLIMITED_BYTES: Final = 1 << 60
"""Version 1 writes "no limit" as the largest number of whole pages."""
_CPU_LIST: Final = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?){0,999}")
_CPUS_MAX: Final = 100_000


class NumaNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """One memory node and the processors beside it."""

    number: int
    cpus: str
    """As Linux writes it: "0-15,32-47"; "" for a node of memory alone."""


class Cpu(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The processors."""

    model: str | None = None
    sockets: int | None = None
    cores: int | None = None
    """In all sockets."""
    threads: int | None = None
    """Those that are online."""
    nodes: tuple[NumaNode, ...] | None = None
    """None of them: a kernel without memory nodes."""
    flags: tuple[str, ...] | None = None
    """Which of `NOTABLE_FLAGS` it has."""
    allowed: str | None = None
    """The processors we may use, as Linux writes them."""
    quota_milli: int | None = None
    """Thousandths of a processor that a control group allows; 0: as many as there are."""


class Memory(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What `HostFacts` itself does not say about memory."""

    swap_total_bytes: int | None = None
    """0: there is none."""
    swap_free_bytes: int | None = None
    hugepages_total: int | None = None
    hugepages_free: int | None = None
    hugepage_bytes: int | None = None
    limit_bytes: int | None = None
    """What a control group allows; 0: no limit."""


class BlockDevice(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A disk, a partition, or what is made of them."""

    name: str
    kind: str
    """`lsblk`'s word: disk, part, lvm, crypt, raid1 ..."""
    parent: str = ""
    """The device it is a part of; "" for a whole one."""
    size_bytes: int | None = None
    rotating: bool | None = None
    readonly: bool | None = None
    model: str = ""
    transport: str = ""
    """nvme, sata, usb ...; "" where the kernel does not say, as in most virtual machines."""
    filesystem: str = ""
    mounts: tuple[str, ...] = ()


def read_cpu(sections: Sections) -> Cpu | None:
    """Return the processors; None if nothing of them is known."""
    text, groups = text_of(sections, "cpu"), _groups(sections)
    if text is None:
        return None
    found = guarded(_cpu, text)
    if found is None or groups is None:
        return found
    allowed = _strictest(groups, "cpus") or _strictest(groups, "affinity")
    return msgspec.structs.replace(found, allowed=allowed, quota_milli=_quota_milli(groups))


def read_memory(sections: Sections) -> Memory | None:
    """Return swap, huge pages and the limit; None if nothing of them is known."""
    text, groups = text_of(sections, "memory"), _groups(sections)
    if text is None and groups is None:
        return None
    said = dict(re.findall(r"^(\w+): +(\d{1,18})(?: kB)?$", text or "", re.MULTILINE))
    return Memory(
        swap_total_bytes=kilobytes(said.get("SwapTotal")),
        swap_free_bytes=kilobytes(said.get("SwapFree")),
        hugepages_total=number(said.get("HugePages_Total")),
        hugepages_free=number(said.get("HugePages_Free")),
        hugepage_bytes=kilobytes(said.get("Hugepagesize")),
        limit_bytes=None if groups is None else _limit_bytes(groups),
    )


def read_devices(text: str) -> tuple[BlockDevice, ...]:
    """Return the block devices that `lsblk -J` printed, each after its parent.

    Raises:
        ValueError: They are too many, or not what `lsblk` prints.
    """
    found: dict[str, BlockDevice] = {}
    waiting = [("", item) for item in reversed(objects(document(text)["blockdevices"]))]
    while waiting:
        parent, item = waiting.pop()
        device = _device(item, parent)
        # What stands on two devices, as a mirror does, is printed below each of them.
        found.setdefault(device.name, device)
        children = objects(item.get("children") or [])
        waiting.extend((device.name, child) for child in reversed(children))
        if len(found) + len(waiting) > DEVICES_MAX:
            raise ValueError("too many devices")
    return tuple(found.values())


def cpu_count(cpus: str) -> int:
    """Return how many processors a list of Linux names.

    Raises:
        ValueError: It is no such list.
    """
    if not _CPU_LIST.fullmatch(cpus):
        raise ValueError(cpus)
    count = 0
    for item in cpus.split(","):
        first, _, last = item.partition("-")
        length = int(last or first) - int(first) + 1
        if length < 1:
            raise ValueError(cpus)
        count += length
    if count > _CPUS_MAX:
        raise ValueError(cpus)
    return count


def _cpu(text: str) -> Cpu:
    said = dict(parts(text))
    nodes = sorted(
        (
            NumaNode(int(match[1]), match[2] if _CPU_LIST.fullmatch(match[2]) else "")
            for match in re.finditer(r"^node(\d{1,5})=(\S*)$", said.get("nodes", ""), re.MULTILINE)
        ),
        key=lambda node: node.number,
    )
    if "lscpu" in said:
        found = _lscpu(said["lscpu"])
    else:
        found = _cpuinfo(said["cpuinfo"], said.get("ids", ""))
    return msgspec.structs.replace(found, nodes=tuple(nodes) if "nodes" in said else None)


def _lscpu(text: str) -> Cpu:
    # A processor with two kinds of cores has a block for each kind, so every key is a list.
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), []).append(value.strip())
    sockets = [number(value) for value in said.get("Socket(s)", [])]
    each_has = [number(value) for value in said.get("Core(s) per socket", [])]
    if not any(sockets):  # some Arm machines count clusters and write "-" for sockets
        clusters = [number(value) for value in said.get("Cluster(s)", [])]
        each_has = [number(value) for value in said.get("Core(s) per cluster", [])]
        cores = _sum_of_products(clusters, each_has)
    else:
        cores = _sum_of_products(sockets, each_has)
    online = next(iter(said.get("On-line CPU(s) list", ())), "")
    models = [model for model in said.get("Model name", ()) if model not in {"", "-"}]
    flags = said.get("Flags")
    return Cpu(
        model=word(" + ".join(dict.fromkeys(models))) or None,
        sockets=max((count for count in sockets if count), default=None),
        cores=cores,
        threads=cpu_count(online) if _CPU_LIST.fullmatch(online) else _first(said, "CPU(s)"),
        flags=None if flags is None else _notable(" ".join(flags)),
    )


def _first(said: dict[str, list[str]], key: str) -> int | None:
    return number(next(iter(said.get(key, ())), ""))


def _sum_of_products(counts: list[int | None], each_has: list[int | None]) -> int | None:
    if not counts or len(counts) != len(each_has):
        return None
    products = [
        count * cores
        for count, cores in zip(counts, each_has, strict=True)
        if count is not None and cores is not None
    ]
    return sum(products) if len(products) == len(counts) else None


def _cpuinfo(first: str, ids: str) -> Cpu:
    """Read /proc/cpuinfo: the first processor in full, of all others only their numbers."""
    said = {key.strip(): value.strip() for key, _, value in _colons(first)}
    sockets: set[str] = set()
    cores: set[tuple[str, str]] = set()
    threads, socket = 0, ""
    for key, _, value in _colons(ids):
        if key.strip() == "processor":
            threads += 1
        elif key.strip() == "physical id":
            socket = value.strip()
            sockets.add(socket)
        elif key.strip() == "core id":
            cores.add((socket, value.strip()))
    flags = said.get("flags", said.get("Features"))
    return Cpu(
        model=word(said.get("model name", "")) or None,
        sockets=len(sockets) or None,
        cores=len(cores) or None,
        threads=threads or None,
        flags=None if flags is None else _notable(flags),
    )


def _colons(text: str) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in text.splitlines()]


def _notable(flags: str) -> tuple[str, ...]:
    present = set(flags.split())
    return tuple(name for name in NOTABLE_FLAGS if name in present)


def _groups(sections: Sections) -> list[tuple[str, str]] | None:
    """Return what control groups allow, as pairs; None if that could not be looked at."""
    found = pairs_list(text_of(sections, "cgroup"))
    return found if found and any(key == "version" for key, _ in found) else None


def _strictest(groups: list[tuple[str, str]], key: str) -> str | None:
    lists = [value for name, value in groups if name == key and _CPU_LIST.fullmatch(value)]
    return guarded(lambda _: min(lists, key=cpu_count, default=None), "")


def _quota_milli(groups: list[tuple[str, str]]) -> int:
    """Return the least of the quotas: "max 100000", or microseconds of each period."""
    found = []
    for key, value in groups:
        quota, _, period = value.partition(" ")
        allowed, of_us = number(quota), number(period)
        if key == "quota" and allowed is not None and of_us:
            found.append(max(1, allowed * 1_000 // of_us))
    return min(found, default=0)


def _limit_bytes(groups: list[tuple[str, str]]) -> int:
    limits = [number(value) for key, value in groups if key == "memory"]
    return min((limit for limit in limits if limit and limit < _UNLIMITED_BYTES), default=0)


def _device(item: dict[str, Any], parent: str) -> BlockDevice:
    name = word(item["name"])
    if not name:
        raise ValueError("a device without a name")
    mounts = item.get("mountpoints", [item.get("mountpoint")])
    return BlockDevice(
        name=name,
        kind=word(item.get("type")) or "unknown",
        parent=parent,
        size_bytes=number(item.get("size")),
        rotating=flag(item.get("rota")),
        readonly=flag(item.get("ro")),
        model=word(item.get("model")),
        transport=word(item.get("tran")),
        filesystem=word(item.get("fstype")),
        mounts=tuple(text for mount in mounts[:MOUNTS_MAX] if (text := word(mount, 1_000))),
    )
