"""Hosts from a file that others keep: Ansible's INI and YAML, our answers, or a plain list. Pure.

Of Ansible's formats only what names machines and logins is read: groups, `ansible_host`,
`ansible_port`, `ansible_user`, `:vars` and ranges (`web[01:03]`). Variables that hold passwords are
never read, let alone kept. What is not understood is an error that names the line; a host that
stands in several groups is one host, and hosts of different names never are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bzzz_core.config.document import parse
from bzzz_core.config.schema import HOSTS_MAX
from bzzz_core.errors import ConfigError

DEPTH_MAX: Final = 16
_RANGE: Final = re.compile(r"\[(\d+):(\d+)\]")
_SECTION: Final = re.compile(r"\[([^\]:]+)(?::(vars|children))?\]")
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]+:(\s|$)")
_WORDS: Final = ("name", "address", "port", "user", "host_key_sha256")
_NAME: Final = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One machine as a file names it."""

    name: str
    """What BZZZ calls it: the first label, or the whole name where that label is another's too."""
    full: str
    """As the file names it."""
    address: str
    port: str = ""
    user: str = ""
    host_key_sha256: str = ""
    roles: tuple[str, ...] = ()
    """Only our answers name roles and keys; empty: nothing is said."""


def read(text: str, *, what: str) -> tuple[Listed, ...]:
    """Return the hosts of a file, in its order, each once.

    Args:
        text: The file.
        what: Its name, for messages.

    Raises:
        ConfigError: It is none of the formats, or has no or too many hosts.
    """
    hosts = list(_yaml(text, what) if _looks_like_yaml(text) else _ini(text, what))
    once: dict[str, Listed] = {}
    for host in hosts:
        once[host.full] = _merged(once[host.full], host) if host.full in once else host
    if not once:
        raise ConfigError(f"{what}: no hosts in it; write addresses, one a line, or an inventory")
    if len(once) > HOSTS_MAX:
        raise ConfigError(f"{what}: {len(once)} hosts; at most {HOSTS_MAX} are taken")
    return _distinct(list(once.values()), what)


def label(name: str) -> str:
    """Return a name as BZZZ writes them: the first label of a host name, in lower case."""
    address = re.fullmatch(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", name) is not None
    first = name if address else name.partition(".")[0]
    return _NAME.sub("-", first.lower()).strip("-")[:63] or "host"


def _distinct(hosts: list[Listed], what: str) -> tuple[Listed, ...]:
    """Return the hosts with names that differ: those that share a label get their whole name."""
    labels = Counter(host.name for host in hosts)
    named = [host if labels[host.name] == 1 else replace(host, name=_whole(host)) for host in hosts]
    seen: dict[str, Listed] = {}
    for host in named:
        if host.name in seen:
            both = f"{seen[host.name].full} and {host.full}"
            raise ConfigError(f"{what}: {both} would both be called {host.name}; rename one")
        seen[host.name] = host
    return tuple(named)


def _whole(host: Listed) -> str:
    return label(host.full.replace(".", "-"))


def _merged(one: Listed, other: Listed) -> Listed:
    """Return a host that stands twice: what the later place adds counts."""
    return replace(
        one,
        address=one.address if other.address == other.full else other.address,
        port=other.port or one.port,
        user=other.user or one.user,
        host_key_sha256=other.host_key_sha256 or one.host_key_sha256,
        roles=other.roles or one.roles,
    )


def _looks_like_yaml(text: str) -> bool:
    for line in text.splitlines():
        words = line.strip()
        if words and not words.startswith(("#", ";")):
            return words == "---" or _KEY.match(words) is not None
    return False


def _ini(text: str, what: str) -> Iterator[Listed]:
    kind = ""
    group = ""
    hosts: list[tuple[str, str, Mapping[str, str]]] = []
    shared: dict[str, dict[str, str]] = {}
    above: dict[str, list[str]] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.split(r"(?:^|\s)[#;]", raw, maxsplit=1)[0].strip()
        if not line:
            continue
        section = _SECTION.fullmatch(line)
        if section is not None:
            group, kind = section[1], section[2] or ""
        elif line.startswith("["):
            raise ConfigError(f"{what}:{number}: not a section; write [group]")
        elif kind == "vars":
            key, found, value = line.partition("=")
            if not found:
                raise ConfigError(f"{what}:{number}: not a variable; write name=value")
            shared.setdefault(group, {})[key.strip()] = _bare(value)
        elif kind == "children":
            above.setdefault(line, []).append(group)
        else:
            name, *words = line.split()
            hosts.append((group, name, _variables(words)))
    for of, name, own in hosts:
        variables = dict(shared.get("all", {}))
        for one in _lineage(of, above):
            variables |= shared.get(one, {})
        yield from _listed(name, {**variables, **own})


def _lineage(group: str, above: Mapping[str, list[str]]) -> list[str]:
    """Return a group and all that it is a child of, each once, the farthest first."""
    found, seen = [group], {group}
    for one in found:
        parents = [parent for parent in dict.fromkeys(above.get(one, ())) if parent not in seen]
        found += parents
        seen |= set(parents)
    return found[::-1]


def _variables(words: list[str]) -> dict[str, str]:
    return {key: _bare(value) for key, found, value in (w.partition("=") for w in words) if found}


def _bare(value: str) -> str:
    return value.strip().strip("'\"")


def _yaml(text: str, what: str) -> Iterator[Listed]:
    data: Any = parse(text, what).data
    if not isinstance(data, dict):
        raise ConfigError(f"{what}: neither an inventory nor an answers file")
    if isinstance(data.get("hosts"), list):
        yield from _answers(data["hosts"], what)
        return
    for group in data.values():
        if isinstance(group, dict):
            yield from _group(group, {}, DEPTH_MAX)


def _answers(hosts: list[Any], what: str) -> Iterator[Listed]:
    for number, host in enumerate(hosts, 1):
        if isinstance(host, str):
            yield Listed(name=label(host), full=host, address=host)
        elif isinstance(host, dict) and host.get("address"):
            words = {key: _word(host.get(key)) for key in _WORDS}
            roles = host.get("roles")
            listed = [_word(role) for role in roles] if isinstance(roles, list) else []
            full = words["name"] or words["address"]
            words["name"] = label(full)
            yield Listed(**words, full=full, roles=tuple(listed))
        else:
            raise ConfigError(f"{what}: host {number} has no address")


def _group(group: Mapping[str, Any], above: Mapping[str, str], depth: int) -> Iterator[Listed]:
    own = group.get("vars")
    variables = {**above, **_texts(own)} if isinstance(own, dict) else above
    hosts = group.get("hosts")
    if isinstance(hosts, dict):
        for name, words in hosts.items():
            yield from _listed(str(name), {**variables, **_texts(words)})
    below = group.get("children")
    if isinstance(below, dict) and depth:
        for child in below.values():
            if isinstance(child, dict):
                yield from _group(child, variables, depth - 1)


def _texts(words: object) -> dict[str, str]:
    if not isinstance(words, dict):
        return {}
    return {str(key): _word(value) for key, value in words.items()}


def _word(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _listed(pattern: str, variables: Mapping[str, str]) -> Iterator[Listed]:
    """Yield a host, or those of a range."""
    for name in _expanded(pattern):
        plain, _, port = name.rpartition(":") if name.count(":") == 1 else (name, "", "")
        yield Listed(
            name=label(plain),
            full=plain,
            address=variables.get("ansible_host") or variables.get("ansible_ssh_host") or plain,
            port=variables.get("ansible_port") or variables.get("ansible_ssh_port") or port,
            user=variables.get("ansible_user") or variables.get("ansible_ssh_user") or "",
        )


def _expanded(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = int(found[1]), int(found[2])
    for number in range(first, min(last, first + HOSTS_MAX) + 1):
        text = str(number).zfill(len(found[1]))
        yield from _expanded(pattern[: found.start()] + text + pattern[found.end() :])
