"""Arrays as PostgreSQL reads them from text: psycopg writes an array element by element in Python, which costs more.

Source: https://www.postgresql.org/docs/14/arrays.html#ARRAYS-IO.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Dialect, Float, LargeBinary, Text
from sqlalchemy.types import TypeDecorator, TypeEngine


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _hex(data: bytes) -> str:
    return f'"\\\\x{data.hex()}"'


_WRITTEN: dict[type[TypeEngine[Any]], Callable[[Any], str]] = {
    Text: _quoted,
    LargeBinary: _hex,
    BigInteger: str,
    Float: repr,
    Boolean: str,
}


class Texts(TypeDecorator[Any]):
    """Values of a column as one text, to be cast to an array of the column's type."""

    impl = Text
    cache_ok = True

    def __init__(self, of: TypeEngine[Any]) -> None:
        super().__init__()
        self.of = of
        plain = of.impl_instance if isinstance(of, TypeDecorator) else of
        self._write = _WRITTEN[type(plain)]

    def process_bind_param(self, values: Sequence[Any] | None, dialect: Dialect) -> str | None:
        if values is None:
            return None
        if isinstance(self.of, TypeDecorator):
            values = [self.of.process_bind_param(value, dialect) for value in values]
        write = self._write
        return "{" + ",".join(["NULL" if value is None else write(value) for value in values]) + "}"
