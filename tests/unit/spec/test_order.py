"""Steps that compose in form and not in sense: a later one undoes an earlier one."""

import pytest

SPEC = """\
version: 1
task: image-classification
model: {source: zoo, name: resnet20-digits}
data: {source: digits}
compress:
  - {method: FIRST}
  - {method: identity}
  - {method: SECOND}
budgets: {size_mb: {max_ratio: 0.5}}
"""


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("magnitude-pruning, sparsity: 0.5", "svd, ratio: 0.5",
         "step 3 (svd) undoes the zeros that were made by step 1 (magnitude-pruning): put it before, or leave one out"),
        ("float16", "given, path: other.pt",
         "step 3 (given) undoes all that was done by step 1 (float16): put it before, or leave one out"),
        ("float16", "distillation, student: {source: zoo, name: lenet5-digits}",
         "step 3 (distillation) undoes all that was done by step 1 (float16): put it before, or leave one out"),
    ],
)  # fmt: skip
def test_a_step_that_undoes_another_is_refused_where_it_stands(project, first, second, words):
    problem = project.problem(SPEC.replace("FIRST", first).replace("SECOND", second))
    assert (problem.line, problem.path, problem.message) == (8, "compress[2].method", words)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("svd, ratio: 0.5", "magnitude-pruning, sparsity: 0.5"),
        ("channel-pruning, ratio: 0.5", "svd, ratio: 0.5"),
        ("identity", "given, path: other.pt"),
        ("magnitude-pruning, sparsity: 0.5", "distillation"),
    ],
)
def test_the_other_way_round_is_allowed(project, first, second):
    assert project.load(SPEC.replace("FIRST", first).replace("SECOND", second))
