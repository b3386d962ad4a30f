"""Documents of older schemas: each migration leads from version N to N + 1, and is pure.

A document is migrated whenever it is read; its file is left alone until somebody asks for that
(`bzzz-agent config migrate`, `config set`), and then the old one is kept beside it as
`<name>.v<N>` (and another such file that is migrated later as `<name>.v<N>.2`), so that an older
release can be given its file back. A newer document is refused: its keys may mean what this release
does not know.

Adding a migration: raise the model's version, put the function into its table, and keep a document
of the old version in `tests/fixtures`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

from bzzz_core.config.document import YamlText
from bzzz_core.errors import ConfigError

Migration = Callable[[dict[str, Any]], dict[str, Any]]
OLDEST: Final = 1
"""What a document without a version is."""


def migrated(
    document: YamlText, migrations: Mapping[int, Migration], *, newest: int
) -> tuple[dict[str, Any], int]:
    """Return a document's data as of version `newest`, and the version that it was of.

    Args:
        document: What was read; it stays as it is.
        migrations: N -> what leads from N to N + 1.
        newest: The version that this release reads.

    Raises:
        ConfigError: It is newer, or its version is no number.
    """
    found = document.data.get("version", OLDEST)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        line = document.line(("version",))
        raise ConfigError(f"{document.name}:{line}: version: write a whole number")
    if found > newest:
        raise ConfigError(
            f"{document.name} is of schema version {found}; this release reads up to {newest}:"
            " install a newer one, or put the file back that this one left"
        )
    data = copy.deepcopy(document.data)
    for version in range(found, newest):
        if version not in migrations:
            raise ConfigError(
                f"{document.name} is of schema version {found}, which this release reads no more"
            )
        data = {**migrations[version](data), "version": version + 1}
    return data, found
