"""No secret in any output, wherever somebody put it: a canary in every place, every output read.

Two kinds of place. Where a secret belongs (variable, file, vault, keyring), its value must show up
nowhere. Where it does not belong (pasted into a leaf, an unknown key's value, broken YAML, a URL),
the value must not be repeated by whatever refuses or shows it.
"""

import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bzzz_core.cli import main
from bzzz_core.config.changes import differences
from bzzz_core.config.report import from_defaults, json_schema
from bzzz_core.config.report import settings as settings_of
from bzzz_core.config.schema import AgentConfig, ClusterSpec
from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.config.sources import AgentSources, load_answers, with_values
from bzzz_core.errors import BzzzError
from bzzz_core.trust.vault import Vault
from tests.fakes.node_files import LEAVES, sources_of, write_node_file

CANARY = "hunter2-canary"
ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
OF_NAMES = {"network.api_names"}
"""A list of names, among which the canary may be one."""
PASTED = [
    key
    for key, leaf in LEAVES.items()
    if leaf.holds_reference or (str not in leaf.kinds and key not in OF_NAMES)
]
"""Leaves in which the canary is not a legitimate value."""
FORMS = [form.format(CANARY) for form in ("{}", "sk-{}!", "*{}", "!{}", "{{{}", "[{}", "&{} x")]
COMMANDS = (
    ("show",), ("show", "--json"), ("env",), ("env", "--json"), ("diff",), ("diff", "--json"),
    ("validate",), ("set", "resources.log_level", "debug"), ("set", "validation.watch_ms", CANARY),
    ("set", "network.ports.api", CANARY), ("set", "security.api_token", CANARY),
    ("validate", "--set", f"security.api_token={CANARY}"), ("migrate",),
    ("unset", "ai.endpoint.model"),
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_node_file(tmp_path)


def everything_said(path: Path, environment: dict[str, str]) -> Iterator[str]:
    """Yield all that comes out: of the commands, of the library, of its errors."""
    text = path.read_text()
    for command in COMMANDS:
        result = CliRunner().invoke(
            main, ["config", command[0], "--config", str(path), *command[1:]], env=environment
        )
        yield result.output
        if result.exc_info:
            yield "".join(traceback.format_exception(*result.exc_info))
        path.write_text(text)
    for audit in (path.parent / "logs" / "audit").glob("*"):
        yield audit.read_text()
    try:
        loaded = AgentSources(path=path, environment=environment).load()
    except BzzzError as exc:
        yield f"{exc} {exc!r} {exc.args}"
        yield from _chain(exc)
        return
    yield f"{settings_of(loaded.config, loaded.origins)} {from_defaults(loaded)}"
    changed = with_values(loaded.config, {"ai.endpoint.model": "other"})
    yield repr(differences(loaded.config, changed))


def _chain(exc: BaseException) -> Iterator[str]:
    """Yield an error, its causes and the variables of every frame, as a crash reporter shows."""
    yield "".join(traceback.TracebackException.from_exception(exc).format())
    following = exc.__cause__ or exc.__context__
    if following is not None:
        yield f"{following!r} {following.args}"
        yield from _chain(following)


@pytest.mark.parametrize("key", PASTED)
def test_a_secret_pasted_into_a_leaf_is_not_repeated(path: Path, key: str) -> None:
    data = yaml.safe_load(path.read_text())
    place: Any = data
    for part in LEAVES[key].path[:-1]:
        place = place.setdefault(part, {})
    place[LEAVES[key].path[-1]] = CANARY
    path.write_text(yaml.safe_dump(data))
    assert CANARY not in "".join(everything_said(path, {}))


@pytest.mark.parametrize("key", PASTED)
def test_a_secret_in_a_variable_of_a_leaf_is_not_repeated(path: Path, key: str) -> None:
    environment = {LEAVES[key].environment[0]: CANARY}
    assert CANARY not in "".join(everything_said(path, environment))


@pytest.mark.parametrize(
    "url",
    [
        f"https://ai.example/v1?api_key={CANARY}&x=1",
        f"https://ai.example/v1?x=1&access_token={CANARY}",
    ],
)
def test_a_secret_within_a_url_is_starred(path: Path, url: str) -> None:
    path.write_text(path.read_text().replace("http://192.0.2.7:11434", url))
    said = "".join(everything_said(path, {}))
    assert CANARY not in said
    assert "***" in said


@pytest.mark.parametrize("login", [CANARY, f"user:{CANARY}"])
def test_a_login_within_a_url_is_refused_and_not_repeated(path: Path, login: str) -> None:
    url = f"https://{login}@ai.example/v1"
    path.write_text(path.read_text().replace("http://192.0.2.7:11434", url))
    said = "".join(everything_said(path, {}))
    assert CANARY not in said
    assert "ai.endpoint.base_url" in said


@ONE_FILE
@given(
    form=st.sampled_from(FORMS),
    where=st.integers(0, 18),
    how=st.sampled_from(
        ["{line}: {form}", "{indent}nmae: {form}", "{indent}{form}", "{line} {form}"]
    ),
)
def test_a_secret_in_a_broken_file_is_not_repeated(
    path: Path, form: str, where: int, how: str
) -> None:
    original = write_node_file(path.parent).read_text()
    lines = original.splitlines()
    line = lines[min(where, len(lines) - 1)]
    indent = line[: len(line) - len(line.lstrip())]
    broken = how.format(line=line, form=form, indent=indent)
    path.write_text("\n".join([*lines[:where], broken, *lines[where + 1 :]]))
    try:
        sources_of(path).load()
    except BzzzError as exc:
        said = "".join([str(exc), *_chain(exc)])
        assert CANARY not in said


@pytest.mark.parametrize("field", ["password", "sudo_password"])
def test_a_secret_pasted_into_answers_is_not_repeated(tmp_path: Path, field: str) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text(
        f"hosts: [{{name: a, address: 192.0.2.1}}]\nsecurity: {{ssh: {{{field}: {CANARY}}}}}\n"
    )
    with pytest.raises(BzzzError, match="write a reference") as caught:
        load_answers(path)
    assert CANARY not in "".join(_chain(caught.value))


@pytest.mark.parametrize("kind", ["env", "file", "vault"])
def test_a_secret_that_is_where_it_belongs_shows_nowhere(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = path.parent / "secrets"
    vault = Vault(secrets)
    vault.create(with_passphrase=False)
    vault.put("api", Secret(CANARY), at="")
    (secrets / "api").write_text(CANARY)
    (secrets / "api").chmod(0o600)
    monkeypatch.setenv("API_CANARY", CANARY)
    place = {"env": "env:API_CANARY", "file": f"file:{secrets}/api", "vault": "vault:api"}[kind]
    assert resolve(place, vault=secrets).reveal() == CANARY
    text = path.read_text()
    path.write_text(text.replace(f"file:{secrets}/api-token", place))
    assert sources_of(path).load().config.security.api_token == place
    assert CANARY not in "".join(everything_said(path, {"API_CANARY": CANARY}))


def test_a_secret_does_not_print_in_any_form() -> None:
    secret = Secret(CANARY)
    said = f"{secret} {secret!r} {secret:>20} {[secret]} {vars(Secret)} {secret.__class__}"
    assert CANARY not in said
    for write in (json.dumps, yaml.safe_dump):
        with pytest.raises(Exception) as caught:  # noqa: PT011  each library has its own
            write({"a": secret})
        assert CANARY not in str(caught.value)


def test_the_schemas_hold_no_value_of_this_machine() -> None:
    said = json.dumps([json_schema(AgentConfig, "a"), json_schema(ClusterSpec, "b")])
    assert CANARY not in said
    assert "/home/" not in said
