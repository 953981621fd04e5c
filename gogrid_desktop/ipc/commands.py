"""What the agent is told over the local socket, checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from gogrid_desktop.ipc import messages as m

COMMAND: TypeAdapter[m.Command] = TypeAdapter(Annotated[m.Command, Field(discriminator="type")])
