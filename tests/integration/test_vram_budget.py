"""With NVIDIA's library stood in for, read by the real pynvml: no plan passes its share, whatever others take.

The process under test reads the GPUs again before every plan; the stand-in is changed between two of them, and grows
also between a plan and the check of what is held.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fixtures_gguf import Q8_0, SHAPES, Shape

GIB = 2**30
ROUNDS = 150
PLANNER = """
import json, sys
from pathlib import Path
from gogrid_desktop.agent import planning
from gogrid_desktop.agent.models import ModelFile
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Profile
from gogrid_desktop.gguf import read_header
from gogrid_desktop.system.gpu.nvml import NvmlGpu

probe, settings = NvmlGpu(), Settings()
models = [
    planning.OnDisk(Path(path).stem, ModelFile(Path(path), path, Path(path).stat().st_size), read_header(Path(path)))
    for path in sys.argv[1:]
]
for line in sys.stdin:
    ask = json.loads(line)
    limits = PROFILE_LIMITS[Profile[ask["profile"]]]
    ours = (planning.Held("ours", (ask["pid"],), tuple(map(tuple, ask["ours"])), 0),) if ask["ours"] else ()
    gpus = planning.usable_gpus(probe.read(), ("CUDA0", "CPU"))
    machine = planning.Machine(gpus, 2**40, 2**40, ask["present"], ours)
    made = planning.choose(models, settings, limits, machine)
    if isinstance(made, planning.NoRoom):
        answer = {"why": made.why, "gpus": [], "layers": 0}
    else:
        answer = {"why": made.why, "gpus": made.held().gpu_bytes, "layers": made.wanted.gpu_layers,
                  "uuids": made.wanted.gpus, "split": made.wanted.tensor_split, "model": Path(made.wanted.path).stem}
    answer["over"] = planning.over_budget(ours, limits, machine)
    print(json.dumps(answer), flush=True)
"""


class Card:
    """The stand-in's GPUs, and the process that plans with them."""

    def __init__(self, file: Path, planner: subprocess.Popen[str]) -> None:
        self._file, self._planner = file, planner

    def put(self, *gpus: tuple[int, int, int, dict[int, int]]) -> None:
        """Total, used, screen, processes of each GPU, all in bytes; in one move, so that no half file is read."""
        lines = [
            f"{total} {used} {screen} 0 " + " ".join(f"{pid}:{size}" for pid, size in processes.items())
            for total, used, screen, processes in gpus
        ]
        fresh = self._file.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self._file)

    def plan(self, profile: str, present: bool = False, pid: int = 0, ours: Any = ()) -> dict[str, Any]:
        assert self._planner.stdin is not None and self._planner.stdout is not None
        ask = {"profile": profile, "present": present, "pid": pid, "ours": ours}
        self._planner.stdin.write(json.dumps(ask) + "\n")
        self._planner.stdin.flush()
        return json.loads(self._planner.stdout.readline())


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    shapes = {
        "eight-4": SHAPES["8b"],
        "eight-8": SHAPES["8b-8bit"],
        "one-4": SHAPES["1b"],
        "one-8": Shape(16, 2048, 32, 8, 8192, 128_256, 131_072, kind=Q8_0, file_type=7, tied=True, name="One"),
        "small-4": Shape(30, 576, 9, 3, 1536, 49_152, 8192, kind=2, file_type=2, tied=True, name="Small"),
    }
    return [shape.write(folder / f"{name}.gguf") for name, shape in shapes.items()]


@contextmanager
def planner(library: Path, file: Path, models: list[Path]) -> Iterator[Card]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML_FILE": str(file)}
    command = [sys.executable, "-c", PLANNER, *map(str, models)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Card(file, process)
        finally:
            process.kill()


@pytest.fixture
def card(library_folder: Path, model_files: list[Path], tmp_path: Path) -> Iterator[Card]:
    with planner(library_folder, tmp_path / "gpus", model_files) as it:
        yield it


def reserve(total: int, gentle: bool) -> int:
    return max(3 * GIB // 2, total * 15 // 100) if gentle else max(GIB // 4, total * 5 // 100)


@pytest.mark.parametrize(("profile", "share"), [("CONSERVATIVE", 4.0), ("BALANCED", 5.6), ("AGGRESSIVE", 7.6)])
def test_no_plan_on_8_gib_passes_the_profiles_share_while_foreign_use_changes(
    card: Card, profile: str, share: float
) -> None:
    chance = random.Random(7)
    total, planned = 8 * GIB, []
    for number in range(ROUNDS):
        used = 0 if number == 0 else chance.randint(0, total)
        present = bool(number % 3 == 1)
        card.put((total, used, 1, {999: used}))
        answer = card.plan(profile, present)
        taken = sum(size for _, size in answer["gpus"])
        assert taken <= share * GIB, answer
        assert taken <= max(0, total - used - reserve(total, present)), answer
        planned.append(taken)
        if not taken:
            assert answer["why"].startswith("no model fits ")
    assert max(planned) > 0.6 * share * GIB, "the share is used where nobody else uses the card"
    assert min(planned) == 0


def test_what_we_hold_is_found_too_much_as_soon_as_foreign_use_has_grown_into_it(card: Card) -> None:
    total, pid = 8 * GIB, 4242
    card.put((total, 0, 1, {}))
    (_, own), *_ = card.plan("AGGRESSIVE")["gpus"]
    found_at = None
    for foreign in range(0, total - own + 1, 64 * 2**20):
        card.put((total, own + foreign, 1, {pid: own, 1: foreign}))
        answer = card.plan("AGGRESSIVE", pid=pid, ours=[[0, own]])
        taken = sum(size for _, size in answer["gpus"])
        assert taken <= min(7.6 * GIB, max(0, total - foreign - reserve(total, False)))
        fits = own <= total - foreign - reserve(total, False)
        assert bool(answer["over"]) is not fits, answer["over"]
        found_at = found_at or (foreign if answer["over"] else None)
    assert found_at is not None


def test_two_unequal_cards_are_filled_by_their_room_and_never_past_it(card: Card) -> None:
    chance = random.Random(11)
    totals = (4 * GIB, 24 * GIB)
    both = 0
    for _ in range(ROUNDS):
        used = tuple(chance.randint(0, total) for total in totals)
        card.put((totals[0], used[0], 0, {}), (totals[1], used[1], 1, {}))
        profile, present = chance.choice([("CONSERVATIVE", True), ("AGGRESSIVE", False)])
        share = 0.5 if profile == "CONSERVATIVE" else 0.95
        answer = card.plan(profile, present)
        for index, taken in answer["gpus"]:
            gentle = present and index == 1
            left = totals[index] - used[index] - reserve(totals[index], gentle)
            assert taken <= min(share * totals[index], left), answer
        if len(answer["gpus"]) == 2:
            both += 1
            assert sum(answer["split"]) == answer["layers"] and len(set(answer["uuids"])) == 2
    assert both > 0
