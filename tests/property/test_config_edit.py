"""Whatever a file looks like, a change to it gives exactly what was wanted."""

import contextlib
import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.config.document import parse
from bzzz_core.config.edit import edited
from bzzz_core.config.value import as_text, from_text
from bzzz_core.errors import ConfigError
from tests.fakes.node_files import LEAVES

KEYS = st.sampled_from(["a", "b", "c", "on", "x y", "ü", "1"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


def same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(
    before=DOCUMENTS,
    wanted=DOCUMENTS,
    style=st.tuples(st.sampled_from([None, True, False]), st.booleans(), st.integers(2, 6)),
)
def test_what_comes_out_is_what_was_wanted(
    before: dict[str, object], wanted: dict[str, object], style: tuple[bool | None, bool, int]
) -> None:
    flow, comment, indent = style
    text = yaml.safe_dump(
        before, default_flow_style=flow, indent=indent, sort_keys=False, allow_unicode=True
    )
    if comment:
        text = "# first\n" + text + "# last\n"
    try:
        document = parse(text, "f")
    except ConfigError:
        return  # PyYAML does not read everything that it writes
    assert same(parse(edited(document, wanted).text, "f").data, wanted)


@given(text=st.text(max_size=200), wanted=DOCUMENTS)
def test_any_text_is_edited_or_refused(text: str, wanted: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        assert same(parse(edited(parse(text, "f"), wanted).text, "f").data, wanted)


@given(
    key=st.sampled_from(sorted(key for key, leaf in LEAVES.items() if leaf.item is None)),
    text=st.text(max_size=30),
)
def test_a_text_is_never_taken_for_something_else(key: str, text: str) -> None:
    """What an environment variable says is either that text, a number, or nothing."""
    value = from_text(LEAVES[key], text, "here")
    assert value is None or str(value) == text or (isinstance(value, int) and int(text) == value)


@given(items=st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,10}:[1-9][0-9]{0,3}", fullmatch=True)))
def test_a_list_of_texts_is_read_back(items: list[str]) -> None:
    leaf = LEAVES["cluster.dht.bootstrap_nodes"]
    assert from_text(leaf, as_text(items), "here") == items
    assert from_text(leaf, ", ".join(items), "here") == items
