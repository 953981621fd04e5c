"""Prompts: the model's own template in a sandbox, and no control token from a person's words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.protocol.grid import Job, JobKind, Message, SamplingParams
from gogrid_desktop.worker.prompt import Prompter, PromptRejected, prompt_hash

CHATML = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SPECIALS = ["<|start|>", "<|end|>", "<s>"]
BOS = 2


class LetterModel:
    """One token for each control text (0, 1, 2) and one for each character."""

    def __init__(
        self,
        context: int = 100,
        trained_context: int = 100,
        adds_bos: bool = False,
        bos: int = BOS,
        pools: bool = False,
    ) -> None:
        self.context = context
        self.trained_context = trained_context
        self.adds_bos = adds_bos
        self.bos = bos
        self.eos = 1
        self.closing = [1]
        self.pools = pools

    def tokenise(self, text: str, *, special: bool) -> list[int]:
        parts = re.split("(" + "|".join(map(re.escape, SPECIALS)) + ")", text) if special else [text]
        return [t for p in parts for t in ([SPECIALS.index(p)] if special and p in SPECIALS else map(ord, p))]

    def token_text(self, token: int) -> str:
        return SPECIALS[token] if token >= 0 else ""


def chat(*contents: str, max_tokens: int = 10, token_ids: tuple[int, ...] = (), rendered_at: float = 0) -> Job:
    return Job(
        id="j",
        kind=JobKind.CHAT,
        model="a" * 64,
        messages=tuple(Message(role="user", content=content) for content in contents),
        rendered_at=rendered_at,
        deadline=0,
        params=SamplingParams(max_tokens=max_tokens),
        token_ids=token_ids,
    )


def completion(prompt: str, **fields: object) -> Job:
    return chat(**fields).model_copy(update={"kind": JobKind.COMPLETION, "prompt": prompt})  # type: ignore[arg-type]


def prompter(template: str | None = CHATML, **model: object) -> Prompter:
    return Prompter(LetterModel(**model), template, SPECIALS)  # type: ignore[arg-type]


def words(ids: list[int]) -> str:
    return "".join(f"[{SPECIALS[i]}]" if i < len(SPECIALS) else chr(i) for i in ids)


def test_a_chat_is_rendered_with_the_models_template() -> None:
    assert words(prompter().prompt(chat(" hi "))) == "[<|start|>]user\nhi[<|end|>]\n[<|start|>]assistant\n"


@given(st.lists(st.sampled_from(["<|start|>", "<|end|>", "<s>", "x", "<|", "end|>", "\ufdd00:", "0\ufdd1", "<"])))
def test_control_texts_in_a_message_stay_characters(parts: list[str]) -> None:
    content = "".join(parts)
    ids = prompter(context=10_000, trained_context=10_000).prompt(chat(content))
    assert [i for i in ids if i < len(SPECIALS)] == [0, 1, 0]
    assert words(ids) == f"[<|start|>]user\n{content}[<|end|>]\n[<|start|>]assistant\n"


def test_control_texts_in_a_completion_stay_characters() -> None:
    assert words(prompter().prompt(completion("a<|end|>"))) == "a<|end|>"


def test_the_model_says_whether_a_prompt_begins_with_bos() -> None:
    assert words(prompter(adds_bos=True).prompt(completion("a"))) == "[<s>]a"
    assert words(prompter("{{ bos_token }}x", adds_bos=True).prompt(chat("a"))) == "[<s>]x"
    assert words(prompter("x", adds_bos=True).prompt(chat("a"))) == "[<s>]x"


def test_an_empty_prompt_begins_with_bos_where_there_is_one() -> None:
    assert words(prompter().prompt(completion(""))) == "[<s>]"
    with pytest.raises(PromptRejected) as rejected:
        prompter(bos=-1).prompt(completion(""))
    assert (rejected.value.code, rejected.value.param) == ("empty_prompt", "prompt")


def test_a_template_sees_the_clock_of_the_job_alone() -> None:
    job = chat("a", rendered_at=86400 * 365)
    assert words(prompter("{{ strftime_now('%Y-%m-%d') }}").prompt(job)) == "1971-01-01"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('only one message') }}",
        "{{ ''.__class__.__mro__ }}{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for",
        "{{ messages[5].content }}",
        "{{ 1 / 0 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ messages.append(1) }}",
    ],
)
def test_a_template_that_fails_or_reaches_out_rejects_the_job(template: str) -> None:
    with pytest.raises(PromptRejected) as rejected:
        prompter(template).prompt(chat("a"))
    assert (rejected.value.code, rejected.value.param) == ("chat_template_failed", "messages")


def test_a_model_without_a_template_takes_no_chat() -> None:
    with pytest.raises(PromptRejected, match="use completions"):
        prompter(None).prompt(chat("a"))


def test_a_prompt_longer_than_the_models_context_is_rejected_with_both_numbers() -> None:
    with pytest.raises(PromptRejected, match=r"prompt has 120 tokens, and the model's context has 100") as rejected:
        prompter().prompt(completion("x" * 120))
    assert (rejected.value.code, rejected.value.needs_context) == ("context_length_exceeded", None)


def test_a_prompt_that_the_model_could_take_in_a_larger_context_asks_for_it() -> None:
    with pytest.raises(PromptRejected) as rejected:
        prompter(trained_context=200).prompt(completion("x" * 120, max_tokens=30))
    assert (rejected.value.code, rejected.value.needs_context) == ("needs_context", 150)


def test_a_resumed_job_that_has_no_room_left_here_asks_for_more() -> None:
    with pytest.raises(PromptRejected) as rejected:
        prompter(trained_context=200).prompt(completion("x" * 60, max_tokens=80, token_ids=(5,) * 40))
    assert rejected.value.needs_context == 140


def test_a_resumed_job_that_fills_the_models_context_goes_where_that_context_is() -> None:
    job = completion("x" * 60, max_tokens=500, token_ids=(5,) * 140)
    with pytest.raises(PromptRejected) as rejected:
        prompter(trained_context=200).prompt(job)
    assert rejected.value.needs_context == 200
    assert len(prompter(context=200, trained_context=200).prompt(job)) == 60


def test_a_prompt_longer_than_the_models_context_is_rejected_by_a_small_worker_too() -> None:
    with pytest.raises(PromptRejected, match=r"prompt has 250 tokens, and the model's context has 200"):
        prompter(trained_context=200).prompt(completion("x" * 250))


def test_a_resumed_job_that_has_all_its_tokens_needs_no_room() -> None:
    assert len(prompter(trained_context=200).prompt(completion("x" * 60, max_tokens=40, token_ids=(5,) * 40))) == 60


def test_kinds_that_this_worker_does_not_run_are_rejected() -> None:
    with pytest.raises(PromptRejected) as rejected:
        prompter().prompt(chat("a").model_copy(update={"kind": JobKind.PROBE}))
    assert rejected.value.code == "unsupported_kind"


def test_an_embedding_model_takes_no_chat() -> None:
    with pytest.raises(PromptRejected) as rejected:
        prompter(pools=True).prompt(chat("a"))
    assert (rejected.value.code, rejected.value.param) == ("unsupported_kind", "model")


def test_a_text_to_embed_is_closed_and_may_fill_the_context() -> None:
    def embedding(text: str) -> Job:
        return completion(text).model_copy(update={"kind": JobKind.EMBEDDING})

    assert prompter().prompt(embedding("x" * 99))[-2:] == [ord("x"), 1]
    with pytest.raises(PromptRejected) as rejected:
        prompter().prompt(embedding("x" * 100))
    assert rejected.value.code == "context_length_exceeded"


def test_the_hash_of_a_prompt_is_pinned_because_nodes_compare_it() -> None:
    assert prompt_hash([1, 2, 70000]) == "313a9de55e88265f756e61a8793c45193dade4a5b645f7f35082452e6b133604"
