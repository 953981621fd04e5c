"""The worker's own count of what it said."""

from __future__ import annotations

from pathlib import Path

from gogrid_desktop.worker.journal import Journal, JournalEntry, read_journal


def test_entries_of_several_workers_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first, second = Journal(str(path)), Journal(str(path))
    first.started("j", "l1", 1, 0)
    first.emitted("j", "l1", 1, 0, 3)
    second.started("j", "l2", 2, 3)
    second.emitted("j", "l2", 2, 3, 1)
    assert read_journal(path) == [
        JournalEntry("j", "l1", 1, 0, None),
        JournalEntry("j", "l1", 1, 0, 3),
        JournalEntry("j", "l2", 2, 3, None),
        JournalEntry("j", "l2", 2, 3, 1),
    ]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(str(path)).emitted("j", "l", 1, 0, 1)
    with path.open("ab") as file:
        file.write(b'{"job": "j", "le')
    assert read_journal(path) == [JournalEntry("j", "l", 1, 0, 1)]


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    Journal(None).emitted("j", "l", 1, 0, 1)
    assert read_journal(tmp_path / "none") == []


def test_text_alone_is_no_entry(tmp_path: Path) -> None:
    Journal(str(tmp_path / "journal")).emitted("j", "l", 1, 5, 0)
    assert read_journal(tmp_path / "journal") == []
