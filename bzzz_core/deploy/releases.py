"""Gets every host the release that fits it: built here, or out of a bundle, each kind once."""

from __future__ import annotations

from collections.abc import Mapping

from bzzz_core.deploy.events import Status, Step
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import RuntimeRef, choose_python
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.release import Release
from bzzz_core.deploy.supply import Source
from bzzz_core.ports import Clock


async def get_all(
    facts: Mapping[str, HostFacts], source: Source, *, record: Record, clock: Clock
) -> dict[str, Release]:
    """Return the release of each host; preflight has passed.

    Raises:
        ReleaseError: One could not be built.
    """
    wanted: dict[tuple[str, str, RuntimeRef | None], list[str]] = {}
    for name, one in facts.items():
        python = choose_python(one, source.supply)
        assert python is not None, "preflight has checked"
        assert one.arch is not None, "preflight has checked"
        runtime = source.supply.runtimes.get(one.arch)
        if runtime is not None and python.path != runtime.python.path:
            runtime = None
        wanted.setdefault((python.minor, one.arch, runtime), []).append(name)
    found: dict[str, Release] = {}
    for (minor, arch, runtime), names in wanted.items():
        begun_ms = clock.now_ms()
        record.emit(Step("", "build_release", Status.STARTED))
        got = await source.get(minor, arch, runtime)
        found |= dict.fromkeys(names, got)
        elapsed_ms = clock.now_ms() - begun_ms
        detail = f"{got.ref.version} for Python {minor} on {arch}"
        if got.ref.bundle is not None:
            detail += f", from the bundle of {got.ref.bundle.created_at}"
        record.emit(Step("", "build_release", Status.UNCHANGED, elapsed_ms, detail))
    return found
