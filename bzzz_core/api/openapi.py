"""The published description of the API (OpenAPI 3.1), made from the operations themselves.

What an operation takes and answers is said once, as types; here they become JSON Schema. Each
operation says besides which permission it wants (`x-permission`), the API role that may least among
those that have it (`x-role`), and whether it can be spoken to as a WebSocket (`x-websocket`). There
is nothing in it that differs from node to node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from bzzz_core.api.documents import ErrorDocument, Health
from bzzz_core.api.operations import Content, Offer, Operation, StreamOperation
from bzzz_core.api.permissions import PERMISSIONS, ROLES, least_role

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)(:path)?\}")
_HEALTH: Final = {
    "/health": "Whether the agent runs and can do its part",
    "/health/live": "Whether the agent runs, and has not given up on itself",
    "/health/ready": "Whether the node can do its part",
}
_JSON: Final = "application/json"
_ERRORS: Final = {
    "400": "What was asked is malformed or impossible",
    "401": "No token, or none that is known",
    "403": "The token's role has not the permission, or the cluster refuses this node",
    "404": "There is no such thing",
    "409": "What was asked for has changed since, or cannot be now",
    "429": "Too many requests; `retry-after` says how many seconds to wait",
    "503": "Who would have to do it cannot be reached; nothing was done",
    "504": "It was asked and did not answer; it may have been done",
}
_ABOUT: Final = (
    "What an operator's programs may ask of a node. Every refusal is an ErrorDocument; its code "
    "is stable, its message is for people. HEAD answers as GET without a body."
)


def describe(offers: Iterable[Offer]) -> dict[str, Any]:
    """Return the description of operations, as plain data in a stable order."""
    found = sorted(offers, key=lambda offer: (offer.path, _method(offer)))
    schemas, components = _schemas(found)
    paths: dict[str, dict[str, Any]] = {}
    for path in _HEALTH:
        paths[path] = {"get": _health(path)}
    for offer in found:
        at = paths.setdefault(_PARAMETER.sub(r"{\1}", offer.path), {})
        at[_method(offer)] = _operation(offer, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "BZZZ agent API", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": dict(sorted(components.items())),
            "responses": {code: _refused(words) for code, words in _ERRORS.items()},
        },
        "x-roles": {
            role: [one for one in PERMISSIONS if ROLES.index(least_role(one)) <= number]
            for number, role in enumerate(ROLES)
        },
    }


def routes(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield method, path, permission, least role and summary of each route of a description."""
    for path, methods in document.get("paths", {}).items():
        for method, one in methods.items():
            name = "GET, WebSocket" if one.get("x-websocket") else method.upper()
            yield (
                name,
                path,
                one.get("x-permission", "none"),
                one.get("x-role", "none"),
                one["summary"],
            )


def _schemas(offers: Sequence[Offer]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Return the schema of each type by the type, and what they refer to by name."""
    types: list[Any] = [ErrorDocument, Health]
    for offer in offers:
        named: list[Any] = [offer.query]
        if isinstance(offer, Operation):
            named += [offer.takes, offer.answers]
        types += [one for one in named if one is not None and one is not Content]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template=_REF)
    return dict(zip(unique, schemas, strict=True)), components


def _operation(
    offer: Offer, schemas: dict[Any, dict[str, Any]], components: dict[str, Any]
) -> dict[str, Any]:
    method = _method(offer)
    answer: dict[str, Any] = {offer.media_type: {"schema": {"type": "string"}}}
    body: dict[str, Any] = {}
    if isinstance(offer, Operation):
        if offer.answers is None:
            answer = {_JSON: {"schema": {"type": "null"}}}
        elif offer.answers is not Content:
            answer = {_JSON: {"schema": schemas[offer.answers]}}
        elif offer.media_type == _JSON:
            answer = {_JSON: {"schema": {"type": "object"}}}
        if offer.takes is not None:
            content = {_JSON: {"schema": schemas[offer.takes]}}
            body = {"requestBody": {"required": offer.needs_body, "content": content}}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name, _ in _PARAMETER.findall(offer.path)
    ]
    if offer.query is not None:
        parameters += _query(schemas[offer.query], components)
    return {
        "operationId": method + re.sub(r"[^a-z0-9]+", "_", offer.path.lower()).rstrip("_"),
        "summary": offer.summary,
        "tags": [offer.path.split("/")[2] if offer.path.startswith("/v1/") else "agent"],
        **({"parameters": parameters} if parameters else {}),
        **body,
        "responses": {
            "200": {"description": "Done, or found", "content": answer},
            **{code: {"$ref": f"#/components/responses/{code}"} for code in _ERRORS},
            "default": _refused("Another refusal"),
        },
        "x-permission": offer.permission,
        "x-role": least_role(offer.permission),
        **({"x-websocket": True} if _is_socket(offer) else {}),
    }


def _query(schema: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    shape = components[schema["$ref"].rpartition("/")[2]]
    required = shape.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _not_null(one)}
        for name, one in shape["properties"].items()
    ]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without "or null": in a query, that is to leave the name out."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _health(path: str) -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": _REF.format(name="Health")}}}
    return {
        "operationId": "get" + path.replace("/", "_"),
        "summary": _HEALTH[path],
        "tags": ["health"],
        "security": [],
        "responses": {
            "200": {"description": "Yes", "content": content},
            "503": {"description": "No, and why", "content": content},
            "default": _refused("Another refusal"),
        },
    }


def _refused(words: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name="ErrorDocument")}
    return {"description": words, "content": {_JSON: {"schema": schema}}}


def _method(offer: Offer) -> str:
    return offer.method.lower() if isinstance(offer, Operation) else "get"


def _is_socket(offer: Offer) -> bool:
    return isinstance(offer, StreamOperation) and offer.talk is not None
