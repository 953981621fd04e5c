"""From settings, limits and one look at the machine to the way each model is held: `core.vram` with its arguments.

Foreign use is what a memory has in use less what our own workers have of it. A worker that is about to end therefore
counts neither as foreign nor, left out of `held`, as ours: what it gives back may be planned with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gogrid_desktop.agent.models import ModelFile
from gogrid_desktop.agent.wanted import WantedModel
from gogrid_desktop.config.settings import Settings
from gogrid_desktop.core.memory_need import MIB, ComputeCost, KvType, compute_at_most
from gogrid_desktop.core.model_facts import ModelFacts
from gogrid_desktop.core.profiles import PROFILE_LIMITS, Limits, Profile
from gogrid_desktop.core.vram import NoFit, Plan, Share, Space, Wish, budget_bytes, gib, plan, reserve_bytes, too_big
from gogrid_desktop.gguf import GgufHeader, read_header
from gogrid_desktop.protocol.grid import CatalogueModel
from gogrid_desktop.system.gpu import ComputeMode, Gpu, GpuReading

#: Rows of a step of the worker, and those of it that have an output (`worker/llama_engine.py`: a test compares them).
STEP_ROWS, OUTPUT_ROWS = 576, 32
#: A shorter context than this is not offered, however little memory there is: few chats fit it.
LEAST_CONTEXT = 2048
_HOST = -1
_UNIFIED = ("MTL", "Metal")


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A model file of the catalogue with its header. `context` 0: the catalogue says nothing.

    `compute`: what computing takes, if it was measured (`measuring.measure`); otherwise a bound is used.
    """

    id: str
    file: ModelFile
    header: GgufHeader
    context: int = 0
    compute: ComputeCost | None = None

    @property
    def facts(self) -> ModelFacts:
        return self.header.facts


@dataclass(frozen=True, slots=True)
class Held:
    """What one of our workers holds, as (GPU index, bytes) and bytes of main memory. `pids`: () while not known."""

    sha256: str
    pids: tuple[int, ...]
    gpu_bytes: tuple[tuple[int, int], ...]
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One look at the memory there is.

    `gpus`: those that the worker can use (`usable_gpus`). `present`: somebody is at the desktop; unknown counts as yes.
    `ours`: all our workers at that moment, also those that are about to end. `unified`: the GPU uses main memory.
    `ceilings`: what the person gives at most of a GPU, by its UUID.
    """

    gpus: tuple[Gpu, ...]
    ram_total_bytes: int
    ram_available_bytes: int
    present: bool
    ours: tuple[Held, ...] = ()
    unified: bool = False
    ceilings: Mapping[str, Profile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """How to hold a model. `why` is a sentence without its full stop."""

    wanted: WantedModel
    plan: Plan
    why: str

    def held(self, pids: tuple[int, ...] = ()) -> Held:
        """What a worker with this plan is going to hold."""
        gpu_bytes = tuple((share.index, share.total_bytes) for share in self.plan.shares)
        return Held(self.wanted.sha256, pids, gpu_bytes, self.plan.host.total_bytes)


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Nothing fits. `why` follows "paused: "; `short_bytes`: what is missing for the smallest plan."""

    why: str
    short_bytes: int


def open_model(entry: CatalogueModel, file: ModelFile) -> OnDisk:
    """Read the header of a file of the catalogue; blocks on the disk. Raises ModelFileError."""
    return OnDisk(entry.id, file, read_header(file.path), entry.context)


def usable_gpus(reading: GpuReading, backends: Sequence[str]) -> tuple[Gpu, ...]:
    """The GPUs that a worker can compute on: none unless llama.cpp was built for them.

    `backends`: devices that llama.cpp sees. GPUs are chosen by their UUIDs, which only CUDA understands.
    """
    if not any(name.startswith("CUDA") for name in backends):
        return ()
    return tuple(gpu for gpu in reading.gpus if gpu.uuid and gpu.mode is not ComputeMode.NOBODY)


def has_unified_memory(backends: Sequence[str]) -> bool:
    """Whether the GPU that llama.cpp sees computes in main memory, so that the budget of that holds for both."""
    return any(name.startswith(_UNIFIED) for name in backends)


def plan_for(
    model: OnDisk, settings: Settings, limits: Limits, machine: Machine, held: Sequence[Held] = ()
) -> Planned | NoRoom:
    """The best way to hold a model beside `held`, the other workers that stay."""
    facts, wish = model.facts, wish_for(model, settings)
    gpus = [_space(gpu, limits, machine, held, settings) for gpu in machine.gpus]
    host = Space(_HOST, max(0, _ram_budget(limits, machine) - sum(one.ram_bytes for one in held)))
    compute = model.compute or compute_bound(model, wish)
    made = plan(facts, wish, gpus, host, compute)
    if isinstance(made, NoFit):
        return NoRoom(f"{model.id} does not fit: {made.why}", made.short_bytes)
    layers = made.gpu_layers
    if machine.unified and not layers and wish.most_gpu_layers:
        layers = facts.layers + 1
    uuids = {gpu.index: gpu.uuid for gpu in machine.gpus}
    wanted = WantedModel(
        path=str(model.file.path),
        sha256=model.file.sha256,
        context=made.context,
        total_context=made.cells,
        slots=made.slots,
        threads=settings.worker.threads,
        gpu_layers=layers,
        kv_type=made.kv_type.value,
        tensor_split=made.tensor_split if len(made.shares) > 1 else (),
        gpus=tuple(uuids[share.index] for share in made.shares),
    )
    return Planned(wanted, made, f"{facts.quantization.name}, {made.why}")


def wish_for(model: OnDisk, settings: Settings) -> Wish:
    """What is wanted of a plan: the person's context and slots, as far as the model goes."""
    bounds = (settings.models.context_tokens, model.context, model.facts.trained_context)
    context = min(bound for bound in bounds if bound)
    return Wish(
        context=context,
        slots=settings.models.slots,
        least_context=min(context, LEAST_CONTEXT),
        most_gpu_layers=settings.worker.gpu_layers,
    )


def compute_bound(model: OnDisk, wish: Wish) -> ComputeCost:
    """What computing takes at most where it is not measured. A model that pools looks at a whole text in one step."""
    rows, outputs = max(STEP_ROWS, wish.slots), max(OUTPUT_ROWS, wish.slots)
    if model.facts.pooling not in ("", "none"):
        rows = outputs = max(rows, wish.context)
    return compute_at_most(model.facts, rows, outputs)


def choose(
    models: Sequence[OnDisk], settings: Settings, limits: Limits, machine: Machine, held: Sequence[Held] = ()
) -> Planned | NoRoom:
    """The model to hold before anybody asks.

    First those that lose nothing but slots, then those that at least lie wholly where they should, then the rest.
    Among these the largest family, and of that the file with most bits for each weight. One for embeddings alone comes
    last, because it answers no chat.
    """
    sizes: dict[tuple[object, ...], int] = {}
    for model in models:
        key = family(model.header)
        sizes[key] = max(sizes.get(key, 0), model.facts.parameters)
    best: tuple[tuple[object, ...], Planned] | None = None
    refusals: list[NoRoom] = []
    for model in sorted(models, key=lambda one: one.file.sha256):
        planned = plan_for(model, settings, limits, machine, held)
        if isinstance(planned, NoRoom):
            refusals.append(planned)
            continue
        rank = _rank(model, planned, wish_for(model, settings), sizes[family(model.header)])
        if best is None or rank > best[0]:
            best = rank, planned
    if best is not None:
        return best[1]
    if not refusals:
        return NoRoom("there is no model on this computer", 0)
    spaces = [_space(gpu, limits, machine, held, settings).free_bytes for gpu in machine.gpus]
    room = sum(spaces) if machine.gpus and settings.worker.gpu_layers else _ram_budget(limits, machine)
    return NoRoom(f"no model fits {gib(room)}", min(refusal.short_bytes for refusal in refusals))


def _rank(model: OnDisk, planned: Planned, wish: Wish, parameters: int) -> tuple[object, ...]:
    made = planned.plan
    whole = made.gpu_layers in (0, model.facts.layers + 1)
    unhurt = whole and made.kv_type is KvType.F16 and made.context == wish.context
    bits = model.facts.quantization.bits_per_weight
    return (not model.facts.embeds, unhurt, whole, parameters, bits, made.rank)


def family(header: GgufHeader) -> tuple[object, ...]:
    """The same for all quantizations of one model: its make, its name and its chat template."""
    facts, names = header.facts, ("general.basename", "general.finetune", "general.version")
    named = tuple(str(header.metadata.get(key, "")).casefold() for key in names)
    shape = (facts.architecture, facts.layers, facts.embedding, facts.heads, facts.kv_heads, facts.feed_forward)
    name = named if any(named) else (header.name.casefold(),)
    return (*shape, facts.experts, facts.vocabulary, facts.trained_context, name, header.template)


def fits(
    models: Iterable[OnDisk], settings: Settings, limits: Limits, machine: Machine, held: Sequence[Held] = ()
) -> tuple[str, ...]:
    """Hashes of all files that could be held beside `held`, each alone."""
    return tuple(
        model.file.sha256 for model in models if isinstance(plan_for(model, settings, limits, machine, held), Planned)
    )


def over_budget(held: Sequence[Held], limits: Limits, machine: Machine) -> str:
    """Empty while our workers keep every budget, otherwise a sentence that names the memory."""
    memories = [(f"GPU {gpu.index}", _gpu_budget(gpu, limits, machine), _on(gpu, held)) for gpu in machine.gpus]
    memories.append(("main memory", _ram_budget(limits, machine), sum(one.ram_bytes for one in held)))
    for name, allowed, taken in memories:
        if taken > allowed:
            return f"{name}: {gib(taken)} are held and {gib(allowed)} may be used"
    return ""


def measured(planned: Planned, loaded_bytes: int, pid: int, machine: Machine) -> Held:
    """What a worker really holds. `loaded_bytes`: its own figure for weights and cache, 0: it has none.

    The driver's figure for the process counts where there is one. Otherwise it is the plan, and what the worker found
    beyond it.
    """
    shares = planned.plan.shares
    known = {gpu.index: size for gpu in machine.gpus if (size := _of_process(gpu, pid)) is not None}
    if shares and all(share.index in known for share in shares):
        gpu_bytes = tuple(known.items())
        return Held(planned.wanted.sha256, (pid,), gpu_bytes, planned.plan.host.total_bytes)
    own = planned.held((pid,))
    excess = max(0, loaded_bytes - sum(_data_bytes(share) for share in (*shares, planned.plan.host)))
    if not shares:
        return Held(own.sha256, own.pids, (), own.ram_bytes + excess)
    (first, size), *others = own.gpu_bytes
    return Held(own.sha256, own.pids, ((first, size + excess), *others), own.ram_bytes)


def grown(planned: Planned, held: Held, limits: Limits, machine: Machine) -> str:
    """Empty, or a sentence where one worker alone took more than all may hold: its plan was too small."""
    planned_bytes = dict(planned.held().gpu_bytes)
    for gpu in machine.gpus:
        taken = dict(held.gpu_bytes).get(gpu.index, 0)
        if said := too_big(planned_bytes.get(gpu.index, 0), taken, _gpu_budget(gpu, limits, machine)):
            return f"GPU {gpu.index}: {said}"
    return ""


def _data_bytes(share: Share) -> int:
    return share.weight_bytes + share.cache_bytes


def _on(gpu: Gpu, held: Iterable[Held]) -> int:
    return sum(size for one in held for index, size in one.gpu_bytes if index == gpu.index)


def _of_process(gpu: Gpu, pid: int) -> int | None:
    """What the driver says that a process has of a GPU; None where it does not say or does not see it."""
    return next((process.used_bytes for process in gpu.processes or () if process.pid == pid), None)


def _in_use_by(gpu: Gpu, held: Held) -> int:
    """What a worker has of a GPU at this moment: nothing known before it is started."""
    said = [size for pid in held.pids if (size := _of_process(gpu, pid)) is not None]
    if said:
        return sum(said)
    return _on(gpu, (held,)) if held.pids else 0


def _gpu_budget(gpu: Gpu, limits: Limits, machine: Machine) -> int:
    """What all our workers may hold of a GPU."""
    own = sum(_in_use_by(gpu, one) for one in machine.ours)
    foreign = max(0, gpu.vram_used_bytes - own)
    gentle = machine.present and gpu.screen is not False  # not known: it may be the one
    reserve = reserve_bytes(gpu.vram_total_bytes, gentle=gentle)
    ceiling = PROFILE_LIMITS[machine.ceilings.get(gpu.uuid, Profile.AGGRESSIVE)]
    return budget_bytes(gpu.vram_total_bytes, foreign, min(limits.vram_fraction, ceiling.vram_fraction), reserve)


def _ram_budget(limits: Limits, machine: Machine) -> int:
    """What all our workers may hold of main memory; the share that the person gives is the same as of a GPU's."""
    own = sum(one.ram_bytes for one in machine.ours)
    foreign = max(0, machine.ram_total_bytes - machine.ram_available_bytes - own)
    reserve = reserve_bytes(machine.ram_total_bytes, gentle=machine.present)
    return budget_bytes(machine.ram_total_bytes, foreign, limits.vram_fraction, reserve)


def _space(gpu: Gpu, limits: Limits, machine: Machine, held: Sequence[Held], settings: Settings) -> Space:
    """What is left of a GPU's budget beside `held`; nothing where its mode lets one process alone in."""
    taken = sum(max(_on(gpu, (one,)), _in_use_by(gpu, one)) for one in held)
    free = max(0, _gpu_budget(gpu, limits, machine) - taken)
    if gpu.mode is ComputeMode.ONE_PROCESS and not _alone(gpu, machine, held):
        free = 0
    if settings.mps.enabled and settings.mps.memory_mib:
        free = min(free, min(settings.mps.memory_mib) * MIB)
    return Space(gpu.index, free)


def _alone(gpu: Gpu, machine: Machine, held: Sequence[Held]) -> bool:
    """Whether a GPU is free for a new process once those of ours that are not in `held` have ended."""
    staying = {pid for one in held for pid in one.pids}
    leaving = {pid for one in machine.ours for pid in one.pids} - staying
    return not taken_by_others(gpu, leaving) and not _on(gpu, held)


def taken_by_others(gpu: Gpu, ours: set[int]) -> bool:
    """Whether a process that is none of `ours` is on a GPU."""
    return any(process.pid not in ours for process in gpu.processes or ())
