"""What hosts print to the probe: the files in `tests/unit/deploy_facts`, and sections made up."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bzzz_core.deploy.facts.sections import split_sections

WORD: Final = "w0rd"
PLACE: Final = Path(__file__).parents[1] / "unit" / "deploy_facts"
NAMES: Final = tuple(sorted(path.stem for path in PLACE.glob("*.txt")))


def recorded(name: str) -> bytes:
    """Return what the host of that name printed."""
    return (PLACE / f"{name}.txt").read_bytes()


def section(name: str, text: str, status: int = 0) -> bytes:
    """Return one section as the probe prints it."""
    return f"@@{WORD} begin {name}\n{text}\n\n@@{WORD} end {name} {status}\n".encode()


def whole(name: str) -> bytes:
    """Return a host that answers everything: what `name` does not say, `server` says."""
    sections = {
        **split_sections(recorded("server").decode(), WORD),
        **split_sections(recorded(name).decode(), WORD),
    }
    return b"".join(section(one, text, status) for one, (status, text) in sections.items())
