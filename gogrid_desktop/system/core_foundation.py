"""What macOS hands out as objects of CoreFoundation, as values of Python.

Source: CFBase.h, CFString.h, CFNumber.h, CFArray.h, CFDictionary.h. Tested with faked calls; not run on real hardware.
"""

from __future__ import annotations

import ctypes
from typing import Any

FRAMEWORK = "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation"

_UTF8 = 0x08000100
_INT64 = 4  # kCFNumberSInt64Type
_REF, _INDEX, _TYPE_ID, _BOOLEAN = ctypes.c_void_p, ctypes.c_long, ctypes.c_ulong, ctypes.c_ubyte
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "CFRelease": (None, (_REF,)),
    "CFGetTypeID": (_TYPE_ID, (_REF,)),
    "CFStringGetTypeID": (_TYPE_ID, ()),
    "CFStringGetLength": (_INDEX, (_REF,)),
    "CFStringGetMaximumSizeForEncoding": (_INDEX, (_INDEX, ctypes.c_uint32)),
    "CFStringGetCString": (_BOOLEAN, (_REF, ctypes.c_char_p, _INDEX, ctypes.c_uint32)),
    "CFNumberGetTypeID": (_TYPE_ID, ()),
    "CFNumberGetValue": (_BOOLEAN, (_REF, _INDEX, _REF)),
    "CFBooleanGetTypeID": (_TYPE_ID, ()),
    "CFBooleanGetValue": (_BOOLEAN, (_REF,)),
    "CFArrayGetTypeID": (_TYPE_ID, ()),
    "CFArrayGetCount": (_INDEX, (_REF,)),
    "CFArrayGetValueAtIndex": (_REF, (_REF, _INDEX)),
    "CFDictionaryGetTypeID": (_TYPE_ID, ()),
    "CFDictionaryGetCount": (_INDEX, (_REF,)),
    "CFDictionaryGetKeysAndValues": (None, (_REF, _REF, _REF)),
}


class CoreFoundation:
    """`library`: CoreFoundation, loaded by ctypes."""

    def __init__(self, library: Any) -> None:
        self._cf = library
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

    def take(self, ref: int | None) -> Any:
        """The value of an object that we own (a function with Copy in its name gave it), which is released."""
        if not ref:
            return None
        try:
            return self._value(ref)
        finally:
            self._cf.CFRelease(ref)

    def _value(self, ref: int | None) -> Any:
        """str, int, bool, list or dict; None for other kinds. Fractions of numbers are cut off."""
        if not ref:
            return None
        kind = self._cf.CFGetTypeID(ref)
        if kind == self._cf.CFStringGetTypeID():
            return self._text(ref)
        if kind == self._cf.CFNumberGetTypeID():
            number = ctypes.c_int64()
            self._cf.CFNumberGetValue(ref, _INT64, ctypes.byref(number))
            return number.value
        if kind == self._cf.CFBooleanGetTypeID():
            return bool(self._cf.CFBooleanGetValue(ref))
        if kind == self._cf.CFArrayGetTypeID():
            count = self._cf.CFArrayGetCount(ref)
            return [self._value(self._cf.CFArrayGetValueAtIndex(ref, index)) for index in range(count)]
        return self._pairs(ref) if kind == self._cf.CFDictionaryGetTypeID() else None

    def _text(self, ref: int) -> str:
        size = self._cf.CFStringGetMaximumSizeForEncoding(self._cf.CFStringGetLength(ref), _UTF8) + 1
        buffer = ctypes.create_string_buffer(size)
        return buffer.value.decode(errors="replace") if self._cf.CFStringGetCString(ref, buffer, size, _UTF8) else ""

    def _pairs(self, ref: int) -> dict[Any, Any]:
        count = self._cf.CFDictionaryGetCount(ref)
        keys, values = (ctypes.c_void_p * count)(), (ctypes.c_void_p * count)()
        self._cf.CFDictionaryGetKeysAndValues(ref, keys, values)
        pairs = ((self._value(key), self._value(value)) for key, value in zip(keys, values, strict=True))
        return {key: value for key, value in pairs if isinstance(key, str | int)}
