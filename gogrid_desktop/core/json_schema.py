"""From a JSON Schema to a GBNF grammar whose every text is JSON that the schema permits.

A keyword that the grammar would not hold to is refused by its path: to ignore it would be a lie. Where a grammar can
only say less than the schema, it says less: properties come in the order of the schema, and none that it does not name.

Source: JSON Schema 2020-12; the layout of objects follows llama.cpp's converter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from gogrid_desktop.core import gbnf

MAX_DEPTH = 32
MAX_ITEMS = 500
MAX_LENGTH = 1_000
MAX_SPAN = 1_000
#: The schema of any JSON object.
ANY_OBJECT = '{"type": "object"}'

_ANNOTATIONS = {
    "$anchor", "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description",
    "discriminator", "example", "examples", "readOnly", "title", "writeOnly",
}  # fmt: skip
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "integer": frozenset({"minimum", "maximum"}),
    "number": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
_TYPED = frozenset().union(*_KEYWORDS.values())
_PYTHON: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_BASE: Mapping[str, str] = {
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
_FORMATS = ("date", "time", "date-time", "uuid")


class SchemaError(ValueError):
    """`path` leads to what cannot be used, from the schema on (empty: the schema itself); `problem` completes it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{'.'.join(filter(None, ('schema', path)))} {problem}.")
        self.path = path
        self.problem = problem


def grammar_of(text: str) -> str:
    """The GBNF grammar of a schema. Raises SchemaError."""
    if len(text) > gbnf.MAX_CHARS:
        raise SchemaError("", f"has {len(text):,} characters; at most {gbnf.MAX_CHARS:,} are allowed")
    try:
        schema = json.loads(text, parse_constant=_no_constant)
        grammar = _Converter(schema).convert()
        gbnf.check(grammar)
    except SchemaError:
        raise
    except RecursionError:
        raise SchemaError("", "has too much in each other; make it flatter") from None
    except gbnf.GrammarError as error:
        raise SchemaError("", f"makes no usable grammar: {str(error).rstrip('.')}") from error
    except ValueError as error:
        raise SchemaError("", f"is not JSON: {error}") from error
    return grammar


class _Converter:
    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._rules: dict[str, str] = {}
        self._refs: dict[str, str] = {}
        self._depth = 0

    def convert(self) -> str:
        self._refs["#"] = gbnf.ROOT
        root = self._expression(self._schema, "")
        # What is referred to stands before what refers to it: llama.cpp counts repeated rules by new names.
        base = [f"{name} ::= {rule}" for name, rule in _BASE.items()]
        return "\n".join([*base, *(f"{name} ::= {rule}" for name, rule in self._rules.items()), f"root ::= {root}"])

    def _expression(self, schema: Any, path: str) -> str:
        """Alternatives for a value that the schema permits; to be used as a rule of its own."""
        if schema is True:
            return "value"
        if not isinstance(schema, dict):
            raise SchemaError(path, f"is {_shown(schema)}; an object is needed")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SchemaError(path, f"is more than {MAX_DEPTH} schemas deep; make it flatter")
        said = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
        found = self._said(said, path)
        self._depth -= 1
        return found

    def _said(self, said: dict[str, Any], path: str) -> str:
        for keyword, convert in self._WHOLE.items():
            if keyword in said:
                allowed = {keyword, "type"} if keyword in ("const", "enum") else {keyword}
                beside = next((other for other in said if other not in allowed), None)
                if beside is not None:
                    raise SchemaError(_join(path, beside), f"beside {keyword} is not offered; leave one of them out")
                return convert(self, said, path)
        for keyword in said:
            if keyword != "type" and keyword not in _TYPED:
                raise SchemaError(_join(path, keyword), "is not offered; leave it out")
        return " | ".join(self._typed(said, kind, path) for kind in _types(said, path))

    # --- keywords that say all ---------------------------------------------------------------------------------------

    def _ref(self, said: dict[str, Any], path: str) -> str:
        ref = said["$ref"]
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise SchemaError(_join(path, "$ref"), f"is {_shown(ref)}; only a part of this schema can be meant (#/...)")
        if ref not in self._refs:
            target = self._schema
            for part in ref[2:].split("/"):
                key = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, dict) or key not in target:
                    raise SchemaError(_join(path, "$ref"), f"is {_shown(ref)}, which this schema does not have")
                target = target[key]
            name = self._refs[ref] = f"ref{len(self._refs)}"
            self._rules[name] = self._expression(target, ref.removeprefix("#/").replace("/", "."))
        return self._refs[ref]

    def _any_of(self, said: dict[str, Any], path: str) -> str:
        keyword = next(iter(said))
        options = said[keyword]
        if not isinstance(options, list) or not options:
            raise SchemaError(_join(path, keyword), f"is {_shown(options)}; a list of schemas is needed")
        if keyword == "allOf" and len(options) > 1:
            raise SchemaError(_join(path, keyword), "has several schemas, which is not offered; write them as one")
        return " | ".join(self._expression(one, f"{_join(path, keyword)}[{i}]") for i, one in enumerate(options))

    def _values(self, said: dict[str, Any], path: str) -> str:
        keyword = "const" if "const" in said else "enum"
        values = [said["const"]] if keyword == "const" else said["enum"]
        if not isinstance(values, list) or not values:
            raise SchemaError(_join(path, "enum"), f"is {_shown(values)}; a list of values is needed")
        kinds = _types(said, path) if "type" in said else list(_PYTHON)
        for value in values:
            if not any(_is(value, kind) for kind in kinds):
                raise SchemaError(_join(path, keyword), f"has {_shown(value)}, which is not of the type beside it")
        return " | ".join(_literal(value, _join(path, keyword)) for value in values)

    # --- types -------------------------------------------------------------------------------------------------------

    def _typed(self, said: dict[str, Any], kind: str, path: str) -> str:
        match kind:
            case "object":
                return self._object(said, path)
            case "array":
                return self._array(said, path)
            case "string":
                return _string(said, path)
            case "integer":
                return _integer(said, path)
        return kind

    def _object(self, said: dict[str, Any], path: str) -> str:
        properties, required = said.get("properties", {}), said.get("required", [])
        if not isinstance(properties, dict):
            raise SchemaError(_join(path, "properties"), f"is {_shown(properties)}; an object is needed")
        if not isinstance(required, list):
            raise SchemaError(_join(path, "required"), f"is {_shown(required)}; a list of names is needed")
        missing = next((name for name in required if name not in properties), None)
        if missing is not None:
            raise SchemaError(_join(path, "required"), f"names {_shown(missing)}, which is not among the properties")
        if properties:
            return self._members(properties, required, path)
        more = said.get("additionalProperties", True)
        if more is False or "properties" in said:
            return '"{" ws "}"'
        if more is True:
            return "object"
        member = self._rule(f'string ":" ws {self._nested(more, _join(path, "additionalProperties"))}')
        return f'"{{" ws ({member} ("," ws {member})* ws)? "}}"'

    def _members(self, properties: dict[str, Any], required: list[str], path: str) -> str:
        """From the last property to the first: the members from there on, behind another one and as the first ones."""
        behind, first = "", [""]
        for name, schema in reversed(properties.items()):
            inner = _join(_join(path, "properties"), name)
            member = self._rule(f'{_literal(name, inner)} ":" ws {self._nested(schema, inner)}')
            alone = f"{member} {behind}".rstrip()
            first = [alone] if name in required else [alone, *first]
            follows = f'"," ws {member}'
            behind = self._rule((follows if name in required else f"({follows})?") + (f" {behind}" if behind else ""))
        start = self._rule(" | ".join(one or '""' for one in first))
        return f'"{{" ws {start} ws "}}"'

    def _array(self, said: dict[str, Any], path: str) -> str:
        least = _count(said, "minItems", 0, MAX_ITEMS, path)
        most = _count(said, "maxItems", None, MAX_ITEMS, path)
        if most is not None and (least or 0) > most:
            raise SchemaError(_join(path, "minItems"), f"is {least} and maxItems {most}; nothing has both")
        if "prefixItems" in said:
            return self._tuple(said, least or 0, most, path)
        if most == 0:
            return '"[" ws "]"'
        item = self._nested(said.get("items", True), _join(path, "items"))
        further = f'("," ws {item}){{{max(0, (least or 0) - 1)},{"" if most is None else most - 1}}}'
        if most == 1:
            further = ""
        return f'"[" ws {item} {further} ws "]"' if least else f'"[" ws ({item} {further} ws)? "]"'

    def _tuple(self, said: dict[str, Any], least: int, most: int | None, path: str) -> str:
        items = said["prefixItems"]
        inner = _join(path, "prefixItems")
        if not isinstance(items, list) or not items:
            raise SchemaError(inner, f"is {_shown(items)}; a list of schemas is needed")
        if least > len(items) or (most is not None and most < len(items)):
            raise SchemaError(inner, f"has {len(items)} items, which minItems or maxItems does not allow")
        parts = ' "," ws '.join(self._nested(one, f"{inner}[{i}]") for i, one in enumerate(items))
        return f'"[" ws {parts} ws "]"'

    # --- rules -------------------------------------------------------------------------------------------------------

    def _nested(self, schema: Any, path: str) -> str:
        return self._rule(self._expression(schema, path))

    def _rule(self, expression: str) -> str:
        """The name of a rule for it, its own where it is one already."""
        if expression in _BASE or expression in self._rules or expression in self._refs.values():
            return expression
        name = f"rule{len(self._rules)}"
        self._rules[name] = expression
        return name

    _WHOLE: Mapping[str, Callable[[_Converter, dict[str, Any], str], str]] = {
        "$ref": _ref,
        "anyOf": _any_of,
        "oneOf": _any_of,
        "allOf": _any_of,
        "const": _values,
        "enum": _values,
    }


def _string(said: dict[str, Any], path: str) -> str:
    least, most = _count(said, "minLength", None, MAX_LENGTH, path), _count(said, "maxLength", None, MAX_LENGTH, path)
    if "format" in said:
        if said["format"] not in _FORMATS:
            raise SchemaError(_join(path, "format"), f"is {_shown(said['format'])}; offered are {', '.join(_FORMATS)}")
        if (least, most) != (None, None):
            raise SchemaError(_join(path, "format"), "beside minLength or maxLength is not offered; leave one out")
        return str(said["format"])
    if (least, most) == (None, None):
        return "string"
    if most is not None and (least or 0) > most:
        raise SchemaError(_join(path, "minLength"), f"is {least} and maxLength {most}; nothing has both")
    return r'"\"" char{' + f"{least or 0},{'' if most is None else most}" + r'} "\""'


def _integer(said: dict[str, Any], path: str) -> str:
    least, most = (said.get(name) for name in ("minimum", "maximum"))
    for name, value in (("minimum", least), ("maximum", most)):
        if name in said and not _is(value, "integer"):
            raise SchemaError(_join(path, name), f"is {_shown(value)}; a whole number is needed")
    if least is not None and most is not None:
        if not 0 <= most - least < MAX_SPAN:
            raise SchemaError(
                _join(path, "maximum"), f"is not offered over more than {MAX_SPAN} values from the minimum"
            )
        return " | ".join(f'"{value}"' for value in range(least, most + 1))
    if (least, most) == (None, None):
        return "integer"
    if (least, most) == (0, None):
        return "whole"
    if (least, most) == (1, None):
        return "[1-9] [0-9]{0,15}"
    name = "minimum" if most is None else "maximum"
    raise SchemaError(_join(path, name), "alone is offered only as a minimum of 0 or 1; send minimum and maximum")


def _types(said: Mapping[str, Any], path: str) -> list[str]:
    """The types that are allowed; without `type`, those that the other keywords are about, or all."""
    kinds = said.get("type")
    if kinds is None:
        about = [kind for kind, keywords in _KEYWORDS.items() if keywords & said.keys()]
        return about or ["value"]
    listed = kinds if isinstance(kinds, list) and kinds else [kinds]
    for kind in listed:
        if not isinstance(kind, str) or kind not in _KEYWORDS:
            raise SchemaError(_join(path, "type"), f"is {_shown(kind)}; it can be {', '.join(_KEYWORDS)}")
    stray = next((word for word in said if word in _TYPED and not any(word in _KEYWORDS[one] for one in listed)), None)
    if stray is not None:
        raise SchemaError(_join(path, stray), f"says nothing of the type {_shown(kinds)}, or is not offered for it")
    return listed


def _count(said: Mapping[str, Any], name: str, default: int | None, most: int, path: str) -> int | None:
    value = said.get(name, default)
    if value is None and name not in said:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise SchemaError(_join(path, name), f"is {_shown(value)}; a whole number from 0 to {most} is needed")
    return value


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _PYTHON[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _literal(value: object, path: str) -> str:
    """The JSON of a value as a literal of the grammar."""
    text = json.dumps(value, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise SchemaError(path, "has half of a surrogate pair; send whole characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
