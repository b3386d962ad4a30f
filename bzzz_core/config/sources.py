"""Where configuration comes from: files, the environment, flags, the cluster.

Precedence: flag > environment > node file > cluster-wide > default. Every leaf has an environment
name (`bzzz_core.config.leaf`), some have a short one besides; the long one goes first. A variable
that looks like one of ours and is none is an error, as an unknown key in a file is.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bzzz_core.config.document import DOCUMENT_BYTES_MAX, YamlText, parse, read_text
from bzzz_core.config.explain import explain, name_or_not
from bzzz_core.config.layers import ClusterValues, Layer, Origin, Source, merge
from bzzz_core.config.leaf import ENVIRONMENT_PREFIX, Leaf, catalogue
from bzzz_core.config.migrate import Migration, migrated
from bzzz_core.config.migrations import AGENT_MIGRATIONS
from bzzz_core.config.nearest import nearest
from bzzz_core.config.schema import SCHEMA_VERSION, AgentConfig, ClusterSpec
from bzzz_core.config.value import drop, from_text, lay
from bzzz_core.errors import ConfigError

Document = TypeVar("Document", bound=BaseModel)
_NOTHING = ClusterValues()
_PASSED_OVER_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Loaded:
    """A node's configuration and where each value of it comes from."""

    config: AgentConfig
    origins: Mapping[str, Origin]
    document: YamlText
    version: int
    """Schema of the file as it lies there."""

    @property
    def digest(self) -> str:
        """Return what changes whenever the file does."""
        return digest_of(self.document.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSources:
    """All that a node's configuration is made from, but for what the cluster says."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    flags: Sequence[str] = ()
    """`key=value`, as given on the command line."""

    def load(self, cluster: ClusterValues = _NOTHING) -> Loaded:
        """Read the file and lay everything over it.

        Raises:
            ConfigError: Something is missing, cannot be read, or cannot be; or the file can be read
                or written by everyone.
        """
        refuse_open(self.path)
        return self.check(read_text(self.path), cluster)

    def check(self, text: str, cluster: ClusterValues = _NOTHING) -> Loaded:
        """Return what would be loaded if the file held `text`.

        Raises:
            ConfigError: It cannot be.
        """
        data, origins, document, version = self._merged(text, cluster)
        config = validated(data, AgentConfig, document, origins)
        return Loaded(config, origins, document, version)

    def load_what_can_be(self, needed: Sequence[str]) -> tuple[Loaded, tuple[str, ...]]:
        """Read the file as `load` does, with the default where a value is wrong.

        A program that only wants to know where the agent listens need not care for the rest.

        Args:
            needed: Keys that must be right, with all below them.

        Returns:
            What was loaded, and one line for each fault that was passed over.

        Raises:
            ConfigError: As `load`, for what is needed or has no default.
        """
        refuse_open(self.path)
        text = read_text(self.path)
        data, origins, document, version = self._merged(text, _NOTHING)
        passed_over: list[str] = []
        while faults := _faults(data, AgentConfig):
            # One at a time: what is dropped for one fault may have held the next.
            full = len(passed_over) == _PASSED_OVER_MAX
            if full or not drop(data, faults[0]["loc"], keep=needed):
                return self.check(text), ()  # Raises, with every fault.
            passed_over.append(
                explain(faults[0], model=AgentConfig, document=document, origins=origins)
            )
        config = validated(data, AgentConfig, document, origins)
        return Loaded(config, origins, document, version), tuple(passed_over)

    def _merged(
        self, text: str, cluster: ClusterValues
    ) -> tuple[dict[str, Any], dict[str, Origin], YamlText, int]:
        """Return the layers as one, where each leaf comes from, the document and its schema."""
        document = parse(text, str(self.path))
        data, version = migrated(document, AGENT_MIGRATIONS, newest=SCHEMA_VERSION)
        leaves = catalogue(AgentConfig)
        places = document.places(leaves)
        if version < SCHEMA_VERSION:
            kept = YamlText(document.name, text, document.root, data)
            places = {key: places.get(key, document.name) for key in kept.places(leaves)}
        above = (environment_layer(leaves, self.environment), flags_layer(leaves, self.flags))
        merged, origins = merge(leaves, data, file_places=places, below=cluster.layer, above=above)
        return merged, origins, document, version


def load_agent_config(path: Path, environment: Mapping[str, str] | None = None) -> AgentConfig:
    """Read a node's file and lay the environment over it.

    Raises:
        ConfigError: As `AgentSources.load`.
    """
    env = os.environ if environment is None else environment
    return AgentSources(path=path, environment=env).load().config


def load_answers(path: Path) -> ClusterSpec:
    """Read an answers file.

    Raises:
        ConfigError: The file is missing, no YAML, or says something that cannot be.
    """
    return load_document(path, ClusterSpec)


def load_document(
    path: Path, model: type[Document], migrations: Mapping[int, Migration] | None = None
) -> Document:
    """Read any YAML document of the schema, without the environment.

    Raises:
        ConfigError: The file is missing, no YAML, or says something that cannot be.
    """
    document = parse(read_text(path), str(path))
    newest = model.model_fields["version"].get_default()
    data, _ = migrated(document, migrations or {}, newest=newest)
    return validated(data, model, document, {})


def parse_untrusted(text: str) -> Any:
    """Return what a YAML text of unknown origin holds; no schema is applied.

    Raises:
        ConfigError: It is no YAML, or nested too deeply.
    """
    try:
        return yaml.safe_load(text[:DOCUMENT_BYTES_MAX])
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise ConfigError("not valid YAML") from exc


def environment_layer(leaves: Mapping[str, Leaf], environment: Mapping[str, str]) -> Layer:
    """Return what the environment says.

    Raises:
        ConfigError: A variable looks like one of ours and is none, or is no list where one is due.
    """
    values, places = {}, {}
    for key, leaf in leaves.items():
        name = next((name for name in leaf.environment if name in environment), None)
        if name is not None:
            values[key] = from_text(leaf, environment[name], f"environment {name}")
            places[key] = name
    names = [name for leaf in leaves.values() for name in leaf.environment]
    sections = tuple(
        f"{ENVIRONMENT_PREFIX}{section}__".upper()
        for section in {leaf.path[0] for leaf in leaves.values() if len(leaf.path) > 1}
    )
    for name in sorted(set(environment) - set(names)):
        if name.startswith(sections):
            raise ConfigError(f"environment {name}: no such setting{nearest(name, names)}")
    return Layer(Source.ENVIRONMENT, values, places)


def flags_layer(leaves: Mapping[str, Leaf], flags: Sequence[str]) -> Layer:
    """Return what `--set key=value` says; of several for one key the last one counts.

    Raises:
        ConfigError: One of them has another form, or names nothing that can be set.
    """
    values = {}
    for flag in flags:
        key, equals, text = flag.partition("=")
        if not equals:
            raise ConfigError("--set: write KEY=VALUE, such as resources.log_level=debug")
        values[key] = from_text(leaf_of(leaves, key), text, f"--set {key}")
    return Layer(Source.FLAG, values, dict.fromkeys(values, "--set"))


def leaf_of(leaves: Mapping[str, Leaf], key: str) -> Leaf:
    """Return the leaf with a key.

    Raises:
        ConfigError: There is none; the message names the nearest.
    """
    leaf = leaves.get(key)
    if leaf is None:
        inside = [known for known in leaves if known.startswith(f"{key}.")]
        hint = f"; it is a section: {', '.join(inside)}" if inside else nearest(key, list(leaves))
        raise ConfigError(f"{name_or_not(key)}: no such setting{hint}")
    return leaf


def validated(
    data: Mapping[str, Any],
    model: type[Document],
    document: YamlText,
    origins: Mapping[str, Origin],
) -> Document:
    """Return data as a document of the schema.

    Raises:
        ConfigError: It is none; one line for each fault.
    """
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        lines = [
            explain(error, model=model, document=document, origins=origins)
            for error in exc.errors(include_url=False, include_input=False, include_context=False)
        ]
    # Raised here, so that pydantic's error, which holds the values, is no part of it.
    raise ConfigError("\n".join(lines))


def with_values(config: AgentConfig, values: Mapping[str, Any]) -> AgentConfig:
    """Return a configuration with other values at some keys.

    Raises:
        ConfigError: It cannot be; one line for each fault, without a place.
    """
    data = config.model_dump(mode="json")
    for key, value in values.items():
        lay(data, catalogue(AgentConfig)[key].path, value)
    return of_values(AgentConfig, data)


def of_values(model: type[Document], data: Mapping[str, Any], *, of: str = "") -> Document:
    """Return data that was in no file as a document or a section of the schema.

    Args:
        model: What it is to be.
        data: What it says.
        of: What is named at fault if a rule is about the whole.

    Raises:
        ConfigError: It cannot be; one line for each fault, without a place.
    """
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        lines = [
            f"{'.'.join(map(str, error['loc'])) or of}:"
            f" {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors(include_url=False, include_input=False, include_context=False)
        ]
    raise ConfigError("\n".join(lines))


def _faults(data: Mapping[str, Any], model: type[BaseModel]) -> list[Any]:
    """Return what is wrong with data, without the error that holds its values."""
    try:
        model.model_validate(data)
    except ValidationError as exc:
        return exc.errors(include_url=False, include_input=False, include_context=False)
    return []


def refuse_open(path: Path) -> None:
    """Check that a node's file is 0640 or tighter.

    Raises:
        ConfigError: Others can read it or its group can write it; or it is missing.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    if mode & (stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP):
        raise ConfigError(f"{path} is open to others ({mode:04o}); run: chmod 640 {path}")


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, shortened; names one state of a file."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dump(document: BaseModel) -> str:
    """Return a document as YAML that loads back to an equal one; secrets are references in it."""
    return to_yaml(document.model_dump(mode="json"))


def dump_own(config: AgentConfig) -> str:
    """Return a node's file: only what differs from the defaults, so that the rest can be shared."""
    data = config.model_dump(mode="json", exclude_defaults=True)
    nodes = [node.model_dump(mode="json") for node in config.cluster.nodes]
    cluster = {**data.pop("cluster"), "nodes": nodes}
    return to_yaml({"version": config.version, **data, "cluster": cluster})


def to_yaml(data: object) -> str:
    """Return plain data as YAML, keys in their own order."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
