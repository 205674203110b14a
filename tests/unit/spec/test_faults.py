"""Every value that a spec may get wrong: where the message points, and what it says."""

import pytest

# Text of the spec, what it becomes, where the message points, and what it says.
REFUSED = [
    # The version is the number 1, and none of what equals it.
    ("version: 1", "version: 2", "1:10: version: found 2; allowed: 1"),
    ("version: 1", 'version: "1"', '1:10: version: found the text "1"; 1 is allowed, without quotes'),
    ("version: 1", "version: true", "1:10: version: found true; allowed: 1"),
    ("version: 1", "version: 1.0", "1:10: version: found 1.0; allowed: 1"),
    ("version: 1\n", "", "1:1: version: the key 'version' is required"),
    # Keys at every level.
    ("title:", "titel:", "2:1: titel: unknown key 'titel' (found \"small\"); allowed: because, budgets, cases, "),
    ("title:", "titel:", "Did you mean 'title'?"),
    ("calibration:", "calibraton:", "5:24: data.calibraton: unknown key 'calibraton' (found 64); allowed: "),
    ("sparsity:", "sparsty:", "Did you mean 'sparsity'?"),
    ("sparsity:", "sparsty:", "7:33: compress[0].sparsty: unknown key 'sparsty' (found 0.5); allowed: "),
    ("epochs:", "epoch:", "7:59: compress[0].finetune.epoch: unknown key 'epoch' (found 1); allowed: augment, batch, "),
    ("epochs:", "epoch:", "Did you mean 'epochs'?"),
    ("max_drop:", "max_dorp:", "13:5: budgets.top1.max_dorp: unknown key 'max_dorp' (found 0.02); allowed: "),
    ("max_drop:", "max_dorp:", "Did you mean 'max_drop'?"),
    ("{runtime: torch}", "{runtime: torch, thread: 1}", "9:26: deploy.thread: unknown key 'thread' (found 1); "),
    # Parts.
    ("image-classification", "image-clasification", '3:7: task: found "image-clasification"; allowed: '),
    ("image-classification", "image-clasification", "Did you mean 'image-classification'?"),
    ("source: zoo", "source: zooo", '4:17: model.source: unknown source "zooo"; allowed: '),
    ("source: zoo", "source: zooo", "Did you mean 'zoo'?"),
    ("source: zoo, ", "", '4:1: model: {"name": "resnet20-digits"} names no source; allowed: '),
    ("{source: zoo, name: resnet20-digits}", "zoo", '4:8: model: found "zoo"; a mapping is expected: {source: zoo}'),
    ("name: resnet20-digits", "name: resnet-20", "4:28: model.name: unknown zoo model 'resnet-20'; allowed: "),
    ("name: resnet20-digits", "name: resnet-20", "Did you mean 'resnet20-digits'?"),
    ("source: digits", "source: digit", '5:16: data.source: unknown source "digit"; allowed: '),
    ("source: digits", "source: digit", "Did you mean 'digits'?"),
    ("method: int8-static", "method: int8-sttic", '8:14: compress[1].method: unknown method "int8-sttic"; allowed: '),
    ("method: int8-static", "method: int8-sttic", "Did you mean 'int8-static'?"),
    ("{method: int8-static, observer: minmax}", "float16",
     '8:5: compress[1]: found "float16"; a mapping is expected: {method: float16}'),
    ("method: int8-static, ", "", '8:5: compress[1]: {"observer": "minmax"} names no method; allowed: '),
    ("method: int8-static, observer: minmax", "method: huffman",
     "Here that goes by {method: entropy-coding, coder: huffman}"),
    ("size_mb:", "accuracy:", "Here that goes by {metric: top1}"),
    ("image-classification", "text-generation", "Here that goes by {task: causal-lm}"),
    ("runtime: torch", "runtime: onnx", '9:19: deploy.runtime: unknown runtime "onnx"; allowed: openvino'),
    ("{runtime: torch}", "torch", '9:9: deploy: found "torch"; a mapping is expected: {runtime: torch}'),
    ("observer: minmax", "observer: min-max", '8:37: compress[1].observer: found "min-max"; allowed: '),
    ("observer: minmax", "observer: min-max", "Did you mean 'minmax'?"),
    # Numbers.
    ("0.5, fine", '"0.5", fine', '7:43: compress[0].sparsity: found "0.5"; a number is expected: remove the quotes'),
    ("0.5, fine", "half, fine", '7:43: compress[0].sparsity: found "half"; a number is expected'),
    ("0.5, fine", "true, fine", "7:43: compress[0].sparsity: found true; a number is expected"),
    ("0.5, fine", "1.5, fine", "7:43: compress[0].sparsity: found 1.5; it must be less than 1"),
    ("0.5, fine", "[0.5], fine", "7:43: compress[0].sparsity: found [0.5]; a number is expected"),
    ("sparsity: 0.5, ", "", "7:5: compress[0].sparsity: the key 'sparsity' is required (share of weights to set to"),
    ("calibration: 64", "calibration: 0", "5:37: data.calibration: found 0; it must be at least 1"),
    ("calibration: 64", "calibration: 6.5", "5:37: data.calibration: found 6.5; a whole number is expected"),
    ("calibration: 64", "calibration: 64.0", "5:37: data.calibration: found 64.0; a whole number is expected"),
    ("epochs: 1", "epochs: yes please",
     '7:67: compress[0].finetune.epochs: found "yes please"; a whole number is expected'),
    ("max_ratio: 0.5", "max_ratio: 0", "11:24: budgets.size_mb.max_ratio: found 0; it must be greater than 0"),
    ("max_drop: 0.02", "max_drop: -0.02", "13:15: budgets.top1.max_drop: found -0.02; it must be at least 0"),
    ("max_drop: 0.02", "max_drop: 2 %", '13:15: budgets.top1.max_drop: found "2 %"; a number is expected'),
    # Texts, lists, mappings.
    ("title: small", "title: 20", "2:8: title: found 20; text is expected: put it in quotes"),
    ("data: {source: digits, calibration: 64}", "data: [digits]", '5:7: data: found ["digits"]; a mapping is expected'),
    ("{max_ratio: 0.5}", "0.5", "11:12: budgets.size_mb: found 0.5; a mapping of bounds is expected, for example"),
    ("{max_ratio: 0.5}", "", "11:3: budgets.size_mb: found null; a mapping of bounds is expected"),
    # Labels.
    ("size_mb:", "small model:", '11:3: budgets.small model: the label "small model" may hold letters, digits, `_`'),
    ("size_mb:", "size:", '11:3: budgets.size: no metric is called "size", and the budget names none with `metric:`; '),
    ("size_mb:", "size:", "Did you mean 'size_mb'?"),
    ("size_mb: {", "small: {metric: size, ", '11:19: budgets.small.metric: unknown metric "size"; allowed: '),
    ("size_mb: {", "small: {metric: size, ", "Did you mean 'size_mb'?"),
    ("size_mb: {", "small: {metric: 3, ", '11:19: budgets.small.metric: unknown metric "3"; allowed: '),
    ("size_mb: {", "size_mb: {batch: 3, ", "11:13: budgets.size_mb.batch: unknown key 'batch' (found 3); allowed: "),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), REFUSED)
def test_a_wrong_value_is_named_where_it_stands(project, changed, old, new, expected):
    told = str(project.problem(changed(old, new)))
    if expected.startswith(("Did", "Here")):
        assert told.endswith(expected)
    else:
        assert told.startswith(f"specs/x.yaml:{expected}")


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("tier: nightli", "15:7: tier: found \"nightli\"; allowed: ci, nightly, release. Did you mean 'nightly'?"),
        ("tier: 1", "15:7: tier: found 1; allowed: ci, nightly, release"),
        ("requires: cuda", '15:11: requires: found "cuda"; a list is expected: [cuda]'),
        ("requires: [avx2, avx512]", '15:18: requires[1]: found "avx512"; allowed: PIL, accelerate, '),
        ("measure: {confidence: 95}", "15:23: measure.confidence: found 95; it must be less than 1"),
        # numpy takes no larger one, and would say so in the worker.
        ("measure: {seed: 4294967296}", "15:17: measure.seed: found 4294967296; it must be less than "),
        ("measure: {thread: 2}", "15:11: measure.thread: unknown key 'thread' (found 2); allowed: batch, confidence, "),
        ("measure:\n  threads: 0", "16:12: measure.threads: found 0; it must be at least 1"),
        ("threads: 2", "15:1: threads: unknown key 'threads' (found 2); allowed: because, budgets, "),
    ],
)
def test_optional_parts_are_held_to_their_options(project, spec, added, expected):
    assert str(project.problem(f"{spec}{added}\n")).startswith(f"specs/x.yaml:{expected}")


@pytest.mark.parametrize("key", ["task", "model", "compress", "budgets"])
def test_what_every_spec_must_say_is_asked_for_by_name(project, spec, key):
    start = spec.index(f"\n{key}:") + 1
    end = next((at for at in range(start + 1, len(spec)) if spec[at - 1] == "\n" and spec[at].isalpha()), len(spec))
    problem = project.problem(spec[:start] + spec[end:])
    assert (problem.line, problem.column, problem.path) == (1, 1, key)
    assert problem.message.startswith(f"the key '{key}' is required (")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "compress: []",
            "6:11: compress: found [], which is empty, and at least one method is needed; allowed: bfloat16",
        ),
        ("compress:", "6:1: compress: found null; a list is expected"),
        ("compress: {method: float16}", '6:11: compress: found {"method": "float16"}; a list is expected: begin each'),
        ("compress:\n  method: float16", "6:1: compress: found {"),
        ("compress: float16", '6:11: compress: found "float16"; a list is expected: [float16]'),
    ],
)
def test_steps_are_a_list_that_holds_something(project, spec, written, expected):
    start, end = spec.index("compress:"), spec.index("\ndeploy:")
    assert str(project.problem(spec[:start] + written + spec[end:])).startswith(f"specs/x.yaml:{expected}")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("budgets: {}", "found {}, which is empty, and at least one metric is needed; allowed: agreement, "),
        ("budgets:", "found null; a mapping of"),
    ],
)
def test_a_spec_without_budgets_gates_nothing(project, spec, written, words):
    problem = project.problem(spec[: spec.index("budgets:")] + written + "\n")
    assert (problem.line, problem.path) == (10, "budgets")
    assert problem.message.startswith(words)


def test_a_value_that_several_kinds_would_fit_is_told_all_of_them(project, changed):
    arguments = "{source: python, factory: 'nets:build', arguments: {width: {deep: 1}}}"
    problem = project.problem(changed("{source: zoo, name: resnet20-digits}", arguments))
    assert (problem.line, problem.column, problem.path) == (4, 67, "model.arguments.width")
    assert problem.message.startswith('found {"deep": 1}; a whole number, a number, true or false, text')


def test_a_pattern_is_told_by_what_it_is_for(project, changed):
    problem = project.problem(changed("{source: zoo, name: resnet20-digits}", "{source: python, factory: nets.build}"))
    assert problem.path == "model.factory"
    assert problem.message.startswith('found "nets.build"; expected module:callable that returns')


def test_an_option_that_contradicts_another_is_told_in_the_words_of_its_part(project, changed):
    data = "{source: folder, path: mine, image_size: 64, resize: 32}"
    problem = project.problem(changed("{source: digits, calibration: 64}", data))
    assert (problem.line, problem.path) == (5, "data")
    assert problem.message.startswith("resize 32 is smaller than the crop, image_size 64 (found ")


def test_long_values_are_cut(project, changed):
    assert len(project.problem(changed("title: small", f"title: [{'long, ' * 500}]")).message) < 120


def test_every_fault_is_told_in_one_go_and_in_the_order_of_the_file(project, spec):
    text = (
        spec.replace("title", "titel").replace("calibration", "calibraton").replace("sparsity: 0.5", "sparsity: 5")
        .replace("epochs", "epoch").replace("minmax", "min-max").replace("size_mb", "sizemb")
    )  # fmt: skip
    problems = project.problems(text)
    assert [problem.path for problem in problems] == [
        "titel", "data.calibraton", "compress[0].sparsity", "compress[0].finetune.epoch", "compress[1].observer",
        "budgets.sizemb",
    ]  # fmt: skip
    assert [problem.line for problem in problems] == [2, 5, 7, 7, 8, 11]


def test_what_means_nothing_is_told_beside_what_is_malformed(project, spec):
    text = spec.replace("title", "titel").replace("max_ratio: 0.5", "max_rato: 0.5").replace("max_drop", "max_rise")
    assert [problem.path for problem in project.problems(text)] == [
        "titel", "budgets.size_mb.max_rato", "budgets.top1.max_rise",
    ]  # fmt: skip


def test_faults_load_and_no_message_offers_them(project, changed):
    written = changed("method: int8-static, observer: minmax", "method: stray-values")
    assert project.load(written).cases[0].spec.compress[1].method == "stray-values"
    for old, new in (("method: int8-static", "method: stray-value"), ("size_mb:", "fault_nam:")):
        told = project.problem(changed(old, new)).message
        assert "; allowed: " in told
        assert not {"stray-values", "shuffled-weights", "fault_nan"} & set(
            told.replace("'", " ").replace(",", " ").split()
        )
