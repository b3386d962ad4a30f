"""What a node remembers of the registry: newer only, whole or not at all, never silently lost."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.registry import EnrolledNode, Registry
from bzzz_core.errors import IntegrityError, TrustError
from bzzz_core.model import ClusterId
from bzzz_core.trust.keys import node_id_of

KEY = b"k" * 32
NODE = EnrolledNode(id=node_id_of(KEY), name="n1", public_key=KEY, address="127.0.0.1", voter=True)


def registry(version: int) -> Registry:
    return Registry(cluster=ClusterId("c"), version=version, nodes=(NODE,))


def test_nothing_stored_is_none(tmp_path: Path) -> None:
    """A node that was just set up lives by its genesis."""
    assert RegistryCache(tmp_path, cluster=ClusterId("c")).load() is None


def test_a_newer_registry_is_kept_and_an_older_one_is_not(tmp_path: Path) -> None:
    """A late message must not bring a revoked node back."""
    cache = RegistryCache(tmp_path, cluster=ClusterId("c"))
    assert cache.store(registry(2))
    assert not cache.store(registry(2))
    assert not cache.store(registry(1))
    assert cache.load() == registry(2)
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["registry"]


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    """To take it for absent would let everybody in who was revoked since the genesis."""
    cache = RegistryCache(tmp_path, cluster=ClusterId("c"))
    cache.store(registry(3))
    cache.path.write_bytes(cache.path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="damaged"):
        cache.load()
    with pytest.raises(IntegrityError):
        cache.store(registry(4))


def test_another_clusters_file_is_refused(tmp_path: Path) -> None:
    """A data directory was copied, or the cluster was made anew over an old one."""
    RegistryCache(tmp_path, cluster=ClusterId("c")).store(registry(1))
    with pytest.raises(TrustError):
        RegistryCache(tmp_path, cluster=ClusterId("d")).load()
