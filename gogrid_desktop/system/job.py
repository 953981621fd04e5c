"""Windows: the agent and all that it starts in one job object, which ends with the agent, however that ends.

Source: Microsoft, "Job Objects" and "JOBOBJECT_EXTENDED_LIMIT_INFORMATION": with JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE all
processes of a job are ended when its last handle is closed, which the system does for a process that is killed.
"""

from __future__ import annotations

import ctypes
import logging
from ctypes import c_int64, c_size_t, c_uint32, c_uint64
from typing import Any

log = logging.getLogger(__name__)

EXTENDED_LIMIT_INFORMATION = 9
KILL_ON_JOB_CLOSE = 0x2000


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("per_process_user_time", c_int64),
        ("per_job_user_time", c_int64),
        ("flags", c_uint32),
        ("minimum_working_set", c_size_t),
        ("maximum_working_set", c_size_t),
        ("active_processes", c_uint32),
        ("affinity", c_size_t),
        ("priority_class", c_uint32),
        ("scheduling_class", c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("basic", BasicLimits),
        ("io_counters", c_uint64 * 6),
        ("process_memory", c_size_t),
        ("job_memory", c_size_t),
        ("peak_process_memory", c_size_t),
        ("peak_job_memory", c_size_t),
    )


def end_children_with_us(kernel32: Any) -> bool:
    """Put this process into a job of its own; False, and a line in the log, where the system refuses.

    The handle is never closed by us: that is the system's part.
    """
    for name in ("CreateJobObjectW", "GetCurrentProcess"):
        getattr(kernel32, name).restype = ctypes.c_void_p
    job = kernel32.CreateJobObjectW(None, None)
    limits = ExtendedLimits(basic=BasicLimits(flags=KILL_ON_JOB_CLOSE))
    size = ctypes.sizeof(limits)
    done = (
        bool(job)
        and kernel32.SetInformationJobObject(
            ctypes.c_void_p(job), EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size
        )
        and kernel32.AssignProcessToJobObject(ctypes.c_void_p(job), ctypes.c_void_p(kernel32.GetCurrentProcess()))
    )
    if not done:
        log.warning("a worker could outlive a killed agent here: the system gives no job object")
    return bool(done)
