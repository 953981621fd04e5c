"""The icons: told apart without colour, seen on light and dark panels."""

from __future__ import annotations

from itertools import combinations

import pytest
from PySide6.QtGui import QColor, QImage
from pytestqt.qtbot import QtBot

from gogrid_desktop.core.status import AgentState
from gogrid_desktop.ui.icons import icon_folder, state_icon

LIGHT, DARK = QColor("#f6f6f6"), QColor("#202020")
#: WCAG 2.1, 1.4.11: graphical objects.
LEAST_CONTRAST = 3.0


def picture(state: AgentState, size_px: int, snoozing: bool = False) -> QImage:
    return state_icon(state, snoozing).pixmap(size_px, size_px).toImage().convertToFormat(QImage.Format.Format_RGBA8888)


def alpha(image: QImage) -> list[int]:
    return [image.pixelColor(x, y).alpha() for y in range(image.height()) for x in range(image.width())]


def luminance(colour: QColor) -> float:
    """Relative luminance, WCAG 2.1."""
    channels = (colour.redF(), colour.greenF(), colour.blueF())
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: QColor, other: QColor) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("size_px", [16, 22, 32])
@pytest.mark.parametrize(("snoozing", "least"), [(False, 0.03), (True, 0.015)])
def test_the_seven_icons_differ_in_shape_alone(qtbot: QtBot, size_px: int, snoozing: bool, least: float) -> None:
    for one, other in combinations(AgentState, 2):
        pairs = zip(alpha(picture(one, size_px, snoozing)), alpha(picture(other, size_px, snoozing)), strict=True)
        different = sum(abs(a - b) > 96 for a, b in pairs)
        assert different >= size_px * size_px * least, (one, other)


@pytest.mark.parametrize("state", list(AgentState))
def test_every_icon_stands_out_on_light_and_dark_panels(qtbot: QtBot, state: AgentState) -> None:
    image = picture(state, 64)
    pixels = (image.pixelColor(x, y) for y in range(64) for x in range(64))
    solid = {pixel.name() for pixel in pixels if pixel.alpha() == 255}
    assert solid
    for colour in solid:
        assert min(contrast(QColor(colour), LIGHT), contrast(QColor(colour), DARK)) >= LEAST_CONTRAST, colour


@pytest.mark.parametrize("state", list(AgentState))
def test_a_snooze_draws_a_ring_that_the_icon_does_not_touch(qtbot: QtBot, state: AgentState) -> None:
    image = picture(state, 64, snoozing=True)
    assert image.pixelColor(32, 1).alpha() > 128
    assert all(image.pixelColor(32, y).alpha() == 0 for y in range(6, 10))
    assert picture(state, 64).pixelColor(1, 32).alpha() == 0


def test_there_is_one_drawing_for_each_state(qtbot: QtBot) -> None:
    assert {file.stem for file in icon_folder().glob("*.svg")} == {state.value for state in AgentState}
