"""A JSON Schema becomes a grammar that keeps to it, or is refused by the path of what it cannot keep to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core import gbnf
from gogrid_desktop.core.json_schema import ANY_OBJECT, SchemaError, grammar_of


def rules_of(schema: Any) -> dict[str, str]:
    lines = grammar_of(json.dumps(schema)).split("\n")
    return dict(line.split(" ::= ", 1) for line in lines)


def root_of(schema: Any) -> str:
    return rules_of(schema)["root"]


ROOTS = [
    (True, "value"),
    ({}, "value"),
    ({"title": "Anything", "description": "at all"}, "value"),
    ({"type": "string"}, "string"),
    ({"type": ["string", "null"]}, "string | null"),
    ({"type": "object"}, "object"),
    ({"type": "object", "additionalProperties": False}, '"{" ws "}"'),
    ({"type": "string", "minLength": 2}, r'"\"" char{2,} "\""'),
    ({"maxLength": 3}, r'"\"" char{0,3} "\""'),
    ({"type": "string", "format": "date"}, "date"),
    ({"type": "integer"}, "integer"),
    ({"type": "integer", "minimum": 0}, "whole"),
    ({"type": "integer", "minimum": 1}, "[1-9] [0-9]{0,15}"),
    ({"type": "integer", "minimum": -1, "maximum": 1}, '"-1" | "0" | "1"'),
    ({"const": {"a": [1, None]}}, r'"{\"a\": [1, null]}"'),
    ({"enum": ['a"b', "c\nd\\", "é🙂", 1.5, True]}, r'"\"a\\\"b\"" | "\"c\\nd\\\\\"" | "\"é🙂\"" | "1.5" | "true"'),
    ({"type": "array", "items": {"type": "null"}}, '"[" ws (null ("," ws null){0,} ws)? "]"'),
    (
        {"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 4},
        '"[" ws null ("," ws null){1,3} ws "]"',
    ),
    ({"type": "array", "maxItems": 1}, '"[" ws (value  ws)? "]"'),
    ({"type": "array", "maxItems": 0}, '"[" ws "]"'),
    ({"prefixItems": [{"type": "null"}, {"type": "string"}]}, '"[" ws null "," ws string ws "]"'),
    ({"allOf": [{"type": "boolean"}], "default": True}, "boolean"),
    ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "boolean | null"),
]


@pytest.mark.parametrize(("schema", "root"), ROOTS)
def test_a_schema_becomes_a_rule(schema: Any, root: str) -> None:
    assert root_of(schema) == root


def test_required_members_come_always_and_optional_ones_where_they_are_wanted() -> None:
    null = {"type": "null"}
    rules = rules_of({"properties": {"a": null, "b": null, "c": null}, "required": ["b"]})
    assert rules["root"] == '"{" ws rule6 ws "}"'
    assert (rules["rule0"], rules["rule2"], rules["rule4"]) == tuple(rf'"\"{name}\"" ":" ws null' for name in "cba")
    assert rules["rule6"] == "rule4 rule3 | rule2 rule1"  # a, then what follows; or b, then what follows
    assert (rules["rule3"], rules["rule1"]) == ('"," ws rule2 rule1', '("," ws rule0)?')


def test_an_object_of_optional_members_may_be_empty() -> None:
    rules = rules_of({"properties": {"a": {"type": "null"}}})
    assert rules[rules["root"].split()[2]].endswith('| ""')


def test_a_map_repeats_members_of_its_type() -> None:
    rules = rules_of({"type": "object", "additionalProperties": {"type": "integer"}})
    assert rules["root"] == '"{" ws (rule0 ("," ws rule0)* ws)? "}"'
    assert rules["rule0"] == 'string ":" ws integer'


def test_a_schema_may_refer_to_itself_and_to_its_parts() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "name": {"$ref": "#/$defs/a~1b"}}}
    rules = rules_of(tree | {"$defs": {"a/b": {"type": "string", "maxLength": 5}}})
    assert '"\\"left\\"" ":" ws root' in rules.values()
    assert '"\\"name\\"" ":" ws ref1' in rules.values()
    assert rules["ref1"] == r'"\"" char{0,5} "\""'


def test_parts_of_one_name_in_two_places_stay_apart() -> None:
    rules = rules_of(
        {
            "properties": {"x": {"$ref": "#/$defs/a/properties/x"}, "y": {"$ref": "#/$defs/b/properties/x"}},
            "$defs": {"a": {"properties": {"x": {"type": "null"}}}, "b": {"properties": {"x": {"type": "string"}}}},
        }
    )
    assert {rules["ref1"], rules["ref2"]} == {"null", "string"}


BAD = [
    ([], "schema is []; an object is needed."),
    (False, "schema is False; an object is needed."),
    ({"type": "text"}, "schema.type is 'text'; it can be object, array, string"),
    ({"type": None, "const": 1}, "schema.type is None; it can be object, array, string"),
    ({"not": {}}, "schema.not is not offered; leave it out."),
    ({"properties": {"a": {"pattern": "^x$"}}}, "schema.properties.a.pattern is not offered; leave it out."),
    ({"items": {"anyOf": [{"type": "null"}, {"if": {}}]}}, "schema.items.anyOf[1].if is not offered"),
    ({"type": "string", "minItems": 1}, "schema.minItems says nothing of the type 'string'"),
    ({"type": "number", "minimum": 0}, "schema.minimum says nothing of the type 'number', or is not offered for it."),
    ({"minimum": 5}, "schema.minimum alone is offered only as a minimum of 0 or 1"),
    ({"type": "integer", "maximum": 5}, "schema.maximum alone is offered only as a minimum"),
    ({"minimum": 0, "maximum": 10**9}, "schema.maximum is not offered over more than 500 values"),
    ({"minimum": 2, "maximum": 1}, "schema.maximum is not offered"),
    ({"minimum": 0.5}, "schema.minimum is 0.5; a whole number is needed."),
    ({"minItems": 10**9}, "schema.minItems is 1000000000; a whole number from 0 to 500 is needed."),
    ({"minLength": -1}, "schema.minLength is -1; a whole number from 0 to 1000"),
    ({"maxLength": True}, "schema.maxLength is True"),
    ({"minLength": 3, "maxLength": 2}, "schema.minLength is 3 and maxLength 2; nothing has both."),
    ({"minItems": 3, "maxItems": 2}, "schema.minItems is 3 and maxItems 2; nothing has both."),
    ({"type": "string", "format": "email"}, "schema.format is 'email'; offered are date, time, date-time, uuid."),
    ({"format": "date", "minLength": 1}, "schema.format beside minLength or maxLength is not offered"),
    ({"properties": [1]}, "schema.properties is [1]; an object is needed."),
    ({"properties": {"a": {}}, "required": ["b"]}, "schema.required names 'b', which is not among the properties."),
    ({"properties": {"a": 5}}, "schema.properties.a is 5; an object is needed."),
    ({"required": "a"}, "schema.required is 'a'; a list of names is needed."),
    ({"required": [["a"]]}, "schema.required is [['a']]; a list of names is needed."),
    ({"enum": []}, "schema.enum is []; a list of values is needed."),
    ({"enum": ["a", 1], "type": "string"}, "schema.enum has 1, which is not of the type beside it."),
    ({"enum": ["a"], "minLength": 2}, "schema.minLength beside enum is not offered; leave one of them out."),
    ({"anyOf": []}, "schema.anyOf is []; a list of schemas is needed."),
    ({"anyOf": [{}], "type": "object"}, "schema.type beside anyOf is not offered"),
    ({"allOf": [{}, {}]}, "schema.allOf has several schemas"),
    ({"$ref": "https://example.org/x"}, "schema.$ref is 'https://example.org/x'; only a part of this schema"),
    ({"$ref": "#/$defs/x"}, "schema.$ref is '#/$defs/x', which this schema does not have."),
    ({"$ref": 5}, "schema.$ref is 5; only a part"),
    ({"$ref": "#"}, "schema makes no usable grammar: The rule root can begin with itself"),
    (
        {"prefixItems": [{}], "minItems": 2},
        "schema.prefixItems has 1 items, which minItems or maxItems does not allow.",
    ),
    ({"const": "\ud800"}, "schema.const has half of a surrogate pair"),
    ({"enum": [str(i) for i in range(1001)]}, "schema makes no usable grammar: The rule root can begin in more than"),
]


@pytest.mark.parametrize(("schema", "words"), BAD)
def test_what_a_grammar_would_not_keep_to_is_refused_by_its_path(schema: Any, words: str) -> None:
    with pytest.raises(SchemaError) as caught:
        grammar_of(json.dumps(schema))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "schema is not JSON"),
        ("{", "schema is not JSON"),
        ('{"const": NaN}', "NaN is no JSON number"),
        ('{"const": 1e999}', "schema is not JSON"),
        ('{"items":' * 40 + "{}" + "}" * 40, "is more than 32 schemas deep; make it flatter"),
        ('{"default":' * 30_000, "has 330,000 characters; at most 32,768 are allowed"),
        ("[" * 30_000, "schema has too much in each other"),
    ],
)
def test_a_text_that_is_no_schema_is_refused(text: str, words: str) -> None:
    with pytest.raises(SchemaError) as caught:
        grammar_of(text)
    assert words in str(caught.value)


def test_json_mode_is_any_object() -> None:
    assert grammar_of(ANY_OBJECT).endswith("root ::= object")


KEYWORDS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "enum",
        "const",
        "anyOf",
        "$ref",
        "required",
        "minItems",
        "maxLength",
        "minimum",
        "x",
    ]
)
SCHEMAS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["object", "string", "integer", "#", "a"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYWORDS, inner, max_size=4)),
)


@given(st.dictionaries(KEYWORDS, SCHEMAS, max_size=4))
def test_any_schema_makes_a_usable_grammar_or_is_refused_with_its_path(schema: dict[str, Any]) -> None:
    try:
        text = grammar_of(json.dumps(schema))
    except SchemaError as error:
        assert str(error).startswith("schema")
        assert str(error).endswith(".")
    else:
        gbnf.check(text)
