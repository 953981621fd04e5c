"""One membership at work: its HTTP client, its leases, and the models of its catalogue."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping

from gogrid_desktop.agent import models
from gogrid_desktop.agent.clock import Clock
from gogrid_desktop.agent.leasing import Leasing
from gogrid_desktop.agent.models import ModelFile, ModelShelf
from gogrid_desktop.agent.planning import OnDisk, open_model
from gogrid_desktop.client.grid import GridClient
from gogrid_desktop.core.backoff import Backoff
from gogrid_desktop.errors import AuthRejected, CoordinatorError, GoGridError, ModelFileError
from gogrid_desktop.protocol.grid import Catalogue

log = logging.getLogger(__name__)


class Session:
    """Runs until cancelled. `models`: what of the catalogue is here and can be read, by hash."""

    def __init__(
        self,
        grid: GridClient,
        leasing: Leasing,
        shelf: Callable[[], ModelShelf],
        clock: Clock,
        changed: Callable[[], None],
        measured: Callable[[OnDisk], Awaitable[OnDisk]],
    ) -> None:
        """`measured` gives a model back with what computing takes, where that can be found out."""
        self.grid = grid
        self.leasing = leasing
        self.models: dict[str, OnDisk] = {}
        self.problem = ""
        self.notice = ""
        self._shelf = shelf
        self._clock = clock
        self._changed = changed
        self._measured = measured
        self._restock = asyncio.Event()

    def restock(self) -> None:
        """Look again at the catalogue and at the files."""
        self._restock.set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.leasing.report_forever(), name="report")
                group.create_task(self.leasing.poll_forever(), name="poll")
                group.create_task(self._stock_forever(), name="stock")
        finally:
            await self.grid.close()

    async def _stock_forever(self) -> None:
        backoff = Backoff()
        while True:
            self._restock.clear()
            try:
                await self._stock()
            except AuthRejected:
                log.debug("the catalogue is not for us; the report says so to the person")
                await self._restock.wait()
            except CoordinatorError as error:
                log.info("no catalogue yet: %s", error.message)
                await self._clock.sleep(backoff.after(0.0, os.urandom(1)[0] / 255))
                continue
            except GoGridError as error:
                self.problem = str(error)
            self._changed()
            await self._restock.wait()

    async def _stock(self) -> None:
        catalogue = await self.grid.catalogue()
        shelf = self._shelf()
        files = await asyncio.to_thread(shelf.scan)
        wanted = models.missing(catalogue, files)
        if wanted is not None:
            self.notice = f"Fetching the model {wanted.id}, {wanted.size_bytes / 2**20:,.0f} MiB."
            self._changed()
            try:
                file = await shelf.fetch(self.grid, wanted)
            finally:
                self.notice = ""
            files[file.sha256] = file
        opened, broken = await asyncio.to_thread(_open_all, catalogue, files)
        self.models = {sha256: await self._measured(model) for sha256, model in opened.items()}
        self.problem = "" if self.models else broken or _nothing_to_run(catalogue)


def _open_all(catalogue: Catalogue, files: Mapping[str, ModelFile]) -> tuple[dict[str, OnDisk], str]:
    """The catalogue's models that are here, and what is wrong with the first file that cannot be read."""
    opened: dict[str, OnDisk] = {}
    broken = ""
    for entry in catalogue.models:
        if entry.sha256 in files:
            try:
                opened[entry.sha256] = open_model(entry, files[entry.sha256])
            except ModelFileError as error:
                log.warning("%s is left out: %s", entry.id, error)
                broken = broken or str(error)
    return opened, broken


def _nothing_to_run(catalogue: Catalogue) -> str:
    if not catalogue.models:
        return "This grid offers no model yet; the operator adds them."
    names = ", ".join(model.id for model in catalogue.models)
    return f"None of the grid's models is on this computer, and it does not hand them out: {names}."
