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
from gogrid_desktop.core.json_types import (
    RULES,
    TYPED,
    TYPES,
    count_of,
    integer,
    is_of,
    join,
    literal,
    shown,
    string,
    types_of,
)
from gogrid_desktop.core.json_types import SchemaError as SchemaError

MAX_DEPTH = 32
MAX_ITEMS = 500
#: The schema of any JSON object.
ANY_OBJECT = '{"type": "object"}'

_ANNOTATIONS = {
    "$anchor", "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description",
    "discriminator", "example", "examples", "readOnly", "title", "writeOnly",
}  # fmt: skip


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
        base = [f"{name} ::= {rule}" for name, rule in RULES.items()]
        return "\n".join([*base, *(f"{name} ::= {rule}" for name, rule in self._rules.items()), f"root ::= {root}"])

    def _expression(self, schema: Any, path: str) -> str:
        """Alternatives for a value that the schema permits; to be used as a rule of its own."""
        if schema is True:
            return "value"
        if not isinstance(schema, dict):
            raise SchemaError(path, f"is {shown(schema)}; an object is needed")
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
                    raise SchemaError(join(path, beside), f"beside {keyword} is not offered; leave one of them out")
                return convert(self, said, path)
        for keyword in said:
            if keyword != "type" and keyword not in TYPED:
                raise SchemaError(join(path, keyword), "is not offered; leave it out")
        return " | ".join(self._typed(said, kind, path) for kind in types_of(said, path))

    # --- keywords that say all ---------------------------------------------------------------------------------------

    def _ref(self, said: dict[str, Any], path: str) -> str:
        ref = said["$ref"]
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise SchemaError(join(path, "$ref"), f"is {shown(ref)}; only a part of this schema can be meant (#/...)")
        if ref not in self._refs:
            target = self._schema
            for part in ref[2:].split("/"):
                key = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, dict) or key not in target:
                    raise SchemaError(join(path, "$ref"), f"is {shown(ref)}, which this schema does not have")
                target = target[key]
            name = self._refs[ref] = f"ref{len(self._refs)}"
            self._rules[name] = self._expression(target, ref.removeprefix("#/").replace("/", "."))
        return self._refs[ref]

    def _any_of(self, said: dict[str, Any], path: str) -> str:
        keyword = next(iter(said))
        options = said[keyword]
        if not isinstance(options, list) or not options:
            raise SchemaError(join(path, keyword), f"is {shown(options)}; a list of schemas is needed")
        if keyword == "allOf" and len(options) > 1:
            raise SchemaError(join(path, keyword), "has several schemas, which is not offered; write them as one")
        return " | ".join(self._expression(one, f"{join(path, keyword)}[{i}]") for i, one in enumerate(options))

    def _values(self, said: dict[str, Any], path: str) -> str:
        keyword = "const" if "const" in said else "enum"
        values = [said["const"]] if keyword == "const" else said["enum"]
        if not isinstance(values, list) or not values:
            raise SchemaError(join(path, "enum"), f"is {shown(values)}; a list of values is needed")
        kinds = types_of(said, path) if "type" in said else list(TYPES)
        for value in values:
            if not any(is_of(value, kind) for kind in kinds):
                raise SchemaError(join(path, keyword), f"has {shown(value)}, which is not of the type beside it")
        return " | ".join(literal(value, join(path, keyword)) for value in values)

    # --- types -------------------------------------------------------------------------------------------------------

    def _typed(self, said: dict[str, Any], kind: str, path: str) -> str:
        match kind:
            case "object":
                return self._object(said, path)
            case "array":
                return self._array(said, path)
            case "string":
                return string(said, path)
            case "integer":
                return integer(said, path)
        return kind

    def _object(self, said: dict[str, Any], path: str) -> str:
        properties, required = said.get("properties", {}), said.get("required", [])
        if not isinstance(properties, dict):
            raise SchemaError(join(path, "properties"), f"is {shown(properties)}; an object is needed")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise SchemaError(join(path, "required"), f"is {shown(required)}; a list of names is needed")
        missing = next((name for name in required if name not in properties), None)
        if missing is not None:
            raise SchemaError(join(path, "required"), f"names {shown(missing)}, which is not among the properties")
        if properties:
            return self._members(properties, required, path)
        more = said.get("additionalProperties", True)
        if more is False or "properties" in said:
            return '"{" ws "}"'
        if more is True:
            return "object"
        member = self._rule(f'string ":" ws {self._nested(more, join(path, "additionalProperties"))}')
        return f'"{{" ws ({member} ("," ws {member})* ws)? "}}"'

    def _members(self, properties: dict[str, Any], required: list[str], path: str) -> str:
        """From the last property to the first: the members from there on, behind another one and as the first ones."""
        behind, first = "", [""]
        for name, schema in reversed(properties.items()):
            inner = join(join(path, "properties"), name)
            member = self._rule(f'{literal(name, inner)} ":" ws {self._nested(schema, inner)}')
            alone = f"{member} {behind}".rstrip()
            first = [alone] if name in required else [alone, *first]
            follows = f'"," ws {member}'
            behind = self._rule((follows if name in required else f"({follows})?") + (f" {behind}" if behind else ""))
        start = self._rule(" | ".join(one or '""' for one in first))
        return f'"{{" ws {start} ws "}}"'

    def _array(self, said: dict[str, Any], path: str) -> str:
        least = count_of(said, "minItems", 0, MAX_ITEMS, path)
        most = count_of(said, "maxItems", None, MAX_ITEMS, path)
        if most is not None and (least or 0) > most:
            raise SchemaError(join(path, "minItems"), f"is {least} and maxItems {most}; nothing has both")
        if "prefixItems" in said:
            return self._tuple(said, least or 0, most, path)
        if most == 0:
            return '"[" ws "]"'
        item = self._nested(said.get("items", True), join(path, "items"))
        further = f'("," ws {item}){{{max(0, (least or 0) - 1)},{"" if most is None else most - 1}}}'
        if most == 1:
            further = ""
        return f'"[" ws {item} {further} ws "]"' if least else f'"[" ws ({item} {further} ws)? "]"'

    def _tuple(self, said: dict[str, Any], least: int, most: int | None, path: str) -> str:
        items = said["prefixItems"]
        inner = join(path, "prefixItems")
        if not isinstance(items, list) or not items:
            raise SchemaError(inner, f"is {shown(items)}; a list of schemas is needed")
        if least > len(items) or (most is not None and most < len(items)):
            raise SchemaError(inner, f"has {len(items)} items, which minItems or maxItems does not allow")
        parts = ' "," ws '.join(self._nested(one, f"{inner}[{i}]") for i, one in enumerate(items))
        return f'"[" ws {parts} ws "]"'

    # --- rules -------------------------------------------------------------------------------------------------------

    def _nested(self, schema: Any, path: str) -> str:
        return self._rule(self._expression(schema, path))

    def _rule(self, expression: str) -> str:
        """The name of a rule for it, its own where it is one already."""
        if expression in RULES or expression in self._rules or expression in self._refs.values():
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


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
