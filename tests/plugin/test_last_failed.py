"""`--lf` on specs: what failed last is run again, case by case and budget by budget, and nothing beside it."""

from __future__ import annotations

from project import Project

WAYS = """compress: [{method: float16}]
budgets: {size_mb: {max_ratio: 0.60}, params_m: {max_ratio: 1.0}}
cases:
  sound: {}
  other: {compress: [{method: %s}]}
"""
# Without a step that compresses, a budget breaks, which is a failure, and the evidence is invalid, which is an error.
FAILED = {"vision/ways[other]::size_mb": "FAIL", "vision/ways[other]::evidence": "INVALID"}


def test_what_failed_last_is_run_again_and_nothing_beside_it(project: Project) -> None:
    def written(step: str) -> None:
        project.spec("vision/ways", WAYS % step)

    def run(*arguments: str) -> tuple[dict[str, str], int]:
        found = project.run(*arguments, remember=True)
        return found.verdicts(), found.code

    written("float16")
    verdicts, code = run("--update-baselines", "--reason", "the first ones")
    assert (set(verdicts.values()), len(verdicts), code) == ({"PASS"}, 6, 0)

    written("identity")
    verdicts, code = run()
    assert {name: verdict for name, verdict in verdicts.items() if verdict != "PASS"} == FAILED
    assert (len(verdicts), code) == (6, 1)
    listed = project.run("--lf", "--collect-only", "-q", remember=True)
    assert sorted(line for line in listed.out.splitlines() if "::" in line) == [
        "specs/vision/ways.yaml::evidence[other]",
        "specs/vision/ways.yaml::size_mb[other]",
    ]

    # What was mended is run once more, by itself, and then nothing is left.
    written("float16")
    assert run("--lf") == (dict.fromkeys(FAILED, "PASS"), 0)
    assert run("--lf", "--last-failed-no-failures", "none") == ({}, 5)
