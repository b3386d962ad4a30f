"""A directory that others use is refused as it is; what is ours alone is made private."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bzzz_core.cli import main
from bzzz_core.enrolment.home import Home
from bzzz_core.errors import TrustError
from bzzz_core.trust.private_files import append, private_directory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def empty(_directory: Path) -> None:
    return


def a_file(directory: Path, permissions: int = 0o644) -> None:
    path = directory / "file"
    path.write_text("somebody's", encoding="utf-8")
    path.chmod(permissions)


@pytest.mark.parametrize("name", ["new", "file"])
def test_what_is_written_at_the_end_of_a_file_is_its_owners_alone(
    tmp_path: Path, name: str
) -> None:
    a_file(tmp_path)  # As an earlier release made it.
    path = tmp_path / name
    before = path.read_bytes() if path.exists() else b""
    for words in (b"one, ", b"two"):
        with append(path) as file:
            file.write(words)
    assert path.read_bytes() == before + b"one, two"
    assert mode(path) == 0o600


def a_private_file(directory: Path) -> None:
    a_file(directory, 0o600)


def a_link(directory: Path) -> None:
    (directory / "link").symlink_to("elsewhere")


def a_directory(directory: Path) -> None:
    (directory / "inner").mkdir(mode=0o755)


@pytest.mark.parametrize(
    ("fill", "before"),
    [(a_file, 0o755), (a_link, 0o750), (a_directory, 0o711), (empty, 0o1777)],
)
def test_what_others_use_stays_as_it_is(
    tmp_path: Path, fill: Callable[[Path], None], before: int
) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir()
    fill(directory)
    directory.chmod(before)
    with pytest.raises(TrustError, match=f"open to others \\({before:04o}\\) and in use"):
        private_directory(directory)
    assert mode(directory) == before


@pytest.mark.parametrize(
    ("fill", "before"),
    [(empty, 0o755), (a_private_file, 0o755), (a_file, 0o700), (a_file, 0o500)],
)
def test_what_is_ours_is_private_afterwards(
    tmp_path: Path, fill: Callable[[Path], None], before: int
) -> None:
    directory = tmp_path / "ours"
    directory.mkdir()
    fill(directory)
    directory.chmod(before)
    private_directory(directory)
    assert mode(directory) == (before if before in {0o700, 0o500} else 0o700)


def test_a_new_one_is_made_private_and_a_file_is_none(tmp_path: Path) -> None:
    private_directory(tmp_path / "new" / "er")
    assert mode(tmp_path / "new" / "er") == 0o700
    a_file(tmp_path)
    with pytest.raises(TrustError, match=r"File exists|Not a directory"):
        private_directory(tmp_path / "file")


def test_a_home_whose_secrets_would_lie_among_others_files_is_not_begun(tmp_path: Path) -> None:
    home = Home.below(tmp_path)
    home.secrets.path.mkdir()
    a_file(home.secrets.path)
    with pytest.raises(TrustError, match="in use"):
        home.prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]


def command(*words: str) -> Result:
    return CliRunner().invoke(main, words, input="value", catch_exceptions=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A real node's file; no broker of it runs."""
    home = tmp_path / "home"
    ports = [f"--port={name}={1 + at}" for at, name in enumerate(("api", "fabric_client"))]
    made = command(
        *("init", "--name=one", "--address=127.0.0.1", f"--home={home}", *ports),
        f"--ca-directory={tmp_path / 'ca'}",
    )
    assert made.exit_code == 0, made.output
    return home / "agent.yaml"


def commands(directory: Path, config: Path) -> dict[str, Sequence[str]]:
    other = str(config.parent.parent / "other")
    init = ("init", "--name=two", "--address=127.0.0.1", f"--home={other}")
    return {
        "snapshot": ("fabric", "snapshot", f"--config={config}", str(directory)),
        "init": (*init, f"--ca-directory={directory}"),
        "secret": ("config", "secret", "set", f"--directory={directory}", "name"),
        "node": ("node", "init", f"--directory={directory}"),
    }


@pytest.mark.parametrize("which", ["snapshot", "init", "secret", "node"])
def test_a_command_changes_nothing_of_a_directory_that_it_refuses(
    tmp_path: Path, config: Path, which: str
) -> None:
    """`fabric snapshot /tmp` once made /tmp 0700."""
    directory = tmp_path / "theirs"
    directory.mkdir(mode=0o755)
    a_file(directory)
    refused = command(*commands(directory, config)[which])
    assert refused.exit_code in {1, 2}, refused.output
    assert refused.stderr.startswith(f"bzzz-agent: {'' if which == 'snapshot' else 'directory '}")
    assert str(directory) in refused.stderr
    assert mode(directory) == 0o755
    assert [path.name for path in directory.iterdir()] == ["file"]
    assert not (tmp_path / "other").exists()
    assert refused.stdout == ""
