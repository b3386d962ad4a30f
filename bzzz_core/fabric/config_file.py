"""The file that a broker reads: whole, private, and taken by nats-server before it is in force."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bzzz_core.fabric import binary
from bzzz_core.trust import private_files


async def put(program: Path, place: Path, content: bytes) -> None:
    """Put a configuration where the broker reads it, once nats-server takes it.

    A refused one stays beside it, to be looked at; one whose check was called off does not.

    Raises:
        BrokerError: It refuses it, and the former one is untouched.
    """
    candidate = place.with_name(f"{place.name}.new")
    private_files.replace(candidate, content)
    try:
        await binary.check_config(program, candidate)
    except asyncio.CancelledError:
        candidate.unlink(missing_ok=True)
        raise
    candidate.replace(place)
    private_files.sync_directory(place.parent)
