"""What is timed, and the neighbours beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
Call = Callable[[], object]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
Work = tuple[Call, Call, Call]  # float, compressed, control
NEIGHBOURS = {
    "idle": (),
    "busy1": ("multiply",),
    "busy2": ("multiply", "copy"),
}
# Until the process that started them is gone, however it ended.
STAY = "import os, sys, numpy as np\n{begin}\nwhile os.getppid() == int(sys.argv[1]): {work}"
WORK = {
    "multiply": STAY.format(begin="a = np.random.rand(256, 256)", work="a @ a"),
    "copy": STAY.format(begin="a, b = np.zeros(4_000_000), np.ones(4_000_000)", work="a[:] = b"),
}
REAL = {
    "resnet20 int8, torch": ("resnet20-digits-int8", ""),
    "resnet20 int8, openvino": ("resnet20-digits-openvino", "int8"),
    "lenet5 int8, torch": ("lenet5-mnist-int8", ""),
    "resnet18 int8, torch": ("resnet18-digits-int8", ""),
}
SYNTHETIC = ("numpy, 6 of 10", "torch, 6 of 10")
WORKLOADS = (
    "numpy, 6 of 10",
    "resnet20 int8, torch",
    "resnet20 int8, openvino",
    "torch, 6 of 10",
    "lenet5 int8, torch",
)
QUICK = {"numpy, 6 of 10": ("idle",), "resnet20 int8, torch": ("idle", "busy2")}


def synthetic(name: str) -> Work:
    """Float, compressed and control: the same operation 10, 6 and 10 times, about two milliseconds for ten."""
    if name.startswith("numpy"):
        left, right = np.random.default_rng(0).random((2, 160, 160))
        out = np.empty_like(left)

        def once() -> object:
            return np.matmul(left, right, out=out)

    else:
        import torch

        torch.set_num_threads(1)
        layer, inputs = torch.nn.Conv2d(16, 16, 3, padding=1), torch.zeros(1, 16, 32, 32)

        def once() -> object:
            with torch.inference_mode():
                return layer(inputs)

    def repeated(times: int) -> Call:
        def call() -> None:
            for _ in range(times):
                once()

        return call

    return repeated(10), repeated(6), repeated(10)


def real(name: str, folder: Path) -> Work:
    """Float, compressed and control of a shipped spec, from artifacts as the gate writes and reloads them."""
    import torch

    from harness.run import probe
    from harness.run.compressing import ARTIFACT
    from harness.run.executor import LocalExecutor
    from harness.run.job import Job
    from harness.spec.load import load

    torch.set_num_threads(1)
    stem, case = REAL[name]
    file = load(ROOT / "specs" / "image-classification" / f"{stem}.yaml")
    spec = next(one.spec for one in file.cases if one.name == case)
    sides = {side: folder / f"{stem}{case}" / side for side in ("reference", "compressed")}
    if not (sides["compressed"] / ARTIFACT).exists():
        executor = LocalExecutor()
        job = Job(stage="compress", spec=spec, root=str(ROOT), **{side: str(path) for side, path in sides.items()})
        outcome = executor.run(job, lambda doing, seconds: None)
        executor.close()
        if outcome.failure is not None:
            raise SystemExit(f"{name}: {outcome.failure.sentence}")
    inputs = tuple(part[:1] for part in probe.read(sides["reference"])[0])
    runners = {side: spec.deploy.load(path / ARTIFACT, 1) for side, path in sides.items()}
    reference, compressed, control = (
        runners[side].prepared(inputs) for side in ("reference", "compressed", "reference")
    )
    return reference, compressed, control


@contextmanager
def neighbours(load: str) -> Iterator[None]:
    """Busy processes beside this one for the length of the block."""
    parent = str(os.getpid())
    running = [subprocess.Popen([sys.executable, "-c", WORK[kind], parent]) for kind in NEIGHBOURS[load]]
    try:
        time.sleep(1.0 if running else 0.0)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def one_thread() -> None:
    """Start this script again with one thread a library, which each reads when it loads: they have loaded by now."""
    if any(os.environ.get(name) != one for name, one in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
