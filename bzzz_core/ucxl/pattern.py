"""Which addresses a pattern matches.

`*` is exactly one name or segment, `**` any number of segments. The temporal part takes no part: it
says which version of each match is meant. One pass over the path with one place to come back to,
that of the last `**`, is enough; the work is bounded by the product of the two lengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bzzz_core.errors import AddressError
from bzzz_core.ucxl.address import Address
from bzzz_core.ucxl.field import Field, Wildcard


def matches(pattern: Address, address: Address) -> bool:
    """Return whether `pattern` matches; one without wildcards matches its own names and path.

    Raises:
        AddressError: `address` has wildcards itself.
    """
    if address.is_pattern:
        raise AddressError("a pattern is compared with an address without wildcards")
    names = zip(pattern.names, address.names, strict=True)
    return all(_covers(want, have) for want, have in names) and _path(pattern.path, address.path)


def search(pattern: Address, addresses: Iterable[Address]) -> Iterator[Address]:
    """Yield the addresses that `pattern` matches, in their order.

    Raises:
        AddressError: One of them has wildcards itself.
    """
    return (address for address in addresses if matches(pattern, address))


def _covers(want: Field, have: Field) -> bool:
    return want is Wildcard.ONE or want == have


def _path(wanted: tuple[Field, ...], found: tuple[Field, ...]) -> bool:
    want = have = 0
    deep = -1  # Place of the last `**` in `wanted`,
    taken = 0  # and how far in `found` it reaches so far.
    while have < len(found):
        if want < len(wanted) and wanted[want] is Wildcard.DEEP:
            deep, taken = want, have
            want += 1
        elif want < len(wanted) and _covers(wanted[want], found[have]):
            want += 1
            have += 1
        elif deep >= 0:
            taken += 1
            want, have = deep + 1, taken
        else:
            return False
    return all(field is Wildcard.DEEP for field in wanted[want:])
