"""Statements about every placement of models on cards."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.deploy.model_places import (
    CPU,
    Device,
    HostDevices,
    Limits,
    Placement,
    SizedModel,
    place_models,
)

GB = 10**9
SIZES = st.integers(0, 200 * GB)
LIMITS = st.builds(
    Limits,
    spread=st.booleans(),
    sharding=st.booleans(),
    memory_ratio=st.floats(0.1, 1),
    bytes_max=st.none() | SIZES,
    working_ratio=st.floats(0, 1),
)


@st.composite
def hosts(draw: st.DrawFn) -> list[HostDevices]:
    found = []
    for number in range(draw(st.integers(0, 5))):
        names = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=4))
        devices = [Device(id=f"GPU-{number}{name}", bytes_total=draw(SIZES)) for name in names]
        if not devices and draw(st.booleans()):
            devices = [Device(id=CPU, bytes_total=draw(SIZES), unified=True)]
        found.append(HostDevices(host=f"h{number}", devices=tuple(devices)))
    return found


MODELS = st.lists(
    st.builds(
        SizedModel,
        name=st.sampled_from([f"m{n}" for n in range(8)]),
        bytes_size=SIZES,
        hosts=st.lists(st.sampled_from(["h0", "h1", "h9"]), unique=True, max_size=2).map(tuple),
        copies=st.integers(1, 4),
        gpus=st.lists(st.sampled_from(["GPU-0a", "GPU-1b"]), unique=True, max_size=2).map(tuple),
    ),
    unique_by=lambda model: model.name,
    max_size=8,
)


@given(there=hosts(), models=MODELS, limits=LIMITS)
def test_no_device_is_filled_beyond_its_room(
    there: list[HostDevices], models: list[SizedModel], limits: Limits
) -> None:
    placement = place_models(there, models, limits)
    filled: defaultdict[tuple[str, str], int] = defaultdict(int)
    for place in placement.places:
        for device in place.devices:
            filled[place.host, device] += place.bytes_each
    rooms = {(one.host, d.id): limits.room_of(d) for one in there for d in one.devices}
    assert all(count <= rooms[device] for device, count in filled.items())


@given(there=hosts(), models=MODELS, limits=LIMITS)
def test_every_copy_has_a_place_or_a_reason_with_figures(
    there: list[HostDevices], models: list[SizedModel], limits: Limits
) -> None:
    placement = place_models(there, models, limits)
    by_name = {model.name: model for model in models}
    wanted = sum(len(model.hosts) or model.copies for model in models)
    assert len(placement.places) + len(placement.refusals) == wanted
    for place in placement.places:
        model = by_name[place.model]
        assert len(place.devices) * place.bytes_each >= limits.need_of(model)
        assert not model.hosts or place.host in model.hosts
        assert not model.gpus or set(place.devices) <= set(model.gpus)
        assert len(place.devices) == 1 or (limits.sharding and CPU not in place.devices)
    for refusal in placement.refusals:
        assert f"needs {limits.need_of(by_name[refusal.model]) / GB:.1f} GB" in refusal.words


@given(there=hosts(), models=MODELS, limits=LIMITS)
def test_copies_lie_on_different_hosts(
    there: list[HostDevices], models: list[SizedModel], limits: Limits
) -> None:
    placement = place_models(there, models, limits)
    for model in models:
        holders = [place.host for place in placement.places if place.model == model.name]
        assert len(holders) == len(set(holders))


@given(there=hosts(), models=MODELS, limits=LIMITS, order=st.randoms(use_true_random=False))
def test_the_order_of_the_models_decides_nothing(
    there: list[HostDevices], models: list[SizedModel], limits: Limits, order: object
) -> None:
    turned = list(models)
    order.shuffle(turned)  # type: ignore[attr-defined]
    assert place_models(there, models, limits) == place_models(there, turned, limits)


@given(there=hosts(), models=MODELS, limits=LIMITS)
def test_a_single_model_is_refused_only_if_no_device_has_room(
    there: list[HostDevices], models: list[SizedModel], limits: Limits
) -> None:
    for model in models:
        alone = place_models(there, [model], limits)
        if isinstance(alone, Placement) and not alone.places and not model.hosts:
            rooms = [
                limits.room_of(device)
                for one in there
                for device in one.devices
                if not model.gpus or device.id in model.gpus
            ]
            assert all(room < limits.need_of(model) for room in rooms)
