"""The turn on Linux: a socket address in the abstract namespace (unix(7)), which one process at a time can have.

It needs no folder that both users may write to, is free again however its holder ends, and the kernel says who that is
(SO_PEERCRED of whoever connects to it).
"""

from __future__ import annotations

import contextlib
import socket
import struct

import psutil

_ADDRESS = "\0gogrid-sharing"
_LIMIT_S = 0.2
# socket.h and asm-generic/socket.h; not every platform has these, but only Linux comes here.
_AF_UNIX, _SO_PEERCRED = int(getattr(socket, "AF_UNIX", 1)), int(getattr(socket, "SO_PEERCRED", 17))


class SocketTurn:
    """`address`: begins with a zero byte."""

    def __init__(self, address: str = _ADDRESS) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def take(self) -> str:
        if self._socket is not None:
            return ""
        mine = socket.socket(_AF_UNIX, socket.SOCK_STREAM)
        try:
            mine.bind(self._address)
            mine.listen(1)
        except OSError:
            mine.close()
            return self._holder()
        self._socket = mine
        return ""

    def let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _holder(self) -> str:
        with contextlib.closing(socket.socket(_AF_UNIX, socket.SOCK_STREAM)) as asking:
            asking.settimeout(_LIMIT_S)
            try:
                asking.connect(self._address)
                size = struct.calcsize("3i")
                pid, uid, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, size))
            except OSError:
                return "another agent"
        try:
            user = psutil.Process(pid).username()
        except psutil.Error:
            user = f"user {uid}"
        return f"the agent of {user} (pid {pid})"
