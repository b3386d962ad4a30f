"""Where models go on the hosts that the probe found."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from bzzz_core.config.sections import ModelServersAnswers
from bzzz_core.deploy.facts.ai_servers import AiServer, Model
from bzzz_core.deploy.facts.gpus import CardState, Gpu, MigInstance
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.parse import parse
from bzzz_core.deploy.model_places import (
    Limits,
    SizedModel,
    devices_of,
    estimate,
    place_models,
    place_wanted,
)
from tests.fakes.deploy_goals import fresh
from tests.fakes.probe_outputs import WORD, recorded

GB = 10**9


def card(uuid: str, gb: int | None, **more: Any) -> Gpu:
    bytes_total = None if gb is None else gb * GB
    return Gpu(
        slot=f"0000:0{uuid[-1]}:00.0",
        vendor="nvidia",
        state=more.pop("state", CardState.WORKING),
        name="NVIDIA L4",
        uuid=uuid,
        memory_total_bytes=bytes_total,
        **more,
    )


def host(*cards: Gpu, number: int = 1) -> HostFacts:
    return msgspec.structs.replace(
        fresh(number), gpus=cards, memory_total_bytes=100 * GB, ai_servers=()
    )


def asked(**servers: Any) -> ModelServersAnswers:
    return ModelServersAnswers.model_validate(servers)


def test_a_divided_card_runs_nothing_itself() -> None:
    parts = (
        MigInstance(profile="1g.10gb", uuid="MIG-1"),
        MigInstance(profile="3g.40gb", uuid="MIG-2"),
    )
    found = devices_of("a", host(card("GPU-1", 80, mig=parts)), on_cpu=False)
    assert {device.id: device.bytes_total // GB for device in found.devices} == {
        "MIG-1": 10,
        "MIG-2": 40,
    }


PARTS = (
    MigInstance(profile="3g.40gb", uuid="MIG-1"),
    MigInstance(profile="3g.40gb", uuid="MIG-2"),
)


@pytest.mark.parametrize(("parts", "words"), [((), "has no parts"), (None, "are not known")])
def test_a_divided_card_without_parts_holds_nothing(
    parts: tuple[MigInstance, ...] | None, words: str
) -> None:
    found = devices_of("a", host(card("GPU-1", 80, divided=True, mig=parts)), on_cpu=False)
    assert found.devices == ()
    assert words in found.unknown


def test_no_model_is_split_over_the_parts_of_a_card() -> None:
    """A program sees one of them and no more."""
    asked_for = asked(models=[{"name": "big", "size_bytes": 45 * GB}])
    divided = host(card("GPU-1", 80, divided=True, mig=PARTS))
    placement = place_wanted(asked_for, {"a": divided})
    assert placement.places == ()
    (refusal,) = placement.refusals
    assert "on all cards of one host 0.0 GB (a)" in refusal.words
    whole = host(card("GPU-1", 80, divided=True, mig=PARTS), card("GPU-2", 40), card("GPU-3", 40))
    (place,) = place_wanted(asked_for, {"a": whole}).places
    assert set(place.devices) == {"GPU-2", "GPU-3"}


def test_a_card_that_shares_the_hosts_memory_is_flagged_and_not_dropped() -> None:
    (device,) = devices_of("a", host(card("GPU-1", None, unified=True)), on_cpu=False).devices
    assert (device.bytes_total, device.unified) == (100 * GB, True)


@pytest.mark.parametrize("state", [CardState.HUNG, CardState.NO_DRIVER, CardState.VFIO, None])
def test_a_card_without_a_working_driver_holds_nothing(state: CardState | None) -> None:
    """`nvidia-smi` on the PATH is no card, and a card alone is no driver."""
    assert devices_of("a", host(card("GPU-1", 24, state=state)), on_cpu=False).devices == ()


def test_a_card_of_unknown_memory_is_said_and_not_guessed() -> None:
    found = devices_of("a", host(card("GPU-1", None)), on_cpu=False)
    assert found.devices == ()
    assert found.unknown == "the memory of NVIDIA L4 is not known"


def test_processors_hold_models_only_when_asked_to() -> None:
    assert devices_of("a", host(), on_cpu=False).devices == ()
    assert [device.id for device in devices_of("a", host(), on_cpu=True).devices] == ["cpu"]
    with_card = devices_of("a", host(card("GPU-1", 24)), on_cpu=True)
    assert [device.id for device in with_card.devices] == ["GPU-1"]


def test_spread_leaves_room_and_pack_fills() -> None:
    facts = {"a": host(card("GPU-1", 24)), "b": host(card("GPU-2", 48), number=2)}
    models = [{"name": f"m{n}", "size_bytes": 5 * GB} for n in range(3)]
    spread = place_wanted(asked(models=models), facts)
    assert [place.host for place in spread.places] == ["b", "b", "b"]
    packed = place_wanted(asked(models=models, spread="pack"), facts)
    assert [place.host for place in packed.places] == ["a", "a", "a"]


def test_a_model_for_several_cards_lies_on_the_fewest() -> None:
    cards = [card(f"GPU-{n}", 24) for n in range(4)]
    placement = place_wanted(
        asked(models=[{"name": "big:70b", "size_bytes": 35 * GB}]), {"a": host(*cards)}
    )
    (place,) = placement.places
    assert place.devices == ("GPU-0", "GPU-1")
    assert place.bytes_each == 21 * GB


def test_setup_stays_with_a_host_that_has_the_model() -> None:
    """Otherwise a second run would fetch it elsewhere, only because rooms differ now."""
    server = AiServer(program="ollama", port=11434, models=(Model("m:latest", 5 * GB),))
    small = msgspec.structs.replace(host(card("GPU-1", 24)), ai_servers=(server,))
    facts = {"a": host(card("GPU-2", 48), number=2), "b": small}
    placement = place_wanted(asked(models=[{"name": "m"}]), facts)
    assert placement.models_on("b") == ("m",)


def test_a_refusal_says_what_is_needed_and_what_there_is() -> None:
    facts = {"a": host(card("GPU-1", 24)), "b": host(card("GPU-2", 16), number=2)}
    wanted = asked(models=[{"name": "big", "size_bytes": 40 * GB}], sharding=False)
    (refusal,) = place_wanted(wanted, facts).refusals
    assert refusal.words == "needs 48.0 GB; the most room on one device is 21.6 GB on a"


def test_a_limit_for_a_card_holds() -> None:
    wanted = asked(models=[{"name": "m", "size_bytes": 10 * GB}], gpu_bytes_max=11 * GB)
    (refusal,) = place_wanted(wanted, {"a": host(card("GPU-1", 24))}).refusals
    assert "11.0 GB on a" in refusal.words


def test_a_size_is_what_a_host_says_before_it_is_guessed() -> None:
    server = AiServer(program="ollama", port=11434, models=(Model("qwen3:8b", 6 * GB),))
    facts = {"a": msgspec.structs.replace(host(card("GPU-1", 24)), ai_servers=(server,))}
    (seen,) = place_wanted(asked(models=[{"name": "qwen3:8b"}]), facts).places
    assert (seen.bytes_each, seen.estimated) == (7_200_000_000, False)
    (guessed,) = place_wanted(asked(models=[{"name": "other:8b"}]), facts).places
    assert guessed.estimated


@pytest.mark.parametrize(
    ("name", "gb"), [("llama3:8b", 4.96), ("qwen3:0.6b", 0.372), ("m:30b-a3b", 18.6)]
)
def test_a_name_tells_about_the_size(name: str, gb: float) -> None:
    assert estimate(name) == pytest.approx(gb * GB)


@pytest.mark.parametrize("name", ["llama3", "b", "mxb", "phi3:mini", "1bit"])
def test_a_name_without_a_figure_tells_nothing(name: str) -> None:
    assert estimate(name) is None


def test_a_model_of_unknown_size_goes_where_it_is_told_and_nowhere_else() -> None:
    facts = {"a": host(card("GPU-1", 24))}
    told = place_wanted(asked(models=[{"name": "phi3", "hosts": ["a"]}]), facts)
    assert told.models_on("a") == ("phi3",)
    (refusal,) = place_wanted(asked(models=[{"name": "phi3"}]), facts).refusals
    assert refusal.words.startswith("its size is not known")


def test_a_model_bound_to_a_card_goes_nowhere_else() -> None:
    models = [SizedModel(name="m", bytes_size=GB, gpus=("GPU-9",))]
    one = devices_of("a", host(card("GPU-1", 24)), on_cpu=False)
    (refusal,) = place_models([one], models, Limits()).refusals
    assert refusal.words.endswith("no host that may hold it has a usable card of GPU-9")


def test_the_tool_says_that_a_card_is_divided_also_before_it_has_parts() -> None:
    output = re.sub(rb"^\s+MIG .*\n", b"", recorded("nvidia_mig"), flags=re.MULTILINE)
    facts = parse(output, WORD)
    assert [(one.divided, one.mig) for one in facts.gpus or ()] == [(True, ()), (False, ())]
    found = devices_of("a", facts, on_cpu=False)
    assert [device.id[-1] for device in found.devices] == ["2"], "the whole card alone"
    assert "MIG is on" in found.unknown
