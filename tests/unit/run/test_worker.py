"""How a job that gave no figures ended, as the gate reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import DataError
from harness.run import worker
from harness.run.job import Job, Outcome
from harness.spec.schema import Spec

SPEC = Spec.model_validate(
    {
        "version": 1,
        "task": "image-classification",
        "model": {"source": "zoo", "name": "lenet5-digits"},
        "compress": [{"method": "float16"}],
        "budgets": {"size_mb": {"max_ratio": 0.6}},
    }
)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (DataError("the splits overlap"), "foreseen", "the splits overlap"),
        # A sentence of the error's own, whatever it opens with.
        (DataError("the measure stage is set"), "foreseen", "the measure stage is set"),
        (ModuleNotFoundError("No module named 'nets'", name="nets"), "foreseen", "module 'nets' is not installed"),
        (IndexError("out of bounds"), "raised", "the measure stage failed: IndexError: out of bounds"),
        (FileNotFoundError(2, "gone"), "raised", "the measure stage failed: FileNotFoundError: [Errno 2] gone"),
        (OSError(28, "No space left"), "ended", "the measure stage failed: OSError: [Errno 28] No space left"),
        (MemoryError("14 GB"), "ended", "the measure stage ran out of memory: 14 GB"),
        (RuntimeError("std::bad_alloc"), "ended", "the measure stage ran out of memory: std::bad_alloc"),
    ],
)
def test_a_failure_says_of_which_kind_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, sentence: str
) -> None:
    def stage(job: Job, progress: worker.Progress) -> Outcome:
        raise error

    monkeypatch.setattr(worker, "_settle", lambda job: None)
    monkeypatch.setattr(worker, "_stage", stage)
    job = Job(stage="measure", spec=SPEC, root=str(tmp_path), reference="", compressed="")
    (tmp_path / "job").write_text(job.model_dump_json())
    worker.run(tmp_path / "job", tmp_path / "outcome")
    failure = Outcome.model_validate_json((tmp_path / "outcome").read_text()).failure
    assert failure is not None
    assert (failure.kind, failure.sentence) == (kind, sentence)
    # What was refused on purpose needs no traceback.
    assert ("Traceback" in failure.log) is not isinstance(error, DataError)
