"""A bill of materials (CycloneDX 1.5, JSON) of what a node runs, from the lock file alone.

Each package carries the hashes of all its wheels in the lock: which one a tree holds depends on its
Python and machine type. Nothing in it depends on time or place.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Final

import msgspec

_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(lock: str, version: str) -> bytes:
    """Return the document for a lock file.

    Args:
        lock: Text of `agent.lock`.
        version: Of BZZZ.
    """
    components: list[dict[str, object]] = []
    hashes: list[dict[str, str]] = []
    for line in lock.splitlines():
        found = _REQUIREMENT.match(line)
        if found:
            name = re.sub(r"[-_.]+", "-", found[1]).lower()
            purl = f"pkg:pypi/{name}@{found[2]}"
            hashes = []
            components.append(
                {
                    "type": "library",
                    "bom-ref": purl,
                    "name": name,
                    "version": found[2],
                    "purl": purl,
                    "hashes": hashes,
                }
            )
        hashes += [{"alg": "SHA-256", "content": sha} for sha in _HASH.findall(line)]
    digest = hashlib.sha256(f"{version}\0{lock}".encode()).digest()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"bzzz@{version}",
                "name": "bzzz",
                "version": version,
            }
        },
        "components": components,
    }
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"
