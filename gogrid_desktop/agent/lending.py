"""What of the person's `work` settings goes into a lease call, and what to tell them when nothing can come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from gogrid_desktop.agent.outbox import HeldJob
from gogrid_desktop.config.settings import WorkLimits
from gogrid_desktop.core.sharing import ShareWith, Work
from gogrid_desktop.protocol.grid import NO_ACCOUNT, NO_GROUP, work_of


@dataclass(frozen=True, slots=True)
class Lending:
    """Whose work is taken, and which. `free`: how many more jobs of a kind of work; the others may fill the slots."""

    work: tuple[Work, ...] = tuple(Work)
    free: Mapping[Work, int] = field(default_factory=dict)
    share_with: ShareWith = ShareWith.EVERYONE
    groups: tuple[str, ...] = ()

    def slots(self, slots: int) -> int:
        """How many of so many slots there is any work for."""
        return min(slots, sum(self.room(work, slots) for work in Work))

    def room(self, work: Work, slots: int) -> int:
        """How many more jobs of this kind so many slots are for."""
        return min(slots, self.free.get(work, slots)) if work in self.work else 0

    @property
    def whose(self) -> tuple[ShareWith, tuple[str, ...]]:
        return self.share_with, self.groups


ALL_WORK = Lending()


def lending(limits: WorkLimits, jobs: Iterable[HeldJob], slots: int) -> Lending:
    """What may be asked for with so many free slots while these jobs are held."""
    held = Counter(work_of(job.lease.job.kind, job.lease.job.priority) for job in jobs)
    free = {work: max(0, most - held[work]) for work, most in limits.most.items() if most}
    share_with = ShareWith(limits.share_with)
    return Lending(
        work=tuple(work for work in Work if work in free),
        free={work: left for work, left in free.items() if left < slots},
        share_with=share_with,
        groups=limits.groups if share_with is ShareWith.GROUPS else (),
    )


def nobody(limits: WorkLimits, none_because: Collection[str]) -> str:
    """Why no job can come as the settings are, and what to do; "" if one can. `none_because`: the coordinator's."""
    if not any(limits.most.values()):
        return "No work is taken: work.chat, work.batch and work.embedding are all 0. Raise one of them."
    share_with = ShareWith(limits.share_with)
    if share_with is ShareWith.OWN and NO_ACCOUNT in none_because:
        return (
            "You share with your own jobs only (work.share_with = own), but this node joined without an account: "
            "ask the operator for an invite of your account."
        )
    if share_with is ShareWith.GROUPS and NO_GROUP in none_because:
        names = ",".join(limits.groups)
        return (
            f"You share with groups only, but nobody on this grid is in one of yours (work.groups = {names!r}): "
            "ask the operator how your group is called."
        )
    return ""
