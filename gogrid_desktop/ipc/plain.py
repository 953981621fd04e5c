"""Values of our own types from what `json` read, checked: for a process that must stay small."""

from __future__ import annotations

import functools
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def value_of(kind: type[T], raw: object) -> T:
    """`raw` as a `kind`: dataclasses, enums, tuples, unions and what JSON has. Raises ValueError where it is none."""
    return _value(kind, raw)  # type: ignore[no-any-return]


def _value(kind: Any, raw: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _first(get_args(kind), raw)
    if origin is tuple:
        return _tuple(get_args(kind), raw)
    if origin is Literal and raw in get_args(kind):
        return raw
    if origin is dict and isinstance(raw, dict):
        _, of = get_args(kind)
        return {name: _value(of, each) for name, each in raw.items()}
    if kind is Any:
        return raw
    if isinstance(kind, type):
        if is_dataclass(kind):
            return _dataclass(kind, raw)
        if issubclass(kind, Enum):
            return kind(raw)
        if kind is float and type(raw) in (int, float):
            return float(raw)
        if type(raw) is kind and kind in (int, str, bool, NoneType):
            return raw
    raise ValueError(f"not a {getattr(kind, '__name__', kind)}")


def _first(kinds: tuple[Any, ...], raw: Any) -> Any:
    for kind in kinds:
        try:
            return _value(kind, raw)
        except ValueError:
            continue
    raise ValueError("none of what it may be")


def _tuple(kinds: tuple[Any, ...], raw: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise ValueError("not a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_value(kinds[0], each) for each in raw)
    if len(kinds) != len(raw):
        raise ValueError(f"{len(raw)} values instead of {len(kinds)}")
    return tuple(_value(kind, each) for kind, each in zip(kinds, raw, strict=True))


def _dataclass(kind: Any, raw: Any) -> Any:
    kinds = _fields(kind)
    if not isinstance(raw, dict) or not raw.keys() <= kinds.keys():
        raise ValueError(f"not a {kind.__name__}")
    try:
        return kind(**{name: _value(kinds[name], each) for name, each in raw.items()})
    except TypeError as error:  # something is missing
        raise ValueError(f"not a whole {kind.__name__}") from error


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
