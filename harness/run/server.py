"""A fork server: loads the heavy libraries once, then forks a worker a job in a few hundredths of a second.

The standard library's fork server is one to a process, inherits one environment, and reports neither a worker's
resource usage nor its signal by job. Here each environment profile (thread counts must be in the environment *before*
the libraries load) has a server of its own, which speaks lines of JSON:

    in   {"job": PATH, "outcome": PATH, "log": PATH}
    out  {"started": PID}, then {"status": WAIT STATUS, "peak_bytes": N}

It ends when its standard input does, and its workers end with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

PRELOAD = ("numpy", "torch", "torchvision")
_PR_SET_PDEATHSIG = 1


def serve() -> None:
    """Answer jobs until standard input ends."""
    _die_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Whatever a library prints while it loads must not get between the answers.
    os.dup2(2, 1)
    # What is loaded here stays for good. To look for garbage in it takes a sixth of the time of loading, and in every
    # worker as long again, which would copy its pages on top.
    gc.disable()
    for name in PRELOAD:
        # One that is absent or broken is a matter for the specs that need it, and theirs to report.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    importlib.import_module("harness.run.worker")
    gc.freeze()
    gc.enable()
    print(json.dumps({"ready": os.getpid()}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _work(request)
        print(json.dumps({"started": pid}), file=answers)
        _, status, usage = os.wait4(pid, 0)
        # What it started and left behind would keep whatever lock it held.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        print(json.dumps({"status": status, "peak_bytes": usage.ru_maxrss * 1024}), file=answers)


def _work(request: dict[str, str]) -> NoReturn:
    """Be the worker. Its own session, so that a kill reaches what it started too."""
    code = 1
    try:
        os.setsid()
        _die_with_parent()
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        # Where native code was when it crashed; the log's end goes into the verdict.
        faulthandler.enable(2, all_threads=False)
        from harness.run.worker import run

        run(Path(request["job"]), Path(request["outcome"]))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere the closed pipe must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    serve()
