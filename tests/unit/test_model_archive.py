"""An archive is compared and looked through before any host gets it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from bzzz_core.config.sections import ModelServersAnswers
from bzzz_core.deploy.model_archive import ProgramArchive, prepare, provide
from bzzz_core.deploy.phases import install_model_program
from bzzz_core.errors import PreconditionFailed, TransportError
from bzzz_core.integrations.http import download
from bzzz_tui.recording.zstd import ZstdCompressor

ELF = b"\x7fELF and so on"


def packed(path: Path, *members: tuple[str, Any]) -> str:
    """Write a tar of (name, content or member) and return its checksum."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = content
                tar.addfile(member)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def look(path: Path, sha256: str, program: str = "ollama") -> ProgramArchive:
    return prepare(path, sha256, program, path.parent / "kept")


@pytest.mark.parametrize("entry", ["bin/ollama", "ollama"])
def test_an_archive_as_ollama_offers_it_is_sent_as_it_is(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "a.tgz"
    sha256 = packed(
        path,
        (entry, ELF),
        ("lib/ollama/libcudart.so.12.8", b"x" * 1_000),
        ("lib/ollama/libcudart.so.12", (tarfile.SYMTYPE, "libcudart.so.12.8")),
    )
    found = look(path, sha256)
    assert (found.path, found.sha256, found.entry) == (path, sha256, entry)
    assert found.unpacked_bytes == 1_000 + len(ELF)


def test_a_program_alone_becomes_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "parallama"
    path.write_bytes(ELF)
    found = look(path, hashlib.sha256(ELF).hexdigest(), "parallama")
    assert found.entry == "bin/parallama"
    with tarfile.open(found.path) as tar:
        member = tar.getmember("bin/parallama")
        assert member.mode & 0o111
    assert found.sha256 == look(path, hashlib.sha256(ELF).hexdigest(), "parallama").sha256


def test_zstd_is_packed_anew_for_hosts_that_have_none(tmp_path: Path) -> None:
    plain = tmp_path / "a.tar"
    with tarfile.open(plain, "w") as tar:
        member = tarfile.TarInfo("bin/ollama")
        member.size = len(ELF)
        tar.addfile(member, io.BytesIO(ELF))
    path = tmp_path / "a.tar.zst"
    packer = ZstdCompressor()
    path.write_bytes(packer.compress(plain.read_bytes()) + packer.flush())
    found = look(path, hashlib.sha256(path.read_bytes()).hexdigest())
    with tarfile.open(found.path, "r:gz") as tar:
        assert tar.getnames() == ["bin/ollama"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("../etc/cron.d/x", b"x", "outside of its directory"),
        ("/etc/passwd", b"x", "outside of its directory"),
        ("a/../../b", b"x", "outside of its directory"),
        ("lib/x", (tarfile.SYMTYPE, "../../etc/passwd"), "link to the outside"),
        ("lib/x", (tarfile.SYMTYPE, "/etc/passwd"), "link to the outside"),
        ("x", (tarfile.LNKTYPE, "../x"), "link to the outside"),
        ("x", (tarfile.CHRTYPE, ""), "neither file, directory nor link"),
        ("x", (tarfile.FIFOTYPE, ""), "neither file, directory nor link"),
    ],
)
def test_what_would_leave_its_directory_is_refused(
    tmp_path: Path, name: str, content: Any, words: str
) -> None:
    path = tmp_path / "a.tgz"
    sha256 = packed(path, ("bin/ollama", ELF), (name, content))
    with pytest.raises(PreconditionFailed, match=words):
        look(path, sha256)


@pytest.mark.parametrize(
    "members",
    [
        # Each of the two stays inside by its looks, and the second leads to a neighbour.
        (
            ("a/b/c/d/e/l1", (tarfile.SYMTYPE, "../../../../..")),
            ("bin/x", (tarfile.SYMTYPE, "../a/b/c/d/e/l1/../victim")),
        ),
        (("l/x", b"a file"), ("l", (tarfile.SYMTYPE, "bin"))),
        (("l", (tarfile.SYMTYPE, "bin")), ("h", (tarfile.LNKTYPE, "l"))),
        (("l", (tarfile.SYMTYPE, "bin")), ("h", (tarfile.LNKTYPE, "l/ollama"))),
        (("a/../b", b"x"),),
    ],
)
def test_no_way_in_an_archive_goes_through_a_link(
    tmp_path: Path, members: tuple[tuple[str, Any], ...]
) -> None:
    path = tmp_path / "a.tgz"
    sha256 = packed(path, ("bin/ollama", ELF), *members)
    with pytest.raises(PreconditionFailed, match=r"through a link|outside of its"):
        look(path, sha256)


def test_a_program_that_is_a_link_is_none(tmp_path: Path) -> None:
    """Root makes it executable by its name."""
    path = tmp_path / "a.tgz"
    sha256 = packed(path, ("lib/x", ELF), ("bin/ollama", (tarfile.SYMTYPE, "../lib/x")))
    with pytest.raises(PreconditionFailed, match="neither"):
        look(path, sha256)


def test_a_library_may_have_links_to_links(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    sha256 = packed(
        path,
        ("bin/ollama", ELF),
        ("lib/c.so.1.2", b"x"),
        ("lib/c.so.1", (tarfile.SYMTYPE, "c.so.1.2")),
        ("lib/c.so", (tarfile.SYMTYPE, "./c.so.1")),
    )
    assert look(path, sha256).entry == "bin/ollama"


def test_a_host_makes_only_a_file_executable(tmp_path: Path) -> None:
    """Whatever this machine believed of the archive."""
    victim = tmp_path / "victim"
    victim.write_text("private")
    victim.chmod(0o600)
    path = tmp_path / "a.tgz"
    sha256 = packed(path, ("bin/ollama", (tarfile.SYMTYPE, str(victim))))
    (tmp_path / "bin").mkdir()
    install = tmp_path / "bin" / "install"
    install.write_text('#!/bin/sh\nfor last; do :; done\nmkdir -p "$last"\n')
    install.chmod(0o700)
    words = (str(path), sha256, str(tmp_path / "base"), "1", "ollama", "bin/ollama", "1", "me", "1")
    done = subprocess.run(
        ["sh", "-c", install_model_program._UNPACK, "bzzz", *words],
        check=False,
        capture_output=True,
        timeout=20,
        env={**os.environ, "PATH": f"{install.parent}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stderr) == (65, b"bin/ollama is no file\n")
    assert victim.stat().st_mode & 0o777 == 0o600


def test_a_restart_between_the_last_two_lines_finds_it_done(tmp_path: Path) -> None:
    """The program has its place, and the archive is gone."""
    base = tmp_path / "base"
    (base / "1").mkdir(parents=True)
    words = (str(tmp_path / "gone"), "0", str(base), "1", "ollama", "e", "1", "me", "1")

    def unpack() -> int:
        return subprocess.run(
            ["sh", "-c", install_model_program._UNPACK, "bzzz", *words],
            check=False,
            capture_output=True,
            timeout=20,
        ).returncode

    assert unpack() == 65
    (base / "1" / "version").write_text("1\n")
    assert unpack() == 0


def test_another_file_than_the_one_named_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    sha256 = packed(path, ("bin/ollama", ELF))
    with pytest.raises(PreconditionFailed, match=f"has the SHA-256 {sha256}, not"):
        look(path, "0" * 64)


@pytest.mark.parametrize("content", [b"PK\x03\x04 zip", b"\x1f\x8b no gzip", b""])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(PreconditionFailed):
        look(path, hashlib.sha256(content).hexdigest())


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    sha256 = packed(path, ("README", b"x"))
    with pytest.raises(PreconditionFailed, match="neither bin/ollama nor ollama"):
        look(path, sha256)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    servers = ModelServersAnswers(
        program="ollama", source=f"{tmp_path}/none.tgz", sha256="0" * 64, version="1"
    )
    with pytest.raises(PreconditionFailed, match=r"none\.tgz: No such file"):
        asyncio.run(provide(servers, tmp_path, lambda _done, _total: None))


def fetch(target: Path, answer: httpx.Response, bytes_max: int = 1_000) -> None:
    transport = httpx.MockTransport(lambda _request: answer)
    asyncio.run(
        download(
            "https://example.org/a.tgz",
            target,
            timeout_s=5,
            bytes_max=bytes_max,
            progress=lambda _done, _total: None,
            transport=transport,
        )
    )


def test_a_download_appears_under_its_name_when_it_is_whole(tmp_path: Path) -> None:
    fetch(tmp_path / "a", httpx.Response(200, content=b"whole"))
    assert (tmp_path / "a").read_bytes() == b"whole"
    with pytest.raises(TransportError, match="answered 404"):
        fetch(tmp_path / "b", httpx.Response(404))
    assert not (tmp_path / "b").exists()


def test_a_download_that_cannot_be_written_or_has_no_end_is_a_failure_of_its_own(
    tmp_path: Path,
) -> None:
    """Not the end of the whole run: the other hosts need no such file."""
    with pytest.raises(TransportError, match="No such file or directory"):
        fetch(tmp_path / "gone" / "a", httpx.Response(200, content=b"whole"))
    with pytest.raises(TransportError, match="more than 1000 bytes"):
        fetch(tmp_path / "b", httpx.Response(200, content=b"x" * 1_001))
    assert list(tmp_path.iterdir()) == [], "half a file may fill the disk"


@pytest.mark.parametrize("length", ["much", "-1", "9" * 5_000])
def test_what_a_server_says_of_the_length_is_only_shown(tmp_path: Path, length: str) -> None:
    answer = httpx.Response(200, content=b"whole")
    answer.headers["content-length"] = length
    fetch(tmp_path / "a", answer)
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_place_for_downloads_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    servers = ModelServersAnswers(
        program="ollama", source="https://example.org/a.tgz", sha256="0" * 64, version="1"
    )
    with pytest.raises(PreconditionFailed, match="downloads cannot be kept"):
        asyncio.run(provide(servers, tmp_path / "file" / "kept", lambda _done, _total: None))


def test_a_damaged_zstd_leaves_nothing_half_packed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"\xff" * 40)
    with pytest.raises(PreconditionFailed, match="cannot be read as an archive"):
        look(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert list((tmp_path / "kept").iterdir()) == []
