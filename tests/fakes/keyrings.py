"""A keyring package in memory, to be put into `sys.modules`."""

from __future__ import annotations

from types import ModuleType


class LockedError(Exception):
    """What the package raises when nobody unlocked it."""


def fake_keyring(entries: dict[tuple[str, str], str] | None) -> dict[str, ModuleType]:
    """Return the modules by name; without entries the keyring is locked."""
    package, failures = ModuleType("keyring"), ModuleType("keyring.errors")

    def get_password(service: str, name: str) -> str | None:
        if entries is None:
            raise LockedError("hunter2-canary")
        return entries.get((service, name))

    package.get_password = get_password  # type: ignore[attr-defined]
    failures.KeyringError = LockedError  # type: ignore[attr-defined]
    return {"keyring": package, "keyring.errors": failures}
