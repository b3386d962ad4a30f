r"""An `.env` file that `docker compose` and a POSIX shell (`. ./.env`) read alike.

Both take what stands between single quotes as it is, but for a quote itself and a backslash before
the closing one. Such values go between double quotes, where both know `\\`, `\"` and `\$`; a
backquote there is a command to a shell and a character to Compose, and has no form that both take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bzzz_core.errors import ConfigError

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SPECIAL: Final = re.compile(r'[\\"$]')


def dotenv(values: Mapping[str, str]) -> str:
    """Return the lines of the variables, in the order given.

    Raises:
        ConfigError: A value has no form that both read alike.
    """
    return "".join(f"{name}={_quoted(name, value)}\n" for name, value in values.items())


def _quoted(name: str, value: str) -> str:
    if _CONTROL.search(value):
        raise ConfigError(f"{name}: a value of an .env file holds no line break or control code")
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    if "`" in value:
        raise ConfigError(f"{name}: Compose and shells read a quote beside a backquote differently")
    return '"' + _SPECIAL.sub(r"\\\g<0>", value) + '"'
