"""Who uses GPUs on Windows: the performance counters of GPU engines and of processes' memory on the card.

Source: pdh.h (`PdhAddEnglishCounterW`, `PdhGetFormattedCounterArrayW`), the counters as Task Manager shows them. An
instance is named "pid_41_luid_0x00000000_0x0000C2F1_phys_0_eng_0_engtype_3D". What a process does on one engine of a
card adds up, and the engine that is used most counts. Tested with faked calls; not run on real hardware.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from typing import Any

ENGINES = r"\GPU Engine(*)\Utilization Percentage"
MEMORY = r"\GPU Process Memory(*)\Dedicated Usage"
PDH_FMT_LARGE, PDH_FMT_DOUBLE, PDH_FMT_NOCAP100 = 0x400, 0x200, 0x8000
PDH_MORE_DATA = 0x800007D2
#: PDH_CSTATUS_VALID_DATA, PDH_CSTATUS_NEW_DATA.
_VALID = (0, 1)
_ATTEMPTS = 3
_INSTANCE = re.compile(r"pid_(\d+)_luid_(0x[0-9a-f]+_0x[0-9a-f]+)(?:_phys_(\d+)(?:_eng_(\d+))?)?", re.IGNORECASE)


class _Value(ctypes.Union):
    _fields_ = (("double", ctypes.c_double), ("large", ctypes.c_int64))


class CounterValue(ctypes.Structure):
    """PDH_FMT_COUNTERVALUE."""

    _fields_ = (("status", ctypes.c_uint32), ("value", _Value))


class CounterItem(ctypes.Structure):
    """PDH_FMT_COUNTERVALUE_ITEM_W."""

    _fields_ = (("name", ctypes.c_wchar_p), ("counter", CounterValue))


class PdhGpus:
    """`pdh`: the library, `ctypes.WinDLL("pdh")` there. What it does not tell is empty."""

    def __init__(self, pdh: Any) -> None:
        self._open, self._add = pdh.PdhOpenQueryW, pdh.PdhAddEnglishCounterW
        self._collect, self._array = pdh.PdhCollectQueryData, pdh.PdhGetFormattedCounterArrayW
        handle, uint = ctypes.c_void_p, ctypes.c_uint32
        self._open.argtypes = (ctypes.c_wchar_p, ctypes.c_size_t, ctypes.POINTER(handle))
        self._add.argtypes = (handle, ctypes.c_wchar_p, ctypes.c_size_t, ctypes.POINTER(handle))
        self._collect.argtypes = (handle,)
        self._array.argtypes = (handle, uint, ctypes.POINTER(uint), ctypes.POINTER(uint), ctypes.c_void_p)
        for function in (self._open, self._add, self._collect, self._array):
            function.restype = uint
        self._query = handle()
        self._counters: dict[str, ctypes.c_void_p] = {}

    def read(self) -> tuple[dict[int, float], dict[int, int]]:
        """What each process uses of the GPU that it uses most, 0..1, and its bytes on all cards; by pid.

        A rate takes two readings: the first has memory alone.
        """
        if not self._counters and not self._start():
            return {}, {}
        if self._collect(self._query) != 0:
            return {}, {}
        engines: dict[tuple[int, str], float] = {}
        for name, value in self._items(ENGINES, PDH_FMT_DOUBLE | PDH_FMT_NOCAP100):
            if (found := _INSTANCE.match(name)) is not None:
                key = int(found[1]), found[0]
                engines[key] = engines.get(key, 0.0) + max(0.0, value.double)
        shares: dict[int, float] = {}
        for (pid, _), percent in engines.items():
            shares[pid] = max(shares.get(pid, 0.0), min(1.0, percent / 100))
        used: dict[int, int] = {}
        for name, value in self._items(MEMORY, PDH_FMT_LARGE):
            if (found := _INSTANCE.match(name)) is not None:
                used[int(found[1])] = used.get(int(found[1]), 0) + max(0, int(value.large))
        return shares, used

    def _start(self) -> bool:
        if self._open(None, 0, ctypes.byref(self._query)) != 0:
            return False
        for path in (ENGINES, MEMORY):
            counter = ctypes.c_void_p()
            if self._add(self._query, path, 0, ctypes.byref(counter)) == 0:
                self._counters[path] = counter
        return bool(self._counters)

    def _items(self, path: str, form: int) -> Iterator[tuple[str, Any]]:
        if path not in self._counters:
            return
        for _ in range(_ATTEMPTS):  # there may be more processes when it is asked again
            size, count = ctypes.c_uint32(), ctypes.c_uint32()
            told = self._array(self._counters[path], form, ctypes.byref(size), ctypes.byref(count), None)
            if told != PDH_MORE_DATA:
                return
            buffer = ctypes.create_string_buffer(size.value)
            told = self._array(self._counters[path], form, ctypes.byref(size), ctypes.byref(count), buffer)
            if told == 0:
                items = ctypes.cast(buffer, ctypes.POINTER(CounterItem))
                for item in items[: count.value]:
                    if item.counter.status in _VALID and item.name:
                        yield item.name, item.counter.value
                return
