"""What `setup --generate` writes: as it was, the same each time, and taken by real validators.

`tests/unit/generated` holds the texts; `tests/fakes/generated_texts.py` makes them anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bzzz_core.config.block_yaml import block_yaml
from bzzz_core.config.schema import ClusterSpec, narrowed
from bzzz_core.config.sections import Paths
from bzzz_core.config.sources import AgentSources, load_agent_config, load_answers
from bzzz_core.deploy.generate import container
from bzzz_core.deploy.generate.environment import environment
from bzzz_core.deploy.generate.image import image
from bzzz_core.deploy.generate.kubernetes import available_min, kubernetes
from bzzz_core.deploy.generate.pod import grace_s
from bzzz_core.deploy.generate.swarm import swarm
from bzzz_core.deploy.units import STOP_S, WATCHDOG_S
from bzzz_core.errors import ConfigError
from bzzz_core.shutdown.plan import ORDER, budget_ms
from tests.fakes.deploy_goals import spec
from tests.fakes.generated_texts import PLACE, SIZES, kept, make

VERSIONS = ("1.29", "1.33", "1.37")
"""Of Kubernetes: the first one with sidecars, one between, the newest that the validator knows."""
_CHECK = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
IMAGE = image("registry.example/bzzz:1")
DOCKER = shutil.which("docker")
SYSTEMD = shutil.which("systemd-analyze")


def manifests(size: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(kept(size)["kubernetes/bzzz.yaml"]))


def kind(documents: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(document for document in documents if document["kind"] == name)


def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = kind(documents, "StatefulSet")["spec"]["template"]["spec"]
    return found


def agent(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = pod(documents)["containers"]
    return dict(found)


def by_kubernetes_schemas(documents: list[dict[str, Any]], version: str) -> None:
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def by_compose_schema(path: Path) -> subprocess.CompletedProcess[str]:
    """Ask the schema of the Compose specification, which comes with the program."""
    return subprocess.run(
        [*_CHECK, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_texts_are_as_they_were(size: str, tmp_path: Path) -> None:
    made = make(size, tmp_path)
    assert made.keys() == kept(size).keys()
    for path, text in kept(size).items():
        assert made[path] == text, f"{size}/{path}"


@pytest.mark.parametrize("size", SIZES)
def test_twice_gives_the_same_bytes_and_changes_no_file(size: str, tmp_path: Path) -> None:
    first = make(size, tmp_path)
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in first}
    assert make(size, tmp_path) == first
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in first} == before


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_manifests(size: str, version: str) -> None:
    documents = manifests(size)
    assert [document["kind"] for document in documents] == [
        "ConfigMap",
        "Service",
        "PodDisruptionBudget",
        "StatefulSet",
    ]
    by_kubernetes_schemas(documents, version)


def _misspelt(documents: list[dict[str, Any]]) -> None:
    agent(documents)["livenessProbe"]["httpGet"]["pth"] = "/"


def _text_for_number(documents: list[dict[str, Any]]) -> None:
    pod(documents)["terminationGracePeriodSeconds"] = "53s"


def _number_for_text(documents: list[dict[str, Any]]) -> None:
    """What `1e3` without quotes would be."""
    kind(documents, "ConfigMap")["data"]["BZZZ_AI__ENDPOINT__MODEL"] = 1000.0


def _wrong_section(documents: list[dict[str, Any]]) -> None:
    pod(documents)["podManagementPolicy"] = "Parallel"


@pytest.mark.parametrize("damage", [_misspelt, _text_for_number, _number_for_text, _wrong_section])
def test_kubernetes_refuses_what_is_wrong(
    damage: Callable[[list[dict[str, Any]]], None],
) -> None:
    """So the test above can fail."""
    documents = deepcopy(manifests("three"))
    damage(documents)
    with pytest.raises(kubernetes_validate.ValidationError):
        by_kubernetes_schemas(documents, VERSIONS[-1])


COMPOSED = [
    f"{size}/{path}"
    for size in SIZES
    for path in kept(size)
    if path.endswith(("docker-compose.yml", "stack.yml"))
]


def test_compose_takes_every_file() -> None:
    assert len(COMPOSED) == 6
    for path in COMPOSED:
        done = by_compose_schema(PLACE / path)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("read_only: true", "readonly: true"),
        ("condition: service_started", "condition: started"),
        ("retries: 6", "retries: {}"),
        ("cap_drop:\n", "cap_drop: ALL\n    x-rest:\n"),
    ],
)
def test_compose_refuses_what_is_wrong(right: str, wrong: str, tmp_path: Path) -> None:
    text = kept("three")["compose/bzzz-1/docker-compose.yml"]
    assert right in text
    (tmp_path / "docker-compose.yml").write_text(text.replace(right, wrong, 1))
    assert by_compose_schema(tmp_path / "docker-compose.yml").returncode == 1


@pytest.mark.skipif(DOCKER is None, reason="Docker's program is not installed")
@pytest.mark.parametrize("size", SIZES)
def test_docker_itself_reads_the_stack_as_it_is_meant(size: str, tmp_path: Path) -> None:
    """`docker stack config` asks no daemon, and puts in what it takes for variables."""
    done = _stack_config(PLACE / size / "swarm" / "stack.yml")
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)
    answers = load_answers(PLACE / f"{size}.yaml")
    wanted = environment(answers, ai_key="file:/run/secrets/ai-api-key")
    for host in answers.hosts:
        given = read["services"][f"agent-{host.name}"]
        assert given.get("environment", {}).items() >= wanted.items()
        assert given["deploy"]["placement"]["constraints"] == [f"node.hostname == {host.name}"]
    text = kept(size)["swarm/stack.yml"].replace("cap_drop:", "cap_dropped:", 1)
    (tmp_path / "stack.yml").write_text(text)
    assert _stack_config(tmp_path / "stack.yml").returncode != 0


def _stack_config(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "stack", "config", "-c", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not installed")
@pytest.mark.parametrize("size", SIZES)
def test_systemd_takes_the_units(size: str, tmp_path: Path) -> None:
    units = [path for path in kept(size) if path.startswith("systemd/")]
    assert len(units) == 2
    for path in units:
        text = kept(size)[path]
        # The interpreter of the hosts may not be on this machine.
        here = tmp_path / Path(path).name
        here.write_text(text.replace("/usr/bin/python3", sys.executable))
        assert _complaints(here) == ""
    here.write_text(text.replace("RestartSec=1", "RestartSeconds=1"))
    assert "RestartSeconds" in _complaints(here)


def _complaints(unit: Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() or ("" if done.returncode == 0 else "failed")


@pytest.mark.parametrize("size", SIZES)
def test_an_agent_takes_its_file_and_every_variable(size: str, tmp_path: Path) -> None:
    """What the variables say over an empty file is what the answers say."""
    answers = load_answers(PLACE / f"{size}.yaml")
    path = tmp_path / "agent.yaml"
    path.write_text(kept(size)["agent-yaml/bzzz-1/agent.yaml"])
    path.chmod(0o640)
    whole = load_agent_config(path, {})
    assert [node.name for node in whole.cluster.nodes] == [host.name for host in answers.hosts]
    data = yaml.safe_load(path.read_text())
    cluster = {name: data["cluster"][name] for name in ("id", "nodes")} | {
        "name": answers.cluster.name
    }
    bare = {
        "version": 2,
        "system": data["system"],
        "network": {"address": data["network"]["address"]},
        "resources": {"paths": narrowed(answers.resources.paths, Paths)},
        "services": {"broker": "unit"},
        "cluster": cluster,
    }
    path.write_text(yaml.safe_dump(bare))
    values = environment(answers, ai_key="file:/etc/bzzz/secrets/ai-api-key")
    assert AgentSources(path=path, environment=values).load().config == whole


def test_no_variable_says_a_default() -> None:
    """It would be in the way of the cluster-wide configuration."""
    assert environment(spec(3), ai_key="file:/x") == {}


def test_logins_and_keys_are_refused_and_not_repeated() -> None:
    url = "http://10.0.0.9:11434?api_key=hunter2"
    answers = spec(1, ai={"endpoint": {"provider": "ollama", "base_url": url}})
    for make_text in (swarm, kubernetes):
        with pytest.raises(ConfigError, match=r"ai\.endpoint\.base_url holds a login") as caught:
            make_text(answers, IMAGE)
        assert "hunter2" not in str(caught.value)


def test_no_text_holds_the_operators_references() -> None:
    """They are good on the operator's machine alone."""
    for text in kept("three").values():
        assert "OPENAI_API_KEY" not in text


def test_a_pod_has_time_to_end_and_the_broker_is_there_until_the_agent_is_gone() -> None:
    assert grace_s() == pod(manifests("three"))["terminationGracePeriodSeconds"]
    assert grace_s() * 1_000 >= budget_ms(ORDER) + STOP_S["bzzz-fabric"] * 1_000
    enrol, fabric = pod(manifests("three"))["initContainers"]
    assert (enrol["name"], fabric["name"], fabric["restartPolicy"]) == ("enrol", "fabric", "Always")
    compose = yaml.safe_load(kept("three")["compose/bzzz-1/docker-compose.yml"])["services"]
    assert compose["agent"]["depends_on"] == {"fabric": {"condition": "service_started"}}
    stack = yaml.safe_load(kept("three")["swarm/stack.yml"])["services"]
    for given in (compose["agent"], stack["agent-bzzz-1"]):
        assert int(given["stop_grace_period"].removesuffix("s")) * 1_000 >= budget_ms(ORDER)


def test_probes_ask_what_they_are_for() -> None:
    found = agent(manifests("three"))
    paths = {
        name: found[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert paths == {
        "startup": "/health/live",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    start, live = found["startupProbe"], found["livenessProbe"]
    assert start["failureThreshold"] * start["periodSeconds"] * 1_000 >= 125_000
    assert live["failureThreshold"] * live["periodSeconds"] >= WATCHDOG_S
    # The kubelet is no local caller: the agent has to listen where it asks, which is with TLS.
    assert live["httpGet"]["scheme"] == "HTTPS"
    assert {"fieldRef": {"fieldPath": "status.podIP"}} in [e.get("valueFrom") for e in found["env"]]


def test_only_swarm_replaces_what_is_unhealthy_so_it_asks_whether_the_agent_lives() -> None:
    compose = yaml.safe_load(kept("one")["compose/bzzz-1/docker-compose.yml"])["services"]
    stack = yaml.safe_load(kept("one")["swarm/stack.yml"])["services"]
    assert "/health/ready" in compose["agent"]["healthcheck"]["test"][-1]
    assert "/health/live" in stack["agent-bzzz-1"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("nodes", "least"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (100, 98)]
)
def test_a_majority_of_the_voters_stays_whichever_nodes_vote(nodes: int, least: int) -> None:
    assert available_min(nodes) == least


def test_containers_may_do_little() -> None:
    found = pod(manifests("three"))
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    # Anything else would open the keys to the group at each start.
    assert found["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    for each in found["initContainers"] + found["containers"]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert each["resources"]["limits"]["memory"]


def test_what_the_operator_says_of_the_image_is_in_every_text() -> None:
    chosen = "registry.example:5000/bzzz@sha256:" + "ab" * 32
    found = pod(manifests("three"))
    for each in found["initContainers"] + found["containers"]:
        assert (each["image"], each["imagePullPolicy"]) == (chosen, "Always")
    assert found["imagePullSecrets"] == [{"name": "registry-login"}]
    compose = yaml.safe_load(kept("three")["compose/bzzz-2/docker-compose.yml"])["services"]
    for service in compose.values():
        assert (service["image"], service["pull_policy"]) == (chosen, "always")
    assert "pin it" in kept("one")["swarm/stack.yml"]
    assert "pin it" not in kept("three")["swarm/stack.yml"]


@pytest.mark.parametrize("name", ["1st", "a" * 41])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.name"):
        kubernetes(_named(name), IMAGE)


def _named(name: str) -> ClusterSpec:
    return spec(1, cluster={"name": name})


@pytest.mark.parametrize("text", ["1e3", "y", "No", "0o17", "1_000", "", "null", "+1", ".5", "~"])
def test_a_text_that_some_reader_takes_for_something_else_is_quoted(text: str) -> None:
    assert block_yaml({"key": text}) == f"key: '{text}'\n"


def test_words_and_texts_of_several_lines_stay_readable() -> None:
    assert (
        block_yaml({"key": ["some words", "x\n  y\n"]})
        == "key:\n  - some words\n  - |\n    x\n      y\n"
    )


def run_enrolment(
    tmp_path: Path, pod_name: str, secrets: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the init container's script with a shell, paths here, and a program that only tells."""
    script = pod(manifests("three"))["initContainers"][0]["command"][-1]
    told = tmp_path / "bin" / "bzzz-agent"
    told.parent.mkdir(exist_ok=True)
    told.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\necho "passphrase=${PASSPHRASE-}"\ncat\n')
    told.chmod(0o755)
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\necho waits\nexit 3\n")
    (tmp_path / "bin" / "sleep").chmod(0o755)
    tokens = tmp_path / "tokens"
    tokens.mkdir(exist_ok=True)
    for name, content in secrets.items():
        (tokens / name).write_text(content)
    here = script.replace("/run/enrolment", str(tokens)).replace(
        container.CONFIG, str(tmp_path / "agent.yaml")
    )
    return subprocess.run(
        ["/bin/sh", "-euc", here],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "POD_NAME": pod_name},
    )


def test_the_first_pod_founds_the_cluster_with_a_passphrase(tmp_path: Path) -> None:
    done = run_enrolment(tmp_path, "lab-0", {"found": "correct horse\n"})
    words = done.stdout.splitlines()
    assert words[:3] == ["init", "--name=lab-0", "--address=lab-0.lab"]
    assert {"--cluster-name=lab", "--port=api=9090", "--ca-passphrase=env:PASSPHRASE"} <= set(words)
    assert "passphrase=correct horse" in words


def test_another_pod_joins_with_its_own_token_even_if_the_cluster_is_being_founded(
    tmp_path: Path,
) -> None:
    done = run_enrolment(tmp_path, "lab-2", {"found": "correct horse", "lab-2": "token\n"})
    words = done.stdout.splitlines()
    assert words[:3] == ["join", "--name=lab-2", "--address=lab-2.lab"]
    assert words[-2:] == ["passphrase=", "token"]


def test_a_pod_without_a_key_waits(tmp_path: Path) -> None:
    done = run_enrolment(tmp_path, "lab-1", {"found": "correct horse", "lab-2": "token"})
    assert (done.returncode, done.stdout) == (3, "waits\n")


def test_a_pod_that_is_a_node_stays_that_node(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("version: 2\n")
    done = run_enrolment(tmp_path, "lab-0", {"found": "correct horse", "lab-0": "token"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def program(arguments: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the real `bzzz-agent`."""
    return subprocess.run(
        [sys.executable, "-m", "bzzz_core.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        input=given,
    )


def test_a_node_is_made_by_the_arguments_that_found_a_cluster(tmp_path: Path) -> None:
    arguments = ["init", "--name=lab-0", "--address=lab-0.lab"]
    arguments += [
        word.replace(container.VOLUME, str(tmp_path))
        for word in container.founding_arguments(load_answers(PLACE / "three.yaml"))
    ]
    done = program(arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ca").is_dir()
    made = load_agent_config(tmp_path / "node" / "agent.yaml", {"BZZZ_SERVICES__BROKER": "unit"})
    assert (made.cluster.name, made.network.ports.api, made.me.fabric_cluster) == (
        "lab",
        9090,
        6333,
    )
    assert (made.me.address, made.security.leaf_s) == ("lab-0.lab", 7 * 86_400)
    assert made.services.broker == "unit"


def test_the_other_commands_are_taken_by_the_program_too(tmp_path: Path) -> None:
    """Each goes as far as it can without a cluster: to the token, to the file."""
    place = ["--name=lab-1", "--address=lab-1.lab"]
    answers = load_answers(PLACE / "three.yaml")
    joined = program(["join", *place, *container.joining_arguments(answers)], "no token")
    assert (joined.returncode, "token" in joined.stderr) == (1, True), "2 would be an option"
    for command in (container.agent_command(), container.fabric_command()):
        assert command[0] == "bzzz-agent"
        here = [word.replace(container.VOLUME, str(tmp_path)) for word in command[1:]]
        done = program(here)
        assert done.returncode == 2
        assert f"{tmp_path}/node/agent.yaml: No such file" in done.stderr


def test_a_probe_of_docker_tells_ready_from_unready_and_from_nobody() -> None:
    answers = iter((200, 503))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(next(answers) if self.path == container.READY else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        command = container.probe_command(container.READY, server.server_port)
        codes = [subprocess.run(command, check=False).returncode for _ in range(2)]
        server.shutdown()
        serving.join()
    gone = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    assert (*codes, gone.returncode) == (0, 1, 1)
