"""A new connection to a message bus, or an error within so many seconds, with nothing left open.

jeepney's own `open_dbus_connection` waits ten seconds for a bus that stops while it greets us, and leaves its socket
and a thread's traceback behind where the bus ends then.
"""

from __future__ import annotations

from typing import Literal

from jeepney import MessageType, message_bus
from jeepney.bus import get_bus
from jeepney.io.blocking import prep_socket
from jeepney.io.threading import DBusConnection
from jeepney.low_level import HeaderFields


def open_connection(which: Literal["SESSION", "SYSTEM"], limit_s: float) -> DBusConnection:
    """Raises OSError (TimeoutError after `limit_s`); KeyError, ValueError or RuntimeError for an address of no use."""
    connection = DBusConnection(prep_socket(get_bus(which), enable_fds=True, timeout=limit_s), enable_fds=True)
    try:
        serial = next(connection.outgoing_serial)
        connection.send(message_bus.Hello(), serial=serial)
        reply = connection.receive(timeout=limit_s)
        while reply.header.fields.get(HeaderFields.reply_serial) != serial:
            reply = connection.receive(timeout=limit_s)
        if reply.header.message_type is not MessageType.method_return:
            raise ConnectionRefusedError(str(reply.body))
        (connection.unique_name,) = reply.body
    except BaseException:
        connection.close()
        raise
    return connection
