"""Counts the requests that the API answers: by route, method and status, and how long they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.histogram import Histogram
from bzzz_core.telemetry.metrics_catalogue import Reading

BOUNDS_S: Final = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_DENIED: Final = frozenset({401, 403, 429})
_ROUTES_MAX: Final = 200


class RequestFigures:
    """The requests of one API."""

    def __init__(self) -> None:
        """Start at zero."""
        self._answered: Counter[tuple[str, str, str]] = Counter()
        self._took: dict[str, Histogram] = {}
        self._denied = 0

    def note(self, route: str, method: str, status: int, took_s: float) -> None:
        """Count one request; `route` is a template of this API's, never the path that was asked."""
        known = method if method in _METHODS else "other"
        self._answered[route, known, str(status)] += 1
        self._denied += status in _DENIED
        if route not in self._took and len(self._took) < _ROUTES_MAX:
            self._took[route] = Histogram(BOUNDS_S)
        if route in self._took:
            self._took[route].note(took_s)

    def collect(self) -> Iterator[Reading]:
        """Return the figures."""
        yield the.API_DENIED.at(self._denied)
        for (route, method, status), count in self._answered.items():
            yield the.API_REQUESTS.at(count, route, method, status)
        for route, took in self._took.items():
            yield the.API_SECONDS.boxes(took.boxes(), route)
