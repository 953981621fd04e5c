"""Makes the pictures of the tray in `docs/screenshots`: the real program in a real panel, in each of its states.

`python tests/e2e/screenshots.py` writes them anew; the agent behind them plays a script.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests"))

from desktop import HEIGHT_PX, WIDTH_PX, Desktop, until  # noqa: E402
from fixtures_scripted_agent import STATUSES  # noqa: E402
from test_tray_desktop import TrayOnDesktop  # noqa: E402

from gogrid_desktop.core.status import AgentState  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"
PANELS = {"": "#202020", "light-": "#ececec"}
#: The panel's left end, with room for a tooltip, and for a menu or the window above it.
TOOLTIP_AREA = f"420x56+0+{HEIGHT_PX - 56}"
MENU_AREA = f"340x190+0+{HEIGHT_PX - 190}"
#: Panel and tooltip draw at their own pace; nothing tells when they are done.
SETTLE_S = 1.0


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for prefix, colour in PANELS.items():
        with Desktop(panel_colour=colour) as desktop:
            tray = TrayOnDesktop(desktop)
            try:
                _take(tray, prefix)
            finally:
                tray.agent.close()
    print(f"{len(list(FOLDER.glob('tray-*.png')))} pictures in {FOLDER}")


def _take(tray: TrayOnDesktop, prefix: str) -> None:
    tray.start()
    tray.desktop.tray_icon()
    until("the greeting", lambda: tray.agent.hellos == 1)
    for state, status in STATUSES.items():
        tray.agent.push(status)
        _hover(tray)
        tray.desktop.screenshot(FOLDER / f"tray-{prefix}{state}.png", TOOLTIP_AREA)
    if prefix:
        return
    tray.agent.push(STATUSES[AgentState.GENTLE])
    _menu(tray, "menu")
    tray.agent.push(
        replace(
            STATUSES[AgentState.PAUSED],
            reason="you asked for a break",
            what_next="Sharing again at the end of it",
            sharing=True,
            snooze_until=time.time() + 3600,
        )
    )
    _menu(tray, "snoozing")
    tray.agent.push(STATUSES[AgentState.GENTLE])
    tray.click(1)
    window = until("the window", tray.window)
    tray.desktop.xdotool("mousemove", str(WIDTH_PX - 1), "0")
    time.sleep(SETTLE_S)
    tray.desktop.screenshot(FOLDER / "tray-window.png", window=window)


def _hover(tray: TrayOnDesktop) -> None:
    """Leave the icon and come back, so that the tooltip is made anew."""
    x, y = tray.desktop.tray_icon()
    tray.desktop.xdotool("mousemove", str(WIDTH_PX - 1), "0")
    time.sleep(SETTLE_S)
    for step_px in (4, 2, 0):  # a tooltip wants a pointer that moves
        tray.desktop.xdotool("mousemove", str(x + step_px), str(y))
    time.sleep(2 * SETTLE_S)


def _menu(tray: TrayOnDesktop, name: str) -> None:
    until("the menu", tray.clicked_open)
    time.sleep(SETTLE_S)
    tray.desktop.screenshot(FOLDER / f"tray-{name}.png", MENU_AREA)
    tray.desktop.xdotool("key", "Escape")
    until("the menu to go", lambda: tray.desktop.menu() is None)


if __name__ == "__main__":
    main()
