"""Kubernetes manifests: one StatefulSet whose pods are the nodes.

The answers' hosts say how many; pods have names of their own, and are reached by them through a
headless Service. A pod's volume is its node: keys, store, configuration. It is made there once, by
a token, before the broker starts; nothing of it is in the manifests.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from bzzz_core.config.block_yaml import block_yaml
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.generate import container
from bzzz_core.deploy.generate.environment import BROKER, environment, variable
from bzzz_core.deploy.generate.image import Image
from bzzz_core.deploy.generate.pod import (
    AI_VARIABLE,
    FOUNDING,
    labels,
    pod,
    ports,
    secret_name,
)
from bzzz_core.errors import ConfigError
from bzzz_core.model import voter_count

_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_SETTLE_S: Final = 10


def kubernetes(spec: ClusterSpec, image: Image) -> str:
    """Return all manifests, in the order in which they are applied.

    Raises:
        ConfigError: The cluster's name cannot be that of a Service, or a value is secret.
    """
    if not _NAME.fullmatch(spec.cluster.name):
        raise ConfigError(
            f"cluster.name: {spec.cluster.name} cannot name a Service of Kubernetes: begin with a"
            " letter, and take at most 40 characters"
        )
    values = _environment(spec)
    documents = [
        _config_map(spec, values),
        _service(spec),
        _disruption_budget(spec),
        _stateful_set(spec, image, values),
    ]
    text = "---\n".join(block_yaml(document) for document in documents)
    return container.header("Kubernetes manifests", image, _steps(spec)) + text


def available_min(nodes: int) -> int:
    """Return how many of the nodes have to stay: as many may go as voters can be missed.

    Which of the nodes vote is the cluster's choice, so each that goes is counted as a voter. Where
    all of them vote, this is their majority.
    """
    voters = voter_count(nodes)
    return nodes - (voters - (voters // 2 + 1))


def _environment(spec: ClusterSpec) -> dict[str, str]:
    return environment(
        spec,
        ai_key=f"env:{AI_VARIABLE}",
        **{variable(BROKER): "unit", variable("network.discovery.mdns"): "false"},
    )


def _metadata(spec: ClusterSpec, name: str = "") -> dict[str, object]:
    return {"name": name or spec.cluster.name, "labels": labels(spec)}


def _config_map(spec: ClusterSpec, values: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(spec, f"{spec.cluster.name}-environment"),
        "data": values,
    }


def _service(spec: ClusterSpec) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec),
        "spec": {
            "clusterIP": "None",
            # Nodes have to find each other to become ready.
            "publishNotReadyAddresses": True,
            "selector": labels(spec),
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
                for name, port in ports(spec).items()
            ],
        },
    }


def _disruption_budget(spec: ClusterSpec) -> dict[str, object]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(spec),
        "spec": {
            "minAvailable": available_min(len(spec.hosts)),
            "selector": {"matchLabels": labels(spec)},
        },
    }


def _stateful_set(spec: ClusterSpec, image: Image, values: dict[str, str]) -> dict[str, object]:
    size = f"{-(-container.disk_bytes(spec) >> 20)}Mi"
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata(spec),
        "spec": {
            "serviceName": spec.cluster.name,
            "replicas": len(spec.hosts),
            "selector": {"matchLabels": labels(spec)},
            # One after the other would wait for a quorum that the first alone never has.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "minReadySeconds": _SETTLE_S,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            },
            "template": {
                "metadata": {
                    "labels": labels(spec),
                    # Pods take a changed ConfigMap when they start, so they are started anew.
                    "annotations": {"bzzz/environment-sha256": _digest(values)},
                },
                "spec": pod(spec, image),
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "node"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": size}},
                    },
                }
            ],
        },
    }


def _digest(values: dict[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(sorted(values.items()))).hexdigest()


def _steps(spec: ClusterSpec) -> list[str]:
    name, secret, nodes = spec.cluster.name, secret_name(spec, "enrolment"), len(spec.hosts)
    token = f"{container.PROGRAM} token create --config {container.CONFIG}"
    lines = [
        "Kubernetes 1.29 or newer; apply it in the namespace of your choice. Of the answers' hosts",
        f"only the number counts: nodes are the pods {name}-0, {name}-1 and so on, each on",
        "a machine of its own.",
        "",
    ]
    if spec.ai.endpoint.api_key:
        lines += [
            "Before, with the key of the AI service in a file:",
            f"  kubectl create secret generic {secret_name(spec, 'ai')} --from-file=api-key=FILE",
            "",
        ]
    if _is_loopback(spec.ai.endpoint.base_url):
        lines += ["ai.endpoint.base_url is a loopback address: here that is the pod itself.", ""]
    return [
        *lines,
        "A pod waits until it is told who it is. Once, for the first one, a passphrase for the",
        "cluster's roots (12 characters or more, one line); never again for this cluster:",
        f"  kubectl create secret generic {secret} --from-file={FOUNDING}=PASSPHRASE-FILE",
        f"When {name}-0 is there, take the encrypted roots away, keep them, and remove the Secret:",
        f"  kubectl cp -c agent {name}-0:{container.ROOTS} ./ca",
        f"  kubectl exec {name}-0 -c agent -- rm -r {container.ROOTS}",
        f"  kubectl delete secret {secret}",
        "For each other pod a token of its own, one Secret for all of them (the kubelet may take a",
        "minute to see it; a token is good for one node, once, for an hour):",
        f"  kubectl exec {name}-0 -c agent -- {token} >{name}-1",
        f"  kubectl create secret generic {secret} --from-file={name}-1 ...",
        "A pod whose volume was lost joins as a new node: revoke the old one, then make a token.",
        "",
        "A node that has left or was revoked ends with status 7, and a StatefulSet starts it again",
        "and again: scale down, which takes the last pods, and delete their claims.",
        f"Of {nodes} node(s), {nodes - available_min(nodes)} may be drained at a time, as the",
        "voters' majority allows; where that is 0, delete the pod by hand.",
    ]


def _is_loopback(url: str | None) -> bool:
    return bool(url and re.match(r"https?://(127\.|localhost\b|\[::1\])", url))
