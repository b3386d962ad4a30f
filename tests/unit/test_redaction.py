"""What gets into the log is bounded, printable, and no secret."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.config.secrets import Secret
from bzzz_core.telemetry import redaction
from bzzz_core.telemetry.redaction import cleaned, cleaned_fields

CANARY = f"canary-4f1d-{base64.b64encode(b'sings').decode()}+/"


def test_a_secret_that_this_process_holds_is_stars_wherever_it_turns_up() -> None:
    Secret(CANARY)
    text = cleaned(f"GET /x?token={CANARY} failed for {CANARY[:-1]}", characters_max=200)
    assert CANARY not in text
    assert text.startswith("GET /x?token=*** failed")
    assert cleaned("?t=canary-4f1d-c2luZ3M%3D%2B%2F", characters_max=200) == "?t=***"
    assert cleaned_fields({"reason": CANARY}, characters_max=99) == {"reason": "***"}
    assert cleaned_fields({CANARY: 1}, characters_max=99) == {"***": "1"}


def test_of_two_secrets_the_longer_one_goes_first() -> None:
    redaction.learn("a-secret-that")
    redaction.learn("a-secret-that-is-longer")
    assert cleaned("x a-secret-that-is-longer y", characters_max=99) == "x *** y"


def test_what_is_short_is_no_secret_and_many_do_not_pile_up() -> None:
    Secret("node")
    assert cleaned("node a", characters_max=99) == "node a"
    for number in range(3 * redaction.SECRETS_MAX):
        redaction.learn(f"secret-number-{number}")
    assert len(redaction._known) == redaction.SECRETS_MAX
    assert cleaned("secret-number-383", characters_max=99) == "***"


def test_private_keys_are_cut_out_whoever_they_belong_to() -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----"
    assert "MHcCAQ" not in cleaned(f"bad key {key} in file", characters_max=999)
    assert "MHcCAQ" not in cleaned("-----BEGIN PRIVATE KEY-----MHcCAQ torn", characters_max=999)


def test_controls_and_changes_of_direction_are_written_as_numbers() -> None:
    assert cleaned("a\x1b[2Jb\r\nc\u202ed\ud800", characters_max=99) == (
        "a\\x1b[2Jb\\x0d\\x0ac\\u202ed\\ud800"
    )
    assert cleaned("a\nb\x07", characters_max=99, lines=True) == "a\nb\\x07"
    assert cleaned("Größe 電源 ✓", characters_max=99) == "Größe 電源 ✓"


@given(text=st.text(), most=st.integers(16, 60), lines=st.booleans())
def test_whatever_comes_is_bounded_printable_and_can_be_encoded(
    *, text: str, most: int, lines: bool
) -> None:
    found = cleaned(text, characters_max=most, lines=lines)
    assert len(found) <= most
    assert found.replace("\n", "").isprintable()
    found.encode()


def test_a_line_has_a_bound_for_all_its_fields_together() -> None:
    fields = {f"f{number}": "x" * 5_000 for number in range(100)}
    found = cleaned_fields(fields, characters_max=2_000)
    assert sum(len(value) for value in found.values()) < 9_000
    assert found["cut"].endswith("more fields")
    assert len(cleaned_fields(dict.fromkeys(map(str, range(99)), 1), characters_max=9)) == 33


def test_values_are_texts_that_people_read() -> None:
    given = {"a": True, "b": 1.5, "c": None, "d": Secret("whatever it is"), "e": ("x", 1)}
    assert cleaned_fields(given, characters_max=99) == {
        "a": "true",
        "b": "1.5",
        "c": "None",
        "d": "***",
        "e": "('x', 1)",
    }
