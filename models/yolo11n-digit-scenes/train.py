"""Trains YOLO11n on digit scenes again: ``python models/yolo11n-digit-scenes/train.py --work DIR``.

Ended at any moment, it goes on from its last epoch when it is started again with the same folder. At the end the
averaged weights are written in float16 as ``weights.safetensors`` into that folder, or where ``--output`` says.
The evaluation scenes are used once, for the figure printed at the end.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HERE = Path(__file__).parent
# Of the trainer, in all rounds; what is not named is its default.
OPTIONS = {
    "imgsz": 128,
    "batch": 16,
    # A step each batch: the trainer would gather four first.
    "nbs": 16,
    "optimizer": "AdamW",
    "lrf": 0.02,
    "cos_lr": True,
    "weight_decay": 0.0005,
    "mosaic": 0.0,
    "fliplr": 0.0,
    "erasing": 0.0,
    "seed": 0,
    "deterministic": True,
    "cache": "ram",
    "workers": 0,
    "amp": False,
    "plots": False,
    "val": False,
    "device": "cpu",
}
# The second sees every colour there is: ten photographs have few, and what is found must not hang on them.
ROUNDS = (
    (4_000, {"epochs": 14, "lr0": 0.0015, "warmup_epochs": 1.0, "translate": 0.05, "scale": 0.15,
             "hsv_h": 0.01, "hsv_s": 0.3, "hsv_v": 0.2}),
    (8_000, {"epochs": 7, "lr0": 0.001, "warmup_epochs": 0.1, "translate": 0.1, "scale": 0.25,
             "hsv_h": 0.5, "hsv_s": 0.9, "hsv_v": 0.5, "bgr": 0.3}),
)  # fmt: skip


def main() -> None:
    """Train, or go on training, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of data, checkpoints and log")
    parser.add_argument("--output", type=Path, help="file for the weights")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()

    os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
    os.environ["YOLO_VERBOSE"] = "true"
    import torch
    from safetensors.torch import save_file

    from harness.artifacts.ultralytics import import_ultralytics
    from harness.data.digit_scenes import DigitScenes, write

    ultralytics = import_ultralytics()
    torch.set_num_threads(chosen.threads)
    work: Path = chosen.work.resolve()
    start: str | Path = "yolo11n.yaml"
    for number, (scenes, options) in enumerate(ROUNDS, 1):
        run = work / f"run-{number}"
        last = run / "weights" / "last.pt"
        if not (run / "done").is_file():
            described = write(DigitScenes(train=scenes), work / f"data-{scenes}", HERE)
            model = ultralytics.YOLO(last if last.is_file() else start)
            # On a processor convolutions train a quarter faster in this layout.
            model.add_callback("on_train_start", lambda trainer: trainer.model.to(memory_format=torch.channels_last))
            if last.is_file():
                model.train(resume=True)
            else:
                model.train(data=str(described), project=str(work), name=run.name, exist_ok=True, **OPTIONS, **options)
            (run / "done").touch()
        start = last
    final = ultralytics.YOLO(start).model.float()
    output: Path = chosen.output or work / "weights.safetensors"
    state = {
        f"network.{name}": value.half() if value.is_floating_point() else value
        for name, value in final.state_dict().items()
    }
    save_file({name: value.contiguous() for name, value in state.items()}, output)


if __name__ == "__main__":
    main()
