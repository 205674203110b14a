"""What a worker tells of an error: a sentence, and where in somebody's code it arose."""

from __future__ import annotations

import pytest

from harness.errors import DataError, MethodError, Unforeseen
from harness.run.failing import failure_of, out_of_memory
from harness.run.job import Failure


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """The error with the traceback of a raise, and with that of its cause."""
    try:
        if cause is None:
            raise error
        try:
            raise cause
        except Exception as inner:
            raise error from inner
    except Exception as outer:
        return outer


def test_a_sentence_of_our_own_stands_alone() -> None:
    assert failure_of("the compress stage", raised(MethodError("no layer 'fc9'"))) == Failure(sentence="no layer 'fc9'")


def test_an_error_that_nobody_explains_names_what_failed_and_where() -> None:
    failure = failure_of("the compress stage", raised(KeyError("x")))
    assert failure.sentence == "the compress stage failed: KeyError: 'x'"
    assert failure.log.splitlines()[0].startswith("Traceback")
    assert failure.log.splitlines()[-1] == "KeyError: 'x'"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Unforeseen("step 1 of 2: float16: KeyError: 'x'"), "the job failed: step 1 of 2: float16: KeyError: 'x'"),
        (DataError("no table at data/a.csv"), "no table at data/a.csv"),
    ],
)
def test_an_error_that_was_made_of_another_one_keeps_the_place_of_that(error: Exception, sentence: str) -> None:
    failure = failure_of("the job", raised(error, KeyError("x")))
    assert failure.sentence == sentence
    # What a terminal shows is the end, and that is where the other one arose.
    assert failure.log.splitlines()[-1] == "KeyError: 'x'"
    assert "raise cause" in failure.log


def test_a_package_that_is_absent_is_named_with_what_brings_it() -> None:
    error = ModuleNotFoundError("No module named 'timm'", name="timm.models")
    assert "pip install 'weighin[" in failure_of("the job", error).sentence
    assert (
        failure_of("the job", ModuleNotFoundError("", name="nowhere")).sentence == "module 'nowhere' is not installed"
    )


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (Unforeseen("step 1 of 1: float16: RuntimeError: std::bad_alloc"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_want_of_memory_is_known_however_it_is_raised(error: Exception, is_it: bool) -> None:
    assert out_of_memory(error) is is_it
