"""The seven pictures of the tray, rendered from our SVG files at the sizes that panels ask for.

They are painted here rather than by Qt's icon engine plugin: the snooze ring is drawn over them, and a packaged
application without that plugin still has its icon.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from PySide6.QtSvg import QSvgRenderer

from gogrid_desktop.core.status import AgentState
from gogrid_desktop.paths import resource_folder

SIZES_PX = (16, 22, 24, 32, 44, 48, 64, 128)
RING = QColor("#7d7d7d")


def icon_folder() -> Path:
    return resource_folder("icons")


@cache
def state_icon(state: AgentState, snoozing: bool = False) -> QIcon:
    """The icon of `state`; with `snoozing` it is smaller and stands in a thin ring."""
    renderer = QSvgRenderer(str(icon_folder() / f"{state.value}.svg"))
    icon = QIcon()
    for size_px in SIZES_PX:
        icon.addPixmap(_draw(renderer, size_px, snoozing))
    return icon


def _draw(renderer: QSvgRenderer, size_px: int, snoozing: bool) -> QPixmap:
    picture = QPixmap(size_px, size_px)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if snoozing:
        ring_px = max(1.0, size_px / 16)
        half = ring_px / 2
        painter.setPen(QPen(RING, ring_px))
        painter.drawEllipse(QRectF(half, half, size_px - ring_px, size_px - ring_px))
        inset = size_px * 3 / 16
        renderer.render(painter, QRectF(inset, inset, size_px - 2 * inset, size_px - 2 * inset))
    else:
        renderer.render(painter)
    painter.end()
    return picture
