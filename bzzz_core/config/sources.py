"""Where configuration comes from, and what a person is told when it is wrong.

Precedence: flag > environment > file > default. Every leaf has an environment name: its path in
upper case, joined by two underscores, behind `BZZZ_` (`network.ports.api` is
`BZZZ_NETWORK__PORTS__API`). Values from the environment are parsed as YAML scalars, so `8080` is a
number and `[a, b]` a list. A message about a file names the file, the line and the nearest valid
key.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bzzz_core.config.schema import AgentConfig, ClusterSpec
from bzzz_core.errors import ConfigError

ENVIRONMENT_PREFIX = "BZZZ_"
DOCUMENT_BYTES_MAX = 1_000_000
Document = TypeVar("Document", bound=BaseModel)


def load_answers(path: Path) -> ClusterSpec:
    """Read an answers file.

    Raises:
        ConfigError: The file is missing, no YAML, or says something that cannot be.
    """
    return load_document(path, ClusterSpec)


def load_document(path: Path, model: type[Document]) -> Document:
    """Read any YAML document of the schema, without the environment.

    Raises:
        ConfigError: The file is missing, no YAML, or says something that cannot be.
    """
    return _load(path, model, environment={})


def load_agent_config(path: Path, environment: Mapping[str, str] | None = None) -> AgentConfig:
    """Read a node's file and lay the environment over it.

    Raises:
        ConfigError: As `load_answers`, or the file can be read or written by everyone.
    """
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigError(f"{path} is open to others ({mode & 0o777:04o}); run: chmod 640 {path}")
    env = os.environ if environment is None else environment
    return _load(path, AgentConfig, environment=env)


def parse_untrusted(text: str) -> Any:
    """Return what a YAML text of unknown origin holds; no schema is applied.

    Raises:
        ConfigError: It is no YAML, or nested too deeply.
    """
    try:
        return yaml.safe_load(text[:DOCUMENT_BYTES_MAX])
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise ConfigError("not valid YAML") from exc


def environment_name(path: tuple[str, ...]) -> str:
    """Return the environment variable that overrides the leaf at `path`."""
    return ENVIRONMENT_PREFIX + "__".join(path).upper()


def leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every leaf of a schema, in the order of its fields."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, (*prefix, name))
        else:
            yield (*prefix, name)


def dump(document: BaseModel) -> str:
    """Return a document as YAML that loads back to an equal one; secrets are references in it."""
    return to_yaml(document.model_dump(mode="json"))


def to_yaml(data: object) -> str:
    """Return plain data as YAML, keys in their own order."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _load(path: Path, model: type[Document], *, environment: Mapping[str, str]) -> Document:
    text = _read(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or "nested too deeply"
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}") from exc
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(data).__name__}")
    for leaf in leaves(model):
        value = environment.get(environment_name(leaf))
        if value is not None:
            _lay_over(data, leaf, _parse_scalar(leaf, value))
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        lines = [_explain(path, root, model, error) for error in exc.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from None  # pydantic's own text would show the values


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(DOCUMENT_BYTES_MAX + 1)
        if len(content) > DOCUMENT_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {DOCUMENT_BYTES_MAX} bytes")
        return content.decode("utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8 text (byte {exc.start})") from exc


def _parse_scalar(leaf: tuple[str, ...], value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as exc:
        raise ConfigError(f"environment {environment_name(leaf)}: not valid YAML") from exc


def _lay_over(data: dict[str, Any], leaf: tuple[str, ...], value: Any) -> None:
    for key in leaf[:-1]:
        inner = data.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # the file holds no section there; validation will say so
        data = inner
    data[leaf[-1]] = value


def _explain(path: Path, root: yaml.Node | None, model: type[BaseModel], error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "document"
    line = _line_of(root, error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _keys_beside(model, error["loc"])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"
        message = "unknown key" + hint
    return f"{path}:{line}: {place}: {message}"


def _keys_beside(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    kind: Any = model
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        kind = kind.model_fields[part].annotation
        arguments = getattr(kind, "__args__", ())
        kind = next((a for a in (kind, *arguments) if hasattr(a, "model_fields")), kind)
    return sorted(kind.model_fields)


def _line_of(node: yaml.Node | None, place: tuple[str | int, ...]) -> int:
    """Return the line (from 1) of the deepest node on the way to `place`."""
    line = node.start_mark.line + 1 if node else 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
