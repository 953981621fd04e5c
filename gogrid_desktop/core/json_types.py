"""The values of JSON as rules of GBNF, and the keywords of JSON Schema that speak of one type alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_LENGTH = 1_000
MAX_SPAN = 500

KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "integer": frozenset({"minimum", "maximum"}),
    "number": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
TYPED = frozenset().union(*KEYWORDS.values())
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
RULES: Mapping[str, str] = {
    "ws": r'| " " | "\n" [ \t]{0,20}',
    "char": r'[^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": r'"\"" char* "\""',
    "whole": '"0" | [1-9] [0-9]{0,15}',
    "integer": '"-"? whole',
    "number": 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" ws (string ":" ws value ("," ws string ":" ws value)* ws)? "}"',
    "array": '"[" ws (value ("," ws value)* ws)? "]"',
    "year-to-day": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])',
    "hour-to-minute": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]',
    "to-zone": 'hour-to-minute ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] hour-to-minute)',
    "date": r'"\"" year-to-day "\""',
    "time": r'"\"" to-zone "\""',
    "date-time": r'"\"" year-to-day "T" to-zone "\""',
    "uuid": r'"\"" hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12} "\""',
    "hex": "[0-9a-fA-F]",
}
FORMATS = ("date", "time", "date-time", "uuid")


class SchemaError(ValueError):
    """`path` leads to what cannot be used, from the schema on (empty: the schema itself); `problem` completes it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{'.'.join(filter(None, ('schema', path)))} {problem}.")
        self.path = path
        self.problem = problem


def string(said: Mapping[str, Any], path: str) -> str:
    """The grammar of a string. Raises SchemaError."""
    least, most = (
        count_of(said, "minLength", None, MAX_LENGTH, path),
        count_of(said, "maxLength", None, MAX_LENGTH, path),
    )
    if "format" in said:
        if said["format"] not in FORMATS:
            raise SchemaError(join(path, "format"), f"is {shown(said['format'])}; offered are {', '.join(FORMATS)}")
        if (least, most) != (None, None):
            raise SchemaError(join(path, "format"), "beside minLength or maxLength is not offered; leave one out")
        return str(said["format"])
    if (least, most) == (None, None):
        return "string"
    if most is not None and (least or 0) > most:
        raise SchemaError(join(path, "minLength"), f"is {least} and maxLength {most}; nothing has both")
    return r'"\"" char{' + f"{least or 0},{'' if most is None else most}" + r'} "\""'


def integer(said: Mapping[str, Any], path: str) -> str:
    """The grammar of a whole number. Raises SchemaError."""
    least, most = (said.get(name) for name in ("minimum", "maximum"))
    for name, value in (("minimum", least), ("maximum", most)):
        if name in said and not is_of(value, "integer"):
            raise SchemaError(join(path, name), f"is {shown(value)}; a whole number is needed")
    if least is not None and most is not None:
        if not 0 <= most - least < MAX_SPAN:
            raise SchemaError(
                join(path, "maximum"), f"is not offered over more than {MAX_SPAN} values from the minimum"
            )
        return " | ".join(f'"{value}"' for value in range(least, most + 1))
    if (least, most) == (None, None):
        return "integer"
    if (least, most) == (0, None):
        return "whole"
    if (least, most) == (1, None):
        return "[1-9] [0-9]{0,15}"
    name = "minimum" if most is None else "maximum"
    raise SchemaError(join(path, name), "alone is offered only as a minimum of 0 or 1; send minimum and maximum")


def types_of(said: Mapping[str, Any], path: str) -> list[str]:
    """The types that are allowed; without `type`, those that the other keywords are about, or all."""
    if "type" not in said:
        about = [kind for kind, keywords in KEYWORDS.items() if keywords & said.keys()]
        return about or ["value"]
    kinds = said["type"]
    listed = kinds if isinstance(kinds, list) and kinds else [kinds]
    for kind in listed:
        if not isinstance(kind, str) or kind not in KEYWORDS:
            raise SchemaError(join(path, "type"), f"is {shown(kind)}; it can be {', '.join(KEYWORDS)}")
    stray = next((word for word in said if word in TYPED and not any(word in KEYWORDS[one] for one in listed)), None)
    if stray is not None:
        raise SchemaError(join(path, stray), f"says nothing of the type {shown(kinds)}, or is not offered for it")
    return listed


def count_of(said: Mapping[str, Any], name: str, default: int | None, most: int, path: str) -> int | None:
    """A whole number from 0 to `most`, or `default`. Raises SchemaError."""
    value = said.get(name, default)
    if value is None and name not in said:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise SchemaError(join(path, name), f"is {shown(value)}; a whole number from 0 to {most} is needed")
    return value


def is_of(value: object, kind: str) -> bool:
    """Whether a value is of a type of JSON Schema."""
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def literal(value: object, path: str) -> str:
    """The JSON of a value as a literal of the grammar."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise SchemaError(path, "has half of a surrogate pair; send whole characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def join(path: str, name: str) -> str:
    """The path to a part."""
    return f"{path}.{name}" if path else name


def shown(value: object) -> str:
    """A value for a message, cut when long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
