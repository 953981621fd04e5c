"""llama.cpp's grammar sampler with the vocabulary of the starter model: what it permits, and that nothing ends it."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Iterator
from typing import Any

import llama_cpp.llama_cpp as c
import numpy as np
import pytest
from fixtures_worker import starter_model

from gogrid_desktop.core.gbnf import GrammarError
from gogrid_desktop.protocol.grid import SamplingParams
from gogrid_desktop.worker import llama_grammar
from gogrid_desktop.worker.llama_grammar import GrammarVocabulary
from gogrid_desktop.worker.sampling import Incompatible, Sampler, SamplingRejected, Vocabulary

pytestmark = pytest.mark.model

PROPERTIES = {
    "name": {"type": "string", "maxLength": 12},
    "age": {"type": "integer", "minimum": 0, "maximum": 120},
    "kind": {"enum": ['a "b" \\', "é\n🙂", 7, None]},
    "size": {"type": ["number", "null"]},
    "born": {"type": "string", "format": "date"},
    "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    "child": {"$ref": "#/$defs/child"},
}
REQUIRED = ["name", "age", "kind", "born", "tags"]
CHILD = {"type": "object", "properties": {"next": {"$ref": "#/$defs/child"}}}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": REQUIRED, "$defs": {"child": CHILD}}


class Model:
    """The vocabulary alone, without weights."""

    def __init__(self) -> None:
        params = c.llama_model_default_params()
        params.vocab_only = True
        self._quiet = c.llama_log_callback(lambda _level, _text, _data: None)
        c.llama_log_set(self._quiet, None)
        self._model = c.llama_model_load_from_file(str(starter_model()).encode(), params)
        self.vocab = c.llama_model_get_vocab(self._model)
        self.size = int(c.llama_vocab_n_tokens(self.vocab))
        self.grammars = GrammarVocabulary(self.vocab, self.size)
        self.vocabulary = Vocabulary(self.size, self.ends, self.grammars.open)

    def ends(self, token: int) -> bool:
        return bool(c.llama_vocab_is_eog(self.vocab, token))

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        ids = (c.llama_token * 64)()
        count = c.llama_tokenize(self.vocab, text.encode(), len(text.encode()), ids, 64, False, special)
        return list(ids[:count])

    def piece(self, token: int) -> bytes:
        """What a reader sees of it."""
        buffer = ctypes.create_string_buffer(256)
        size = c.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[:size]

    def sampler(self, **values: Any) -> Sampler:
        return Sampler(SamplingParams.model_validate({"max_tokens": 1, **values}), (), self.vocabulary)

    def logits(self, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.random.default_rng(seed).normal(0, 4, self.size).astype(np.float32)

    def close(self) -> None:
        c.llama_model_free(self._model)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.close()


def generate(
    model: Model, most: int = 500, start: int = 0, tokens: list[int] | None = None, **values: Any
) -> list[int]:
    """Tokens up to the end, drawn from random logits: whatever comes is the grammar's doing."""
    sampler, tokens = model.sampler(**values), list(tokens or [])
    for token in tokens:
        sampler.accept(token)
    for position in range(start, most):
        drawn = sampler.draw(model.logits(1000 * values.get("seed", 0) + position), position)
        if drawn.end:
            sampler.close()
            return tokens
        sampler.accept(drawn.token)
        tokens.append(drawn.token)
    raise AssertionError("the grammar never ended")


def text_of(model: Model, tokens: list[int]) -> str:
    return b"".join(map(model.piece, tokens)).decode()


def holds(value: Any) -> None:
    assert set(REQUIRED) <= set(value) <= set(PROPERTIES)
    assert len(value["name"]) <= 12
    assert 0 <= value["age"] <= 120
    assert value["kind"] in ('a "b" \\', "é\n🙂", 7, None)
    assert value.get("size") is None or isinstance(value["size"], float | int)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", value["born"])
    assert 1 <= len(value["tags"]) <= 3
    assert all(isinstance(tag, bool) for tag in value["tags"])
    child = value.get("child", {})
    while child:
        assert set(child) == {"next"}
        child = child["next"]


@pytest.mark.parametrize("top_k", [1, 40, 0])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_drawn_keeps_to_the_schema(model: Model, seed: int, top_k: int) -> None:
    values = {"json_schema": json.dumps(SCHEMA), "seed": seed, "top_k": top_k, "temperature": 1.5}
    holds(json.loads(text_of(model, generate(model, **values))))


def test_a_grammar_in_gbnf_is_kept_to(model: Model) -> None:
    grammar = 'root ::= ("(" [αβγ]{2} "🙂"? ")"){3}'
    for seed in range(5):
        text = text_of(model, generate(model, grammar=grammar, seed=seed))
        assert re.fullmatch(r"(\([αβγ]{2}🙂?\)){3}", text)


def test_a_resumed_generation_draws_what_the_undisturbed_one_drew(model: Model) -> None:
    values = {"json_schema": json.dumps(SCHEMA), "seed": 3, "repetition_penalty": 1.3, "presence_penalty": 0.5}
    tokens = generate(model, **values)
    for cut in (1, 7, len(tokens) // 2, len(tokens)):
        assert generate(model, start=cut, tokens=tokens[:cut], **values) == tokens


def test_the_end_comes_only_where_the_grammar_is_complete(model: Model) -> None:
    sampler = model.sampler(grammar='root ::= "ab"', temperature=0)
    logits = model.logits(0)
    logits[[token for token in range(model.size) if model.ends(token)]] = 90
    text = b""
    while not (drawn := sampler.draw(logits, 0)).end:
        sampler.accept(drawn.token)
        text += model.piece(drawn.token)
    assert text == b"ab"
    assert model.ends(drawn.token)
    sampler.close()


def test_a_replayed_token_that_the_grammar_forbids_leaves_the_process_alive(model: Model) -> None:
    sampler = model.sampler(grammar='root ::= "yes" | "no"')
    with pytest.raises(Incompatible, match="does not permit"):
        sampler.accept(model.tokens("maybe")[0])
    with pytest.raises(Incompatible, match="does not permit"):
        sampler.accept(next(token for token in range(model.size) if model.ends(token)))
    sampler.accept(model.tokens("yes")[0])
    sampler.close()


def test_the_quick_way_to_all_permitted_tokens_finds_the_same(model: Model) -> None:
    for text in (
        'root ::= [^"]* "x"',
        "root ::= [^é🙂]+",
        'root ::= " "{3} [a-c]+ | "\\n"*',
        "root ::= [à-ü\\x00-\\x20]*",
    ):
        grammar = model.grammars.open(text)
        for _ in range(6):
            permitted = grammar.permitted()
            everything = grammar.permits(np.arange(model.size))
            assert permitted.tolist() == np.flatnonzero(everything).tolist()
            grammar.accept(next(int(token) for token in permitted[::-1] if not model.ends(int(token))))
        grammar.close()


def test_a_control_token_never_passes_as_the_text_that_names_it(model: Model) -> None:
    (control,) = model.tokens("<|im_start|>", special=True)
    grammar = model.grammars.open("root ::= .*")
    assert not grammar.permits(np.array([control])).any()
    assert grammar.permits(np.array(model.tokens("<"))).all()
    grammar.close()


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= n root "x" | "y"\nn ::= m m\nm ::= "a"?',
        f"root ::= {'(' * 20_000}",
        'root ::= "a"{1000000}',
        "root ::= (",
    ],
)
def test_a_harmful_grammar_fails_its_job_alone(model: Model, grammar: str) -> None:
    with pytest.raises(SamplingRejected) as caught:
        model.sampler(grammar=grammar[:32_768])
    assert caught.value.param == "grammar"
    assert generate(model, grammar='root ::= "a"')


def test_a_grammar_that_takes_too_long_fails_its_job_alone(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = model.sampler(grammar='root ::= "a"+')
    monkeypatch.setattr(llama_grammar, "LONGEST_CALL_S", -1.0)
    with pytest.raises(SamplingRejected, match="read in too many ways at once"):
        sampler.draw(model.logits(0), 0)
    sampler.close()


def test_what_our_reader_lets_through_llama_cpp_takes(model: Model) -> None:
    for text in (
        'root ::= ("a"?)* "b"',
        "root ::= ([ \\t\\n]*)*",
        'root ::= "a"{2000}',
        "root ::= [] | [-a] | [a-] | [^\\]\\n]",
        '# x\nroot ::= (\n  item "," # y\n  |\n  [0-9]{2}\n)* \n\nitem ::= "x"{1,3} | "y"{2,}\r\n',
        "root ::= " + "a0\n" + "\n".join(f'a{i} ::= a{i + 1} | "{i}"' for i in range(900)) + '\na900 ::= ""',
        'root ::= ((("x"?)?)?){0,100}',
    ):
        try:
            model.grammars.open(text).close()
        except GrammarError as error:
            pytest.fail(f"{text[:40]!r}: {error}")
