"""What a tray that runs for weeks needs of the bindings."""

from __future__ import annotations

import sys

from PySide6.QtCore import QObject, Signal
from pytestqt.qtbot import QtBot

TIMES = 200


class _Teller(QObject):
    told = Signal(object)


def test_a_signal_that_is_emitted_keeps_the_references_to_what_it_returns(qtbot: QtBot) -> None:
    """One less each time, and Python ends the process at none."""
    teller, heard = _Teller(), []
    teller.told.connect(heard.append)
    before = sys.getrefcount(True)
    for number in range(TIMES):
        teller.told.emit(number)
    assert sys.getrefcount(True) > before - TIMES // 2
    assert len(heard) == TIMES
