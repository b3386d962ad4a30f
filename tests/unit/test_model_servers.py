"""Which units, drop-ins and pulls a host needs: facts in, texts and changes out."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy import phases
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.ai_servers import AiServer, Model
from bzzz_core.deploy.facts.gpus import CardState, Gpu
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.model_hosting import ModelHosting, ModelProgram, ModelUnit
from bzzz_core.deploy.model_advice import advise_models
from bzzz_core.deploy.model_servers import (
    Instance,
    environment_line,
    instances,
    release_name,
    sha256_of,
    version_key,
)
from bzzz_core.deploy.phases import install_model_program, pull_models, start_model_servers
from bzzz_core.deploy.state import OpenCluster
from bzzz_core.deploy.work import Work
from bzzz_core.errors import ModelServerError
from tests.fakes.deploy_goals import fresh, goals, spec
from tests.fakes.deploy_host import FakeHost
from tests.fakes.ollama_program import Server, Store

SHA = "a" * 64
ARCHIVE = {"program": "ollama", "source": "/srv/ollama.tgz", "sha256": SHA, "version": "0.9.1"}
GB = 10**9


def asked(**servers: Any) -> ClusterSpec:
    return spec(1, ai={"servers": servers})


def host(**more: Any) -> HostFacts:
    return msgspec.structs.replace(
        fresh(1), **{"ai_servers": (), "model_hosting": ModelHosting(free_bytes=99 * GB), **more}
    )


def owners(version: str | None = "0.8.0", **unit: Any) -> HostFacts:
    """Return a host with an Ollama that its owner installed."""
    found = ModelUnit(
        name="ollama",
        fragment="/etc/systemd/system/ollama.service",
        sha256="b" * 64,
        active="active",
        enabled=True,
        models_path="/usr/share/ollama/.ollama/models",
        free_bytes=50 * GB,
        **unit,
    )
    server = AiServer(program="ollama", port=11434, address="127.0.0.1", version=version, models=())
    return host(ai_servers=(server,), model_hosting=ModelHosting(units=(found,)))


def only(answers: ClusterSpec, facts: HostFacts) -> Instance:
    (found,) = instances(answers, "bzzz-1", facts)
    return found


def planned(answers: ClusterSpec, facts: HostFacts) -> list[Change]:
    goal = goals(answers, {"bzzz-1": facts})["bzzz-1"]
    modules = (install_model_program, start_model_servers, pull_models)
    return [change for module in modules for change in module.plan(goal)]


def findings(answers: ClusterSpec, facts: HostFacts) -> list[str]:
    return [finding.message for finding in advise_models(answers, {"bzzz-1": facts})]


def test_answers_that_want_nothing_touch_nothing() -> None:
    assert planned(asked(), owners()) == []
    assert findings(asked(), owners()) == []


def test_a_host_without_a_server_gets_a_unit_of_ours() -> None:
    changes = planned(asked(**ARCHIVE), host())
    assert [f"{c.action} {c.target}" for c in changes] == [
        "create bzzz-models",
        "create /opt/bzzz/model-servers/ollama/0.9.1-aaaaaaaaaaaa",
        "create /etc/systemd/system/ollama.service",
        "create /etc/systemd/system/ollama.service.d/50-bzzz.conf",
        "create /opt/bzzz/model-servers/ollama/current",
        "start ollama.service",
    ]


def test_a_unit_of_the_owners_is_never_written() -> None:
    """Ollama #2872, #5733: a unit that is overwritten loses what its owner set."""
    answers = asked(**ARCHIVE, parallel=4, models_path="/big", port=11500)
    for facts in (owners(), owners(version="0.9.5"), owners(version=None)):
        assert only(answers, facts).unit_text == ""
        assert not [c for c in planned(answers, facts) if c.target.endswith("/ollama.service")]


@pytest.mark.parametrize(
    ("addresses", "host_and_port"),
    [
        (("127.0.0.1", "10.0.0.1"), "0.0.0.0:11434"),
        (("127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0"), "[::]:11434"),
        (("::1", "2001:db8::1"), "[::]:11434"),
    ],
)
def test_everywhere_is_both_kinds_of_addresses_where_the_host_has_both(
    addresses: tuple[str, ...], host_and_port: str
) -> None:
    facts = msgspec.structs.replace(owners(), addresses=addresses)
    text = only(asked(listen="everywhere"), facts).dropin_text
    assert f'Environment="OLLAMA_HOST={host_and_port}"' in text


def test_settings_become_a_drop_in() -> None:
    card = Gpu(slot="0000:01:00.0", vendor="amd", uuid="GPU-amd", state=CardState.WORKING)
    facts = msgspec.structs.replace(owners(), gpus=(card,))
    answers = asked(
        parallel=4,
        context_tokens=32_768,
        kv_cache="q8_0",
        flash_attention="enabled",
        keep_alive="-1",
        loaded_max=2,
        listen="everywhere",
        gpus=["GPU-1", "MIG-2", "GPU-amd"],
        models_path="/srv/models",
    )
    assert only(answers, facts).dropin_text.splitlines()[1:] == [
        "[Service]",
        'Environment="OLLAMA_NUM_PARALLEL=4"',
        'Environment="OLLAMA_CONTEXT_LENGTH=32768"',
        'Environment="OLLAMA_KV_CACHE_TYPE=q8_0"',
        'Environment="OLLAMA_FLASH_ATTENTION=1"',
        'Environment="OLLAMA_KEEP_ALIVE=-1"',
        'Environment="OLLAMA_MAX_LOADED_MODELS=2"',
        'Environment="CUDA_DEVICE_ORDER=PCI_BUS_ID"',
        'Environment="CUDA_VISIBLE_DEVICES=GPU-1,MIG-2"',
        'Environment="ROCR_VISIBLE_DEVICES=GPU-amd"',
        'Environment="OLLAMA_MODELS=/srv/models"',
        'Environment="OLLAMA_HOST=0.0.0.0:11434"',
    ]


def test_an_owners_older_server_runs_our_program_by_drop_in() -> None:
    text = only(asked(**ARCHIVE), owners()).dropin_text
    assert text.splitlines()[-2:] == [
        "ExecStart=",
        "ExecStart=/opt/bzzz/model-servers/ollama/current/run/ollama serve",
    ]


def test_what_our_drop_in_runs_stays_though_it_is_no_longer_older() -> None:
    facts = owners(version="0.9.1", dropin_program="ollama")
    assert "ExecStart=/opt" in only(asked(**ARCHIVE), facts).dropin_text


def test_a_newer_server_is_refused_and_not_put_back() -> None:
    (words,) = findings(asked(**ARCHIVE), owners(version="0.10.0"))
    assert words.startswith("ollama 0.10.0 runs there, newer than 0.9.1")


def test_an_unknown_version_is_not_taken_for_an_old_one() -> None:
    assert "ExecStart" not in only(asked(**ARCHIVE), owners(version=None)).dropin_text
    (words,) = findings(asked(**ARCHIVE), owners(version=None))
    assert words == "the version of ollama.service is not known, so it is not upgraded"


def test_parallama_takes_ollamas_place_only_when_told_to() -> None:
    answers = asked(**{**ARCHIVE, "program": "parallama"})
    (words,) = findings(answers, owners())
    assert words == "ollama.service is there, and parallama is to be installed beside it"
    taking = asked(**{**ARCHIVE, "program": "parallama", "migrate": True})
    assert findings(taking, owners()) == []
    found = only(taking, owners())
    assert (found.unit, found.unit_text) == ("ollama", "")
    assert "ExecStart=/opt/bzzz/model-servers/parallama/current/run/parallama" in found.dropin_text
    back = only(asked(program="ollama"), owners(dropin_sha256="c" * 64, dropin_program="parallama"))
    assert back.dropin_text == "", "models and unit were never touched"


def test_a_second_look_at_what_was_made_finds_nothing_to_do() -> None:
    answers = asked(**ARCHIVE, models=[{"name": "tiny", "hosts": ["bzzz-1"], "size_bytes": 1}],
                    on_cpu=True)  # fmt: skip
    wanted = only(answers, host())
    unit = ModelUnit(
        name="ollama",
        ours=True,
        sha256=sha256_of(wanted.unit_text),
        active="active",
        enabled=True,
        dropin_sha256=sha256_of(wanted.dropin_text),
        dropin_changed_s=100,
        started_s=100,
    )
    release = release_name(answers.ai.servers)
    program = ModelProgram(name="ollama", current=release, kept=(release,))
    hosting = ModelHosting(units=(unit,), programs=(program,), account=True)
    server = AiServer(program="ollama", port=11434, version="0.9.1", models=(Model("tiny:latest"),))
    facts = host(model_hosting=hosting, ai_servers=(server,))
    assert planned(answers, facts) == []
    stale = msgspec.structs.replace(unit, started_s=99)
    hosting = msgspec.structs.replace(hosting, units=(stale,))
    (change,) = planned(answers, msgspec.structs.replace(facts, model_hosting=hosting))
    assert change.sentence == "restart ollama.service: its settings are newer than it is"


def test_more_servers_have_their_own_units_and_cards() -> None:
    answers = asked(
        **ARCHIVE,
        parallel=2,
        instances=[{"name": "b", "host": "bzzz-1", "port": 11500, "gpus": ["GPU-2"],
                    "keep_alive": "1h"}],
    )  # fmt: skip
    _, second = instances(answers, "bzzz-1", host())
    assert second.unit == "ollama-b"
    assert 'Environment="OLLAMA_NUM_PARALLEL=2"' in second.dropin_text, "as the first one"
    assert 'Environment="CUDA_VISIBLE_DEVICES=GPU-2"' in second.dropin_text
    assert 'Environment="OLLAMA_HOST=127.0.0.1:11500"' in second.dropin_text
    programs = [c for c in planned(answers, host()) if c.target.endswith("current")]
    assert len(programs) == 1


def test_what_is_not_known_is_neither_there_nor_absent() -> None:
    facts = host(model_hosting=None)
    assert planned(asked(**ARCHIVE), facts) == []
    assert findings(asked(**ARCHIVE), facts) == ["its model servers are not known"]


def test_a_program_without_an_archive_is_asked_for() -> None:
    (words,) = findings(asked(program="ollama"), host())
    assert words == "ollama is not installed, and no archive is named"


def test_a_server_of_no_unit_is_left_alone() -> None:
    server = AiServer(program="docker-proxy", port=11434, version="0.9.0")
    (words,) = findings(asked(**ARCHIVE), host(ai_servers=(server,)))
    assert words == "port 11434 is taken by a model server that is no unit of the host"


def test_models_need_a_server_and_room_for_all_that_is_missing() -> None:
    models = [{"name": f"m{n}", "hosts": ["bzzz-1"], "size_bytes": 30 * GB} for n in range(2)]
    answers = asked(models=models, on_cpu=True, gpu_memory_ratio=1)
    large = {"memory_total_bytes": 200 * GB}
    (words,) = findings(answers, host(**large))
    assert words.endswith("no model server listens on port 11434")
    found = msgspec.structs.replace(owners(), **large)
    (words,) = findings(answers, found)
    assert words == "2 models need 61.0 GB of disk, 50.0 GB are free where models lie"
    (server,) = found.ai_servers or ()
    one = msgspec.structs.replace(server, models=(Model("m0:latest", 30 * GB),))
    assert findings(answers, msgspec.structs.replace(found, ai_servers=(one,))) == []


@pytest.mark.parametrize(
    ("older", "newer"), [("0.9.9", "0.10.0"), ("0.9.1-rc2", "0.9.2"), ("1", "1.0.1")]
)
def test_versions_are_ordered_by_their_numbers(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40))
def test_no_value_leaves_its_line(value: str) -> None:
    """As systemd reads it: in quotes, backslashes escape, percent signs are doubled."""
    line = environment_line("NAME", value)
    assert "\n" not in line
    inner = line.removeprefix('Environment="NAME=').removesuffix('"')
    read, escaped = "", False
    for letter in inner.replace("%%", "\0"):
        if escaped or letter not in '\\"':
            read, escaped = read + letter, False
        else:
            assert letter == "\\", "an open quote ends the value"
            escaped = True
    assert read.replace("\0", "%") == value
    assert "%" not in inner.replace("%%", "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    text = only(asked(**ARCHIVE), host()).unit_text
    text = text.replace("/opt/bzzz/model-servers/ollama/current/run/ollama", "/bin/true")
    path = tmp_path / "ollama.service"
    path.write_text(text.replace("bzzz-models", "root"))
    command = ["systemd-analyze", "verify", "--man=no", path]
    done = subprocess.run(command, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Store(tmp_path))
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def pull(server: Server, name: str) -> tuple[list[str], list[str]]:
    """Pull a model as the phase does; return what was said and done."""
    answers = asked(models=[{"name": name, "hosts": ["bzzz-1"], "size_bytes": 1}], on_cpu=True)
    goal = goals(answers, {"bzzz-1": owners()})["bzzz-1"]
    log: list[str] = []
    told: list[str] = []
    fake = FakeHost("bzzz-1", number=1, log=log)
    fake.ports[11434] = server.server_address[1]
    work = Work(
        cluster=OpenCluster(cluster_id="d" * 32, issuers=None, secrets={}),  # type: ignore[arg-type]
        releases={},
        say=lambda _host, words: told.append(words),
        clock=Hasty(),
    )

    async def run() -> None:
        await pull_models.apply(fake, goal, pull_models.plan(goal), work)
        await pull_models.verify(fake, goal, work)

    asyncio.run(run())
    return told, log


class Hasty(SystemClock):
    """Time as it is, without pauses."""

    async def sleep_ms(self, duration_ms: int) -> None:
        del duration_ms


def test_a_model_is_pulled_through_the_connection_with_its_progress(server: Server) -> None:
    told, log = pull(server, "tiny")
    assert any(words.startswith("tiny: ") for words in told)
    assert log[0] == "bzzz-1: forward 11434"


def test_a_pull_that_is_cut_off_goes_on(server: Server) -> None:
    told, _ = pull(server, "cut")
    assert any(words.endswith("trying again") for words in told)


def test_a_pull_that_the_server_gives_up_is_not_tried_again(server: Server) -> None:
    with pytest.raises(ModelServerError, match="file does not exist"):
        pull(server, "missing")


def test_the_phases_can_be_taken_back() -> None:
    assert {"install_model_program", "start_model_servers"} <= set(phases.REMOVERS)


class Starting:
    """A model server of two releases on a host whose systemctl plays."""

    def __init__(self, place: Path) -> None:
        """Have `old` run."""
        self.place = place
        self.base = place / "base"
        for release in ("old", "new"):
            (self.base / release).mkdir(parents=True)
        self.bin = place / "bin"
        self.bin.mkdir()
        self.unit = place / "ollama.service"
        self.dropin = place / "ollama.service.d" / "50-bzzz.conf"
        self.dropin.parent.mkdir()
        self.program("journalctl", "")
        self.program("python", "exit 0")

    def program(self, name: str, does: str) -> None:
        """Put a program before those of the system."""
        (self.bin / name).write_text(f"#!/bin/sh\n{does}\n")
        (self.bin / name).chmod(0o700)

    def start(self, restart: str, release: str = "new") -> int:
        """Start it with a release; `restart`: what systemctl does then."""
        self.program("systemctl", f'[ "$1" != restart ] || {restart}')
        words = ("ollama.service", "1", "python", str(self.base), release, "", "own")
        words += (str(self.unit), str(self.dropin))
        return subprocess.run(
            ["sh", "-c", start_model_servers._START, "bzzz", *words],
            check=False,
            capture_output=True,
            timeout=20,
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"},
        ).returncode

    def place_file(self, path: Path, text: str) -> None:
        """Write one of its files, as a run does before it starts it."""
        words = ["sh", "-c", start_model_servers._KEEP, "bzzz", str(path)]
        subprocess.run(words, check=True, timeout=20)
        path.write_text(text)

    @property
    def files(self) -> dict[str, str]:
        """Return its files, and what is noted of them."""
        found = [self.unit, *self.place.glob("ollama.service.*"), *self.dropin.parent.iterdir()]
        return {path.name: path.read_text() for path in found if path.is_file()}

    @property
    def current(self) -> str:
        """Return the release that is used; empty: none."""
        link = self.base / "current"
        return link.readlink().name if link.is_symlink() else ""

    @property
    def names(self) -> set[str]:
        """Return what is there."""
        return {path.name for path in self.base.iterdir()}


@pytest.mark.parametrize("before", ["old", ""])
def test_a_start_that_was_cut_off_does_not_make_the_former_program_forgotten(
    tmp_path: Path, before: str
) -> None:
    """The next one goes back to what was known to be good."""
    scene = Starting(tmp_path)
    if before:
        assert scene.start("exit 0", before) == 0
    assert scene.start('kill -9 "$PPID"') == -9
    assert scene.current == "new"
    assert scene.start("exit 1") == 1
    assert scene.current == before
    assert scene.names <= {"old", "new", "current"}
    assert scene.start("exit 0") == 0
    assert (scene.current, scene.names) == ("new", {"old", "new", "current"})


@pytest.mark.parametrize("before", ["settings", ""])
def test_a_run_that_dies_before_the_start_does_not_make_former_files_forgotten(
    tmp_path: Path, before: str
) -> None:
    """Twice over: the step is done again, or a later run finds the files there and only starts."""
    scene = Starting(tmp_path)
    if before:
        scene.dropin.write_text(before)
    former = scene.files
    for again in (False, True):
        scene.place_file(scene.dropin, "bad settings")
        scene.place_file(scene.unit, "a bad unit")
        if again:
            scene.place_file(scene.dropin, "other bad settings")
        assert scene.start("exit 1") == 1
        assert scene.files == former


def test_files_of_a_server_that_answered_are_the_former_ones_from_then_on(tmp_path: Path) -> None:
    scene = Starting(tmp_path)
    scene.place_file(scene.dropin, "good settings")
    assert scene.start("exit 0") == 0
    assert scene.files == {"50-bzzz.conf": "good settings"}
    assert scene.start("exit 1") == 1, "nothing was changed this time"
    assert scene.files == {"50-bzzz.conf": "good settings"}


def test_without_a_note_of_the_former_program_none_is_changed(tmp_path: Path) -> None:
    scene = Starting(tmp_path)
    assert scene.start("exit 0", "old") == 0
    scene.program("sync", "exit 1")
    assert scene.start("exit 0") == 1
    assert scene.current == "old"
