"""CoreFoundation as far as we call it, over values of Python; it counts what is given out and released."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from gogrid_desktop.system.core_foundation import CoreFoundation

_KINDS = {str: 7, bool: 21, int: 22, list: 19, dict: 18, float: 42}


class Function:
    """A function of a library: it has to be declared before it is called."""

    def __init__(self, does: Callable[..., Any]) -> None:
        self.restype: Any = ctypes.c_int
        self.argtypes: Any = None
        self._does = does

    def __call__(self, *arguments: Any) -> Any:
        assert self.argtypes is not None, "argument types are not declared"
        assert len(arguments) == len(self.argtypes)
        for kind, argument in zip(self.argtypes, arguments, strict=True):
            kind.from_param(argument)  # as ctypes does; raises for what does not fit
        return self._does(*arguments)


class FakeFoundation:
    """`library` has the functions; `copy(value)` gives an object that its receiver has to release."""

    def __init__(self) -> None:
        self._objects: dict[int, Any] = {}
        self.owned: set[int] = set()
        functions = [name for name in dir(type(self)) if name.startswith("CF")]
        self.library = type("Library", (), {name: Function(getattr(self, name)) for name in functions})()
        self.foundation = CoreFoundation(self.library)

    def copy(self, value: Any) -> int:
        self.owned.add(ref := self._borrow(value))
        return ref

    def _borrow(self, value: Any) -> int:
        ref = 2**40 + len(self._objects)  # wider than an int of C
        self._objects[ref] = value
        return ref

    def CFRelease(self, ref: int) -> None:
        self.owned.remove(ref)

    def CFGetTypeID(self, ref: int) -> int:
        return _KINDS[type(self._objects[ref])]

    def CFStringGetTypeID(self) -> int:
        return _KINDS[str]

    def CFNumberGetTypeID(self) -> int:
        return _KINDS[int]

    def CFBooleanGetTypeID(self) -> int:
        return _KINDS[bool]

    def CFArrayGetTypeID(self) -> int:
        return _KINDS[list]

    def CFDictionaryGetTypeID(self) -> int:
        return _KINDS[dict]

    def CFStringGetLength(self, ref: int) -> int:
        return len(self._objects[ref])

    def CFStringGetMaximumSizeForEncoding(self, length: int, encoding: int) -> int:
        assert encoding == 0x08000100
        return length * 4

    def CFStringGetCString(self, ref: int, buffer: Any, size: int, encoding: int) -> int:
        text = self._objects[ref].encode()
        assert len(text) < size <= len(buffer)
        buffer.value = text
        return 1

    def CFNumberGetValue(self, ref: int, kind: int, reference: Any) -> int:
        assert kind == 4
        assert isinstance(reference._obj, ctypes.c_int64)
        reference._obj.value = self._objects[ref]
        return 1

    def CFBooleanGetValue(self, ref: int) -> int:
        return int(self._objects[ref])

    def CFArrayGetCount(self, ref: int) -> int:
        return len(self._objects[ref])

    def CFArrayGetValueAtIndex(self, ref: int, index: int) -> int:
        return self._borrow(self._objects[ref][index])

    def CFDictionaryGetCount(self, ref: int) -> int:
        return len(self._objects[ref])

    def CFDictionaryGetKeysAndValues(self, ref: int, keys: Any, values: Any) -> None:
        for index, (key, value) in enumerate(self._objects[ref].items()):
            keys[index], values[index] = self._borrow(key), self._borrow(value)
