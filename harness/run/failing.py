"""What is told of an error in a worker: one sentence for the verdict, and the place in the code for its author."""

from __future__ import annotations

import errno
import traceback
from typing import Literal

from harness.errors import MissingExtra, Unforeseen, Unmeasurable
from harness.extras import EXTRAS
from harness.run.job import Failure

# How allocators that raise no MemoryError say it.
_OUT_OF_MEMORY = ("can't allocate memory", "bad_alloc")
# Of these a model cannot be the cause: a full or a broken disk, and too many open files.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)


def failure_of(what: str, error: Exception) -> Failure:
    """Why something gave nothing.

    Args:
        what: was tried, as a sentence begins with it: ``the compress stage``.
        error: what was raised.
    """
    refused = isinstance(error, Unmeasurable | ModuleNotFoundError) and not isinstance(error, Unforeseen)
    no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
    kind: Literal["ended", "foreseen", "raised"] = "ended" if no_room else "foreseen" if refused else "raised"
    return Failure(sentence=_sentence(what, error), log=_log(error), kind=kind)


def out_of_memory(error: Exception) -> bool:
    """Whether the process ran out of memory, in whatever way that was raised."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)


def _sentence(what: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or "").partition(".")[0]
        return (
            str(MissingExtra(module, EXTRAS[module])) if module in EXTRAS else f"module {error.name!r} is not installed"
        )
    if isinstance(error, Unforeseen):
        return f"{what} failed: {error}"
    if isinstance(error, Unmeasurable):
        return str(error)
    return f"{what} failed: {type(error).__name__}: {error}"


def _log(error: Exception) -> str:
    """Where the error arose, that of its cause where it was made of another one; a sentence of our own says it all."""
    if isinstance(error, Unmeasurable) and error.__cause__ is None:
        return ""
    # The cause alone: a terminal shows the last lines, and the place that a plugin's author looks for is at its end.
    return "".join(traceback.format_exception(error.__cause__ or error))
