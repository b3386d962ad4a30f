"""The form of a reference to a secret. Pure, so that machines may share the schema's timings.

`bzzz_core.config.secrets` fetches what a reference points to.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_REFERENCE: Final = re.compile(
    r"env:[A-Za-z_][A-Za-z0-9_]{0,255}"
    r"|file:[^\x00-\x1f]{1,4096}"
    r"|keyring:[^/\x00-\x1f]{1,255}/[^\x00-\x1f]{1,255}"
    r"|vault:[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
)
FORMS: Final = "env:NAME, file:/path, keyring:SERVICE/NAME or vault:NAME"


def is_reference(text: str) -> bool:
    """Return whether a text says where a secret is."""
    return bool(_REFERENCE.fullmatch(text))


def check_reference(reference: str) -> str:
    """Return `reference` if it is one."""
    if not is_reference(reference):
        # The value itself may be a pasted secret, so the message does not repeat it.
        raise ValueError(f"write a reference, not the secret: {FORMS}")
    return reference


SecretRef = Annotated[str, AfterValidator(check_reference)]
"""Where a secret is: in a variable, a file of its own, the system's keyring, or BZZZ's vault."""
