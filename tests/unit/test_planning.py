"""Settings, limits and a look at the machine make a plan: what others hold is theirs, what ends is free again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fixtures_gguf import Q8_0, Shape, uint32
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.agent.measuring import line_of
from gogrid_desktop.agent.models import ModelFile
from gogrid_desktop.agent.planning import (
    Held,
    Machine,
    NoRoom,
    OnDisk,
    Planned,
    choose,
    fits,
    grown,
    has_unified_memory,
    measured,
    open_model,
    over_budget,
    plan_for,
    usable_gpus,
)
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.memory_need import ComputeCost
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.vram import reserve_bytes
from gogrid_desktop.gguf import read_header
from gogrid_desktop.protocol.grid import CatalogueModel
from gogrid_desktop.system.gpu import ComputeMode, Gpu, GpuProcess, GpuReading
from gogrid_desktop.worker.measure_frames import Measurement

GIB = 2**30
CONSERVATIVE, AGGRESSIVE = PROFILE_LIMITS[Profile.CONSERVATIVE], PROFILE_LIMITS[Profile.AGGRESSIVE]
SETTINGS = Settings()
EIGHT = Shape(32, 4096, 32, 8, 14_336, 512, 131_072, name="Eight")
SHAPES = {
    "eight-4": EIGHT,
    "eight-8": replace(EIGHT, kind=Q8_0, file_type=7),
    "one-4": Shape(16, 2048, 32, 8, 8192, 512, 131_072, name="One"),
    "one-8": Shape(16, 2048, 32, 8, 8192, 512, 131_072, name="One", kind=Q8_0, file_type=7),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OnDisk]:
    folder = tmp_path_factory.mktemp("planning")
    return {name: on_disk(folder, name, shape) for name, shape in SHAPES.items()}


def on_disk(folder: Path, name: str, shape: Shape, *extra: bytes) -> OnDisk:
    path = shape.write(folder / f"{name}.gguf", extra)
    return OnDisk(name, ModelFile(path, name.ljust(64, "0"), path.stat().st_size), read_header(path))


def gpu(
    total: int = 8 * GIB,
    used: int = 0,
    index: int = 0,
    screen: bool | None = False,
    mode: ComputeMode | None = ComputeMode.EVERYBODY,
    processes: tuple[GpuProcess, ...] | None = (),
) -> Gpu:
    return Gpu(index, "card", "1", total, used, total - used, 0.0, f"GPU-{index}", screen, mode, processes)


def machine(*gpus: Gpu, ours: tuple[Held, ...] = (), present: bool = False, ram: int = 64 * GIB) -> Machine:
    return Machine(gpus, ram, ram, present, ours)


def planned(model: OnDisk, limits: Limits, at: Machine, held: tuple[Held, ...] = ()) -> Planned:
    made = plan_for(model, SETTINGS, limits, at, held)
    assert isinstance(made, Planned), made
    return made


def on_gpus(made: Planned) -> int:
    return sum(size for _, size in made.held().gpu_bytes)


def test_a_plan_says_what_the_worker_is_to_be_told(models: dict[str, OnDisk]) -> None:
    made = planned(models["eight-4"], AGGRESSIVE, machine(gpu(24 * GIB)))
    wanted = made.wanted
    assert (wanted.sha256, wanted.gpu_layers, wanted.kv_type) == (models["eight-4"].file.sha256, 33, "f16")
    assert (wanted.context, wanted.slots, wanted.total_context) == (4096, 8, 8 * 4096)
    assert (wanted.gpus, wanted.tensor_split) == (("GPU-0",), ())
    assert made.why.startswith("Q4_K_M, all 33 layers in GPU 0 (")


def test_without_a_gpu_the_hosts_memory_is_planned(models: dict[str, OnDisk]) -> None:
    made = planned(models["one-4"], CONSERVATIVE, machine(ram=8 * GIB))
    assert (made.wanted.gpu_layers, made.wanted.gpus, made.held().gpu_bytes) == (0, (), ())
    assert 0 < made.held().ram_bytes <= 4 * GIB
    unified = replace(machine(ram=8 * GIB), unified=True)
    assert planned(models["one-4"], CONSERVATIVE, unified).wanted.gpu_layers == 17
    assert has_unified_memory(("MTL0", "CPU")) and not has_unified_memory(("CUDA0", "CPU"))


def test_a_model_over_two_gpus_is_told_both_and_how_many_layers_each(models: dict[str, OnDisk]) -> None:
    made = planned(models["eight-8"], AGGRESSIVE, machine(gpu(4 * GIB), gpu(10 * GIB, index=1)))
    assert made.wanted.gpus == ("GPU-0", "GPU-1")
    assert sum(made.wanted.tensor_split) == made.wanted.gpu_layers == 33


def test_a_gpu_of_which_less_is_given_gets_a_smaller_budget(models: dict[str, OnDisk]) -> None:
    whole = planned(models["eight-4"], AGGRESSIVE, machine(gpu(8 * GIB)))
    half = replace(machine(gpu(8 * GIB)), ceilings={gpu(8 * GIB).uuid: Profile.CONSERVATIVE})
    assert on_gpus(whole) > 4 * GIB >= on_gpus(planned(models["eight-4"], AGGRESSIVE, half)) > 0


def test_the_person_may_keep_the_gpu_out_of_it(models: dict[str, OnDisk]) -> None:
    settings = SETTINGS.model_copy(update={"worker": SETTINGS.worker.model_copy(update={"gpu_layers": 0})})
    made = plan_for(models["one-4"], settings, AGGRESSIVE, machine(gpu()))
    assert isinstance(made, Planned) and made.held().gpu_bytes == ()


def test_a_context_is_never_longer_than_person_catalogue_and_model_allow(models: dict[str, OnDisk]) -> None:
    at = machine(gpu(24 * GIB))
    assert planned(replace(models["one-4"], context=1000), AGGRESSIVE, at).wanted.context == 1000
    assert planned(replace(models["one-4"], context=100_000), AGGRESSIVE, at).wanted.context == 4096


@given(
    st.integers(0, 24 * GIB),
    st.integers(0, 24 * GIB),
    st.sampled_from([CONSERVATIVE, AGGRESSIVE]),
    st.booleans(),
    st.sampled_from([True, False, None]),
)
def test_no_plan_takes_what_others_hold_or_what_is_kept_for_the_desktop(
    models: dict[str, OnDisk], total: int, used: int, limits: Limits, present: bool, screen: bool | None
) -> None:
    used = min(used, total)
    at = machine(gpu(total, used, screen=screen), present=present)
    for model in models.values():
        made = plan_for(model, SETTINGS, limits, at)
        if isinstance(made, Planned):
            reserve = reserve_bytes(total, gentle=present and screen is not False)
            assert on_gpus(made) <= min(limits.vram_fraction * total, total - used - reserve)


def test_while_somebody_is_there_the_gpu_that_shows_the_desktop_keeps_more_and_unknown_counts_as_that_one(
    models: dict[str, OnDisk],
) -> None:
    def room(screen: bool | None, present: bool) -> str:
        full = machine(gpu(8 * GIB, 4 * GIB, screen=screen), present=present)
        refused = plan_for(models["eight-8"], SETTINGS, AGGRESSIVE, full)
        assert isinstance(refused, NoRoom)
        return refused.why

    assert room(True, True) == room(None, True)
    assert "2.5 GiB may be used" in room(True, True)
    assert "3.6 GiB may be used" in room(False, True)
    assert room(True, False) == room(False, True)


# --- our own workers -------------------------------------------------------------------------------------------------


def test_what_a_staying_worker_holds_is_not_given_twice(models: dict[str, OnDisk]) -> None:
    first = planned(models["eight-4"], AGGRESSIVE, machine(gpu(10 * GIB)))
    held = first.held((7,))
    size = on_gpus(first)
    running = gpu(10 * GIB, size, processes=(GpuProcess(7, size),))
    beside = plan_for(models["eight-8"], SETTINGS, AGGRESSIVE, machine(running, ours=(held,)), (held,))
    assert isinstance(beside, NoRoom)
    starting = plan_for(models["eight-8"], SETTINGS, AGGRESSIVE, machine(gpu(10 * GIB), ours=(held,)), (held,))
    assert isinstance(starting, NoRoom), "a worker that is only starting counts as much as one that has loaded"


@pytest.mark.parametrize("told", [True, False])
def test_what_an_ending_worker_holds_may_be_planned_with(models: dict[str, OnDisk], told: bool) -> None:
    fresh = planned(models["eight-4"], AGGRESSIVE, machine(gpu(8 * GIB)))
    size = on_gpus(fresh)
    running = gpu(8 * GIB, size, processes=(GpuProcess(7, size),) if told else None)
    again = planned(models["eight-4"], AGGRESSIVE, machine(running, ours=(fresh.held((7,)),)))
    assert again == fresh


def test_more_than_the_budget_is_said_with_the_memory_and_both_sizes(models: dict[str, OnDisk]) -> None:
    made = planned(models["eight-4"], AGGRESSIVE, machine(gpu(8 * GIB)))
    held = (made.held((7,)),)
    running = gpu(8 * GIB, on_gpus(made), processes=(GpuProcess(7, on_gpus(made)),))
    assert over_budget(held, AGGRESSIVE, machine(running, ours=held)) == ""
    said = over_budget(held, CONSERVATIVE, machine(running, ours=held))
    assert said.startswith("GPU 0: ") and said.endswith("are held and 4.0 GiB may be used")
    crowded = replace(running, vram_used_bytes=running.vram_used_bytes + 2 * GIB)
    assert over_budget(held, AGGRESSIVE, machine(crowded, ours=held)).startswith("GPU 0: ")
    on_host = planned(models["one-4"], AGGRESSIVE, machine()).held((8,))
    assert over_budget((on_host,), CONSERVATIVE, machine(ram=2 * GIB, ours=(on_host,))).startswith("main memory: ")


def test_what_a_worker_holds_is_the_drivers_figure_otherwise_the_larger_of_plan_and_its_own(
    models: dict[str, OnDisk],
) -> None:
    at = machine(gpu(12 * GIB, 6 * GIB, processes=(GpuProcess(7, 6 * GIB),)))
    made = planned(models["eight-4"], AGGRESSIVE, machine(gpu(12 * GIB)))
    assert measured(made, 1, 7, at).gpu_bytes == ((0, 6 * GIB),)
    assert measured(made, 1, 8, at) == made.held((8,))
    data = sum(share.weight_bytes + share.cache_bytes for share in (*made.plan.shares, made.plan.host))
    assert measured(made, data + GIB, 8, at).gpu_bytes == ((0, on_gpus(made) + GIB),)
    host = planned(models["one-4"], AGGRESSIVE, machine())
    own = host.plan.host.weight_bytes + host.plan.host.cache_bytes
    assert measured(host, own, 8, machine()) == host.held((8,))
    assert measured(host, own + 5, 8, machine()).ram_bytes == host.held().ram_bytes + 5


def test_a_worker_that_took_more_than_all_may_hold_is_named(models: dict[str, OnDisk]) -> None:
    made = planned(models["one-4"], CONSERVATIVE, machine(gpu(8 * GIB)))
    held = Held(made.wanted.sha256, (7,), ((0, 5 * GIB),), 0)
    at = machine(gpu(8 * GIB, 5 * GIB, processes=(GpuProcess(7, 5 * GIB),)), ours=(held,))
    assert grown(made, held, AGGRESSIVE, at) == ""
    assert grown(made, held, CONSERVATIVE, at).startswith("GPU 0: it takes 5.0 GiB, where ")


# --- which GPUs ------------------------------------------------------------------------------------------------------


def test_only_gpus_that_llama_cpp_can_use_are_planned_with() -> None:
    reading = GpuReading((gpu(), gpu(index=1, mode=ComputeMode.NOBODY), replace(gpu(index=2), uuid="")))
    assert usable_gpus(reading, ("CPU",)) == ()
    assert usable_gpus(reading, ()) == ()
    assert usable_gpus(reading, ("CUDA0", "CPU")) == (reading.gpus[0],)


def test_a_gpu_for_one_process_alone_is_free_once_ours_has_ended(models: dict[str, OnDisk]) -> None:
    exclusive = gpu(8 * GIB, 2 * GIB, mode=ComputeMode.ONE_PROCESS, processes=(GpuProcess(7, 2 * GIB),))
    ours = Held("x", (7,), ((0, 2 * GIB),), 0)
    assert isinstance(plan_for(models["one-4"], SETTINGS, AGGRESSIVE, machine(exclusive)), NoRoom)
    assert isinstance(
        plan_for(models["one-4"], SETTINGS, AGGRESSIVE, machine(exclusive, ours=(ours,)), (ours,)), NoRoom
    )
    planned(models["one-4"], AGGRESSIVE, machine(exclusive, ours=(ours,)))


def test_a_plan_stays_under_the_memory_that_mps_allows(models: dict[str, OnDisk]) -> None:
    mps = SETTINGS.mps.model_copy(update={"enabled": True, "memory_mib": (2048,)})
    settings = SETTINGS.model_copy(update={"mps": mps})
    refused = plan_for(models["eight-4"], settings, AGGRESSIVE, machine(gpu(24 * GIB)))
    assert isinstance(refused, NoRoom) and "2.0 GiB may be used" in refused.why


# --- which model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("total_gib", "chosen"), [(24, "eight-8"), (8, "eight-4"), (4, "one-8"), (1.5, "one-4")])
def test_the_best_quantization_of_the_largest_model_that_fits_is_chosen(
    models: dict[str, OnDisk], total_gib: float, chosen: str
) -> None:
    made = choose(tuple(models.values()), SETTINGS, AGGRESSIVE, machine(gpu(int(total_gib * GIB))))
    assert isinstance(made, Planned)
    assert made.wanted.sha256 == models[chosen].file.sha256


def test_where_no_model_fits_the_room_is_named(models: dict[str, OnDisk]) -> None:
    refused = choose(tuple(models.values()), SETTINGS, CONSERVATIVE, machine(gpu(GIB)))
    assert isinstance(refused, NoRoom)
    assert refused.why == "no model fits 0.5 GiB" and refused.short_bytes > 0
    on_host = choose(tuple(models.values()), SETTINGS, CONSERVATIVE, machine(ram=GIB))
    assert isinstance(on_host, NoRoom) and on_host.why == "no model fits 0.5 GiB"
    assert choose((), SETTINGS, AGGRESSIVE, machine()) == NoRoom("there is no model on this computer", 0)


def test_a_model_that_only_embeds_is_not_held_in_advance_while_another_fits(
    models: dict[str, OnDisk], tmp_path: Path
) -> None:
    embeds = on_disk(tmp_path, "embeds", SHAPES["eight-4"], uint32("llama.pooling_type", 1))
    for offered in ((embeds, models["one-4"]), (models["one-4"], embeds)):
        made = choose(offered, SETTINGS, AGGRESSIVE, machine(gpu(24 * GIB)))
        assert isinstance(made, Planned) and made.wanted.sha256 == models["one-4"].file.sha256
    alone = choose((embeds,), SETTINGS, AGGRESSIVE, machine(gpu(24 * GIB)))
    assert isinstance(alone, Planned)


def test_all_models_that_fit_beside_the_held_ones_are_named(models: dict[str, OnDisk]) -> None:
    at = machine(gpu(4 * GIB))
    assert set(fits(models.values(), SETTINGS, CONSERVATIVE, at)) == {
        models["one-4"].file.sha256,
        models["one-8"].file.sha256,
    }
    held = (Held("x", (), ((0, 3 * GIB // 2),), 0),)
    assert fits(models.values(), SETTINGS, CONSERVATIVE, replace(at, ours=held), held) == ()


def test_a_model_is_opened_with_what_the_catalogue_says(tmp_path: Path) -> None:
    path = SHAPES["one-4"].write(tmp_path / "m.gguf")
    entry = CatalogueModel(sha256="a" * 64, id="one", size_bytes=path.stat().st_size, context=2048, created=0)
    opened = open_model(entry, ModelFile(path, entry.sha256, entry.size_bytes))
    assert (opened.id, opened.context, opened.facts.layers, opened.compute) == ("one", 2048, 16, None)


def test_a_measured_buffer_takes_the_place_of_the_bound(models: dict[str, OnDisk]) -> None:
    at = machine(gpu(8 * GIB))
    bound = planned(models["eight-4"], AGGRESSIVE, at)
    exact = planned(replace(models["eight-4"], compute=ComputeCost(1000, 0)), AGGRESSIVE, at)
    assert exact.plan.shares[0].compute_bytes == 1000 < bound.plan.shares[0].compute_bytes


def test_the_line_goes_through_the_most_that_was_measured_and_nothing_measured_is_no_line() -> None:
    points = tuple(
        Measurement(cells=cells, kv_type=kv_type, compute_bytes=size)
        for cells, kv_type, size in ((1024, "f16", 10_000), (1024, "q8_0", 11_000), (2048, "f16", 20_000))
    )
    line = line_of(points)
    assert line is not None and line.at(1024) >= 11_000 and 20_000 <= line.at(2048) <= 20_010
    assert line_of(()) is None
    assert line_of((Measurement(cells=1, kv_type="f16", compute_bytes=0),)) is None
