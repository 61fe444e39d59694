"""What the service refuses: problem details (RFC 9457) for requests, and one sentence for who starts it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"

FAILED = "the service has failed in a way that it does not know; see its log"
KINDS = {
    400: "bad-request",
    401: "no-token",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    413: "body-too-large",
    422: "invalid-request",
    500: "internal-error",
    503: "not-ready",
}
"""Type of a problem by its status, unless it has one of its own."""


class ServeError(ValueError):
    """A service that cannot be; the message is one sentence: what is wrong, where, and what would be right."""


class Problem(Exception):  # noqa: N818  # RFC 9457 calls it so
    """A request that is answered with problem details.

    Args:
        status: of HTTP.
        detail: one sentence.
        kind: type of the problem; unset: that of its status.
        where: path to what is wrong in the body, like `zones.3.embedding`.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        kind: str | None = None,
        where: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.where, self.headers = status, detail, where, headers or {}
        self.kind = kind or KINDS.get(status, "error")

    def content(self) -> dict[str, Any]:
        """Members of the problem details."""
        content: dict[str, Any] = {
            "type": f"urn:metalore:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.where is not None:
            content["where"] = self.where
        return content

    def body(self) -> bytes:
        """As `application/problem+json`."""
        return json.dumps(self.content()).encode()
