"""HTTP/1.1 over one kept connection, by hand: a load that costs the machine as little as can be."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import from_json, to_json


class Wire:
    """One call at a time. Raises ConnectionError, and ValueError for what it does not understand."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host, self._port = host, port
        self._head = f" HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and parsed answer."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        data = to_json(body)
        self._writer.write(f"POST {path}{self._head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        sizes = [line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")]
        if not sizes:
            raise ValueError(f"an answer without a length: {head[:80]!r}")
        answer = await self._reader.readexactly(int(sizes[0]))
        return int(lines[0].split()[1]), from_json(answer) if answer else None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None
