"""What the header says against what llama.cpp lays out of the same file, without allocating any of it."""

from __future__ import annotations

import asyncio
import ctypes
import re
from dataclasses import replace
from pathlib import Path

import llama_cpp.llama_cpp as c
import pytest
from fixtures_gguf import SHAPES, write_experts, write_recurrent

from gogrid_desktop.agent import measuring
from gogrid_desktop.agent.models import ModelFile
from gogrid_desktop.agent.planning import OUTPUT_ROWS, STEP_ROWS, OnDisk, compute_bound, wish_for
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.memory_need import KvType, cache_bytes
from gogrid_desktop.gguf import read_header
from gogrid_desktop.paths import starter_model
from gogrid_desktop.worker import llama_engine

pytestmark = pytest.mark.model

MIB = 2**20
NAMES = ("tiny", "1b", "8b", "8b-8bit", "70b")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shapes")
    starter = starter_model()
    assert starter is not None, "the starter model is not installed"
    return {name: SHAPES[name].write(folder / f"{name}.gguf") for name in NAMES} | {
        "starter": starter,
        "experts": write_experts(folder / "experts.gguf"),
        "recurrent": write_recurrent(folder / "recurrent.gguf"),
    }


def on_disk(path: Path) -> OnDisk:
    return OnDisk(path.stem, ModelFile(path, "a" * 64, path.stat().st_size), read_header(path))


@pytest.mark.parametrize("name", [*NAMES, "starter", "experts", "recurrent"])
async def test_the_bound_of_the_computation_lies_above_what_llama_cpp_lays_out(
    paths: dict[str, Path], name: str
) -> None:
    settings = Settings()
    model = await measuring.measure(on_disk(paths[name]), settings)
    assert model.compute is not None
    bound = compute_bound(model, wish_for(model, settings))
    for cells in (2048, 4096, 16_384):
        assert model.compute.at(cells) <= bound.at(cells) <= 4 * model.compute.at(cells) + 64 * MIB


@pytest.mark.parametrize("name", [*NAMES, "starter", "experts"])
@pytest.mark.parametrize("kv_type", list(KvType))
def test_weights_and_cache_are_counted_as_llama_cpp_counts_them(
    paths: dict[str, Path], name: str, kv_type: KvType
) -> None:
    facts = read_header(paths[name]).facts
    cells, slots = 4096, 4
    size, said = laid_out(paths[name], cells, slots, 1 if kv_type is KvType.F16 else 8)
    counted_once = sum(facts.layer_bytes) + facts.input_bytes + facts.output_bytes
    tied = facts.input_bytes if facts.output_bytes > facts.input_bytes and counted_once > size else 0
    assert counted_once - tied == size
    cache = sum(cache_bytes(facts, layer, cells, slots, kv_type) for layer in range(facts.layers))
    assert cache / MIB == pytest.approx(said, abs=0.01)


def laid_out(path: Path, cells: int, slots: int, kv_type: int) -> tuple[int, float]:
    """llama.cpp's own figures: bytes of weights, and MiB of cache as its log has them."""
    lines: list[str] = []
    log = c.llama_log_callback(lambda _level, text, _data: lines.append(text.decode(errors="replace")))
    c.llama_log_set(log, ctypes.c_void_p(0))
    params = c.llama_model_default_params()
    params.no_alloc, params.load_mode = True, 0
    model = c.llama_model_load_from_file(str(path).encode(), params)
    assert model, lines
    options = c.llama_context_default_params()
    options.n_ctx, options.n_seq_max, options.kv_unified = cells, slots, True
    options.type_k = options.type_v = kv_type
    context = c.llama_init_from_model(model, options)
    assert context, lines
    size = int(c.llama_model_size(model))
    c.llama_free(context)
    c.llama_model_free(model)
    c.llama_log_set(c.llama_log_callback(0), ctypes.c_void_p(0))
    (said,) = re.findall(r"size = +([0-9.]+) MiB \( *\d+ cells", "".join(lines))
    return size, float(said)


def test_the_state_of_a_recurrent_model_is_counted_as_llama_cpp_counts_it(paths: dict[str, Path]) -> None:
    facts, slots = read_header(paths["recurrent"]).facts, 4
    _, said = laid_out(paths["recurrent"], 4096, slots, 1)
    state = sum(cache_bytes(facts, layer, 4096, slots, KvType.F16) for layer in range(facts.layers))
    assert state / MIB == pytest.approx(said, abs=0.01)


async def test_a_model_that_llama_cpp_does_not_know_stays_with_the_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shape = replace(SHAPES["tiny"], architecture="nosuchthing")
    model = on_disk(shape.write(tmp_path / "odd.gguf"))
    assert await measuring.measure(model, Settings()) == model
    assert "odd is not measured: The model" in caplog.text


async def test_a_file_that_was_cut_off_meanwhile_stays_with_the_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = SHAPES["tiny"].write(tmp_path / "cut.gguf")
    model = on_disk(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert await measuring.measure(model, Settings()) == model
    assert "is cut off in its tensors" in caplog.text


def test_the_plan_counts_with_the_rows_of_the_workers_steps() -> None:
    assert (STEP_ROWS, OUTPUT_ROWS) == (llama_engine.MOST_ROWS, llama_engine.OUTPUT_ROWS)


async def test_each_model_is_measured_once_for_what_is_wanted_of_it(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Settings] = []
    measure = measuring.measure

    async def counting(model: OnDisk, settings: Settings) -> OnDisk:
        asked.append(settings)
        return await measure(model, settings)

    monkeypatch.setattr(measuring, "measure", counting)
    settings = Settings()
    measures, model = measuring.Measures(lambda: settings), on_disk(paths["tiny"])
    first, again = await asyncio.gather(measures.of(model), measures.of(model))
    assert first == again and first.compute is not None and len(asked) == 1
    settings = settings.model_copy(update={"models": settings.models.model_copy(update={"slots": 2})})
    other = await measures.of(model)
    assert len(asked) == 2 and other.compute is not None


async def test_a_process_that_does_not_answer_is_ended_and_the_bound_stays(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = on_disk(paths["tiny"])
    monkeypatch.setattr(measuring, "TIMEOUT_S", 0.0)
    assert await measuring.measure(model, Settings()) == model
    assert "did not answer" in caplog.text
    monkeypatch.setattr(measuring, "_COMMAND", ("/no/such/program",))
    assert await measuring.measure(model, Settings()) == model
    assert "cannot be started" in caplog.text
