"""One host, installed from a bundle where nobody has a way out, and what is refused on the way.

The host has no Python that fits: the bundle brings one. A tar of the host's own Python stands in
for a published runtime; what it shows is that everything that runs goes by the path of ours.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy import supply
from bzzz_core.deploy.bundle import archive, runtime, trusted
from bzzz_core.deploy.release import Release
from bzzz_core.trust.keys import IdentityKey
from tests.testbed import bundles, cli
from tests.testbed.bundles import DAY_S, Operator
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
HOST = "bzzz-1"
HIDE = "for p in /usr/bin/python3 /usr/bin/python3.11; do mv $p $p.hidden; done"
RUNTIMES = "/opt/bzzz/runtimes"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("air"))
    cli.up(bed, count=1, name="bzzz", suite="bookworm")
    yield Operator(bed, tmp_path_factory.mktemp("home"))
    cli.down(bed)


@pytest.fixture(scope="module")
def good() -> Release:
    return bundles.built()


@pytest.fixture(scope="module")
def plain(operator: Operator, good: Release) -> Path:
    """Return a bundle without a runtime."""
    return operator.bundle("plain", good, age_s=3_600)


@pytest.fixture(scope="module")
def standalone(operator: Operator) -> runtime.BuiltRuntime:
    """Take the host's Python away, and return it as a runtime."""
    host = operator.bed.host(HOST)
    path = operator.home / "python.tar.gz"
    with path.open("wb") as file:
        command = "tar -C /usr -chz bin/python3.11 lib/python3.11"
        subprocess.run(operator.bed.ssh_command(host, command), check=True, stdout=file)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    operator.on(HOST, HIDE)
    return runtime.build(str(path), sha256, operator.home / "runtime.tar.gz")


def test_setup_without_a_bundle_has_no_way_out(operator: Operator) -> None:
    """Otherwise the tests below would show nothing."""
    code, events = operator.setup("--plan")
    assert code == 5, bundles.failures(events)
    assert "cannot build the release" in _error(events)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("tampered", "damaged or was tampered with"),
        ("truncated", "ends early|is not whole"),
        ("expired", "expired at"),
        ("foreign", "not trusted here"),
        ("unsigned", "changed after it was signed"),
    ],
)
def test_the_operator_refuses_a_bundle_that_is(
    operator: Operator, good: Release, plain: Path, kind: str, says: str
) -> None:
    bad = operator.home / "bad.bzzz"
    content = bytearray(plain.read_bytes())
    match kind:
        case "tampered":
            content[len(content) // 2] ^= 1
        case "truncated":
            del content[len(content) // 2 :]
        case "unsigned":
            at = content.index(b"0.1.0")
            content[at : at + 5] = b"0.1.1"
        case "expired":
            content[:] = operator.bundle("bad", good, age_s=2 * DAY_S).read_bytes()
        case _:
            content[:] = operator.bundle("bad", good, key=IdentityKey.generate()).read_bytes()
    bad.write_bytes(content)
    code, events = operator.apply(bad)
    assert (code, events[-2]["code"]) == (3, "bundle_refused")
    assert any(word in _error(events) for word in says.split("|")), _error(events)
    assert operator.on(HOST, "ls -d /opt/bzzz /etc/bzzz 2>/dev/null") == ""


def test_a_host_without_room_is_named_before_anything_is_sent(
    operator: Operator, plain: Path
) -> None:
    operator.on(HOST, "mount -t tmpfs -o size=8m none /var/tmp && chmod 1777 /var/tmp")
    try:
        code, events = operator.apply(plain)
    finally:
        operator.on(HOST, "umount /var/tmp")
    assert code == 3
    said = [e["message"] for e in events if e.get("check") == "disk"]
    assert any("has 0.0 GB free" in text for text in said), said
    assert operator.on(HOST, "ls -d /opt/bzzz 2>/dev/null") == ""


@pytest.mark.parametrize("limit", ["size=30m", "size=400m,nr_inodes=900"])
def test_a_disk_that_fills_up_is_named_and_left_clean(
    operator: Operator, plain: Path, limit: str
) -> None:
    place = "/opt/bzzz/releases"
    operator.on(HOST, f"mkdir -p {place} && mount -t tmpfs -o {limit} none {place}")
    try:
        code, events = operator.apply(plain)
        left = operator.on(HOST, f"ls -A {place}; find /var/tmp -type f -size +1M")
    finally:
        operator.on(HOST, f"umount {place}; rm -rf /opt/bzzz")
    assert code == 5, bundles.failures(events)
    what = "no inode left" if "inodes" in limit else "no space left"
    assert f"{what} on {place}" in events[-1]["hosts"][0]["detail"]
    assert left == ""


@pytest.mark.usefixtures("standalone")
def test_a_host_without_a_fit_python_is_refused_with_both_ways_out(
    operator: Operator, plain: Path
) -> None:
    code, events = operator.apply(plain)
    assert code == 3
    finding = next(e for e in events if e.get("check") == "python")
    assert "none found" in finding["message"]
    assert "apt install python3" in finding["fix"]
    assert "--runtime FILE" in finding["fix"]


@pytest.fixture(scope="module")
def installed(
    operator: Operator, good: Release, standalone: runtime.BuiltRuntime
) -> runtime.BuiltRuntime:
    """Install with the runtime."""
    bundle = operator.bundle("whole", good, runtimes=[standalone], age_s=1_800)
    code, events = operator.apply(bundle)
    assert code == 0, bundles.failures(events)
    return standalone


def test_a_host_without_python_runs_on_the_one_that_came_along(
    operator: Operator, installed: runtime.BuiltRuntime
) -> None:
    python = f"{RUNTIMES}/{installed.name}/bin/python3"
    units = operator.on(HOST, "grep -h ^ExecStart= /etc/systemd/system/bzzz-*.service")
    assert [line.split()[0] for line in units.splitlines()] == [f"ExecStart={python}"] * 2
    pid = "$(systemctl show -p MainPID --value bzzz-agent)"
    real = operator.on(HOST, f"tr '\\0' ' ' </proc/{pid}/cmdline")
    assert real.startswith(python)
    status = operator.on(HOST, "cd /tmp && runuser -u bzzz -- bzzz-agent status --json")
    assert '"leader":"bzzz-1"' in status.replace(" ", "")


@pytest.mark.usefixtures("installed")
def test_the_same_bundle_again_changes_nothing(operator: Operator) -> None:
    code, events = operator.apply(operator.home / "whole.bzzz")
    assert (code, bundles.summary(events)) == (0, {HOST: "unchanged"}), bundles.failures(events)


@pytest.mark.usefixtures("installed")
def test_a_bundle_older_than_what_runs_is_refused(operator: Operator, good: Release) -> None:
    better = bundles.variant(good, operator.home, bundles.harmless)
    code, events = operator.apply(operator.bundle("older", better, age_s=7_200))
    assert code == 3
    finding = next(e for e in events if e.get("check") == "bundle")
    assert "is older than what is installed" in finding["message"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("tampered", "changed after it was signed"),
        ("truncated", "cannot be read"),
        ("expired", "expired at"),
        ("foreign", "not trusted here"),
        ("older", "older than what is installed"),
        ("wrong machine", "is for aarch64"),
    ],
)
def test_the_node_itself_refuses_a_bundle_that_is(
    operator: Operator, good: Release, kind: str, says: str
) -> None:
    """Asked as setup asks it, but without an operator who looks first."""
    changed = good
    if kind == "wrong machine":
        changed = bundles.variant(good, operator.home, lambda _site: None, arch="aarch64")
    path = operator.bundle(
        "node",
        changed,
        key=IdentityKey.generate() if kind == "foreign" else None,
        age_s={"expired": 2 * DAY_S, "older": 7_200}.get(kind, 0),
    )
    envelope = supply.envelope_bytes(archive.read_envelope(path))
    if kind == "tampered":
        envelope = envelope.replace(b"0.1.0+", b"0.1.1+")
    if kind == "truncated":
        envelope = envelope[: len(envelope) // 2]
    version = changed.ref.version
    words = f"--release /opt/bzzz/releases/{version} --keys /etc/bzzz/release-keys"
    command = f"cd /tmp; sudo -n runuser -u bzzz -- bzzz-agent bundle admit {words}"
    done = subprocess.run(
        operator.bed.ssh_command(operator.bed.host(HOST), command),
        check=False,
        input=envelope,
        capture_output=True,
    )
    assert done.returncode == 3, done
    assert says in done.stderr.decode(), done


@pytest.mark.usefixtures("installed")
def test_a_key_that_the_node_does_not_know_stops_the_run_there(
    operator: Operator, good: Release, standalone: runtime.BuiltRuntime
) -> None:
    """The operator trusts it; the node was not told so by a bundle that it admits."""
    before = operator.on(HOST, "readlink /opt/bzzz/current; sha256sum /etc/bzzz/release-keys")
    other = IdentityKey.generate()
    mine = operator.home / "config" / "bzzz" / "release-keys"
    kept = mine.read_text()
    trusted.trust(other.public_key, "new", mine)
    try:
        better = bundles.variant(good, operator.home, bundles.harmless)
        path = operator.bundle("stranger", better, key=other, runtimes=[standalone])
        code, events = operator.apply(path)
        assert code == 5, bundles.failures(events)
        assert "not trusted here" in events[-1]["hosts"][0]["detail"]
    finally:
        mine.write_text(kept)
    after = operator.on(HOST, "readlink /opt/bzzz/current; sha256sum /etc/bzzz/release-keys")
    assert after == before

    # It lies there now. What somebody does to it meanwhile does not go unnoticed.
    file = f"/opt/bzzz/releases/{better.ref.version}/site/bzzz_core/another.txt"
    operator.on(HOST, f"echo more >>{file}")
    code, events = operator.apply(operator.bundle("again", better, runtimes=[standalone]))
    assert code == 5, bundles.failures(events)
    assert "was changed since it was unpacked" in events[-1]["hosts"][0]["detail"]
    assert operator.on(HOST, "readlink /opt/bzzz/current") == before.split()[0]


def _error(events: list[dict[str, Any]]) -> str:
    return str(next(e for e in events if e["event"] == "error")["message"])
