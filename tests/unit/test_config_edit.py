"""A change touches what it means to touch: comments, order, quotes, mode and owner stay."""

import os
import stat
from pathlib import Path

import pytest

from bzzz_core.config.document import parse
from bzzz_core.config.edit import edited
from bzzz_core.config.migrate import migrated
from bzzz_core.config.migrations import AGENT_MIGRATIONS
from bzzz_core.config.node_file import being_changed, change, would_be
from bzzz_core.config.schema import SCHEMA_VERSION, AgentConfig
from bzzz_core.config.value import plain
from bzzz_core.errors import ConfigError, RevisionConflict
from tests.fakes.node_files import sources_of, write_node_file

OLD = Path(__file__).parents[1] / "fixtures" / "agent-schema-1.yaml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_node_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted", "result"),
    [
        ("a: 1  # one\nb: 2\n", {"a": 3, "b": 2}, "a: 3  # one\nb: 2\n"),
        ("a: 'x'\n", {"a": "yes"}, "a: 'yes'\n"),
        ("a:\n  b: 1\n# end\n", {"a": {"b": 1, "c": 2}}, "a:\n  b: 1\n  c: 2\n# end\n"),
        ("a: {b: 1}\n", {"a": {"b": 1, "c": [1, 2]}}, "a: {b: 1, c: [1, 2]}\n"),
        ("a: {}\n", {"a": {"c": "x, y"}}, "a: {c: 'x, y'}\n"),
        ("a:  # empty\nb: 1\n", {"a": 5, "b": 1}, "a: 5  # empty\nb: 1\n"),
        ("a:\n- 1  # gone\n- 2\nb: 1\n", {"a": [3], "b": 1}, "a: [3]\nb: 1\n"),
        ("a: 1\nb: 2  # two\nc: 3\n", {"a": 1, "c": 3}, "a: 1\nc: 3\n"),
        ("a: 1", {"a": 1, "b": {"c": {"d": 2}}}, "a: 1\nb:\n  c:\n    d: 2\n"),
        ("a: |\n  x\n  y\nb: 1\n", {"a": "z", "b": 1}, "a: z\nb: 1\n"),
        ("a: 1\n", {"a": "two\nlines"}, 'a: "two\\nlines"\n'),
    ],
)
def test_only_the_value_moves(text: str, wanted: dict[str, object], result: str) -> None:
    assert edited(parse(text, "f"), wanted).text == result


def test_what_cannot_be_followed_is_written_anew_and_counted() -> None:
    document = parse("a: {b: 1, c: 2}  # one\nd: 1  # two\n", "f")
    found = edited(document, {"a": {"b": 1}, "d": 1})
    assert (found.text, found.comments_lost) == ("a:\n  b: 1\nd: 1\n", 2)


def test_aliases_are_left_to_hands() -> None:
    with pytest.raises(ConfigError, match="f:1: has YAML anchors"):
        edited(parse("a: &x {b: 1}\nc: *x\n", "f"), {"a": 1})


def test_a_set_value_keeps_comments_mode_and_owner(path: Path) -> None:
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12_345, 12_346)
    written = change(
        sources_of(path), {"network.ports.api": "19090", "resources.log_level": "debug"}
    )
    assert written.comments_lost == 0
    text = path.read_text()
    assert "# The node in the cellar." in text
    assert "api: 19090  # 8080 is taken here" in text
    assert written.loaded.config.resources.log_level == "debug"
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid) == (12_345, 12_346)
    assert list(path.parent.glob(".*")) == []


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "linked.yaml"
    link.symlink_to(path)
    change(sources_of(link), {"resources.log_level": "debug"})
    assert link.is_symlink()
    assert "log_level: debug" in path.read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources.log_level": "loud"}, "log_level"),
        ({"cluster.timings.detect_ms": "300"}, "4 x heartbeat_ms"),
        ({"no.such": "1"}, "no such setting"),
        ({"network.address": None}, "network.address: Field required"),
    ],
)
def test_nothing_that_is_wrong_is_written(
    path: Path, changes: dict[str, str | None], message: str
) -> None:
    before = path.read_text()
    with pytest.raises(ConfigError, match=message):
        change(sources_of(path), changes)
    assert path.read_text() == before


def test_several_values_change_together(path: Path) -> None:
    change(
        sources_of(path),
        {
            "cluster.timings.heartbeat_ms": "100",
            "cluster.timings.detect_ms": "400",
            "cluster.timings.check_quorum_ms": "300",
        },
    )
    assert sources_of(path).load().config.cluster.timings.detect_ms == 400


def test_a_key_taken_out_takes_its_empty_section_along(path: Path) -> None:
    before = path.read_text()
    change(sources_of(path), {"services.backends.dht": "mock"})
    assert "backends" in path.read_text()
    change(sources_of(path), {"services.backends.dht": None, "ai.endpoint.model": None})
    assert path.read_text() == before


def test_a_change_for_another_revision_is_refused(path: Path) -> None:
    revision = sources_of(path).load().digest
    change(sources_of(path), {"resources.log_level": "debug"}, expected=revision)
    with pytest.raises(RevisionConflict, match="look again"):
        change(sources_of(path), {"resources.log_level": "info"}, expected=revision)


def test_a_value_is_written_as_the_schema_reads_it_even_under_an_environment(path: Path) -> None:
    sources = sources_of(path, BZZZ_NETWORK__PORTS__API="7070")
    written = change(sources, {"network.ports.api": "9090"})
    assert parse(path.read_text(), "f").data["network"]["ports"]["api"] == 9090
    assert written.loaded.config.network.ports.api == 7070


def test_a_try_changes_nothing(path: Path) -> None:
    before = path.read_text()
    found = would_be(sources_of(path), {"resources.log_level": "debug"})
    assert found.config.resources.log_level == "debug"
    assert path.read_text() == before


def test_a_directory_that_is_away_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        change(sources_of(tmp_path / "no" / "agent.yaml"), {})


def test_a_file_of_schema_1_means_the_same_as_before(tmp_path: Path) -> None:
    """The fixture was written by setup of release 0.1.0."""
    path = tmp_path / "agent.yaml"
    path.write_bytes(OLD.read_bytes())
    path.chmod(0o640)
    loaded = sources_of(path).load()
    old = parse(OLD.read_text(), "old").data
    values = plain(loaded.config)
    for section in ("network", "security", "resources", "cluster"):
        for name, value in old[section].items():
            for inner, wanted in value.items() if isinstance(value, dict) else ():
                assert values[f"{section}.{name}.{inner}"] == wanted
    assert loaded.config.resources.log_level == "debug"
    assert loaded.version == 1
    assert loaded.origins["resources.log_level"].place.endswith("agent.yaml:27")
    assert loaded.origins["cluster.timings.detect_ms"].source == "default"


def test_a_rewritten_file_of_schema_1_keeps_its_old_self_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_bytes(OLD.read_bytes())
    path.chmod(0o640)
    before = sources_of(path).load().config
    written = change(sources_of(path), {})
    assert written.backup == tmp_path / "agent.yaml.v1"
    assert written.backup.read_bytes() == OLD.read_bytes()
    assert stat.S_IMODE(written.backup.stat().st_mode) == 0o640
    text = path.read_text()
    assert text.startswith("# Written by setup")
    assert "version: 2" in text
    assert "detect_ms" not in text
    assert sources_of(path).load().config == before
    assert change(sources_of(path), {}).backup is None


def test_each_file_that_a_migration_replaces_is_kept(tmp_path: Path) -> None:
    """What the old release left, and what somebody put back and edited; the same one only once."""
    path = tmp_path / "agent.yaml"
    texts = [OLD.read_text() + extra for extra in ("", "# put back\n", "# again\n", "# put back\n")]
    backups = []
    for text in texts:
        path.write_text(text)
        path.chmod(0o640)
        backups.append(change(sources_of(path), {}).backup)
    assert [backup.name for backup in backups if backup] == [
        *("agent.yaml.v1", "agent.yaml.v1.2", "agent.yaml.v1.3", "agent.yaml.v1.2")
    ]
    assert [backup.read_text() for backup in backups if backup] == texts


def test_a_file_is_being_changed_until_the_agent_was_told(path: Path) -> None:
    seen: list[bool] = []
    change(
        sources_of(path),
        {"resources.log_level": "debug"},
        then=lambda _written: seen.append(being_changed(path)),
    )
    assert (seen, being_changed(path), being_changed(path / "no" / "file")) == (
        [True],
        False,
        False,
    )


def test_schema_1_drops_only_what_says_what_silence_says() -> None:
    data, version = migrated(
        parse("version: 1\nresources: {log_level: info, x: 1}\nservices: {broker: unit}\n", "f"),
        AGENT_MIGRATIONS,
        newest=2,
    )
    assert (data, version) == ({"version": 2, "resources": {"x": 1}}, 1)


def test_a_newer_schema_is_refused_and_told_what_to_do(path: Path) -> None:
    path.write_text(path.read_text().replace("version: 2", "version: 3"))
    with pytest.raises(ConfigError, match="schema version 3; this release reads up to 2"):
        sources_of(path).load()


@pytest.mark.parametrize("version", ["'2'", "true", "-1", "2.5", "[]"])
def test_a_version_that_is_none_is_refused(path: Path, version: str) -> None:
    path.write_text(path.read_text().replace("version: 2", f"version: {version}"))
    with pytest.raises(ConfigError, match=r":2: version: write a whole number"):
        sources_of(path).load()


def test_migrations_follow_each_other() -> None:
    """A chain of the test's own through the real machinery: schema 4 exists only here."""
    chain = {
        2: lambda data: {**data, "b": data["a"] + 1},
        3: lambda data: {key: value for key, value in data.items() if key != "a"},
    }
    document = parse("version: 2\na: 1\n", "f")
    assert migrated(document, chain, newest=4) == ({"version": 4, "b": 2}, 2)
    assert document.data == {"version": 2, "a": 1}
    with pytest.raises(ConfigError, match="reads no more"):
        migrated(parse("version: 1\n", "f"), chain, newest=4)


def test_every_version_before_the_present_one_can_be_migrated() -> None:
    assert set(AGENT_MIGRATIONS) == set(range(1, SCHEMA_VERSION))
    assert AgentConfig.model_fields["version"].default == SCHEMA_VERSION
