"""The grid protocol over HTTP, as a node speaks it. Every error of httpx leaves here as one of ours."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from gogrid_desktop import __version__
from gogrid_desktop.errors import (
    AuthRejected,
    BadInput,
    InviteRejected,
    RateLimited,
    Refused,
    Unreachable,
)
from gogrid_desktop.protocol import grid as g

W = TypeVar("W", bound=g.Wire)

#: How long one lease call may wait on the server, seconds.
POLL_WAIT_S = 25
_TIMEOUT = httpx.Timeout(10.0)
_POLL_TIMEOUT = httpx.Timeout(10.0, read=POLL_WAIT_S + 10.0)


def check_url(url: str) -> str:
    """The coordinator's address without a trailing slash. Raises BadInput unless https, or http on this machine."""
    parts = urlsplit(url)
    allowed = "https://HOST[:PORT], or http:// for this machine alone"
    try:
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise BadInput("coordinator", url, allowed, "Take the address from your invitation.")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise BadInput("coordinator", url, allowed, "The node's token must not cross a network in the clear.")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable(url: str, timeout_s: float = 5.0) -> str | None:
    """None when a coordinator answers there, otherwise a sentence that says what happened."""
    try:
        answer = httpx.get(f"{check_url(url)}/healthz", timeout=timeout_s)
    except BadInput as error:
        return str(error)
    except httpx.HTTPError as error:
        return f"{url} does not answer ({type(error).__name__}: {error})."
    return None if answer.status_code == 200 else f"{url} answers {answer.status_code} instead of 200."


class GridClient:
    """Calls of one node. Raises Unreachable, RateLimited (both retryable), AuthRejected, InviteRejected, Refused."""

    def __init__(self, coordinator: str, token: str = "", transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"User-Agent": f"gogrid-node/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.coordinator = check_url(coordinator)
        self._http = httpx.AsyncClient(
            base_url=self.coordinator, headers=headers, timeout=_TIMEOUT, transport=transport, trust_env=True
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def enrol(self, invite: g.Invite) -> g.Enrolled:
        """Become a node. Raises InviteRejected when the code is wrong, used up or expired."""
        return _parse(g.Enrolled, await self._post("/grid/v1/nodes", invite))

    async def leases(self, call: g.LeaseCall, wait_s: int = POLL_WAIT_S) -> g.Leases:
        """Long poll for work; empty after `wait_s` seconds without any."""
        body = await self._post(f"/grid/v1/leases?wait={wait_s}", call, timeout=_POLL_TIMEOUT)
        return _parse(g.Leases, body) if body else g.Leases()

    async def report(self, report: g.Report) -> g.Reported:
        return _parse(g.Reported, await self._post("/grid/v1/reports", report))

    async def catalogue(self) -> g.Catalogue:
        return _parse(g.Catalogue, await self._request("GET", "/grid/v1/models"))

    @asynccontextmanager
    async def model_file(self, sha256: str, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a model from `offset` on, in pieces of 1 MiB at most."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            async with self._http.stream("GET", f"/grid/v1/models/{sha256}", headers=headers) as answer:
                if answer.is_error:
                    await answer.aread()
                _raise_for(answer)
                if offset and answer.status_code != 206:
                    raise Refused("The coordinator does not resume downloads.", answer.status_code)
                yield answer.aiter_bytes(2**20)
        except httpx.HTTPError as error:
            raise _unreachable(self.coordinator, error) from error

    async def _post(self, path: str, body: g.Wire, timeout: httpx.Timeout = _TIMEOUT) -> bytes:
        return await self._request("POST", path, content=body.model_dump_json(), timeout=timeout)

    async def _request(self, method: str, path: str, **how: Any) -> bytes:
        try:
            answer = await self._http.request(method, path, headers={"Content-Type": "application/json"}, **how)
        except httpx.HTTPError as error:
            raise _unreachable(self.coordinator, error) from error
        _raise_for(answer)
        return answer.content


def _parse(model: type[W], body: bytes) -> W:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise Refused(
            f"The coordinator's answer is not of protocol version {g.PROTOCOL_VERSION}: {where} does not fit.",
            502,
            "Update GoGrid, or ask the operator to.",
        ) from error


def _unreachable(coordinator: str, error: httpx.HTTPError) -> Unreachable:
    return Unreachable(
        f"The coordinator at {coordinator} does not answer ({type(error).__name__}).",
        "Check the address and your network; GoGrid keeps trying.",
    )


def _raise_for(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        error = answer.json()["error"]
        code, message, remedy = error.get("code") or "", error["message"], error.get("remedy", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message, remedy = "", f"The coordinator answered {answer.status_code}.", ""
    status = answer.status_code
    if status == 401:
        raise AuthRejected(message, remedy)
    if status == 429:
        raise RateLimited(message, _retry_after_s(answer), remedy)
    if status >= 500:
        raise Unreachable(message, remedy)
    if "invite" in code:
        raise InviteRejected(message, remedy)
    raise Refused(message, status, remedy)


def _retry_after_s(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("Retry-After", "1")))
    except ValueError:
        return 1.0
