"""A node's pod in Kubernetes: what makes it a node, its broker, its agent and their probes.

The broker is a sidecar that Kubernetes starts before the agent and ends after it (a container of
`initContainers` with `restartPolicy: Always`, Kubernetes 1.29 or newer): an agent that ends hands
its office over through the broker, so that has to be there until the agent is gone.
"""

from __future__ import annotations

from typing import Any, Final

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy import layout
from bzzz_core.deploy.generate import container
from bzzz_core.deploy.generate.environment import variable
from bzzz_core.deploy.generate.image import Image
from bzzz_core.deploy.units import FABRIC_HEAP

FOUNDING: Final = "found"
"""Key in the Secret of the enrolment, beside those that are pods' names: founds the cluster."""
AI_VARIABLE: Final = "AI_API_KEY"
_TOKENS: Final = "/run/enrolment"
_PULL: Final = {"always": "Always", "missing": "IfNotPresent", "never": "Never"}
_MEMORY_ASKED: Final = "128Mi"
_CPU_ASKED: Final = "100m"


def pod(spec: ClusterSpec, image: Image) -> dict[str, object]:
    """Return the template of the pods."""
    pull = [{"name": image.pull_secret}] if image.pull_secret else []
    return {
        **({"imagePullSecrets": pull} if pull else {}),
        "automountServiceAccountToken": False,
        # Its variables could look like ours.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s(),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": container.UID,
            "runAsGroup": container.UID,
            "fsGroup": container.UID,
            # Always: every start would open the keys to the group, and the agent would refuse them.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "labelSelector": {"matchLabels": labels(spec)},
                        "topologyKey": "kubernetes.io/hostname",
                    }
                ]
            }
        },
        "initContainers": [_enrol(spec, image), _fabric(spec, image)],
        "containers": [_agent(spec, image)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": f"{container.TEMPORARY_BYTES_MAX >> 20}Mi"}},
            {
                "name": "enrolment",
                "secret": {
                    "secretName": secret_name(spec, "enrolment"),
                    "optional": True,
                    "defaultMode": 0o400,
                },
            },
        ],
    }


def labels(spec: ClusterSpec) -> dict[str, str]:
    """Return by what everything of this cluster is known."""
    return {"app.kubernetes.io/name": "bzzz", "app.kubernetes.io/instance": spec.cluster.name}


def ports(spec: ClusterSpec) -> dict[str, int]:
    """Return what others reach in a pod, by name."""
    given = spec.network.ports
    return {
        "api": given.api,
        "fabric-client": given.fabric_client,
        "fabric-cluster": given.fabric_cluster,
        "join": given.join,
    }


def secret_name(spec: ClusterSpec, what: str) -> str:
    """Return the name of a Secret that the operator makes."""
    return f"{spec.cluster.name}-{what}"


def grace_s() -> int:
    """Return how long a pod may take to end: the agent first, the broker after it."""
    return container.END_S[layout.AGENT] + container.END_S[layout.FABRIC]


def _container(
    spec: ClusterSpec, image: Image, name: str, command: list[str], *, memory: int
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image.reference,
        "imagePullPolicy": _PULL[image.pull],
        "command": command,
        "envFrom": [{"configMapRef": {"name": f"{spec.cluster.name}-environment"}}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # No limit of CPU: one that is held back for 100 ms at a time is late for elections.
        "resources": {
            "requests": {"cpu": _CPU_ASKED, "memory": _MEMORY_ASKED},
            "limits": {"memory": f"{memory >> 20}Mi"},
        },
        "volumeMounts": [
            {"name": "node", "mountPath": container.VOLUME},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  of the container
        ],
    }


def _enrol(spec: ClusterSpec, image: Image) -> dict[str, object]:
    made = _container(
        spec,
        image,
        "enrol",
        ["/bin/sh", "-euc", _enrol_script(spec)],
        memory=container.MEMORY_MAX[layout.AGENT],
    )
    made["env"] = [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    made["volumeMounts"].append({"name": "enrolment", "mountPath": _TOKENS, "readOnly": True})
    return made


def _enrol_script(spec: ClusterSpec) -> str:
    """Return what makes a pod's node. No `$(`: Kubernetes would take that for a variable."""
    name = spec.cluster.name
    place = f'--name="$POD_NAME" --address="$POD_NAME.{name}"'
    return f"""\
[ -e {container.CONFIG} ] && exit 0
echo "$POD_NAME waits for its key in the Secret {secret_name(spec, "enrolment")}" >&2
until [ -s "{_TOKENS}/$POD_NAME" ]; do
  if [ "$POD_NAME" = {name}-0 ] && [ -s {_TOKENS}/{FOUNDING} ]; then
    read -r PASSPHRASE <{_TOKENS}/{FOUNDING} || [ -n "$PASSPHRASE" ]
    export PASSPHRASE
    exec bzzz-agent init {place} {" ".join(container.founding_arguments(spec))} \
--ca-passphrase=env:PASSPHRASE
  fi
  sleep 2
done
exec bzzz-agent join {place} {" ".join(container.joining_arguments(spec))} <"{_TOKENS}/$POD_NAME"
"""


def _fabric(spec: ClusterSpec, image: Image) -> dict[str, object]:
    made = _container(
        spec,
        image,
        "fabric",
        container.fabric_command(),
        memory=container.MEMORY_MAX[layout.FABRIC],
    )
    # No probe: it looks after nats-server itself, and where a node does not vote nothing listens.
    return {
        **made,
        "restartPolicy": "Always",
        "env": [{"name": "GOMEMLIMIT", "value": FABRIC_HEAP}],
        "ports": _container_ports(spec, "fabric-client", "fabric-cluster"),
    }


def _agent(spec: ClusterSpec, image: Image) -> dict[str, object]:
    made = _container(
        spec, image, "agent", container.agent_command(), memory=container.MEMORY_MAX[layout.AGENT]
    )
    # The API listens on loopback, and here besides, with TLS, for the kubelet to ask.
    host = variable("network.api_host")
    made["env"] = [{"name": host, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    if spec.ai.endpoint.api_key:
        key = {"name": secret_name(spec, "ai"), "key": "api-key"}
        made["env"].append({"name": AI_VARIABLE, "valueFrom": {"secretKeyRef": key}})
    return {
        **made,
        "ports": _container_ports(spec, "api", "join"),
        "startupProbe": _probe(container.LIVE, failures=container.start_probes_max(spec)),
        "livenessProbe": _probe(container.LIVE, failures=container.PROBES_FAILED_MAX),
        "readinessProbe": _probe(container.READY, failures=2),
    }


def _container_ports(spec: ClusterSpec, *names: str) -> list[dict[str, object]]:
    numbers = ports(spec)
    return [{"name": name, "containerPort": numbers[name], "protocol": "TCP"} for name in names]


def _probe(path: str, *, failures: int) -> dict[str, object]:
    return {
        "httpGet": {"path": path, "port": "api", "scheme": "HTTPS"},
        "periodSeconds": container.PROBE_S,
        "timeoutSeconds": container.PROBE_TIMEOUT_S,
        "failureThreshold": failures,
    }
