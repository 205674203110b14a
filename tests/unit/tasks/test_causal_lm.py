"""Scores of tokens against a plain loop, and against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import entropy

from harness.data.base import Batch
from harness.data.windows import UNSCORED, Cut, Documents
from harness.errors import Unmeasurable
from harness.measurement import Totals
from harness.metrics.base import Comparison
from harness.metrics.kl_divergence import KlDivergence
from harness.metrics.next_token_accuracy import NextTokenAccuracy
from harness.metrics.perplexity import Perplexity
from harness.metrics.token_agreement import TokenAgreement
from harness.sources.base import uncut
from harness.tasks.base import Evaluation
from harness.tasks.causal_lm import POSITIONS, CausalLM

TASK = CausalLM()
VOCABULARY = 130


def model(seed):
    """Logits that depend on the last two tokens: a table, so that a plain loop can look them up."""
    table = torch.randn(VOCABULARY, VOCABULARY, VOCABULARY // 2, generator=torch.Generator().manual_seed(seed))
    table = torch.cat([table, table.flip(-1) * 0.5], dim=-1)

    def run(tokens):
        before = torch.cat([torch.zeros_like(tokens[:, :1]), tokens[:, :-1]], dim=1)
        return table[before, tokens]

    return run


@pytest.fixture(scope="module")
def windows():
    generator = torch.Generator().manual_seed(5)
    texts = [
        "".join(chr(int(one)) for one in torch.randint(97, 123, (length,), generator=generator))
        for length in (150, 40, 30, 20, 90)
    ]
    names = [f"text {index}" for index in range(len(texts))]
    encoder = uncut(lambda text: [1, *text.encode()])
    return Documents(texts, names, Cut(100, stride=40)).encoded(encoder)


def evaluated(windows, *models):
    batches = list(windows.batches(2))
    sides = []
    for run in models:
        parts = [TASK.answers_to(batch, (run(batch.inputs[0]),)) for batch in batches]
        sides.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    targets = np.concatenate([batch.targets.numpy() for batch in batches])
    return Evaluation(sides[0], sides[-1], targets, windows.units, windows.names, "data")


def compared(windows, *models):
    batches = list(windows.batches(2))
    parts = [TASK.compared(batch, *((run(batch.inputs[0]),) for run in models)) for batch in batches]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    targets = np.concatenate([batch.targets.numpy() for batch in batches])
    return Comparison(rows, targets, windows.units, "data")


class Bench:
    def __init__(self, evaluation, comparison=None):
        self._evaluation, self._comparison = evaluation, comparison

    def evaluation(self):
        return self._evaluation

    def comparison(self, samples):
        return self._comparison


def test_perplexity_is_that_of_a_plain_loop_over_tokens(windows, monkeypatch):
    monkeypatch.setattr("harness.metrics.tokens.require_above_frequencies", lambda *given: None)
    run, other = model(0), model(1)
    measured = Perplexity(max=1e9).measure(Bench(evaluated(windows, run, other)))
    for value, side in ((measured.reference, run), (measured.value, other)):
        losses = []
        for row in windows.rows:
            for place in range(row.first, len(row.tokens)):
                logits = side(torch.tensor([row.tokens[:place]]))[0, -1].double().numpy()
                losses.append(-log_softmax(logits)[row.tokens[place]])
        assert value == pytest.approx(math.exp(np.mean(losses)), rel=1e-6)
    # Five texts, a break in each window that two of them share, and nothing twice.
    assert measured.tokens.sum() == len(losses) == 330 + 2 * 2
    assert measured.n == 3


def test_accuracy_and_agreement_count_scored_tokens_only(windows, monkeypatch):
    monkeypatch.setattr("harness.metrics.tokens.require_above_frequencies", lambda *given: None)
    run, other = model(0), model(1)
    evaluation = evaluated(windows, run, other)
    right = same = total = 0
    for row in windows.rows:
        for place in range(row.first, len(row.tokens)):
            best = [int(side(torch.tensor([row.tokens[:place]]))[0, -1].argmax()) for side in (run, other)]
            right, same, total = right + (best[1] == row.tokens[place]), same + (best[0] == best[1]), total + 1
    assert NextTokenAccuracy(min=0.0).measure(Bench(evaluation)).value == pytest.approx(right / total, abs=1e-12)
    agreement = TokenAgreement(min=0.0).measure(Bench(evaluation))
    assert agreement.value == pytest.approx(same / total, abs=1e-12)
    assert agreement.reference == 1.0


def test_divergence_is_scipys(windows):
    run, other = model(0), model(1)
    batch = next(windows.batches(1))
    assert batch.inputs[0].shape[1] > POSITIONS
    outputs = [(side(batch.inputs[0]),) for side in (run, other)]
    found = TASK.compared(batch, *outputs)
    p, q = (np.exp(log_softmax(side[0][0].double().numpy(), axis=-1)) for side in outputs)
    scored = (batch.targets[0] != UNSCORED).numpy()[: p.shape[0]]
    assert found["divergence"][0] == pytest.approx(sum(entropy(p[scored].T, q[scored].T)), rel=1e-4)
    assert found["scored"][0] == scored.sum()
    # How probable the texts are to the float model is what its answers alone say.
    assert found["nll"].tolist() == pytest.approx(TASK.answers_to(batch, outputs[0])["nll"].tolist(), rel=1e-12)
    assert TASK.compared(batch, outputs[0], outputs[0])["divergence"][0] == pytest.approx(0, abs=1e-9)
    assert KlDivergence(max=1.0).better == "lower"


def test_the_loss_is_the_mean_over_scored_tokens(windows):
    class Model(torch.nn.Module):
        def forward(self, tokens):
            return model(0)(tokens)

    batch = next(windows.batches(2))
    answers = TASK.answers_to(batch, (model(0)(batch.inputs[0]),))
    mean = answers["nll"].sum() / answers["scored"].sum()
    assert float(TASK.loss(Model(), batch)) == pytest.approx(mean, rel=1e-5)


def test_outputs_that_are_no_logits_of_every_position_are_refused():
    batch = Batch((torch.zeros(1, 4, dtype=torch.int64),), torch.full((1, 8), 3))
    with pytest.raises(Unmeasurable, match=r"needs logits of shape \(batch, tokens, vocabulary\), here \(1, 4, …\)"):
        TASK.answers_to(batch, (torch.zeros(1, 4),))
    with pytest.raises(Unmeasurable, match="the text holds the token 3, and the model knows 3"):
        TASK.answers_to(batch, (torch.zeros(1, 4, 3),))
    with pytest.raises(Unmeasurable, match="the text holds the token 3, and the model knows 3"):
        TASK.compared(batch, (torch.zeros(1, 4, 3),), (torch.zeros(1, 4, 3),))


LANGUAGE = (Perplexity(max=10.0), TokenAgreement(min=0.5), NextTokenAccuracy(max_drop=0.5), KlDivergence(max=1.0))


@pytest.mark.parametrize("metric", LANGUAGE, ids=lambda metric: metric.metric)
def test_a_float_model_that_knows_less_than_the_frequencies_of_tokens_is_refused(windows, metric):
    with pytest.raises(Unmeasurable, match="was it loaded with its own tokenizer"):
        metric.measure(Bench(evaluated(windows, model(0), model(1)), compared(windows, model(0), model(1))))


@pytest.mark.parametrize("metric", LANGUAGE, ids=lambda metric: metric.metric)
def test_one_that_knows_a_little_more_is_measured(windows, metric):
    """Next to all frequencies is too little; a tenth of knowing what follows which token is enough."""
    follows, counts = torch.zeros(VOCABULARY, VOCABULARY), torch.full((VOCABULARY,), 0.01)
    for row in windows.rows:
        for before, token in zip(row.tokens[row.first - 1 :], row.tokens[row.first :], strict=False):
            follows[before, token] += 1
            counts[token] += 1
    follows = (follows + 1e-6) / (follows + 1e-6).sum(dim=1, keepdim=True)

    def measured(share):
        chances = share * follows + (1 - share) * counts / counts.sum()
        sides = (lambda tokens: chances.log()[tokens], model(1))
        return metric.measure(Bench(evaluated(windows, *sides), compared(windows, *sides)))

    assert measured(0.1).n == 3
    with pytest.raises(Unmeasurable, match="no more than how often each"):
        measured(0.0)


def test_an_interval_of_perplexities_is_that_of_the_mean_difference():
    generator = np.random.default_rng(0)
    tokens = generator.integers(100, 400, 20)
    reference = tokens * generator.normal(3.0, 0.2, 20)
    change = generator.normal(0.01, 0.002, 20)
    measured = Totals(
        totals_reference=reference, totals=reference + tokens * change, tokens=tokens, units=np.arange(20), data="x",
        exponential=True,
    )  # fmt: skip
    mean = (tokens * change).sum() / tokens.sum()
    ratio = measured.ratio(0.95)
    assert ratio.estimate == pytest.approx(math.exp(mean))
    assert ratio.lower < math.exp(mean) < ratio.upper
    # A plain large-sample interval is inside: this one expects a window worse than those seen.
    assert ratio.upper > math.exp(mean + 1.645 * change.std(ddof=1) / math.sqrt(20))
    drop = measured.drop(0.95)
    assert -drop.estimate == pytest.approx(measured.value - measured.reference)


@pytest.mark.parametrize("reverse", [False, True])
def test_divergence_is_the_mean_over_scored_tokens_whatever_fills_windows_up(windows, reverse):
    """Against scipy, over two windows of which the shorter is filled up and its first tokens are context."""
    ours, theirs = model(1), model(2)
    batch = next(windows.batches(8))
    student, teacher = ours(batch.inputs[0]), theirs(batch.inputs[0])
    expected = []
    for row, targets in enumerate(batch.targets.tolist()):
        for place, target in enumerate(targets):
            if target != UNSCORED:
                first, second = (log_softmax(one[row, place].double().numpy() / 2) for one in (teacher, student))
                pair = (second, first) if reverse else (first, second)
                expected.append(4 * entropy(*np.exp(pair)))
    assert 0 < len(expected) < student[..., 0].numel()
    found = TASK.divergence(student, teacher, 2.0, reverse=reverse, batch=batch)
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-5)
    # What both answer where nothing is scored changes nothing.
    student[batch.targets[:, : student.shape[1]] == UNSCORED] += torch.arange(VOCABULARY)
    again = TASK.divergence(student, teacher, 2.0, reverse=reverse, batch=batch)
    assert again.item() == found.item()
