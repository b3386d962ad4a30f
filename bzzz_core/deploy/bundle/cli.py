"""`bzzz-agent bundle`: one signed file from which hosts are installed without internet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bzzz_core.commands.options import JSON, reports_errors, seconds

if TYPE_CHECKING:
    from bzzz_core.deploy.bundle.manifest import Manifest

_FILE = click.Path(path_type=Path, dir_okay=False)
_KEYS = click.option(
    "--keys",
    "keys_path",
    type=_FILE,
    help="File of trusted release keys.  [default: release-keys in the operator's directory]",
)


@click.group()
def bundle() -> None:
    """One signed file from which hosts are installed without internet."""


@bundle.command("key")
@click.option("--output", type=_FILE, required=True, help="Where the private key goes (0600).")
@click.option("--comment", default="", help="Whose it is, for people.")
@click.option("--trust", is_flag=True, help="Trust it on this machine as well.")
@reports_errors
def bundle_key(output: Path, comment: str, *, trust: bool) -> None:
    """Make a key that signs bundles; print the line by which others trust it."""
    from bzzz_core.deploy.bundle import trusted
    from bzzz_core.errors import TrustError
    from bzzz_core.trust.keys import IdentityKey

    try:
        key = IdentityKey.create(output)
    except OSError as exc:
        raise TrustError(f"{output}: {exc.strerror}; nothing was overwritten") from exc
    if trust:
        trusted.trust(key.public_key, comment, trusted.trusted_file())
    click.echo(trusted.key_line(key.public_key, comment))


@bundle.command("build")
@click.option("--key", "key_path", required=True, help="The release key: a file 0600.")
@click.option("--output", type=_FILE, required=True, help="The bundle.")
@click.option("--python", "pythons", multiple=True, help="Only this minor version; may repeat.")
@click.option("--arch", "arches", multiple=True, help="Only this machine type; may repeat.")
@click.option(
    "--runtime", "runtimes", multiple=True, help="Archive of a standalone Python; may repeat."
)
@click.option(
    "--runtime-sha256", "sums", multiple=True, help="SHA-256 of each --runtime, in their order."
)
@click.option(
    "--expires",
    "expires_s",
    callback=seconds,
    default="90d",
    show_default=True,
    help="In how long.",
)
@click.option("--min-from", default="0.0.0", show_default=True, help="Oldest version to upgrade.")
@reports_errors
def bundle_build(
    *,
    key_path: str,
    output: Path,
    pythons: Sequence[str],
    arches: Sequence[str],
    runtimes: Sequence[str],
    sums: Sequence[str],
    expires_s: int,
    min_from: str,
) -> None:
    """Build a bundle for every Python and machine type, or for some of them."""
    import asyncio

    from bzzz_core.clock import utc_instant
    from bzzz_core.deploy.bundle import build
    from bzzz_core.deploy.bundle.manifest import version_key
    from bzzz_core.deploy.release import ARCHES
    from bzzz_core.trust.keys import IdentityKey

    if len(runtimes) != len(sums):
        raise click.UsageError("give one --runtime-sha256 for each --runtime")
    _known("--python", pythons, build.PYTHONS)
    _known("--arch", arches, ARCHES)
    try:
        version_key(min_from)
    except ValueError as exc:
        raise click.UsageError(f"--min-from: {exc}") from exc
    now_s = int(utc_instant().timestamp())
    wanted = build.Wanted(
        pythons=pythons or build.PYTHONS,
        arches=arches or ARCHES,
        runtimes=tuple(zip(runtimes, sums, strict=True)),
        created_s=now_s,
        expires_s=now_s + expires_s,
        min_from=min_from,
    )
    key = IdentityKey.load(Path(key_path.removeprefix("file:")).expanduser())
    manifest = asyncio.run(build.build(wanted, key, output.absolute()))
    _say(manifest)


@bundle.command("verify")
@click.argument("path", metavar="FILE", type=_FILE)
@_KEYS
@reports_errors
def bundle_verify(path: Path, keys_path: Path | None) -> None:
    """Check that a bundle is whole, in force, and signed by whom this machine trusts."""
    from bzzz_core.clock import utc_instant
    from bzzz_core.deploy.bundle import archive, trusted

    keys = trusted.load(keys_path or trusted.trusted_file())
    _, manifest = archive.check(path, keys, now_s=int(utc_instant().timestamp()))
    click.echo(f"{path}: valid, signed by {manifest.key_id}, expires {manifest.expires_at}")


@bundle.command("show")
@click.argument("path", metavar="FILE", type=_FILE)
@JSON
@reports_errors
def bundle_show(path: Path, *, as_json: bool) -> None:
    """Print what a bundle says of itself; believes nothing and checks nothing."""
    from bzzz_core.deploy.bundle import archive
    from bzzz_core.deploy.bundle.manifest import decode

    manifest = decode(archive.read_envelope(path))
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(manifest)))
    else:
        _say(manifest)


@bundle.command("admit", hidden=True)
@click.option("--release", type=click.Path(path_type=Path), required=True)
@click.option("--keys", "keys_path", type=_FILE, required=True)
@click.option("--allow-downgrade", is_flag=True)
@reports_errors
def bundle_admit(release: Path, keys_path: Path, *, allow_downgrade: bool) -> None:
    """Judge, on a node, whether it may run a release; the envelope comes on standard input."""
    from bzzz_core.clock import utc_instant
    from bzzz_core.deploy.bundle import admission

    manifest = admission.judge_here(
        sys.stdin.buffer.read(admission.ENVELOPE_BYTES_MAX),
        release=release,
        keys=keys_path,
        now_s=int(utc_instant().timestamp()),
        allowed=allow_downgrade,
    )
    click.echo(f"{release.name} admitted by {admission.said_by()}, key {manifest.key_id}")


def _known(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    strange = [value for value in given if value not in known]
    if strange:
        raise click.UsageError(f"{option} {strange[0]}: there are {', '.join(known)}")


def _say(manifest: Manifest) -> None:
    rows: list[tuple[str, Any]] = [
        ("version", manifest.version),
        ("created", manifest.created_at),
        ("expires", manifest.expires_at),
        ("upgrades from", f"{manifest.min_from} or later"),
        ("signed by key", manifest.key_id),
    ]
    rows += [
        ("release", f"{t.version} for Python {t.python} on {t.arch}, {_size(t.archive.size_bytes)}")
        for t in manifest.trees
    ]
    rows += [
        ("runtime", f"{one.name}, {_size(one.archive.size_bytes)}") for one in manifest.runtimes
    ]
    if manifest.sbom is not None:
        rows.append(("bill of materials", manifest.sbom.name))
    for name, value in rows:
        click.echo(f"{name:<18}{value}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB"
