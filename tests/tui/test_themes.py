"""Every theme is complete and readable."""

from __future__ import annotations

import pytest

from bzzz_core.errors import ConfigError
from themes import loader
from themes.loader import GROUNDS, STATUS_COLORS, contrast, load, parse

LEAST_CONTRAST = 4.5


def test_the_promised_themes_exist() -> None:
    assert {"bzzz-dark", "bzzz-light", "bzzz-ansi", "bzzz-hc", "bzzz-cb"} <= set(loader.names())


@pytest.mark.parametrize("name", [name for name in loader.names() if not load(name).ansi])
def test_every_status_colour_is_readable_on_every_ground(name: str) -> None:
    colors = load(name).colors
    for status in STATUS_COLORS:
        for ground in GROUNDS:
            ratio = contrast(getattr(colors, status), getattr(colors, ground))
            assert ratio >= LEAST_CONTRAST, f"{name}: {status} on {ground} is {ratio:.1f}"
    for inverse in (colors.accent,):
        assert contrast(colors.on_accent, inverse) >= LEAST_CONTRAST
    for banner in (colors.bad, colors.warn):
        assert contrast(colors.background, banner) >= LEAST_CONTRAST


@pytest.mark.parametrize("name", [name for name in loader.names() if load(name).ansi])
def test_an_ansi_theme_names_only_the_terminals_own_colours(name: str) -> None:
    colors = load(name).colors
    assert all(getattr(colors, key).startswith("ansi_") for key in loader.Colors.__slots__)


def test_contrast_is_the_ratio_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not valid YAML"),
        ("a: 1", "missing"),
        ("{name: x, dark: true, ansi: false, colors: {ok: red}}", "missing"),
    ],
)
def test_a_broken_theme_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(text, place="mine.yaml")


def test_an_unknown_theme_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="bzzz-dark"):
        load("bzzz-pink")
