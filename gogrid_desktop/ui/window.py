"""The small window: all that the tray menu has, for desktops without a tray and for people who use the keyboard."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gogrid_desktop.ui.icons import state_icon
from gogrid_desktop.ui.view import TrayView

ICON = QSize(48, 48)
TEXT_WIDTH_CHARS = 44


class StatusWindow(QWidget):
    """Signals: `shareToggled(bool)`, `snoozeClicked()`, `quitClicked()`. `stands_in` while there is no tray."""

    shareToggled = Signal(bool)
    snoozeClicked = Signal()
    quitClicked = Signal()

    def __init__(self) -> None:
        super().__init__(None)
        self.stands_in = False
        self.setWindowTitle("GoGrid")
        self.picture = QLabel()
        self.headline = _line("State")
        font = self.headline.font()
        font.setPointSizeF(font.pointSizeF() * 1.4)
        font.setBold(True)
        self.headline.setFont(font)
        self.why = _line("Why")
        self.what_next = _line("What next")
        self.counts = _line("Running")
        self.notice = _line("Notice")
        self.share = QCheckBox("&Share my GPU")
        self.share.setAccessibleDescription("Whether this computer lends its GPU to the grid")
        self.snooze = QPushButton()
        self.quit = QPushButton()
        self.share.clicked.connect(self.shareToggled)
        self.snooze.clicked.connect(self.snoozeClicked)
        self.quit.clicked.connect(self.quitClicked)
        self._arrange()

    def _arrange(self) -> None:
        texts = QGridLayout()
        texts.addWidget(self.picture, 0, 0, 6, 1, Qt.AlignmentFlag.AlignTop)
        for row, line in enumerate((self.headline, self.why, self.what_next, self.counts, self.notice)):
            texts.addWidget(line, row, 1)
        texts.setColumnStretch(1, 1)
        texts.setRowStretch(5, 1)
        texts.setColumnMinimumWidth(1, self.fontMetrics().averageCharWidth() * TEXT_WIDTH_CHARS)
        buttons = QHBoxLayout()
        buttons.addWidget(self.snooze)
        buttons.addStretch()
        buttons.addWidget(self.quit)
        everything = QVBoxLayout(self)
        everything.addLayout(texts)
        everything.addWidget(self.share)
        everything.addStretch()
        everything.addLayout(buttons)

    def show_view(self, view: TrayView) -> None:
        """Show `view`; a line without text takes no room."""
        icon = state_icon(view.icon, view.snoozing)
        self.setWindowIcon(icon)
        self.picture.setPixmap(icon.pixmap(ICON, self.devicePixelRatioF()))
        self.picture.setAccessibleName(view.headline)
        for line, text in (
            (self.headline, view.headline),
            (self.why, _sentence(view.why)),
            (self.what_next, _sentence(view.what_next)),
            (self.counts, view.counts),
        ):
            line.setText(text)
            line.setVisible(bool(text))
        self.share.setChecked(view.share_checked)
        self.share.setEnabled(view.share_enabled)
        self.snooze.setText(f"&{view.snooze_text}")
        self.snooze.setEnabled(view.snooze_enabled)
        self.quit.setText(f"&{view.quit_text}")

    def show_notice(self, text: str) -> None:
        """A sentence about the last command; empty text takes it away."""
        self.notice.setText(text)
        self.notice.setVisible(bool(text))

    def come_up(self) -> None:
        """Show, un-minimise and take the front."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def put_away(self) -> None:
        """Hide into the tray; without one, minimise, so that a way back stays in sight."""
        if self.stands_in:
            self.showMinimized()
        else:
            self.hide()

    def closeEvent(self, event: QCloseEvent) -> None:
        event.ignore()
        self.put_away()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.put_away()
        else:
            super().keyPressEvent(event)


def _line(name: str) -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setObjectName(name)
    label.setVisible(False)
    return label


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""
