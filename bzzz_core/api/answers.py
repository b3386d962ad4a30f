"""How the API writes an answer or a refusal; every refusal is an `ErrorDocument`."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from starlette.responses import Response

from bzzz_core.api.documents import ErrorBody, ErrorDocument
from bzzz_core.api.operations import Content, status_of
from bzzz_core.errors import BzzzError
from bzzz_core.telemetry import tracing

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return it as a document; it names the request, for whoever looks for it in the log."""
        body = ErrorBody(self.code, self.message[:_WORDS_MAX], tracing.current().request)
        answer = document(ErrorDocument(body), status=self.status)
        answer.headers.update(self.headers)
        return answer


_WORDS_MAX = 4_000


def document(value: object, *, status: int = 200) -> Response:
    """Return a value as the answer."""
    if isinstance(value, Content):
        return Response(value.body, headers={**HEADERS, "content-type": value.media_type})
    body = msgspec.json.encode(value)
    return Response(body, status_code=status, media_type="application/json", headers=HEADERS)


def refusal_of(error: BzzzError) -> Refusal:
    """Return what a failure is answered with."""
    status = status_of(error)
    headers = {"retry-after": "1"} if status == 429 else {}  # noqa: PLR2004  Too Many Requests
    return Refusal(status, error.code, str(error), headers)
