"""The agent's figures in the text format of Prometheus (exposition format 0.0.4), for a collector of text files."""

from __future__ import annotations

from gogrid_desktop.core.histogram import BOUNDS_MS, Histogram
from gogrid_desktop.core.status import AgentStatus


def metrics(status: AgentStatus) -> str:
    """Counters and gauges first, then how fast the computer was given back, in seconds."""
    totals, yielding = status.totals, status.yielding
    lines: list[str] = []
    for name, kind, value in (
        ("profile", "gauge", int(status.profile)),
        ("jobs_running", "gauge", status.jobs_running),
        ("tokens_per_second", "gauge", status.tokens_per_s),
        ("compute_share", "gauge", status.limits.compute_share),
        ("connected", "gauge", int(status.connected)),
        ("jobs_total", "counter", totals.jobs),
        ("jobs_failed_total", "counter", totals.jobs_failed),
        ("tokens_total", "counter", totals.tokens),
        ("leases_total", "counter", totals.leases),
        ("yields_total", "counter", yielding.count),
        ("worker_restarts_total", "counter", totals.worker_restarts),
        ("requests_throttled_total", "counter", status.throttle.throttled),
        ("requests_rejected_for_vram_total", "counter", status.throttle.rejected_for_vram),
    ):
        lines += [f"# TYPE gogrid_{name} {kind}", f"gogrid_{name} {value:g}"]
    lines.append("# TYPE gogrid_yield_seconds histogram")
    for phase in ("decided", "stopped", "whole", "memory"):
        lines += _histogram("gogrid_yield_seconds", phase, getattr(yielding, phase))
    return "\n".join(lines) + "\n"


def _histogram(name: str, phase: str, counted: Histogram) -> list[str]:
    lines, seen = [], 0
    for bound_ms, count in zip((*BOUNDS_MS, None), counted.counts, strict=True):
        seen += count
        bound = "+Inf" if bound_ms is None else f"{bound_ms / 1000:g}"
        lines.append(f'{name}_bucket{{phase="{phase}",le="{bound}"}} {seen}')
    lines.append(f'{name}_sum{{phase="{phase}"}} {counted.sum_ms / 1000:g}')
    lines.append(f'{name}_count{{phase="{phase}"}} {seen}')
    return lines
