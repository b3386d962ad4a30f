"""The form of a reference to a secret. Pure, so that machines may share the schema's timings.

`bzzz_core.config.secrets` fetches what a reference points to.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_REFERENCE: Final = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)", re.DOTALL)


def check_reference(reference: str) -> str:
    """Return `reference` if it is one."""
    if not _REFERENCE.fullmatch(reference):
        # The value itself may be a pasted secret, so the message does not repeat it.
        raise ValueError("write a reference, not the secret: env:NAME or file:/path")
    return reference


SecretRef = Annotated[str, AfterValidator(check_reference)]
"""`env:NAME` or `file:/path`. (`keyring:` arrives with the encrypted backends.)"""
