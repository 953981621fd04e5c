"""Every error that GoGrid shows to a person.

An error says what happened and what to do about it. Edges convert foreign exceptions into these; `core` returns values
instead of raising. Whether a caller may simply try again is a class attribute, and so is the exit code of a command::

    GoGridError                      1
    +-- BadInput                     2   a field, its value and what is allowed
    |   +-- ConfigError              2   the same, for a setting
    +-- SecretStoreError             3
    |   +-- SecretStoreLocked        3   the keyring waits for the person to unlock it
    |   +-- SecretStoreUnavailable   3   no keyring answers
    +-- AgentUnavailable             4   no agent runs, or it does not answer
    |   +-- VersionMismatch          4
    +-- AgentAlreadyRunning          5
    +-- WorkerError                  6
    |   +-- WorkerStartFailed        6
    |   +-- ModelFileError           6   no GGUF, cut off, or another file than its hash says
    +-- CoordinatorError             7
    |   +-- Unreachable              7   may be tried again
    |   +-- RateLimited              7   may be tried again, after `retry_after_s`
    |   +-- AuthRejected             8   token or key wrong or expired
    |   +-- InviteRejected           8   wrong, used up or expired
    |   +-- Refused                  7   a 4xx with a reason
    +-- PortInUse                    9
    +-- StorageError                10   may be tried again
        +-- StorageFull             10
        +-- StorageAway             10   the database does not answer
"""

from __future__ import annotations

from typing import ClassVar


class GoGridError(Exception):
    """Base of all errors; `message` says what happened, `remedy` what to do (may be empty)."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class BadInput(GoGridError):
    """A value that cannot be taken: names the field, the value and what is allowed."""

    exit_code = 2

    def __init__(self, field: str, value: object, allowed: str, remedy: str = "") -> None:
        super().__init__(f"{field} = {value!r} is not allowed: {allowed}.", remedy)
        self.field = field
        self.value = value
        self.allowed = allowed


class ConfigError(BadInput):
    """A setting that cannot be taken."""


class SecretStoreError(GoGridError):
    exit_code = 3


class SecretStoreLocked(SecretStoreError):
    """The keyring did not answer in time; it most likely waits for the person to unlock it."""


class SecretStoreUnavailable(SecretStoreError):
    """No keyring answers on this system."""


class AgentUnavailable(GoGridError):
    """No agent runs for this user, or it does not answer."""

    exit_code = 4


class VersionMismatch(AgentUnavailable):
    """The running agent speaks another version of the local protocol."""


class AgentAlreadyRunning(GoGridError):
    exit_code = 5


class WorkerError(GoGridError):
    exit_code = 6


class WorkerStartFailed(WorkerError):
    """The inference process could not be started or never said hello."""


class ModelFileError(WorkerError):
    """A model file that is no GGUF, is cut off, or is not the file its hash names."""


class CoordinatorError(GoGridError):
    exit_code = 7


class Unreachable(CoordinatorError):
    retryable = True


class RateLimited(CoordinatorError):
    retryable = True

    def __init__(self, message: str, retry_after_s: float, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.retry_after_s = retry_after_s


class AuthRejected(CoordinatorError):
    exit_code = 8


class InviteRejected(CoordinatorError):
    exit_code = 8


class Refused(CoordinatorError):
    """The coordinator understood the call and refused it with a reason (`status` is the HTTP status)."""

    def __init__(self, message: str, status: int, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.status = status


class PortInUse(GoGridError):
    exit_code = 9


class StorageError(GoGridError):
    """What should be kept cannot be, for now; nothing was changed, as far as is known."""

    exit_code = 10
    retryable = True


class StorageFull(StorageError):
    """The disk is full."""


class StorageAway(StorageError):
    """The database does not answer. What was asked of it last may have been done, or not."""
