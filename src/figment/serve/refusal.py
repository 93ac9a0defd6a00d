"""What is refused, always in one shape, with a code that is fixed and a line for people."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from figment.core.errors import CapabilityError, ConfigError

_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_TYPES |= {429: "rate_limit_error"}
_CODES = {404: "not_found", 405: "method_not_allowed"}

_log = logging.getLogger("figment.serve")


class Refusal(HTTPException):
    """An answer that is no: HTTP status, a fixed code, one line, the field it is about, seconds until another try."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None, retry_after: int | None = None):
        headers = None if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__(status, message, headers)
        self.code, self.param = code, param

    @property
    def error(self) -> dict[str, Any]:
        """What stands under "error"."""
        kind = _TYPES.get(self.status_code, "server_error" if self.status_code >= 500 else "invalid_request_error")
        return {"code": self.code, "message": self.detail, "type": kind, "param": self.param}

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.error}, self.status_code, headers=dict(self.headers or {}))


def invalid(message: str, param: str | None = None) -> Refusal:
    """A request that cannot be understood."""
    return Refusal(400, "invalid_request", message, param)


def missing(what: str) -> Refusal:
    """An id that leads nowhere."""
    return Refusal(404, "not_found", f"there is no such {what}")


def install(app: FastAPI) -> None:
    """Answer whatever goes wrong in the one shape; texts of our own bugs are kept to the log."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        if not isinstance(error, Refusal):
            code = _CODES.get(error.status_code, "invalid_request")
            error = Refusal(error.status_code, code, str(error.detail))
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return invalid(f"{place}: {first['msg']}" if place else first["msg"], place or None).response()

    @app.exception_handler(ConfigError)
    @app.exception_handler(CapabilityError)
    async def unable(request: Request, error: Exception) -> JSONResponse:
        return Refusal(400, "cannot", str(error)).response()

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s", request.method, request.url.path, exc_info=error)
        return Refusal(500, "internal", "a bug of figment's; the server's own output tells more").response()
