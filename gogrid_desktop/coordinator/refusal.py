"""How the OpenAI face says no: one exception with all that an HTTP answer needs, and the route that makes one of it.

Official clients retry 408, 409, 429 and 5xx by themselves; where that cannot help, `x-should-retry: false` says so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any
from uuid import uuid4

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gogrid_desktop.coordinator.ports import Account, Desk, IdempotencyConflict, Unservable
from gogrid_desktop.errors import GoGridError, StorageError, StorageFull
from gogrid_desktop.protocol.openai import ErrorDetail

log = logging.getLogger(__name__)

REQUEST_HEADER = "X-GoGrid-Request"
#: Nobody reads this status: the client has gone.
CLIENT_GONE = 499
STORAGE_RETRY_S = 30
STOPPING_RETRY_S = 2


class ApiError(GoGridError):
    """A refusal with HTTP `status` and OpenAI's `code` and `param`; `final` tells clients not to try again."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        final: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = {**(headers or {}), **({"x-should-retry": "false"} if final else {})}

    def detail(self) -> ErrorDetail:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return ErrorDetail(message=str(self), type=kind, param=self.param, code=self.code)

    def response(self) -> JSONResponse:
        return JSONResponse(self.detail().body(), self.status, self.headers)


def internal_error() -> ApiError:
    return ApiError(500, "internal_error", "The coordinator failed; its log says why. Try again.")


def no_such_request(request: str) -> ApiError:
    return ApiError(404, "request_not_found", f"There is no request {request!r} of this account.", param="id")


def stopping(request: str) -> ApiError:
    """The coordinator ends all answers; the request itself goes on."""
    words = f"The coordinator stops. Read on later with GET /grid/v1/requests/{request}/stream, or the Idempotency-Key."
    return ApiError(503, "coordinator_stopping", words, headers={"Retry-After": str(STOPPING_RETRY_S)})


def _converted(error: Exception) -> ApiError:
    """The refusal for what handlers may raise; anything unforeseen is logged and becomes a 500."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            first = error.errors()[0]
            name = str(first["loc"][-1])
            return ApiError(400, "invalid_value", f"{name} is not allowed: {first['msg']}.", param=name)
        case Unservable():
            return ApiError(
                503, "no_node", f"{error.reason} Try again later.", headers={"Retry-After": str(error.retry_after_s)}
            )
        case IdempotencyConflict():
            return ApiError(
                422,
                "idempotency_conflict",
                "This Idempotency-Key was used with another body. Send the same body, or a new key.",
                param="Idempotency-Key",
            )
        case StorageError():
            code = "storage_full" if isinstance(error, StorageFull) else "storage_away"
            return ApiError(503, code, str(error), headers={"Retry-After": str(STORAGE_RETRY_S)})
        case _:
            log.error("a request of a submitter failed", exc_info=error)
            return internal_error()


def faced(inner: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """The same, but every answer carries `X-GoGrid-Request`, and every refusal is OpenAI's error object."""

    async def handle(request: Request) -> Response:
        request.state.grid_request = f"req-{uuid4().hex}"
        try:
            response = await inner(request)
        except ClientDisconnect:
            response = Response(status_code=CLIENT_GONE)
        except Exception as error:  # noqa: BLE001 - the boundary of a request; _converted logs the unforeseen
            response = _converted(error).response()
        response.headers[REQUEST_HEADER] = request.state.grid_request
        return response

    return handle


class FaceRoute(APIRoute):
    """A route of the face to submitters."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return faced(super().get_route_handler())


async def caller(desk: Desk, request: Request) -> Account:
    """The account of the bearer key. Raises ApiError 401."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    challenge = {"WWW-Authenticate": "Bearer"}
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(
            401,
            "missing_api_key",
            "No API key was sent. Send the header Authorization: Bearer <key>; the operator makes keys.",
            headers=challenge,
        )
    account = await desk.account(key.strip())
    if account is None:
        raise ApiError(
            401,
            "invalid_api_key",
            "This API key is wrong or has expired. Ask the operator of the grid for a new one.",
            headers=challenge,
        )
    return account
