"""An `Activity` as flat names and plain values of JSON, of which a recording keeps those that changed.

`power.mains` is the field `mains` of `power`; `gpus` how many GPUs there are, and `gpu.0.temperature_c` a field of the
first of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from gogrid_desktop.core.activity import Activity
from gogrid_desktop.core.gpu_use import GpuUse

Value = bool | float | str | list[str] | None
_Check = Callable[[object], bool]

MOST_GPUS = 64
_NESTED = ("power", "screen", "session", "attention")


def _or_unknown(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _one_of(*words: str) -> _Check:
    return lambda value: value in words


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _number(least: float, most: float) -> _Check:
    def check(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return math.isfinite(value) and least <= value <= most

    return check


def _count(most: int) -> _Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


_SHARE, _BYTES, _DEGREES = _number(0, 1), _count(2**60), _number(-273, 2000)
_CHECKS: Mapping[str, _Check] = {
    "idle_s": _or_unknown(_number(0, 1e12)),
    "idle_source": _text,
    "weekday": _count(6),
    "second_of_day": _number(0, 86401.999),  # a leap second still belongs to its day
    "jobs_running": _count(10**6),
    "gpu_problem": _text,
    "others_cpu": _or_unknown(_SHARE),
    "metered": _or_unknown(_flag),
    "programs": _texts,
    "other_agent": _text,
    "power.mains": _or_unknown(_flag),
    "power.charge": _or_unknown(_SHARE),
    "power.saver": _flag,
    "power.falling": _flag,
    "screen.fullscreen": _or_unknown(_flag),
    "screen.program": _text,
    "session.active": _or_unknown(_flag),
    "session.locked": _or_unknown(_flag),
    "session.nobody": _or_unknown(_flag),
    "session.remote": _or_unknown(_flag),
    "session.leaving": _one_of("", "suspend", "shutdown"),
    "attention.inhibitor": _or_unknown(_text),
    "attention.game_mode": _or_unknown(_flag),
    "attention.call": _or_unknown(_one_of("", "microphone", "camera")),
    "gpus": _count(MOST_GPUS),
    "gpu.index": _count(10**6),
    "gpu.total_bytes": _BYTES,
    "gpu.free_bytes": _BYTES,
    "gpu.foreign_low": _or_unknown(_SHARE),
    "gpu.foreign_high": _or_unknown(_SHARE),
    "gpu.foreign_bytes": _or_unknown(_BYTES),
    "gpu.temperature_c": _or_unknown(_DEGREES),
    "gpu.slowdown_c": _or_unknown(_DEGREES),
    "gpu.screen": _or_unknown(_flag),
    "gpu.program": _text,
}
_TOP = tuple(name for name in _CHECKS if "." not in name and name != "gpus")
_GPU = tuple(field.name for field in fields(GpuUse))


class FieldError(ValueError):
    """A name that means nothing, or a value that it cannot have; completes "line 7: "."""


def changes(before: Activity, now: Activity) -> dict[str, Value]:
    """What must be told of `now` to somebody who knows `before`."""
    told: dict[str, Value] = {}
    for name in _TOP:
        value = getattr(now, name)
        if value != getattr(before, name):
            told[name] = sorted(value) if isinstance(value, frozenset) else value
    for group in _NESTED:
        old, new = getattr(before, group), getattr(now, group)
        if new != old:
            told |= {f"{group}.{key}": value for key, value in _differences(old, new)}
    if len(now.gpus) != len(before.gpus):
        told["gpus"] = len(now.gpus)
    for number, gpu in enumerate(now.gpus):
        known = before.gpus[number] if number < len(before.gpus) else _blank(number)
        if gpu != known:
            told |= {f"gpu.{number}.{key}": value for key, value in _differences(known, gpu)}
    return told


def changed(before: Activity, told: Mapping[str, object]) -> Activity:
    """The inverse: `before`, with what was told. Raises FieldError."""
    top: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    gpus: dict[int, dict[str, Any]] = {}
    count = _checked("gpus", told["gpus"]) if "gpus" in told else len(before.gpus)
    for name, value in told.items():
        group, _, key = name.partition(".")
        if group == "gpu":
            number, _, key = key.partition(".")
            if not (number.isascii() and number.isdigit()) or int(number) >= count:
                raise FieldError(f"{name} is of no GPU that is there")
            gpus.setdefault(int(number), {})[key] = _checked(f"gpu.{key}", value)
        elif key:
            nested.setdefault(group, {})[key] = _checked(name, value)
        elif name != "gpus":
            top[name] = _checked(name, value)
    if "programs" in top:
        top["programs"] = frozenset(top["programs"])
    for group, values in nested.items():
        top[group] = replace(getattr(before, group), **values)
    if gpus or count != len(before.gpus):
        known = [before.gpus[each] if each < len(before.gpus) else _blank(each) for each in range(count)]
        top["gpus"] = tuple(replace(gpu, **gpus[number]) if number in gpus else gpu for number, gpu in enumerate(known))
    return replace(before, **top) if top else before


def _checked(name: str, value: object) -> Any:
    check = _CHECKS.get(name)
    if check is None:
        raise FieldError(f"there is no field {name}")
    if not check(value):
        raise FieldError(f"{name} cannot be {value!r}")
    return value


def _differences(old: object, new: object) -> list[tuple[str, Any]]:
    names = _GPU if isinstance(new, GpuUse) else tuple(field.name for field in fields(new))  # type: ignore[arg-type]
    return [(name, getattr(new, name)) for name in names if getattr(new, name) != getattr(old, name)]


def _blank(number: int) -> GpuUse:
    return GpuUse(number, 0, 0)
