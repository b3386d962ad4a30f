"""Paths as they are typed: `~` is a home, and what cannot be one is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from bzzz_core.config.secrets import resolve
from bzzz_core.config.typed_path import expanded
from bzzz_core.errors import ConfigError


def test_a_tilde_is_the_home_directory() -> None:
    assert expanded("~/answers.yaml") == Path.home() / "answers.yaml"


@pytest.mark.parametrize("text", ["~no-such-user-here/x", "a\0b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        expanded(text)


def test_a_reference_into_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="no such user"):
        resolve("file:~no-such-user-here/secret")
