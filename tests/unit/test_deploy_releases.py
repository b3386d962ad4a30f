"""Which release goes to which host, on which Python, and which way leads back."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import ModelServersAnswers
from bzzz_core.deploy import back, fitness, preflight
from bzzz_core.deploy.facts.host import Disk, HostFacts, Python
from bzzz_core.deploy.facts.model_hosting import ModelHosting, ModelProgram
from bzzz_core.deploy.goal import ReleaseRef, RuntimeRef, Supply, choose_python
from bzzz_core.deploy.phases import keep_config, prune_releases, upload_runtime, wait_ready
from bzzz_core.deploy.wishes import Wishes
from tests.fakes.deploy_goals import KNOWN, RELEASE, converged, fresh, goals, spec

OLD = Python("/usr/bin/python3", (3, 9, 2), "CPython")
FIT = Python("/usr/bin/python3", (3, 11, 2), "CPython")
RUNTIME = RuntimeRef(
    name="cpython-3.12.7-x86_64-abc",
    version=(3, 12, 7),
    size_bytes=30_000_000,
    archive_sha256="9" * 64,
)
BUNDLE = Supply(minors={"x86_64": frozenset({"3.11", "3.12"})}, runtimes={"x86_64": RUNTIME})


def host(**changes: object) -> HostFacts:
    return msgspec.structs.replace(fresh(), **changes)


def test_a_python_of_the_host_goes_before_a_runtime() -> None:
    assert choose_python(host(pythons=(FIT,)), BUNDLE) == FIT
    assert choose_python(host(pythons=(OLD,)), BUNDLE) == RUNTIME.python
    assert choose_python(host(pythons=()), BUNDLE) == RUNTIME.python


def test_a_python_without_a_release_in_the_bundle_does_not_fit() -> None:
    newer = Python("/usr/bin/python3", (3, 13, 1), "CPython")
    assert choose_python(host(pythons=(newer,)), BUNDLE) == RUNTIME.python
    assert choose_python(host(pythons=(newer,)), Supply(minors=BUNDLE.minors)) is None


def test_a_runtime_that_is_there_is_a_last_resort() -> None:
    there = Python("/opt/bzzz/runtimes/older/bin/python3", (3, 12, 1), "CPython")
    assert choose_python(host(pythons=(OLD, there))) == there
    assert choose_python(host(pythons=(FIT, there))) == FIT
    assert choose_python(host(pythons=(OLD, there)), BUNDLE) == RUNTIME.python


def test_too_old_a_python_is_refused_with_both_ways_out() -> None:
    found = preflight.check(spec(1), {"bzzz-1": host(pythons=(OLD,))}, {}, KNOWN)
    assert [finding.check for finding in found] == ["python"]
    assert "3.9.2" in found[0].message
    assert "install python3 3.11 to 3.14" in found[0].fix
    assert "--runtime" in found[0].fix
    assert preflight.check(spec(1), {"bzzz-1": host(pythons=(OLD,))}, {}, KNOWN, BUNDLE) == ()


def test_a_runtime_that_needs_a_newer_c_library_is_not_offered() -> None:
    """Debian 11 has glibc 2.31: a Python that was built on Debian 12 does not start there."""
    too_new = Supply(minors=BUNDLE.minors, runtimes={"x86_64": replace(RUNTIME, glibc="2.34")})
    debian_11 = host(pythons=(OLD,), libc="glibc 2.31")
    assert choose_python(debian_11, too_new) is None
    (found,) = preflight.check(spec(1), {"bzzz-1": debian_11}, {}, KNOWN, too_new)
    assert "Python 3.12.7 needs glibc 2.34, and here is glibc 2.31" in found.message
    debian_12 = host(pythons=(), libc="glibc 2.36")
    assert choose_python(debian_12, too_new) == RUNTIME.python
    assert choose_python(debian_11, BUNDLE) == RUNTIME.python


def test_a_runtime_is_sent_once() -> None:
    goal = goals(spec(1), {"bzzz-1": host()})["bzzz-1"]
    assert upload_runtime.plan(goal) == ()
    needs = replace(goal, release=replace(goal.release, runtime=RUNTIME))
    assert [change.target for change in upload_runtime.plan(needs)] == [
        "/opt/bzzz/runtimes/cpython-3.12.7-x86_64-abc"
    ]
    has = replace(needs, facts=host(runtimes=(RUNTIME.name,)))
    assert upload_runtime.plan(has) == ()


def test_a_release_that_was_rolled_back_is_refused_until_it_is_forced() -> None:
    facts = {"bzzz-1": host(refused={RELEASE.version: "it crashes"})}
    releases = {"bzzz-1": RELEASE}
    found = fitness.check_releases(facts, releases, None, Wishes())
    assert [finding.check for finding in found] == ["release"]
    assert "it crashes" in found[0].message
    forced = Wishes(forced=frozenset({RELEASE.version}))
    assert fitness.check_releases(facts, releases, None, forced) == ()


@pytest.mark.parametrize(
    ("path", "free_bytes", "refused"),
    [
        ("/opt", 553_000_000, True),
        ("/opt", 555_000_000, False),
        ("/var/tmp", 10, True),  # noqa: S108
        ("/var/lib", 10, False),
    ],
)
def test_room_for_a_release_is_three_times_its_size_and_some(
    path: str, free_bytes: int, *, refused: bool
) -> None:
    facts = {"bzzz-1": host(disks=(Disk(path, free_bytes, None, "/"),))}
    found = fitness.check_releases(facts, {"bzzz-1": RELEASE}, None, Wishes())
    assert bool(found) is refused
    if found:
        assert "need 554 MB" in found[0].message
        facts["bzzz-1"] = msgspec.structs.replace(facts["bzzz-1"], releases=(RELEASE.version,))
        assert fitness.check_releases(facts, {"bzzz-1": RELEASE}, None, Wishes()) == ()


def test_a_first_installation_keeps_nothing_for_a_way_back() -> None:
    answers = spec(3)
    newcomers = {name: fresh(n) for n, name in enumerate(("bzzz-1", "bzzz-2", "bzzz-3"), 1)}
    for facts in (newcomers, converged(answers)):
        assert keep_config.plan(goals(answers, facts)["bzzz-1"]) == ()


def test_the_release_before_is_never_pruned() -> None:
    answers = spec(1)
    facts = converged(answers)
    names = (RELEASE.version, "0.0.9+d", "0.0.8+c", "0.0.7+b", "0.0.6+a")
    facts["bzzz-1"] = msgspec.structs.replace(facts["bzzz-1"], releases=names, previous="0.0.6+a")
    removed = [change.before for change in prune_releases.plan(goals(answers, facts)["bzzz-1"])]
    assert removed == ["0.0.7+b"]


def removed(answers: ClusterSpec, facts: HostFacts) -> list[str]:
    """Return what would be pruned on the first host."""
    found = {**converged(answers), "bzzz-1": facts}
    return [change.target for change in prune_releases.plan(goals(answers, found)["bzzz-1"])]


def test_old_pythons_go_with_the_releases_that_used_them() -> None:
    answers = spec(1)
    names = ("py-5", "py-4", "py-3", "py-2", "py-1")
    facts = msgspec.structs.replace(
        converged(answers)["bzzz-1"], runtimes=names, runtimes_used=("py-1",)
    )
    assert removed(answers, facts) == ["/opt/bzzz/runtimes/py-3", "/opt/bzzz/runtimes/py-2"]
    unknown = msgspec.structs.replace(facts, runtimes_used=None)
    assert removed(answers, unknown) == [], "the units may start with any of them"
    one = Python("/opt/bzzz/runtimes/py-2/bin/python3", (3, 12, 1), "CPython")
    runs = msgspec.structs.replace(facts, pythons=(one,))
    assert removed(answers, runs) == ["/opt/bzzz/runtimes/py-3"]


def test_old_programs_of_model_servers_go_but_not_what_is_in_use_or_wanted() -> None:
    answers = spec(1)
    wanted = ModelServersAnswers(
        program="ollama", source="https://example.org/o.tgz", sha256="a" * 64, version="0.9.0"
    )
    ai = answers.ai.model_copy(update={"servers": wanted})
    answers = answers.model_copy(update={"ai": ai})
    kept = ("0.9.4-4", f"0.9.0-{'a' * 12}", "0.9.3-3", "0.9.2-2", "0.9.1-1")
    programs = (
        ModelProgram(name="ollama", current="0.9.1-1", kept=kept),
        ModelProgram(name="parallama", current="1", kept=("4", "3", "2", "1")),
    )
    facts = msgspec.structs.replace(
        converged(answers)["bzzz-1"], model_hosting=ModelHosting(programs=programs)
    )
    gone = [target for target in removed(answers, facts) if "model-servers" in target]
    assert gone == ["/opt/bzzz/model-servers/ollama/0.9.2-2", "/opt/bzzz/model-servers/parallama/2"]


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("runtimes/py-1", True),
        ("model-servers/ollama/1", True),
        ("releases/1.0+a", True),
        ("model-servers/ollama", False),
        ("runtimes/../releases", False),
        ("runtimes/", False),
        ("install", False),
    ],
)
def test_only_what_may_be_old_is_ever_removed(tmp_path: Path, path: str, *, goes: bool) -> None:
    (tmp_path / "opt/bzzz" / path).mkdir(parents=True)
    script = prune_releases._REMOVE.replace("/opt/bzzz", f"{tmp_path}/opt/bzzz")
    done = subprocess.run(
        ["sh", "-c", script, "remove", f"{tmp_path}/opt/bzzz/{path}"], check=False
    )
    assert (done.returncode == 0) is goes
    assert (tmp_path / "opt/bzzz" / path).exists() is not goes


def test_a_broker_needs_routes_to_a_majority_without_itself() -> None:
    for count, needed in ((1, 0), (2, 0), (3, 1), (5, 2)):
        answers = spec(count)
        assert wait_ready.routes_needed(goals(answers, converged(answers))["bzzz-1"]) == needed


def upgraded(name: str, present: str, before: str, **more: object) -> dict[str, HostFacts]:
    facts = host(current=present, previous=before, kept=before, releases=(present, before))
    return {name: msgspec.structs.replace(facts, **more)}


def test_after_half_a_rollout_only_the_new_half_goes_back() -> None:
    facts = {**upgraded("a", "new", "old"), **upgraded("b", "old", "older")}
    assert back.destinations(facts) == {"a": "old"}
    assert back.obstacles(facts) == ()
    assert [len(changes) for changes in back.changes(facts).values()] == [1, 0]


def test_there_is_no_way_back_to_what_is_not_kept() -> None:
    facts = {
        **upgraded("a", "new", ""),
        **upgraded("b", "new", "old", releases=("new",)),
        **upgraded("c", "new", "old", kept="older"),
    }
    assert [finding.host for finding in back.obstacles(facts)] == ["a", "b", "c"]


def test_a_release_ref_says_what_it_needs() -> None:
    release = ReleaseRef(
        version="1.0.0+a",
        size_bytes=20_000_000,
        archive_sha256="",
        manifest_sha256="",
        runtime=RUNTIME,
    )
    assert fitness.needed_bytes(release) == 3 * 50_000_000 + 500_000_000
