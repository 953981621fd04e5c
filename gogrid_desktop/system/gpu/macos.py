"""GPUs of macOS: what their drivers publish in the I/O Registry, as a whole and not by process.

Source: IOKitLib.h (`IOServiceGetMatchingServices`, `IORegistryEntryCreateCFProperty`) and CoreFoundation; the class
IOAccelerator and its property "PerformanceStatistics", as `ioreg -c IOAccelerator` shows it. Such a GPU computes in
main memory. Tested with faked calls; not run on real hardware.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from typing import Any

import psutil

from gogrid_desktop.system.gpu import Gpu, GpuReading

IOKIT = "/System/Library/Frameworks/IOKit.framework/IOKit"
CORE_FOUNDATION = "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation"
#: kCFStringEncodingUTF8, kCFNumberSInt64Type.
_UTF8, _INT64 = 0x08000100, 4
_NAME_BYTES = 256


class MacGpus:
    """`iokit`, `foundation`: the frameworks, loaded by ctypes. `memory_bytes`: of this machine; 0: look."""

    name = "macos-io-registry"

    def __init__(self, iokit: Any, foundation: Any, memory_bytes: int = 0) -> None:
        self._io, self._cf = iokit, foundation
        self._memory_bytes = memory_bytes or psutil.virtual_memory().total
        ref, port, flag = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_bool
        text, length = ctypes.c_char_p, ctypes.c_long
        for function, result, arguments in (
            (iokit.IOServiceMatching, ref, (text,)),
            (iokit.IOServiceGetMatchingServices, ctypes.c_int32, (port, ref, ctypes.POINTER(port))),
            (iokit.IOIteratorNext, port, (port,)),
            (iokit.IORegistryEntryCreateCFProperty, ref, (port, ref, ref, port)),
            (iokit.IOObjectRelease, ctypes.c_int32, (port,)),
            (foundation.CFStringCreateWithCString, ref, (ref, text, port)),
            (foundation.CFDictionaryGetValue, ref, (ref, ref)),
            (foundation.CFNumberGetValue, flag, (ref, length, ref)),
            (foundation.CFStringGetCString, flag, (ref, text, length, port)),
            (foundation.CFGetTypeID, ctypes.c_ulong, (ref,)),
            (foundation.CFNumberGetTypeID, ctypes.c_ulong, ()),
            (foundation.CFDictionaryGetTypeID, ctypes.c_ulong, ()),
            (foundation.CFStringGetTypeID, ctypes.c_ulong, ()),
            (foundation.CFRelease, None, (ref,)),
        ):
            function.restype, function.argtypes = result, arguments

    def read(self) -> GpuReading:
        gpus: list[Gpu] = []
        for service in self._services():
            name = self._name(service)
            statistics = self._property(service, b"PerformanceStatistics")
            if statistics is None:
                continue
            busy = self._number(statistics, b"Device Utilization %")
            used = self._number(statistics, b"In use system memory")
            self._cf.CFRelease(statistics)
            if used is not None:
                gpus.append(self._gpu(len(gpus), name, busy, used))
        problem = "" if gpus else "macOS tells of no GPU."
        return GpuReading(tuple(gpus), problem, time.monotonic())

    def _gpu(self, index: int, name: str, busy: int | None, used: int) -> Gpu:
        total = self._memory_bytes
        used = min(total, max(0, used))
        share = None if busy is None or busy < 0 else min(1.0, busy / 100)
        return Gpu(index, name or "Apple GPU", "macOS", total, used, total - used, share)

    def _services(self) -> Iterator[int]:
        iterator = ctypes.c_uint32()
        matching = self._io.IOServiceMatching(b"IOAccelerator")  # the next call takes it over
        if self._io.IOServiceGetMatchingServices(0, matching, ctypes.byref(iterator)) != 0:
            return
        while service := self._io.IOIteratorNext(iterator):
            yield service
            self._io.IOObjectRelease(service)
        self._io.IOObjectRelease(iterator)

    def _name(self, service: int) -> str:
        value = self._property(service, b"model")
        if value is None:
            return ""
        name = ctypes.create_string_buffer(_NAME_BYTES)
        known = self._cf.CFGetTypeID(value) == self._cf.CFStringGetTypeID()
        told = known and self._cf.CFStringGetCString(value, name, _NAME_BYTES, _UTF8)
        self._cf.CFRelease(value)
        return name.value.decode(errors="replace") if told else ""

    def _property(self, service: int, name: bytes) -> int | None:
        """To be released by the caller."""
        key = self._cf.CFStringCreateWithCString(None, name, _UTF8)
        value: int | None = self._io.IORegistryEntryCreateCFProperty(service, key, None, 0)
        self._cf.CFRelease(key)
        return value

    def _number(self, dictionary: int, name: bytes) -> int | None:
        if self._cf.CFGetTypeID(dictionary) != self._cf.CFDictionaryGetTypeID():
            return None
        key = self._cf.CFStringCreateWithCString(None, name, _UTF8)
        value = self._cf.CFDictionaryGetValue(dictionary, key)
        self._cf.CFRelease(key)
        number = ctypes.c_int64()
        if not value or self._cf.CFGetTypeID(value) != self._cf.CFNumberGetTypeID():
            return None
        return number.value if self._cf.CFNumberGetValue(value, _INT64, ctypes.byref(number)) else None
