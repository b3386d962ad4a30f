"""Layers of configuration and where each value comes from: pure.

    flag > environment > node file > cluster-wide > default

The file is nested data, as it was read; the other layers are values by key. What comes out is
nested data for the schema to check, and the origin of every leaf, also of one that is wrong, so
that a message can name the place to mend.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bzzz_core.config.leaf import Leaf
from bzzz_core.config.value import lay


class Source(StrEnum):
    """Who said a value."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    CLUSTER = "cluster-wide"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of one leaf comes from."""

    source: Source
    place: str = ""
    """`agent.yaml:12`, `BZZZ_DHT_BACKEND`, `--set`, `revision 7`; empty for a default."""


DEFAULT: Final = Origin(Source.DEFAULT)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says, by key."""

    source: Source
    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterValues:
    """What was set for the whole cluster, as far as this node knows."""

    number: int = 0
    """Grows by one with each change; 0 is "nothing was ever set"."""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layer(self) -> Layer:
        """Return the values as a layer."""
        return Layer(
            Source.CLUSTER, self.values, dict.fromkeys(self.values, f"revision {self.number}")
        )


def merge(
    leaves: Mapping[str, Leaf],
    file: Mapping[str, Any],
    *,
    file_places: Mapping[str, str],
    below: Layer,
    above: tuple[Layer, ...],
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """Lay the layers over each other.

    Args:
        leaves: What can be set.
        file: The node file's nested data.
        file_places: Key -> place, of the leaves that the file mentions.
        below: Holds where the file says nothing: the cluster-wide values.
        above: Goes before the file, the last one before all: environment, then flags.

    Returns:
        Nested data, and the origin of every leaf.
    """
    data = copy.deepcopy(dict(file))
    origins = {key: Origin(Source.FILE, place) for key, place in file_places.items()}
    for key, value in below.values.items():
        # A key that this release does not know was set by a newer one: it cannot matter here.
        if key in leaves and not leaves[key].of_node and key not in origins:
            lay(data, leaves[key].path, value)
            origins[key] = Origin(below.source, below.places.get(key, ""))
    for layer in above:
        for key, value in layer.values.items():
            lay(data, leaves[key].path, value)
            origins[key] = Origin(layer.source, layer.places.get(key, ""))
    return data, {key: origins.get(key, DEFAULT) for key in leaves}
