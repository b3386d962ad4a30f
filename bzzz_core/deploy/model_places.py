"""Which model lies on which host and card: decided from sizes and memory alone, without I/O.

A model fills its size and a part of that besides, for context and computing (`working_ratio`). A
card gives models a part of its memory (`memory_ratio`, `bytes_max`). A divided card runs nothing
itself: its parts are the devices, each alone, for a program sees one of them and no more. A card
that shares the host's memory is one device with that memory. A host without a usable card is one
device, its memory, if models may be on the processor.

Models are placed from the largest to the smallest: on a host that has the file already if it has
room, else on the device that has most room (spread) or least (pack); on several cards of one host,
an equal part each, only if no single one has room. Ties go by the order of the hosts. What does not
fit is refused with the figures, never squeezed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bzzz_core.config.sections import ModelServersAnswers, WantedModel
from bzzz_core.deploy.facts.gpus import CardState, Gpu
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.integrations.ollama import full_name

CPU: Final = "cpu"
"""The name of a host's processors among its devices."""
BYTES_PER_PARAMETER: Final = 0.62
"""Of a model as Ollama offers it by default (4 bits and scales): 8b is 4.9 GB, 70b is 43 GB."""
_PARAMETERS: Final = re.compile(r"(?:^|[^0-9.])(\d{1,4}(?:\.\d{1,3})?)b(?:[^a-z0-9]|$)")
_PROFILE_GB: Final = re.compile(r"\.(\d{1,4})gb")
_GB: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something that holds models."""

    id: str
    """Of a card its UUID, or its slot if it has none; `cpu`."""
    bytes_total: int
    unified: bool = False
    """Its memory is the host's."""
    part: bool = False
    """Of a divided card. A program sees one part and no more: a model lies on one alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDevices:
    """One host's devices."""

    host: str
    devices: tuple[Device, ...]
    unknown: str = ""
    """Why a card could not be counted, if one could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedModel:
    """A model to place."""

    name: str
    bytes_size: int
    estimated: bool = False
    """The size is guessed from its name."""
    hosts: tuple[str, ...] = ()
    copies: int = 1
    gpus: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    """Hosts that have it on their disks: setup stays with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How devices are filled."""

    spread: bool = True
    sharding: bool = True
    memory_ratio: float = 0.9
    bytes_max: int | None = None
    working_ratio: float = 0.2

    def room_of(self, device: Device) -> int:
        """Return how much of a device models may fill."""
        room = int(device.bytes_total * self.memory_ratio)
        return room if self.bytes_max is None else min(room, self.bytes_max)

    def need_of(self, model: SizedModel) -> int:
        """Return how much memory a model fills."""
        return model.bytes_size + int(model.bytes_size * self.working_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One copy of a model."""

    model: str
    host: str
    devices: tuple[str, ...]
    """Several: a part on each."""
    bytes_each: int
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A copy that has no place."""

    model: str
    host: str
    """"" if setup was to choose."""
    words: str
    """Why, with the figures."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything lies."""

    places: tuple[Place, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def models_on(self, host: str) -> tuple[str, ...]:
        """Return the models that one host holds."""
        return tuple(dict.fromkeys(place.model for place in self.places if place.host == host))


@dataclass(slots=True)
class _Room:
    """What is left of a host while models are placed."""

    host: str
    order: int
    free: dict[str, int] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()

    @property
    def all_free(self) -> int:
        return sum(self.free.values())

    @property
    def shared_free(self) -> int:
        """Return what one model could fill over several cards."""
        return sum(free for device, free in self.free.items() if device not in self.parts)


def place_models(
    hosts: Sequence[HostDevices], models: Sequence[SizedModel], limits: Limits
) -> Placement:
    """Return a place for each copy of each model, or why it has none."""
    rooms = [
        _Room(
            one.host,
            order,
            {device.id: limits.room_of(device) for device in one.devices},
            frozenset(device.id for device in one.devices if device.part),
        )
        for order, one in enumerate(hosts)
    ]
    places: list[Place] = []
    refusals: list[Refusal] = []
    for model in sorted(models, key=lambda one: (-one.bytes_size, one.name)):
        holders: set[str] = set()
        for wanted in model.hosts or [""] * model.copies:
            open_rooms = [
                room
                for room in rooms
                if room.host not in holders and (not wanted or room.host == wanted)
            ]
            place = _place(model, open_rooms, limits)
            if place is None:
                words = _words(model, open_rooms, limits)
                refusals.append(Refusal(model=model.name, host=wanted, words=words))
            else:
                holders.add(place.host)
                places.append(place)
    return Placement(tuple(places), tuple(refusals))


def _place(model: SizedModel, rooms: Sequence[_Room], limits: Limits) -> Place | None:
    need = limits.need_of(model)
    single = [
        (room, device, free)
        for room in rooms
        for device, free in _allowed(model, room)
        if free >= need
    ]
    if single:
        room, device, _ = min(single, key=lambda one: _rank(model, one[0], one[2], limits))
        return _take(model, room, (device,), need)
    if limits.sharding:
        for room in sorted(rooms, key=lambda one: _rank(model, one, one.all_free, limits)):
            devices = _shards(model, room, need)
            if devices:
                return _take(model, room, devices, -(-need // len(devices)))
    return None


def _shards(model: SizedModel, room: _Room, need: int) -> tuple[str, ...]:
    """Return the fewest cards of a host that hold a model in equal parts; none if none do."""
    alone = {CPU, *room.parts}
    cards = [one for one in _allowed(model, room) if one[0] not in alone]
    cards.sort(key=lambda one: -one[1])
    for count in range(2, len(cards) + 1):
        if cards[count - 1][1] >= -(-need // count):
            return tuple(device for device, _ in cards[:count])
    return ()


def _allowed(model: SizedModel, room: _Room) -> Iterator[tuple[str, int]]:
    for device, free in room.free.items():
        if not model.gpus or device in model.gpus:
            yield device, free


def _rank(model: SizedModel, room: _Room, free: int, limits: Limits) -> tuple[bool, int, int, int]:
    """Return what sorts the best place first."""
    sign = -1 if limits.spread else 1
    return room.host not in model.there, sign * free, sign * room.all_free, room.order


def _take(model: SizedModel, room: _Room, devices: tuple[str, ...], bytes_each: int) -> Place:
    for device in devices:
        room.free[device] -= bytes_each
    return Place(
        model=model.name,
        host=room.host,
        devices=devices,
        bytes_each=bytes_each,
        estimated=model.estimated,
    )


def _words(model: SizedModel, rooms: Sequence[_Room], limits: Limits) -> str:
    need = f"needs {gigabytes(limits.need_of(model))}"
    if model.estimated:
        need += " (estimated by its name)"
    free = [(free, room) for room in rooms for _, free in _allowed(model, room)]
    if not free:
        return f"{need}, and no host that may hold it has a usable card" + (
            f" of {', '.join(model.gpus)}" if model.gpus else ""
        )
    most, room = max(free, key=lambda one: (one[0], -one[1].order))
    words = f"{need}; the most room on one device is {gigabytes(most)} on {room.host}"
    if limits.sharding:
        best = max(rooms, key=lambda one: (one.shared_free, -one.order))
        words += f", on all cards of one host {gigabytes(best.shared_free)} ({best.host})"
    return words


def gigabytes(count: int) -> str:
    """Return bytes for a person."""
    return f"{count / _GB:.1f} GB"


def devices_of(host: str, facts: HostFacts, *, on_cpu: bool) -> HostDevices:
    """Return what a host offers models, from what the probe found."""
    devices: list[Device] = []
    unknown: list[str] = []
    for card in facts.gpus or ():
        if not card.computes or card.state is not CardState.WORKING:
            continue
        found = tuple(_of_card(card, facts))
        devices += found
        if not found:
            unknown.append(_uncounted(card))
    memory = facts.memory_total_bytes or 0  # What is free at the moment would change the plan.
    if not devices and on_cpu and memory:
        devices.append(Device(id=CPU, bytes_total=memory, unified=True))
    return HostDevices(host=host, devices=tuple(devices), unknown="; ".join(unknown))


def _uncounted(card: Gpu) -> str:
    name = card.name or card.slot
    if card.divided and card.mig == ():
        return f"{name} is to be divided (MIG is on) and has no parts: make some, or turn MIG off"
    if card.divided:
        return f"the parts of {name}, which is divided (MIG), are not known"
    return f"the memory of {name} is not known"


def _of_card(card: Gpu, facts: HostFacts) -> Iterator[Device]:
    name = card.uuid or card.slot or card.name
    if card.divided or card.mig:
        for part in card.mig or ():
            size = _PROFILE_GB.search(part.profile)
            if size:  # The profile's figure is a little less than what the part has.
                yield Device(id=part.uuid, bytes_total=int(size[1]) * _GB, part=True)
    elif card.unified:
        shared = facts.memory_total_bytes or card.shared_bytes or card.memory_total_bytes
        if shared:
            yield Device(id=name, bytes_total=shared, unified=True)
    elif card.memory_total_bytes:
        yield Device(id=name, bytes_total=card.memory_total_bytes)


def sized(model: WantedModel, facts: Mapping[str, HostFacts]) -> SizedModel | None:
    """Return a wanted model with its size: given, seen on a host, or by its name; None: unknown."""
    size, estimated = model.size_bytes or _seen(model.name, facts), False
    if size is None:
        size, estimated = estimate(model.name), True
    if size is None:
        return None
    return SizedModel(
        name=model.name,
        bytes_size=size,
        estimated=estimated,
        hosts=model.hosts,
        copies=model.copies,
        gpus=model.gpus,
        there=tuple(name for name, one in facts.items() if _seen(model.name, {name: one})),
    )


def _seen(name: str, facts: Mapping[str, HostFacts]) -> int | None:
    return next(
        (
            stored.size_bytes
            for one in facts.values()
            for server in one.ai_servers or ()
            for stored in server.models or ()
            if full_name(stored.name) == full_name(name) and stored.size_bytes
        ),
        None,
    )


def estimate(name: str) -> int | None:
    """Return about how large a model is whose name says how many parameters it has."""
    found = _PARAMETERS.search(name.lower())
    return int(float(found[1]) * _GB * BYTES_PER_PARAMETER) if found else None


def limits_of(servers: ModelServersAnswers) -> Limits:
    """Return what the answers say about filling devices."""
    return Limits(
        spread=servers.spread == "spread",
        sharding=servers.sharding,
        memory_ratio=servers.gpu_memory_ratio,
        bytes_max=servers.gpu_bytes_max,
        working_ratio=servers.working_ratio,
    )


def place_wanted(servers: ModelServersAnswers, facts: Mapping[str, HostFacts]) -> Placement:
    """Return where the wanted models go.

    A model of unknown size has no room to compare: it goes where the answers name hosts, and is
    refused where setup would have to choose.
    """
    hosts = [
        devices_of(name, one, on_cpu=servers.on_cpu)
        for name, one in facts.items()
        if not servers.hosts or name in servers.hosts
    ]
    known: list[SizedModel] = []
    places: list[Place] = []
    refusals: list[Refusal] = []
    for model in servers.models:
        found = sized(model, facts)
        if found is not None:
            known.append(found)
        elif model.hosts:
            places += [
                Place(model=model.name, host=host, devices=(), bytes_each=0, estimated=True)
                for host in model.hosts
            ]
        else:
            words = "its size is not known; give it, or name the hosts that hold it"
            refusals.append(Refusal(model=model.name, host="", words=words))
    placed = place_models(hosts, known, limits_of(servers))
    return Placement((*placed.places, *places), (*placed.refusals, *refusals))
