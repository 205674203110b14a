import pytest

from harness import errors
from harness.errors import MissingExtra, Problem, SpecError, UnknownName, Unmeasurable, WeighinError, closest


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("top", "top1"), ("TOP1", "top1"), ("latency", "latency_ms"), ("sise_mb", "size_mb"),
        ("int8_static", "int8-static"), ("perplexity", None), ("", None), ("x", None),
    ],
)  # fmt: skip
def test_the_closest_name_is_found_or_none(name, near):
    assert closest(name, ["top1", "latency_ms", "size_mb", "int8-static"]) == near


def test_names_come_back_as_they_are_written():
    assert closest("imagenet1k", ["IMAGENET1K_V2"]) == "IMAGENET1K_V2"
    assert closest("anything", []) is None


def test_an_unknown_name_lists_what_there_is_and_the_closest():
    error = UnknownName("method", "int8", ["int8-static", "float16"])
    assert str(error) == "unknown method 'int8'; allowed: float16, int8-static. Did you mean 'int8-static'?"
    assert str(UnknownName("task", "?", ["a"])) == "unknown task '?'; allowed: a."


def test_a_missing_package_says_how_to_get_it():
    assert str(MissingExtra("timm", "vision")) == (
        "needs the package 'timm', which is not installed: pip install 'weighin[vision]'"
    )


def test_a_problem_is_a_place_a_path_and_a_sentence():
    assert str(Problem("specs/a.yaml", 3, 5, "budgets.top1", "is odd")) == "specs/a.yaml:3:5: budgets.top1: is odd"
    assert str(Problem("specs/a.yaml", 1, 1, "", "is empty")) == "specs/a.yaml:1:1: is empty"


def test_problems_come_in_the_order_of_the_file():
    places = [(9, 1), (2, 30), (2, 4), (10, 2)]
    error = SpecError(Problem("a.yaml", line, column, "", "x") for line, column in places)
    assert [(one.line, one.column) for one in error.problems] == [(2, 4), (2, 30), (9, 1), (10, 2)]
    assert str(error).splitlines() == [str(problem) for problem in error.problems]


def test_every_error_of_the_package_is_one_of_the_tree_that_its_docstring_draws():
    named = [name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, Exception)]
    for name in named:
        assert issubclass(getattr(errors, name), WeighinError)
        assert name in (errors.__doc__ or "")
    assert issubclass(MissingExtra, Unmeasurable)
