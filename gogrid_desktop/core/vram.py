"""How much memory may be used, and the best way to hold a model in it: a pure plan, with its reason in words.

The budget of a GPU is what its owner gives of it, and never what other programs hold or what the desktop keeps in
reserve. A plan is the first of a fixed order of variants that fits every budget; because the order is fixed and each
variant either fits or does not, more memory never gives a worse plan.

What is given up first, and why in this order:

1. *cells of its own* for each slot: half as many, shared by all, are read a little more slowly, and only when most
   requests are long at once does one of them have to wait;
2. *slots*, down to the wish's least: fewer requests at once, each answered as well as before;
3. *context*: some requests are refused, and the coordinator knows another node for them;
4. *precision of the cache* (f16, then q8_0): every answer is a little less exact;
5. *layers on the GPU*: every token is several times slower, and the processor is taken instead.

A plan with less than half of the layers on the GPU is none: the processor would do most of the work, and the person
lent the GPU. Whoever wants that anyway says so with `worker.gpu_layers`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from gogrid_desktop.core.memory_need import (
    ASIDE_BYTES,
    GIB,
    LAYER_SLACK_BYTES,
    MIB,
    ComputeCost,
    KvType,
    cache_bytes,
    kv_types,
    round_up_cells,
    scratch_bytes,
)
from gogrid_desktop.core.model_facts import ModelFacts

#: What a process takes of a GPU before its first byte of model: CUDA's context, kernels and workspaces.
GPU_PROCESS_BYTES = 512 * MIB
#: What the worker takes of the host's memory beyond the model.
HOST_PROCESS_BYTES = 192 * MIB
_SPLIT_STEPS = 64


@dataclass(frozen=True, slots=True)
class Space:
    """What a new plan may take of one GPU, or of the host (`index` -1)."""

    index: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a plan, and the least that is worth having.

    `context`: tokens of one sequence; `slots`: sequences at once. `most_gpu_layers` counts the output layer, as
    llama.cpp's `n_gpu_layers` does; -1: all.
    """

    context: int
    slots: int
    least_context: int = 1
    least_slots: int = 1
    most_gpu_layers: int = -1


@dataclass(frozen=True, slots=True)
class Share:
    """What a plan puts on one GPU, or on the host. `layers` counts the output layer."""

    index: int
    layers: int
    weight_bytes: int
    cache_bytes: int
    compute_bytes: int
    process_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weight_bytes + self.cache_bytes + self.compute_bytes + self.process_bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """How to hold a model. `shares`: one for each GPU that is used.

    `cells`: KV cells of all sequences together; `own_cells`: each sequence has its own, and room for a whole context.
    """

    gpu_layers: int
    kv_type: KvType
    context: int
    slots: int
    own_cells: bool
    cells: int
    shares: tuple[Share, ...]
    host: Share
    why: str

    @property
    def tensor_split(self) -> tuple[float, ...]:
        """llama.cpp's `tensor_split` for the GPUs of `shares` alone: its layers go where whole layers were planned.

        It puts layer i of n on the first GPU whose share of the sum, added to those before it, is more than i / n.
        """
        return tuple(float(share.layers) for share in self.shares)

    @property
    def rank(self) -> tuple[int, bool, int, int, bool]:
        """Larger is better; what is given up last decides first."""
        return (self.gpu_layers, self.kv_type is KvType.F16, self.context, self.slots, self.own_cells)

    def better_than(self, other: Plan) -> bool:
        return self.rank > other.rank


@dataclass(frozen=True, slots=True)
class NoFit:
    """No variant fits. `needs_bytes`: of the smallest one; `budget_bytes`: of all GPUs together, or of the host."""

    needs_bytes: int
    budget_bytes: int
    why: str

    @property
    def short_bytes(self) -> int:
        return max(1, self.needs_bytes - self.budget_bytes)


def reserve_bytes(total_bytes: int, *, gentle: bool) -> int:
    """Left free for everybody else; `gentle`: somebody is at the desktop that this memory shows."""
    least, percent = (3 * GIB // 2, 15) if gentle else (256 * MIB, 5)
    return max(least, total_bytes * percent // 100)


def budget_bytes(total_bytes: int, foreign_bytes: int, fraction: float, reserve: int) -> int:
    """The most that all our workers together may hold of one memory; never negative.

    `fraction` outside 0..1 counts as the nearer end, one that is no number as 0.
    """
    fraction = min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0
    given = math.floor(Fraction(fraction) * total_bytes)
    return max(0, min(given, total_bytes - foreign_bytes - reserve))


def plan(
    facts: ModelFacts,
    wish: Wish,
    gpus: Sequence[Space],
    host: Space,
    compute: ComputeCost,
) -> Plan | NoFit:
    """The best variant that fits, or why there is none.

    Without `gpus`, or with `most_gpu_layers` 0, all is planned on the host.
    """
    gpus = sorted(gpus, key=lambda space: space.index)
    counts = _gpu_layer_counts(facts, wish, gpus)
    shortest = _Variant(KvType.F16, min(wish.context, wish.least_context), min(wish.slots, wish.least_slots), False)
    least = [_Need(facts, replace(shortest, kv_type=kv_type), compute) for kv_type in kv_types(facts)]
    needs: dict[_Variant, _Need] = {}
    for count in counts:
        if all(_place(need, count, gpus, host) is None for need in least):
            continue
        for variant in _variants(facts, wish):
            if variant not in needs:
                needs[variant] = _Need(facts, variant, compute)
            placed = _place(needs[variant], count, gpus, host)
            if placed is not None:
                return _plan(facts, wish, variant, needs[variant].cells, placed, (*gpus, host))
    return _no_fit(least, counts, gpus, host)


def _no_fit(least: Sequence[_Need], counts: range, gpus: Sequence[Space], host: Space) -> NoFit:
    """Names the memory that lacks: the host's where even the fewest layers there are too many."""
    needs_bytes, free = min(need.host_bytes(counts[0]) for need in least), host.free_bytes
    where = " of the host's memory" if counts[0] else ""
    pieces = ""
    if counts[0] and needs_bytes <= free:
        needs_bytes, free = min(need.gpu_bytes(counts[-1]) for need in least), sum(gpu.free_bytes for gpu in gpus)
        where = ""
        pieces = f" on {len(gpus)} GPUs" if len(gpus) > 1 else ""
    return NoFit(needs_bytes, free, f"it needs {gib(needs_bytes)} or more{where}, and {gib(free)}{pieces} may be used")


@dataclass(frozen=True, slots=True)
class _Variant:
    """What is tried, but for the number of layers on GPUs."""

    kv_type: KvType
    context: int
    slots: int
    own_cells: bool

    @property
    def cells(self) -> int:
        return cells_for(self.context, self.slots, own=self.own_cells)


def _variants(facts: ModelFacts, wish: Wish) -> Iterator[_Variant]:
    """The best first."""
    for kv_type in kv_types(facts):
        for context in _halved(wish.context, wish.least_context):
            for slots in _halved(wish.slots, wish.least_slots):
                own = _Variant(kv_type, context, slots, True)
                yield own
                shared = replace(own, own_cells=False)
                if shared.cells < own.cells:
                    yield shared


class _Need:
    """What one variant takes, layer by layer; index `layers` is the output layer."""

    def __init__(self, facts: ModelFacts, variant: _Variant, compute: ComputeCost) -> None:
        kv_type, slots = variant.kv_type, variant.slots
        self.cells = variant.cells
        self.compute_bytes = compute.at(self.cells)
        self.gpu_extra_bytes = GPU_PROCESS_BYTES + scratch_bytes(facts, self.cells, kv_type)
        self.input_bytes = facts.input_bytes
        self.logit_bytes = 4 * slots * facts.vocabulary
        self.weights = [size + LAYER_SLACK_BYTES for size in facts.layer_bytes]
        self.weights.append(facts.output_bytes + LAYER_SLACK_BYTES)
        self.caches = [cache_bytes(facts, i, self.cells, slots, kv_type) for i in range(facts.layers)] + [0]
        # Prompts are read aside where each sequence has its own cells and no layer is on a GPU.
        aside_bytes = 2 * min(sum(self.caches) // slots, ASIDE_BYTES) + self.compute_bytes
        self.aside_bytes = aside_bytes if variant.own_cells and slots > 1 else 0
        self.layers = [weight + cache for weight, cache in zip(self.weights, self.caches, strict=True)]
        self.before = [0]
        for size in self.layers:
            self.before.append(self.before[-1] + size)

    def gpu_bytes(self, count: int) -> int:
        """Of the last `count` layers on one GPU."""
        return self.before[-1] - self.before[-1 - count] + self.compute_bytes + self.gpu_extra_bytes

    def host_bytes(self, count: int) -> int:
        """Of what is not on a GPU when the last `count` layers are."""
        rest = self.before[-1 - count]
        return rest + self.input_bytes + self.compute_bytes + self._host_extra_bytes(len(self.layers) - count)

    def _host_extra_bytes(self, layers: int) -> int:
        return HOST_PROCESS_BYTES + self.logit_bytes + (self.aside_bytes if layers == len(self.layers) else 0)

    def share(self, index: int, first: int, count: int) -> Share:
        weights, caches = sum(self.weights[first : first + count]), sum(self.caches[first : first + count])
        if index >= 0:
            return Share(index, count, weights, caches, self.compute_bytes, self.gpu_extra_bytes)
        weights += self.input_bytes
        return Share(index, count, weights, caches, self.compute_bytes, self._host_extra_bytes(count))


def cells_for(context: int, slots: int, *, own: bool) -> int:
    """KV cells for so many sequences: a whole context for each, or for half of them, because few are that long.

    The worker lets sequences share their cells where there are fewer than `slots` x `context`.
    """
    shared = round_up_cells(context * max(1, slots // 2))
    return slots * round_up_cells(context) if own or shared >= slots * context else shared


def _place(need: _Need, count: int, gpus: Sequence[Space], host: Space) -> tuple[Share, ...] | None:
    """The shares of the GPUs and, last, of the host; None if they do not fit.

    One GPU alone is best, because nothing is handed from one to the other; the one with most room. Otherwise the layers
    go to all in proportion to their room: to the smallest part of each, in 64ths, in which they fit.
    """
    if need.host_bytes(count) > host.free_bytes:
        return None
    rest = need.share(host.index, 0, len(need.layers) - count)
    if not count:
        return (rest,)
    roomiest = max(gpus, key=lambda gpu: (gpu.free_bytes, -gpu.index))
    first = len(need.layers) - count
    if need.gpu_bytes(count) <= roomiest.free_bytes:
        return need.share(roomiest.index, first, count), rest
    if _filled(need, first, gpus, _SPLIT_STEPS) is None:
        return None
    low, high = 0, _SPLIT_STEPS
    while high - low > 1:
        middle = (low + high) // 2
        if _filled(need, first, gpus, middle) is None:
            low = middle
        else:
            high = middle
    shares = []
    for gpu, layers in zip(gpus, _filled(need, first, gpus, high) or (), strict=True):
        if layers:
            shares.append(need.share(gpu.index, first, layers))
            first += layers
    return (*shares, rest)


def _filled(need: _Need, first: int, gpus: Sequence[Space], part: int) -> list[int] | None:
    """Layers for each GPU in turn, as many as `part` 64ths of its room hold; None if some are left over.

    If any way of cutting the layers into one piece for each GPU fits, then so does this one.
    """
    counts = []
    for gpu in gpus:
        room = gpu.free_bytes * part // _SPLIT_STEPS - need.compute_bytes - need.gpu_extra_bytes
        began = first
        while first < len(need.layers) and need.layers[first] <= room:
            room -= need.layers[first]
            first += 1
        counts.append(first - began)
    return counts if first == len(need.layers) else None


def _gpu_layer_counts(facts: ModelFacts, wish: Wish, gpus: Sequence[Space]) -> range:
    """Numbers of layers on GPUs that are tried, the most first."""
    if not gpus or wish.most_gpu_layers == 0:
        return range(0, -1, -1)
    most = facts.layers + 1
    if wish.most_gpu_layers > 0:
        most = min(most, wish.most_gpu_layers)
    return range(most, min(most, (facts.layers + 2) // 2) - 1, -1)


def _halved(most: int, least: int) -> Iterator[int]:
    """From the most down to the least by halves, both included."""
    value = most
    while value > least:
        yield value
        value //= 2
    yield min(most, least)


def too_big(planned_bytes: int, measured_bytes: int, allowed_bytes: int) -> str:
    """After loading: empty, or a sentence that says that more is held than may be."""
    if measured_bytes <= allowed_bytes:
        return ""
    return (
        f"it takes {gib(measured_bytes)}, where {gib(planned_bytes)} were planned and {gib(allowed_bytes)} may be used"
    )


def gib(size: int) -> str:
    """ "4.0 GiB"; below a tenth of that in MiB."""
    return f"{size / GIB:.1f} GiB" if size >= GIB // 10 else f"{size / MIB:.0f} MiB"


def _plan(
    facts: ModelFacts,
    wish: Wish,
    variant: _Variant,
    cells: int,
    placed: tuple[Share, ...],
    spaces: Sequence[Space],
) -> Plan:
    """The plan with its reason; `placed` ends with the host's share."""
    *shares, host = placed
    count = sum(share.layers for share in shares)
    room = {space.index: space.free_bytes for space in spaces}
    places = " and ".join(
        f"{_named(share.index)} ({gib(share.total_bytes)} of {gib(room[share.index])})" for share in shares or (host,)
    )
    layers = facts.layers + 1
    what = f"all {layers} layers in {places}" if count in (0, layers) else f"{count} of {layers} layers in {places}"
    given_up = _given_up(wish, variant)
    if 0 < count < layers and count != wish.most_gpu_layers:
        given_up.append("the other layers in the host's memory")
    return Plan(
        gpu_layers=count,
        kv_type=variant.kv_type,
        context=variant.context,
        slots=variant.slots,
        own_cells=variant.own_cells,
        cells=cells,
        shares=tuple(shares),
        host=host,
        why=f"{what}; to fit: {', '.join(given_up)}" if given_up else what,
    )


def _given_up(wish: Wish, variant: _Variant) -> list[str]:
    given_up = []
    if variant.slots < wish.slots:
        given_up.append(f"{variant.slots} slots instead of {wish.slots}")
    if not variant.own_cells:
        given_up.append("cells shared by all slots")
    if variant.context < wish.context:
        given_up.append(f"{variant.context:,} tokens of context instead of {wish.context:,}")
    if variant.kv_type is not KvType.F16:
        given_up.append(f"the cache in {variant.kv_type}")
    return given_up


def _named(index: int) -> str:
    return "memory" if index < 0 else f"GPU {index}"
