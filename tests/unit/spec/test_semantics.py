"""Well-formed specs that mean nothing: bounds against directions, parts against tasks, steps that do not compose."""

import math
from itertools import combinations

import pytest

from harness.forms import Form
from harness.methods.base import METHODS
from harness.metrics.base import BOUNDS, METRICS, SHARE
from harness.spec.semantics import planned
from harness.tasks.base import TASKS

LOWER, HIGHER = "size_mb", "top1"
# A bound that holds the side on which a model gets worse; one that holds the float model; the rest of each direction.
HARMFUL = {LOWER: {"max", "max_ratio", "max_rise"}, HIGHER: {"min", "min_ratio", "max_drop"}}
HARMLESS = {LOWER: {"min", "min_ratio"}, HIGHER: {"max", "max_ratio"}}
FLOAT = {LOWER: {"reference_max"}, HIGHER: {"reference_min"}}


def budget(metric: str, bounds: dict[str, float]) -> str:
    inside = ", ".join(f"{name}: {value}" for name, value in bounds.items())
    return f"""\
version: 1
task: image-classification
model: {{source: zoo, name: resnet20-digits}}
data: {{source: digits}}
compress: [{{method: float16}}]
budgets: {{{metric}: {{{inside}}}}}
"""


@pytest.mark.parametrize("metric", [LOWER, HIGHER])
@pytest.mark.parametrize("names", [names for count in (1, 2) for names in combinations(BOUNDS, count)], ids="-".join)
def test_bounds_hold_the_side_on_which_a_metric_gets_worse(project, metric, names):
    bounds = dict.fromkeys(names, 0.5)
    right_way = set(names) <= HARMFUL[metric] | HARMLESS[metric] | FLOAT[metric]
    if right_way and set(names) & HARMFUL[metric]:
        assert project.load(budget(metric, bounds)).cases[0].spec.budgets[metric].bounds() == bounds
        return
    told = {problem.path: problem.message for problem in project.problems(budget(metric, bounds))}
    for name in set(names) - HARMFUL[metric] - HARMLESS[metric] - FLOAT[metric]:
        assert f"budgets.{metric}.{name}" in told
    if set(names) <= FLOAT[metric]:
        assert "can never fail; give one of" in told[f"budgets.{metric}"]
    if right_way and set(names) <= HARMLESS[metric]:
        assert all("refuses a model for being too good" in message for message in told.values())


@pytest.mark.parametrize(
    ("metric", "bounds", "expected"),
    [
        (LOWER, "max_drop: 1", "found 1; max_drop is for metrics where higher is better, and for size_mb lower"),
        (HIGHER, "max_rise: 0.1", "for metrics where lower is better, and for top1 higher is better; use max_drop"),
        (LOWER, "max: 1, reference_min: 1", "for size_mb lower is better; use reference_max"),
        (HIGHER, "min: 1, reference_max: 1", "for top1 higher is better; use reference_min"),
        (LOWER, "min: 1", "found 1; min alone refuses a model for being too good: for size_mb lower is better; use"),
        (HIGHER, "max_ratio: 1", "max_ratio alone refuses a model for being too good: for top1 higher is better; use"),
        (LOWER, "min: 2, max: 1.5", "min 2 is above max 1.5: nothing can pass"),
        (LOWER, "min_ratio: 0.5, max_ratio: 0.25", "min_ratio 0.5 is above max_ratio 0.25: nothing can pass"),
        (LOWER, "", "found {}; a budget with no bound on the compressed model can never fail; give one of min, "),
        (LOWER, "regress: 0.1", 'found {"regress": 0.1}; a budget with no bound on the compressed model can never'),
        (HIGHER, "reference_min: 0.9", "can never fail; give one of min, max, min_ratio, max_ratio, max_drop"),
    ],
)  # fmt: skip
def test_a_senseless_bound_is_told_with_the_one_that_was_probably_meant(project, metric, bounds, expected):
    problem = project.problem(budget(metric, {}).replace("{}", f"{{{bounds}}}"))
    assert expected in problem.message
    assert problem.line == 6


@pytest.mark.parametrize(
    ("metric", "bounds", "expected"),
    [
        (HIGHER, "min: 97", "97 is out of reach: top1 lies in 0…1, a share and no percentage: 97 % is 0.97"),
        (
            HIGHER,
            "min: 0.9, max: 1.5",
            "1.5 is out of reach: top1 lies in 0…1, a share and no percentage: 1.5 % is 0.015",
        ),
        (HIGHER, "min: -0.5", "-0.5 is out of reach: top1 lies in 0…1"),
        (HIGHER, "min: 970", "970 is out of reach: top1 lies in 0…1"),
        (
            HIGHER,
            "min: 0.9, reference_min: 98",
            "98 is out of reach: top1 lies in 0…1, a share and no percentage: 98 %",
        ),
        (
            HIGHER,
            "max_drop: 2",
            "a change of 2 can never happen: top1 lies in 0…1, a share and no percentage: 2 % is 0.02",
        ),
        (HIGHER, "max_drop: 1", "a change of 1 can never happen: top1 lies in 0…1"),
        ("sparsity", "min: 50", "50 is out of reach: sparsity lies in 0…1, a share and no percentage: 50 % is 0.5"),
    ],
)
def test_a_percentage_where_a_share_is_meant_is_refused(project, metric, bounds, expected):
    problem = project.problem(budget(metric, {}).replace("{}", f"{{{bounds}}}"))
    assert problem.message == expected or problem.message.startswith(expected)
    assert problem.line == 6


@pytest.mark.parametrize(
    "bounds", ["min: 0.97, reference_min: 1.0", "min: 1", "max_drop: 0.99", "min_ratio: 0.9, max_ratio: 1.5"]
)
def test_every_figure_that_a_share_can_have_is_allowed(project, bounds):
    assert project.load(budget(HIGHER, {}).replace("{}", f"{{{bounds}}}"))


def test_a_band_of_one_point_is_allowed(project):
    assert project.load(budget(LOWER, {"min": 1, "max": 1}))


def test_every_metric_takes_some_bound(project):
    for name, metric in METRICS.items():
        if metric.suits(TASKS["image-classification"]):
            bound = "max" if metric.better == "lower" else "min"
            assert project.load(budget(name, {bound: 0.5})).cases[0].spec.budgets[name].bounds() == {bound: 0.5}


@pytest.mark.parametrize("label", ["evidence", "spec"])
def test_labels_of_the_items_that_every_spec_has_are_taken(project, label):
    text = budget(LOWER, {"max": 1}).replace("{size_mb: {", f"{{{label}: {{metric: size_mb, ")
    problem = project.problem(text)
    assert (problem.line, problem.column, problem.path) == (6, 11, f"budgets.{label}")
    assert "is taken by an item that every spec has" in problem.message


@pytest.mark.parametrize(
    ("step", "metric", "path", "words"),
    [
        ("float16", HIGHER, "budgets.top1", "top1 is measured on data, and the spec has no `data:`"),
        ("int8-static", LOWER, "compress[0].method", "int8-static calibrates on data, and the spec has no `data:`"),
        ("magnitude-pruning, sparsity: 0.5, finetune: {epochs: 2}", LOWER, "compress[0].finetune",
         "magnitude-pruning trains on data, and the spec has no `data:`"),
    ],
)  # fmt: skip
def test_data_is_asked_for_where_something_uses_it(project, step, metric, path, words):
    text = budget(metric, {"max" if metric == LOWER else "min": 0.5}).replace("data: {source: digits}\n", "")
    problem = project.problem(text.replace("float16", step))
    assert (problem.path, problem.message) == (path, words)


def test_a_task_that_runs_on_data_asks_for_it_where_nothing_else_does(project):
    problem = project.problem(budget(LOWER, {"max": 1}).replace("data: {source: digits}\n", ""))
    assert (problem.file, problem.line, problem.column, problem.path) == ("specs/x.yaml", 2, 7, "task")
    assert problem.message == (
        "image-classification needs `data:` to trace and to run the model with; the spec has none"
    )


MODULE = "model: {source: zoo, name: resnet20-digits}"
PROGRAM = "model: {source: file, path: mine.pt2, trust: true}"


@pytest.mark.parametrize(
    ("model", "steps", "runtime", "place", "words"),
    [
        (MODULE, "int8-static; float16", "torch", (5, 44, "compress[1].method"),
         "step 2 (float16) takes torch module, but step 1 (int8-static) gives a quantized torch module"),
        (MODULE, "int8-static; magnitude-pruning, sparsity: 0.5", "torch", (5, 44, "compress[1].method"),
         "step 2 (magnitude-pruning) takes torch module, but step 1 (int8-static) gives a quantized torch module"),
        (PROGRAM, "float16", "torch", (5, 21, "compress[0].method"),
         "step 1 (float16) takes torch module, but the source gives an exported program"),
        (PROGRAM, "magnitude-pruning, sparsity: 0.5", "openvino", (5, 21, "compress[0].method"),
         "step 1 (magnitude-pruning) takes torch module, but the source gives an exported program"),
        (MODULE, "int8-static; int8-static", "torch", (5, 44, "compress[1].method"),
         "step 2 (int8-static) takes torch module, but step 1 (int8-static) gives a quantized torch module"),
    ],
)  # fmt: skip
def test_steps_that_do_not_compose_are_refused_at_the_step(project, model, steps, runtime, place, words):
    written = ", ".join(f"{{method: {step}}}" for step in steps.split("; "))
    text = budget(LOWER, {"max": 1}).replace("[{method: float16}]", f"[{written}]\ndeploy: {{runtime: {runtime}}}")
    problem = project.problem(text.replace(MODULE, model))
    assert (problem.line, problem.column, problem.path) == place
    assert problem.message.startswith("the steps do not compose: ")
    assert words in problem.message


@pytest.mark.parametrize(
    ("steps", "runtime", "forms"),
    [
        ("float16", "torch", [Form.TORCH, Form.TORCH]),
        ("int8-static", "torch", [Form.TORCH, Form.TORCH_INT8]),
        ("int8-static", "openvino", [Form.OPENVINO, Form.OPENVINO]),
        ("magnitude-pruning, sparsity: 0.5; int8-static", "torch", [Form.TORCH, Form.TORCH, Form.TORCH_INT8]),
        ("magnitude-pruning, sparsity: 0.5; int8-static", "openvino", [Form.TORCH, Form.OPENVINO, Form.OPENVINO]),
    ],
)
def test_a_model_is_lowered_where_a_step_or_the_runtime_needs_it(project, steps, runtime, forms):
    written = ", ".join(f"{{method: {step}}}" for step in steps.split("; "))
    text = budget(LOWER, {"max": 1}).replace("[{method: float16}]", f"[{written}]\ndeploy: {{runtime: {runtime}}}")
    assert list(planned(project.load(text).cases[0].spec)) == forms


def test_a_metric_of_another_task_is_told_with_the_tasks_and_metrics_that_there_are(project):
    problem = project.problem(budget("pearson", {"max_drop": 0.1}))
    assert (problem.line, problem.path) == (6, "budgets.pearson")
    assert problem.message == (
        "pearson is not defined for image-classification; it is for sentence-similarity, and image-classification has "
        "agreement, f1, precision, recall, top1, top5"
    )


STATIC = """\
version: 1
task: image-classification
model: {source: zoo, name: resnet20-digits}
data: {source: digits}
compress:
  - method: magnitude-pruning
    sparsity: 0.5
  - method: int8-static
    OPTION
deploy: {runtime: RUNTIME}
budgets: {size_mb: {max_ratio: 0.5}}
"""


@pytest.mark.parametrize(
    ("runtime", "option", "message"),
    [
        ("openvino", "observer: minmax", "found \"minmax\"; observer of int8-static is for a torch module, and this "
         "step receives an OpenVINO model: leave it out, or choose `runtime: torch`"),
        ("openvino", "engine: onednn", "found \"onednn\"; engine of int8-static is for a torch module, and this step "
         "receives an OpenVINO model: leave it out, or choose `runtime: torch`"),
        ("torch", "model_type: transformer", "found \"transformer\"; model_type of int8-static is for an OpenVINO "
         "model, and this step receives a torch module: leave it out, or choose `runtime: openvino`"),
    ],
)  # fmt: skip
def test_an_option_of_another_form_is_refused_where_it_stands(project, runtime, option, message):
    problem = project.problem(STATIC.replace("OPTION", option).replace("RUNTIME", runtime))
    assert (problem.line, problem.path) == (9, f"compress[1].{option.partition(':')[0]}")
    assert problem.message == message


@pytest.mark.parametrize(("runtime", "option"), [("openvino", "preset: mixed"), ("torch", "observer: minmax")])
def test_an_option_of_the_planned_form_is_taken(project, runtime, option):
    assert project.load(STATIC.replace("OPTION", option).replace("RUNTIME", runtime))


def test_smoothing_of_what_is_no_transformer_is_refused_when_the_spec_is_loaded(project):
    problem = project.problem(STATIC.replace("OPTION", "smooth_quant_alpha: 0.5").replace("RUNTIME", "openvino"))
    assert problem.path.startswith("compress[1]")
    assert "smooth_quant_alpha is for `model_type: transformer`" in problem.message
    both = "model_type: transformer\n    smooth_quant_alpha: 0.5"
    assert project.load(STATIC.replace("OPTION", both).replace("RUNTIME", "openvino"))


def test_options_for_one_form_are_options_for_a_form_that_the_method_takes():
    for _, method in METHODS.items():
        for form, names in method.only.items():
            assert form in method.forms
            assert set(names) <= method.model_fields.keys()


@pytest.mark.parametrize(
    ("metric", "bounds", "message"),
    [
        (HIGHER, "min: 0", "min 0 can never fail: top1 lies in 0…1"),
        (HIGHER, "min: 0.9, max: 1", "max 1 can never fail: top1 lies in 0…1"),
        (HIGHER, "min: 0.9, reference_min: 0", "reference_min 0 can never fail: top1 lies in 0…1"),
        (LOWER, "min: 0, max: 3", "min 0 can never fail: size_mb is never below 0"),
        (LOWER, "max: -3", "-3 is out of reach: size_mb is never below 0"),
        (LOWER, "max: 0", "max 0 leaves nothing that can pass: size_mb is never below 0, and no model reaches it"),
        ("latency_ms", "max: -1", "-1 is out of reach: latency_ms is never below 0"),
        ("throughput_fps", "min: 0", "min 0 can never fail: throughput_fps is never below 0"),
        ("macs_g", "max: 1, reference_max: 0", "reference_max 0 leaves nothing that can pass: macs_g is never below 0, "
         "and no model reaches it"),
    ],
)  # fmt: skip
def test_a_bound_that_can_never_fail_or_never_hold_is_refused(project, metric, bounds, message):
    problem = project.problem(budget(metric, {}).replace("{}", f"{{{bounds}}}"))
    assert (problem.line, problem.message) == (6, message)


@pytest.mark.parametrize(
    ("metric", "bound", "share"), [(LOWER, "max_ratio: 60", "0.6"), ("throughput_fps", "min_ratio: 150", "1.5")]
)
def test_a_ratio_that_looks_like_a_percentage_needs_a_reason(project, metric, bound, share):
    name, limit = bound.split(": ")
    problem = project.problem(budget(metric, {}).replace("{}", f"{{{bound}}}"))
    assert (problem.line, problem.path) == (6, f"budgets.{metric}.{name}")
    assert problem.message == (
        f"{name} {limit} means {limit} times the float model's {metric}; {limit} % of it is {share}. Where {limit} "
        "times is meant, say why with `because:`"
    )
    assert project.load(budget(metric, {}).replace("{}", f"{{{bound}, because: it is emulated here}}"))


@pytest.mark.parametrize("ratio", [0.6, 1, 1.25, 9.9])
def test_a_ratio_above_one_is_allowed(project, ratio):
    assert project.load(budget(LOWER, {"max_ratio": ratio}))


def test_every_shares_span_is_the_one_that_samples_are_counted_for():
    spans = {name: metric.span for name, metric in METRICS.items()}
    assert spans["top1"] == spans["agreement"] == spans["sparsity"] == SHARE
    assert spans["pearson"] == spans["ssim"] == (-1, 1)
    assert {spans[name] for name in ("size_mb", "latency_ms", "tokens_per_second", "params_m")} == {(0, math.inf)}
    assert spans["perplexity"] == (1, math.inf)


TEXTS = """\
version: 1
task: TASK
model: {source: transformers, name: ./mine}
data: {source: DATA}
compress: [{method: bfloat16}, {method: distillation, student: {source: transformers, name: ./small}}]
budgets: {size_mb: {max_ratio: 0.6}}
"""


@pytest.mark.parametrize(
    ("task", "data", "head"),
    [("causal-lm", "public-texts", "language-model"), ("text-classification", "polarity", "sequence-classification"),
     ("sentence-similarity", "lee", "sentence-embedding")],
)  # fmt: skip
def test_a_head_that_the_task_decides_may_be_left_out(project, task, data, head):
    text = TEXTS.replace("TASK", task).replace("DATA", data).replace("{method: bfloat16}, ", "")
    spec = project.load(text).cases[0].spec
    assert spec.model.head == spec.compress[0].student.head == head
    assert project.load(text.replace("./mine}", f"./mine, head: {head}}}")).cases[0].spec.model == spec.model


def test_a_head_that_is_written_stands_and_weights_of_ones_own_are_a_linear_one(project):
    text = TEXTS.replace("TASK", "text-classification").replace("DATA", "polarity").partition("compress:")[0]
    text += "compress: [{method: bfloat16}]\nbudgets: {size_mb: {max_ratio: 0.6}}\n"
    linear = project.load(text.replace("./mine}", "./mine, head_weights: head.safetensors}")).cases[0].spec.model
    assert linear.head == "linear"
    written = project.load(text.replace("./mine}", "./mine, head: sentence-embedding}")).cases[0].spec.model
    assert written.head == "sentence-embedding"


def test_a_head_that_no_task_decides_is_asked_for(project):
    text = TEXTS.replace("TASK", "image-classification").replace("DATA", "digits")
    problem = next(iter(project.problems(text)))
    assert (problem.line, problem.path) == (3, "model")
    assert problem.message.startswith("image-classification does not say what the model ends in: give `head`")


@pytest.mark.parametrize(
    ("windows", "budget", "path"),
    [
        (6, "{max: 0.1}", "kl_divergence"),
        (12, "{max: 0.1, windows: 13}", "kl_divergence.windows"),
        (8, "{max: 0.1}", ""),
    ],
)
def test_a_divergence_on_more_windows_than_the_data_evaluates_on_is_refused_with_the_way_out(
    project, windows, budget, path
):
    text = f"""\
version: 1
task: causal-lm
model: {{source: transformers, package: some-package, name: some_model}}
data: {{source: public-texts, windows: {windows}}}
deploy: {{runtime: transformers}}
compress: [{{method: weight-only}}]
budgets: {{kl_divergence: {budget}}}
"""
    if not path:
        assert project.load(text).cases[0].spec.budgets["kl_divergence"].first == 8
        return
    (problem,) = project.problems(text)
    assert problem.path == f"budgets.{path}"
    assert (
        f"windows, and `data:` evaluates on {windows}: give the budget `windows: {windows}` or fewer" in problem.message
    )


GENERATION = """\
version: 1
task: image-generation
model: {source: zoo, name: vae-digits}
data: {source: noise, shape: [8], samples: 398}
compress: [{method: float16}]
budgets: {METRIC: {BOUNDS}}
"""


@pytest.mark.parametrize(
    ("bounds", "name"),
    [
        ("max_ratio: 1.05", "max_ratio"),
        ("max_rise: 0.02, min_ratio: 0.5", "min_ratio"),
        ("min_ratio: 0.5", "min_ratio"),
    ],
)
def test_a_ratio_to_a_float_figure_that_is_an_estimate_is_refused_with_the_way_out(project, bounds, name):
    """Judged, it would stand on the float model's distance as if that were known: off by a third, so is the bound."""
    problem = project.problem(GENERATION.replace("METRIC", "kid").replace("BOUNDS", bounds))
    assert (problem.line, problem.path) == (6, f"budgets.kid.{name}")
    limit = bounds.rpartition(": ")[2]
    assert problem.message == (
        f"found {limit}; {name} is not for kid, whose float figure is an estimate that the interval of a ratio would "
        "take for known; use max_rise"
    )


def test_a_ratio_is_not_among_the_bounds_that_such_a_metric_is_offered(project):
    problem = project.problem(GENERATION.replace("METRIC", "kid").replace("BOUNDS", "reference_max: 0.1"))
    assert problem.message.endswith("can never fail; give one of min, max, max_rise")
    shares = GENERATION.replace("METRIC", "generated_recall").replace("BOUNDS", "min_ratio: 0.9")
    assert project.load(shares).cases[0].spec.budgets["generated_recall"].bounds() == {"min_ratio": 0.9}
    assert [name for name, metric in METRICS.items() if metric.no_ratio] == ["kid"]
