"""Which models are held: loads what is asked for, makes room, gives memory back when it is scarce or nobody asks.

What fits is the planner's to say and who makes room for whom `core.placement`'s; here the moves are made, one at a
time, because memory that is still on its way back must not be planned with twice.
"""

from __future__ import annotations

import logging

from gogrid_desktop.agent.budget import Budget
from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.outbox import Outbox
from gogrid_desktop.agent.planning import Held, NoRoom, Planned
from gogrid_desktop.agent.pool import WorkerPool
from gogrid_desktop.core.placement import WAIT_S, Outcome, Waiting, idle_ones, pinned, place
from gogrid_desktop.core.pressure import Answer
from gogrid_desktop.protocol.grid import ReleaseReason

log = logging.getLogger(__name__)


class Stock:
    """`offered`: models that a lease may be asked for now; `context`: the longest prompt and answer together that each
    of them takes; `no_room`: why nothing more is loaded, empty while nothing is missing."""

    def __init__(self, pool: WorkerPool, outbox: Outbox, clock: Clock) -> None:
        self.offered: tuple[str, ...] = ()
        self.context = 1
        self.no_room = ""
        self._pool, self._outbox, self._clock = pool, outbox, clock
        self._waiting: dict[str, float] = {}  # models that jobs wait for, since when
        self._barred: dict[str, str] = {}  # models that turned out not to fit, and why
        self._better: set[str] = set()  # models for which there may be a better plan
        self._other: set[str] = set()  # models whose settings have changed
        self._rested = False  # nothing is held because nobody asked for long: only a job loads again

    def mended(self) -> None:
        """Settings or files changed: what was given up may work now, and plans may be others."""
        self._barred.clear()
        self._rested = False
        self._pool.mended()
        self._other = set(self._pool.runners)

    def reconsider(self) -> None:
        """There may be more room than there was: look for a better plan for each model, once it is idle."""
        self._better = set(self._pool.runners)

    def tend(self, budget: Budget, answer: Answer, *, unload_after_s: float) -> None:
        """Load, unload and make room, as far as can be done now; call it again at least every few seconds."""
        now, pool = self._clock.monotonic(), self._pool
        pool.names = budget.names
        pool.measure(budget.measured)
        self._clear_out(budget, now, unload_after_s)
        self._note_waiting(budget, now)
        if answer.shrink or not budget.allows(pool.held()):
            self._shrink(budget)
        elif answer.more and not pool.leaving:
            self._place(budget, now)
        self._offer(budget, answer, now)

    def _offer(self, budget: Budget, answer: Answer, now: float) -> None:
        pool = self._pool
        able = [model for model, runner in pool.runners.items() if not runner.problem]
        unable = pool.runners.keys() - set(able) | self._barred.keys()
        fitting = budget.fits(pool.held(keep=pinned(pool.residents, now))) if answer.more else ()
        self.offered = tuple(dict.fromkeys([*able, *(model for model in fitting if model not in unable)]))
        contexts = {model: planned.wanted.context for model, planned in pool.plans.items()}
        self.context = min((contexts.get(model) or budget.context(model) for model in self.offered), default=1)

    def _clear_out(self, budget: Budget, now: float, unload_after_s: float) -> None:
        """Models that nobody asked for in a long time, and those that the grid has no more."""
        # One that was given up holds no memory, and must be remembered.
        here = [one for one in self._pool.residents if not self._pool.runners[one.model].given_up]
        tired = idle_ones(here, now, unload_after_s)
        self._rested = self._rested or bool(tired)
        orphans = (one.model for one in self._pool.residents if one.model not in budget.names and not one.jobs)
        self._pool.unload({*tired, *orphans})

    def _note_waiting(self, budget: Budget, now: float) -> None:
        """Since when each model that is not loaded has been waited for; jobs of one that is not here go back."""
        wanted = {job.lease.job.model for job in self._outbox.running} - self._pool.runners.keys()
        self._waiting = {model: self._waiting.get(model, now) for model in wanted}
        for model, since in tuple(self._waiting.items()):
            if model not in budget.names or now - since >= WAIT_S:
                self._refuse(model)
                del self._waiting[model]

    def _place(self, budget: Budget, now: float) -> None:
        def fits(model: str, kept: frozenset[str]) -> bool:
            return model not in self._barred and isinstance(budget.plan(model, self._pool.held(keep=kept)), Planned)

        waiting = [Waiting(model, since) for model, since in self._waiting.items()]
        for move in place(self._pool.residents, waiting, now, fits):
            match move.outcome:
                case Outcome.LOAD if move.evict:
                    self._pool.unload(move.evict)
                    return  # the load follows when their memory is back
                case Outcome.LOAD:
                    self._load(budget, budget.plan(move.model, self._pool.held()))
                case Outcome.REFUSE:
                    self._refuse(move.model)
        if budget.names and not self._pool.runners and not self._rested:
            self._load(budget, budget.first())
        for one in self._pool.residents:
            if one.model in self._better | self._other and not one.jobs and not one.young(now):
                self._improve(budget, one.model)

    def _load(self, budget: Budget, planned: Planned | NoRoom) -> None:
        if isinstance(planned, NoRoom):
            self.no_room = planned.why
            return
        model = planned.wanted.sha256
        if model in self._barred:
            self.no_room = self._barred[model]
            return
        log.info("%s is loaded: %s", budget.names[model], planned.why)
        self._rested, self.no_room = False, ""
        self._pool.load(model, planned)

    def _improve(self, budget: Budget, model: str) -> None:
        """A better plan for an idle model, or any other where the settings have changed."""
        pool = self._pool
        changed = model in self._other
        self._better.discard(model)
        self._other.discard(model)
        planned, before = budget.plan(model, pool.held(keep=pool.runners.keys() - {model})), pool.plans[model]
        if isinstance(planned, NoRoom) or planned.wanted == before.wanted:
            return
        if changed or planned.plan.better_than(before.plan):
            log.info("%s is loaded anew: %s", budget.names[model], planned.why)
            pool.load(model, planned)

    def _shrink(self, budget: Budget) -> None:
        """Give memory back: the idle model used longest ago, then a smaller plan for the largest, then that one too."""
        pool = self._pool
        if pool.leaving or not pool.runners:
            return
        idle = [one for one in pool.residents if not one.jobs]
        if idle and len(pool.runners) > 1:
            pool.unload([min(idle, key=lambda one: one.used_at).model])
            return
        model = max(pool.plans, key=lambda one: _bytes(pool.plans[one].held()))
        planned = budget.plan(model, pool.held(keep=pool.runners.keys() - {model}))
        if isinstance(planned, Planned) and _bytes(planned.held()) < _bytes(pool.plans[model].held()):
            log.warning("memory is scarce, %s is loaded anew: %s", budget.names.get(model, model), planned.why)
            pool.load(model, planned)
            return
        if isinstance(planned, Planned):
            self._barred[model] = budget.outgrown(pool.plans[model], pool.held(keep={model}))
        self.no_room = planned.why if isinstance(planned, NoRoom) else self._barred[model]
        log.warning("memory is scarce, %s is unloaded: %s", budget.names.get(model, model), self.no_room)
        pool.unload([model])

    def _refuse(self, model: str) -> None:
        """Hand the jobs of a model that is not loaded back."""
        for job in self._outbox.running:
            if job.lease.job.model == model:
                self._pool.throttle.refused_for_vram()
                self._pool.hand_back(job, ReleaseReason.YIELDED)


def _bytes(held: Held) -> int:
    return held.ram_bytes + sum(size for _, size in held.gpu_bytes)
