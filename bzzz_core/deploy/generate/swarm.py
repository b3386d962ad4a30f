"""One stack for Docker Swarm.

Swarm moves what it runs; a node of BZZZ stays where its keys and its store are. So each host of the
answers has its own pair of services, held to that host, and Swarm adds starting, updating one at a
time and restarting what is not alive any more.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.config.block_yaml import block_yaml
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import layout
from bzzz_core.deploy.generate import container
from bzzz_core.deploy.generate.compose import (
    AI_REFERENCE,
    AI_SECRET,
    confined,
    enrol_arguments,
    healthcheck,
    literal,
    mounts,
)
from bzzz_core.deploy.generate.environment import BROKER, environment, variable
from bzzz_core.deploy.generate.image import Image
from bzzz_core.deploy.units import FABRIC_FILES_MAX, FABRIC_HEAP, TASKS_MAX

_NETWORK: Final = "of-host"
_BETWEEN_UPDATES_S: Final = 30


def swarm(spec: ClusterSpec, image: Image) -> str:
    """Return the stack of the whole cluster.

    Raises:
        ConfigError: A value is secret.
    """
    services = {}
    for host in spec.hosts:
        services[f"fabric-{host.name}"] = _fabric(spec, host, image)
        services[f"agent-{host.name}"] = _agent(spec, host, image)
    secret = _secret_name(spec)
    document = {
        "version": "3.13",
        "services": services,
        # Known by one name each, so that `docker run` can make the node before the stack is there.
        "volumes": {f"node-{h.name}": {"name": _volume(spec, h)} for h in spec.hosts},
        "networks": {_NETWORK: {"external": True, "name": "host"}},
        **(
            {"secrets": {AI_SECRET: {"external": True, "name": secret}}}
            if spec.ai.endpoint.api_key
            else {}
        ),
    }
    return container.header("Swarm stack", image, _steps(spec, image)) + block_yaml(
        literal(document)
    )


def _service(
    spec: ClusterSpec, host: HostSpec, image: Image, unit: str, command: list[str]
) -> dict[str, object]:
    given = {"GOMEMLIMIT": FABRIC_HEAP} if unit == layout.FABRIC else {}
    return {
        "image": image.reference,
        "entrypoint": command[:1],
        "command": command[1:],
        "environment": environment(
            spec, ai_key=AI_REFERENCE, **{variable(BROKER): "unit"}, **given
        ),
        "networks": [_NETWORK],
        **confined(),
        "volumes": mounts(f"node-{host.name}"),
        "logging": {"driver": "local"},
        "stop_grace_period": f"{container.END_S[unit]}s",
        "deploy": {
            "mode": "replicated",
            "replicas": 1,
            "placement": {"constraints": [f"node.hostname == {host.name}"]},
            "resources": {
                "limits": {"memory": f"{container.MEMORY_MAX[unit] >> 20}M", "pids": TASKS_MAX}
            },
            "restart_policy": {"condition": "on-failure", "delay": "1s"},
            # Never two of one node, and not at all if the new one does not come up.
            "update_config": {
                "order": "stop-first",
                "parallelism": 1,
                "monitor": f"{_BETWEEN_UPDATES_S}s",
                "failure_action": "pause",
            },
        },
    }


def _fabric(spec: ClusterSpec, host: HostSpec, image: Image) -> dict[str, object]:
    files = {"soft": FABRIC_FILES_MAX, "hard": FABRIC_FILES_MAX}
    return {
        **_service(spec, host, image, layout.FABRIC, container.fabric_command()),
        "ulimits": {"nofile": files},
    }


def _agent(spec: ClusterSpec, host: HostSpec, image: Image) -> dict[str, object]:
    owner = str(container.UID)
    secret = {"source": AI_SECRET, "target": AI_SECRET, "uid": owner, "gid": owner, "mode": 0o400}
    return {
        **_service(spec, host, image, layout.AGENT, container.agent_command()),
        # Swarm replaces what is unhealthy, and a node without a quorum is none the worse for it.
        "healthcheck": healthcheck(spec, container.LIVE),
        **({"secrets": [secret]} if spec.ai.endpoint.api_key else {}),
    }


def _volume(spec: ClusterSpec, host: HostSpec) -> str:
    return f"bzzz-{spec.cluster.name}-{host.name}"


def _secret_name(spec: ClusterSpec) -> str:
    return f"bzzz-{spec.cluster.name}-{AI_SECRET}"


def _steps(spec: ClusterSpec, image: Image) -> list[str]:
    first = spec.hosts[0]
    name = spec.cluster.name
    lines = [
        "Each pair of services is held to the host whose name Swarm knows as in the answers",
        "(`docker node ls`). Volumes are of that host: give the stack no volume driver that moves.",
        "",
        f"Once, on {first.name}, and never again for this cluster (a lost node joins anew):",
        f"  {_run(spec, first, image)}",
    ]
    if spec.ai.endpoint.api_key:
        lines.append(f"Once: docker secret create {_secret_name(spec)} - <KEY-FILE")
    lines += [
        f"Then: docker stack deploy --with-registry-auth -c stack.yml {name}",
        f"Take the encrypted roots away from {container.ROOTS} of {first.name}, and keep them.",
    ]
    lines += [
        line
        for host in spec.hosts[1:]
        for line in (
            f"Once, on {host.name}, with a token of its own on standard input (made by",
            f"`bzzz-agent token create` in the agent's container of {first.name}):",
            f"  {_run(spec, host, image)} <TOKEN-FILE",
        )
    ]
    return [
        *lines,
        "",
        "Until its node is made, an agent fails and is started again every second.",
        "What Swarm does not do: wait until the cluster is whole before it updates the next host.",
        "Update the services one by one (`docker service update`), each after",
        "`bzzz-agent health --wait 60` on the host before.",
        "It knows no `no-new-privileges`, and pulls by `docker stack deploy --resolve-image`.",
    ]


def _run(spec: ClusterSpec, host: HostSpec, image: Image) -> str:
    words = " ".join(enrol_arguments(spec, host))
    return (
        f"docker run --rm -i --network host --read-only --cap-drop ALL"
        f" --user {container.UID}:{container.UID} -v {_volume(spec, host)}:{container.VOLUME}"
        f" --entrypoint {container.PROGRAM} {image.reference} {words}"
    )
