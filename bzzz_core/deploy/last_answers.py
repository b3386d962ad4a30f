"""The answers of the last run that ended well, kept beside the cluster's profile.

They hold references, never secrets, and are what `setup --answers` takes: to look whether hosts
drifted, to change something, or to install the same elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bzzz_core.config.profile_places import cluster_directory, home
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import to_yaml
from bzzz_core.errors import ConfigError
from bzzz_core.trust import private_files

NAME: Final = "answers.last.yaml"


def path_of(cluster: str, base: Path | None = None) -> Path:
    """Return where a cluster's last answers are."""
    return cluster_directory(cluster, base) / NAME


def as_yaml(spec: ClusterSpec) -> str:
    """Return answers as a file: only what differs from the defaults, and the hosts."""
    data = spec.model_dump(mode="json", exclude_defaults=True)
    return to_yaml({"version": spec.version, **data})


def keep(spec: ClusterSpec, base: Path | None = None) -> Path:
    """Keep answers and return where; whoever reads never sees half of them.

    Raises:
        ConfigError: The file cannot be written.
    """
    path = path_of(spec.cluster.name, base)
    part = path.with_name(f".{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        private_files.private_directory(path.parent)
        descriptor = os.open(part, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"# bzzz-tui setup --answers {NAME} --plan\n{as_yaml(spec)}")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as exc:
        raise ConfigError(f"{path}: the answers cannot be kept: {exc.strerror}") from exc
    return path


def missing(what: str, base: Path | None = None) -> ConfigError:
    """Return the error that something needs an answers file; it names those of earlier runs.

    Args:
        what: What needs it, with its verb: `--plan needs`.
        base: The operator's directory; None: the user's own.
    """
    kept = sorted(str(path) for path in ((base or home()) / "clusters").glob(f"*/{NAME}"))
    hint = f"; kept from the last run: {', '.join(kept)}" if kept else ""
    return ConfigError(f"{what} --answers FILE{hint}")
