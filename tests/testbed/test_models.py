"""Model servers on real hosts: installed from an archive, set by a drop-in, filled with progress.

The server is an EMULATION (`tests/fakes/ollama_program.py`): no Ollama can be had here. What is
real: hosts, sshd, systemd, users, files, forwarding, HTTP.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes import ollama_program
from tests.testbed import cli
from tests.testbed.operators import Operator
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
PROGRAM = Path(ollama_program.__file__).read_text()
OLD_UNIT = """\
[Unit]
Description=Ollama of the host's owner
[Service]
User=keeper
Environment="OLLAMA_MODELS=/home/keeper/models" "API_KEY=owners-secret"
ExecStart=/usr/local/bin/ollama serve
[Install]
WantedBy=multi-user.target
"""


def archive(directory: Path, version: str, *, broken: bool = False) -> dict[str, str]:
    """Write an archive of the emulation and return what the answers say of it."""
    program = "#!/usr/bin/python3\n" + PROGRAM.replace(
        'VERSION = "0.9.1"', f'VERSION = "{version}"'
    )
    if broken:
        program = program.replace('if words != ["serve"]:', "if True:")
    path = directory / f"ollama-{version}.tgz"
    with tarfile.open(path, "w:gz") as tar:
        content = program.encode()
        member = tarfile.TarInfo("bin/ollama")
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"source": str(path), "sha256": sha256, "version": version}


class Models(Operator):
    """An operator who asks for models."""

    def asks(self, **servers: Any) -> tuple[int, list[dict[str, Any]]]:
        """Run setup with these answers about model servers."""
        answers = yaml.safe_load(self.bed.answers.read_text())
        answers["ai"] = {"servers": {"on_cpu": True, **servers}}
        path = self.home / "answers.yaml"
        path.write_text(yaml.safe_dump(answers))
        done = self.types("setup", "--answers", str(path), "--apply", "--yes", "--json")
        assert done.stdout, done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def asked(self, host: str, path: str) -> dict[str, Any]:
        """Return what the server on a host answers."""
        return dict(json.loads(self.on(host, f"{ASK} {path}")))

    def version(self, host: str) -> str:
        """Return which version serves on a host."""
        return str(self.asked(host, "/api/version")["version"])


ASK = (
    "python3 -c 'import sys, urllib.request as u;"
    ' print(u.urlopen("http://127.0.0.1:11434" + sys.argv[1]).read().decode())\''
)


def steps(events: list[dict[str, Any]], phase: str, status: str) -> list[str]:
    return [e.get("detail", "") for e in events
            if e["event"] == "step" and e["phase"] == phase and e["status"] == status]  # fmt: skip


def said(events: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(e) for e in events if e.get("status") != "started")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    bed = State(tmp_path_factory.mktemp("models"))
    cli.up(bed, count=2, name="bzzz", suite="bookworm")
    found = Models(bed, tmp_path_factory.mktemp("home"))
    # The second host has an Ollama of its own: unit, user and models are its owner's.
    old = archive(found.home, "0.8.0")
    with tarfile.open(old["source"]) as tar:
        member = tar.extractfile("bin/ollama")
        assert member is not None
        program = member.read().decode()
    found.on("bzzz-2", "useradd --create-home keeper && install -d -o keeper /home/keeper/models")
    for path, text in (("/usr/local/bin/ollama", program), (UNIT, OLD_UNIT)):
        words = f"cat > {path} <<'BZZZ_END'\n{text}BZZZ_END\nchmod 755 {path}"
        found.on("bzzz-2", words)
    found.on("bzzz-2", "chmod 644 " + UNIT + " && systemctl daemon-reload"
                       " && systemctl enable --now ollama && sleep 1")  # fmt: skip
    yield found
    cli.down(bed)


UNIT = "/etc/systemd/system/ollama.service"
DROPIN = "/etc/systemd/system/ollama.service.d/50-bzzz.conf"
STATE = f"sha256sum {UNIT}; stat -c '%n %Y' {UNIT} {DROPIN}; systemctl show -p MainPID ollama"


@pytest.fixture(scope="module")
def asked(operator: Models) -> dict[str, Any]:
    """Return answers that install, set and fill both hosts."""
    return {
        "program": "ollama",
        **archive(operator.home, "0.9.1"),
        "hosts": ["bzzz-1", "bzzz-2"],
        "parallel": 3,
        "keep_alive": "10m",
        "models": [
            {"name": "tiny", "hosts": ["bzzz-1", "bzzz-2"], "size_bytes": 262_168},
            {"name": "large", "hosts": ["bzzz-1"], "size_bytes": 4_194_329},
        ],
    }


@pytest.fixture(scope="module")
def installed(operator: Models, asked: dict[str, Any]) -> list[dict[str, Any]]:
    before = operator.on("bzzz-2", f"sha256sum {UNIT} /usr/local/bin/ollama")
    code, events = operator.asks(**asked)
    assert code == 0, said(events)
    assert operator.on("bzzz-2", f"sha256sum {UNIT} /usr/local/bin/ollama") == before
    return events


def test_a_host_without_a_server_gets_one_under_its_own_user(
    operator: Models, installed: list[dict[str, Any]]
) -> None:
    assert steps(installed, "install_model_program", "changed")
    assert operator.on("bzzz-1", "ps -o user= -C ollama").startswith("bzzz-mo")
    environment = operator.asked("bzzz-1", "/emulation")["environment"]
    assert environment["OLLAMA_NUM_PARALLEL"] == "3"
    assert environment["OLLAMA_KEEP_ALIVE"] == "10m"
    assert environment["OLLAMA_HOST"] == "127.0.0.1:11434"
    assert operator.on("bzzz-1", "systemd-analyze verify ollama.service 2>&1") == ""


@pytest.mark.usefixtures("installed")
def test_a_server_of_the_host_is_upgraded_by_a_drop_in_alone(operator: Models) -> None:
    """Its unit, user and models stay; taking the drop-in away gives it its own program back."""
    assert operator.on("bzzz-2", "ps -o user= -C ollama") == "keeper"
    assert (
        operator.asked("bzzz-2", "/emulation")["environment"]["OLLAMA_MODELS"]
        == "/home/keeper/models"
    )
    assert operator.version("bzzz-2") == "0.9.1"


def test_models_are_pulled_with_progress_by_bytes(
    operator: Models, installed: list[dict[str, Any]]
) -> None:
    told = steps(installed, "pull_models", "progress")
    assert any("tiny:" in words for words in told), said(installed)
    assert any("large:" in words and "MB; pulling" in words for words in told), told
    stored = "cat /var/lib/bzzz-models/models/manifests/*"
    assert {"tiny:latest", "large:latest"} == {
        json.loads(line)["name"]
        for line in operator.on("bzzz-1", stored).replace("}{", "}\n{").splitlines()
    }
    assert "tiny:latest" in operator.on("bzzz-2", "cat /home/keeper/models/manifests/*")
    assert "owners-secret" not in said(installed)


@pytest.mark.usefixtures("installed")
def test_setup_again_changes_nothing_and_restarts_nobody(
    operator: Models, asked: dict[str, Any]
) -> None:
    before = [operator.on(host, STATE) for host in ("bzzz-1", "bzzz-2")]
    code, events = operator.asks(**asked)
    assert code == 0, said(events)
    assert [host["changes"] for host in events[-1]["hosts"]] == [0, 0], said(events)
    assert [operator.on(host, STATE) for host in ("bzzz-1", "bzzz-2")] == before


@pytest.mark.usefixtures("installed")
def test_a_pull_that_fails_within_a_good_answer_fails_its_host_alone(
    operator: Models, asked: dict[str, Any]
) -> None:
    missing = {"name": "missing", "hosts": ["bzzz-2"], "size_bytes": 1_000}
    code, events = operator.asks(**{**asked, "models": [*asked["models"], missing]})
    assert code == 4
    assert [host["result"] for host in events[-1]["hosts"]] == ["unchanged", "failed"]
    assert "file does not exist" in steps(events, "pull_models", "failed")[0]


@pytest.mark.usefixtures("installed")
def test_too_much_for_the_disk_is_refused_before_anything(
    operator: Models, asked: dict[str, Any]
) -> None:
    huge = {"name": "huge", "hosts": ["bzzz-1"], "size_bytes": 10**15}
    code, events = operator.asks(
        **{**asked, "models": [huge], "gpu_memory_ratio": 1, "working_ratio": 0}
    )
    assert code == 3
    errors = [e["message"] for e in events if e["event"] == "finding" and e["severity"] == "error"]
    assert any("needs 1000000.0 GB" in words for words in errors), errors


@pytest.mark.usefixtures("installed")
def test_an_older_program_is_refused(operator: Models, asked: dict[str, Any]) -> None:
    code, events = operator.asks(**{**asked, **archive(operator.home, "0.9.0")})
    assert code == 3
    assert "newer than 0.9.0" in said(events)


@pytest.mark.usefixtures("installed")
def test_a_program_that_does_not_serve_leaves_the_old_one_serving(
    operator: Models, asked: dict[str, Any]
) -> None:
    code, events = operator.asks(**{**asked, **archive(operator.home, "0.9.9", broken=True)})
    assert code == 5, said(events)
    assert "the former state is put back" in steps(events, "start_model_servers", "failed")[0]
    for host in ("bzzz-1", "bzzz-2"):
        assert operator.version(host) == "0.9.1"


@pytest.mark.usefixtures("installed")
def test_without_our_answers_the_host_has_its_own_program_back(operator: Models) -> None:
    code, events = operator.asks(hosts=["bzzz-2"])
    assert code == 0, said(events)
    assert operator.on("bzzz-2", f"ls {DROPIN} 2>/dev/null") == ""
    assert operator.version("bzzz-2") == "0.8.0"
    assert "tiny:latest" in operator.on("bzzz-2", "cat /home/keeper/models/manifests/*")
