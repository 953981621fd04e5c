"""Which store keeps a coordinator's records: PostgreSQL where an address of one is given, otherwise a file."""

from __future__ import annotations

from gogrid_desktop.coordinator.settings import CoordinatorSettings
from gogrid_desktop.coordinator.store.port import Store


def open_store(settings: CoordinatorSettings) -> Store:
    """Raises StorageError, BadInput, GoGridError."""
    if settings.database:
        from gogrid_desktop.coordinator.store.postgres import PostgresStore

        return PostgresStore(settings.database)
    from gogrid_desktop.coordinator.store.sqlite import SqliteStore

    return SqliteStore(settings.file)
