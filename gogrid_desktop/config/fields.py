"""One setting by its dotted name: what it is and what it may be, in words."""

from __future__ import annotations

import difflib
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le, MaxLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gogrid_desktop.config.settings import Allowed, Settings
from gogrid_desktop.errors import ConfigError

_UNITS = {"_ms": " ms", "_s": " s", "_tokens": " tokens"}


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> dict[str, FieldInfo]:
    """Every setting that can be changed, by its dotted name."""
    found: dict[str, FieldInfo] = {}
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found.update(fields(field.annotation, f"{prefix}{key}."))
        elif prefix or key != "version":
            found[f"{prefix}{key}"] = field
    return found


FIELDS = fields()


def allowed(name: str) -> str:
    """What the setting may be: "10 to 86400 s", "conservative, paused"; empty where any text will do."""
    field = FIELDS[name]
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(str, get_args(field.annotation)))
    if field.annotation is bool:
        return "true or false"
    bounds = {type(bound): bound for bound in field.metadata}
    if Allowed in bounds:
        return str(bounds[Allowed].words)
    if Ge in bounds and Le in bounds:
        unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
        kind = "a number" if field.annotation is float else "a whole number"
        return f"{kind} from {bounds[Ge].ge} to {bounds[Le].le}{unit}"
    if MaxLen in bounds:
        return f"a text of at most {bounds[MaxLen].max_length} characters"
    return ""


def unknown(name: str) -> ConfigError:
    """The error for a name that is no setting, with the ones that it may have meant."""
    near = difflib.get_close_matches(name, FIELDS, n=3) or [known for known in FIELDS if known.startswith(f"{name}.")]
    hint = f"Did you mean {', '.join(near)}?" if near else "See all of them with: gogrid settings show"
    return ConfigError("setting", name, "there is no setting of this name", hint)


def refused(error: ErrorDetails) -> ConfigError:
    """One complaint of pydantic as ours: the field, the value and what is allowed."""
    name = ".".join(str(part) for part in error["loc"])
    if name not in FIELDS:
        # An element of a list: the setting is the list.
        name = next((known for known in FIELDS if name.startswith(f"{known}.")), name)
    if name not in FIELDS:
        return ConfigError(name, error["input"], error["msg"])
    return ConfigError(name, shown(error["input"]), _because(error) or allowed(name) or error["msg"])


def _because(error: ErrorDetails) -> str:
    """The words of one of our own validators."""
    cause: Any = error.get("ctx", {}).get("error")
    return str(cause) if isinstance(cause, ValueError) else ""


def shown(value: object) -> object:
    """A value fit for one line of a message."""
    text = repr(value)
    return value if len(text) <= 200 else f"{text[:200]}..."
