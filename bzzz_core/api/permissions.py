"""Who may do what through the API: one table.

A route names one permission. A token has one API role, and a role is a set of permissions:
`viewer` sees how the cluster is, `operator` reads its content and steers what runs, `admin` decides
who belongs, who is trusted and what the configuration says. Each role may all that the one before
it may. What would let a caller make itself a better token is the admin's: whoever may write the
configuration can name another token.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

from bzzz_core.model import ApiRole

Permission: TypeAlias = Literal[
    "status:read",
    "health:read",
    "events:read",
    "metrics:read",
    "logs:read",
    "leader:read",
    "fabric:read",
    "nodes:read",
    "config:read",
    "audit:read",
    "dht:read",
    "dht:write",
    "leader:write",
    "logs:write",
    "work:stop",
    "work:start",
    "tokens:read",
    "tokens:write",
    "nodes:write",
    "trust:write",
    "fabric:write",
    "config:write",
]

ROLES: Final[tuple[ApiRole, ...]] = get_args(ApiRole)
"""From the one that may least to the one that may most."""
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

_VIEWER: Final[frozenset[Permission]] = frozenset(
    {
        "status:read",
        "health:read",
        "events:read",
        "metrics:read",
        "logs:read",
        "leader:read",
        "fabric:read",
        "nodes:read",
    }
)
_OPERATOR: Final[frozenset[Permission]] = _VIEWER | {
    "config:read",
    "audit:read",
    "dht:read",
    "dht:write",
    "leader:write",
    "logs:write",
    "work:stop",
    "work:start",
}
_ADMIN: Final[frozenset[Permission]] = frozenset(PERMISSIONS)

OF_ROLE: Final[Mapping[ApiRole, frozenset[Permission]]] = MappingProxyType(
    {"viewer": _VIEWER, "operator": _OPERATOR, "admin": _ADMIN}
)


def least_role(permission: Permission) -> ApiRole:
    """Return the role that may least among those with a permission."""
    return next(role for role in ROLES if permission in OF_ROLE[role])
