"""What a submitter is told through the whole path, real worker included, when a request cannot be answered."""

from __future__ import annotations

import re
from collections.abc import Iterator

import openai
import pytest
from fixtures_stage import RealGrid, real_grid

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def grid() -> Iterator[RealGrid]:
    with real_grid("role", "server") as grid:
        yield grid


@pytest.fixture
def client(grid: RealGrid) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{grid.stage.url}/v1", api_key=grid.key, max_retries=0, timeout=120) as client:
        yield client


@pytest.mark.parametrize(
    ("words", "context"),
    [(5_000, 4096), (20_000, 8192)],  # more than the grid offers, more than the model was made for
)
def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(
    grid: RealGrid, client: openai.OpenAI, words: int, context: int
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=grid.submitter.model, messages=[{"role": "user", "content": "ship " * words}], max_tokens=5
        )
    assert refused.value.code == "context_length_exceeded"
    assert refused.value.param == "messages"
    numbers = [int(number) for number in re.findall(r"\d{4,}", refused.value.message)]
    assert numbers[0] > words
    assert numbers[1] == context


def test_an_answer_is_cut_to_the_room_that_is_left(grid: RealGrid, client: openai.OpenAI) -> None:
    answer = client.completions.create(model=grid.submitter.model, prompt="One, two,", max_tokens=5, temperature=0)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_an_unknown_model_and_a_negative_length_are_named(grid: RealGrid, client: openai.OpenAI) -> None:
    hello = [{"role": "user", "content": "hello"}]
    with pytest.raises(openai.NotFoundError, match=grid.submitter.model):
        client.chat.completions.create(model="gpt-99", messages=hello)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="max_tokens"):
        client.chat.completions.create(model=grid.submitter.model, messages=hello, max_tokens=-1)  # type: ignore[arg-type]
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="ggk_wrong").models.list()


def test_a_grid_still_answers_after_all_that(grid: RealGrid, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=grid.submitter.model, messages=[{"role": "user", "content": "What colour is the sky?"}], max_tokens=24
    )
    assert answer.choices[0].message.content
