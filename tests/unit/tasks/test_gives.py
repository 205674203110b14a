"""What every task says that it gives is what it gives: metrics are matched with tasks by it."""

from contextlib import suppress

import pytest
import torch

from harness.data.base import Batch
from harness.data.windows import UNSCORED
from harness.errors import Unmeasurable
from harness.metrics.base import METRICS
from harness.spec.semantics import own_metrics, suited_by
from harness.tasks.base import TASKS
from harness.tasks.causal_lm import CausalLM
from harness.tasks.classification import Classification

OUTPUTS = {
    "image-classification": (4, 6), "text-classification": (4, 2), "object-detection": (4, 4 + 3, 10),
    "sentence-similarity": (4, 5), "causal-lm": (4, 8, 50), "image-generation": (4, 1, 8, 8),
}  # fmt: skip


@pytest.mark.parametrize("name", list(TASKS))
def test_answers_and_comparisons_are_what_is_said(name):
    task = TASKS[name](task=name)
    outputs = torch.rand(OUTPUTS[name], generator=torch.Generator().manual_seed(0))
    targets = torch.arange(32).reshape(4, 8) % 50
    targets[:, -1] = UNSCORED
    truth = torch.arange(4) if task.targets == "classes" else targets
    batch = Batch((targets.clamp(min=0),), truth)
    answers = task.answers_to(batch, (outputs,))
    given = set(answers)
    with suppress(Unmeasurable):
        given |= set(task.compared(batch, (outputs,), (outputs,)))
    assert given == task.gives
    assert task.targets
    assert not task.score or answers[task.score].shape == (4,)


def test_metrics_meet_the_tasks_that_they_were_made_for():
    found = {name: suited_by(metric) for name, metric in METRICS.items() if suited_by(metric) != list(TASKS)}
    classified, text = ["image-classification", "text-classification"], ["causal-lm"]
    assert found == {
        "top1": classified, "top5": classified, "agreement": classified,
        "f1": ["image-classification", "object-detection", "text-classification"],
        "precision": ["image-classification", "object-detection", "text-classification"],
        "recall": ["image-classification", "object-detection", "text-classification"],
        "map50": ["object-detection"], "map50_95": ["object-detection"],
        "pearson": ["sentence-similarity"], "spearman": ["sentence-similarity"],
        "perplexity": text, "kl_divergence": text, "next_token_accuracy": text, "token_agreement": text,
        "decode_ms_per_token": text, "prefill_ms": text, "tokens_per_second": text,
        "fid": ["image-generation"], "kid": ["image-generation"], "generated_precision": ["image-generation"],
        "generated_recall": ["image-generation"], "psnr": ["image-generation"], "ssim": ["image-generation"],
    }  # fmt: skip
    assert own_metrics("sentence-similarity") == ["pearson", "spearman"]


def test_a_task_from_outside_has_the_metrics_of_what_it_gives():
    class Sounds(Classification):
        samples = "clips"

    assert [name for name, metric in METRICS.items() if metric.reads and metric.suits(Sounds)] == [
        "agreement", "f1", "precision", "recall", "top1", "top5",
    ]  # fmt: skip


def test_one_name_of_answers_is_not_enough_where_the_truth_is_another():
    class Deblurring(TASKS["image-generation"]):
        targets = "sharp images"

    class Retrieval(TASKS["sentence-similarity"]):
        targets = "classes"

    class Masked(CausalLM):
        generates = False

    def own(task):
        return {name for name, metric in METRICS.items() if metric.suits(task) and suited_by(metric) != list(TASKS)}

    # Likeness to the float model's images needs no real ones; distances to a set of real ones do.
    assert own(Deblurring) == {"psnr", "ssim"}
    assert own(Retrieval) == set()
    assert own(Masked) == {"perplexity", "kl_divergence", "next_token_accuracy", "token_agreement"}
