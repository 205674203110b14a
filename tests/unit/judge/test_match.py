"""Which of a baseline's machines is this one."""

import pytest

from harness.judge.baseline import Accepted, CaseBaseline, Machine
from harness.judge.match import Setting, differing, held
from harness.judge.verdict import Match
from harness.run.environment import Environment

HERE = Environment(
    cpu="EPYC", cores=2, instruction_sets=("avx2",), system="Linux x86_64", python="3.11.7",
    libraries={"torch": "2.14.1", "numpy": "2.4.6"},
)  # fmt: skip
SETTING = Setting(HERE, threads=1, kernels="torch AVX2")


def accepted(value: float) -> Accepted:
    return Accepted(
        metric="latency_ms", metric_version=1, value=value, reference=10.0, kernels="torch AVX2", ratio=(0.1, 0.2, 0.3)
    )


def machine(value: float, **other: object) -> Machine:
    return Machine(environment=HERE.model_dump(mode="json") | other, threads=1, labels={"speed": accepted(value)})


def test_the_fingerprint_of_stored_baselines_is_still_the_one_that_is_asked_for() -> None:
    # Stored files are addressed by it: whoever changes this number makes every accepted baseline foreign.
    assert SETTING.fingerprint == "0ac38a07864f"


def test_an_exact_machine_is_preferred_to_a_compatible_one() -> None:
    baseline = CaseBaseline(machines={"old": machine(1.0, python="3.10.1"), SETTING.fingerprint: machine(2.0)})
    found = held(baseline, "speed", SETTING.fingerprint, SETTING)
    assert found.accepted is not None
    assert (found.match, found.accepted.value, found.versions) == (Match.EXACT, 2.0, "")


def test_of_compatible_machines_the_one_with_the_fewest_differences_is_held_against() -> None:
    far = machine(1.0, python="3.10.1", libraries={"torch": "2.0.0"}, cores=8)
    near = machine(2.0, libraries={"torch": "2.13.0", "numpy": "2.4.6"})
    found = held(CaseBaseline(machines={"a": far, "b": near}), "speed", SETTING.fingerprint, SETTING)
    assert found.accepted is not None
    assert (found.match, found.accepted.value, found.versions) == (Match.COMPATIBLE, 2.0, "torch 2.13.0 then")


def test_an_exact_machine_without_the_label_gives_way_to_a_compatible_one_that_has_it() -> None:
    exact = machine(1.0).model_copy(update={"labels": {}})
    baseline = CaseBaseline(machines={SETTING.fingerprint: exact, "old": machine(2.0, python="3.10.1")})
    assert held(baseline, "speed", SETTING.fingerprint, SETTING).match is Match.COMPATIBLE


@pytest.mark.parametrize("baseline", [None, CaseBaseline(), CaseBaseline(machines={"a": machine(1.0)})])
def test_a_label_that_nobody_accepted_is_foreign(baseline: CaseBaseline | None) -> None:
    found = held(baseline, "other", SETTING.fingerprint, SETTING)
    assert (found.match, found.accepted, found.anywhere) == (Match.FOREIGN, None, False)


def test_a_section_that_says_nothing_of_its_machine_is_foreign() -> None:
    bare = machine(1.0).model_copy(update={"environment": {}})
    found = held(CaseBaseline(machines={"a": bare}), "speed", SETTING.fingerprint, SETTING)
    assert (found.match, found.accepted, found.anywhere) == (Match.FOREIGN, None, True)


def test_what_differs_is_named_in_words() -> None:
    here = HERE.model_dump(mode="json")
    then = here | {"python": "3.10.1", "libraries": {"torch": "2.14.1", "timm": "1.0"}}
    assert differing(then, here) == ["numpy not installed then", "Python 3.10.1 then", "timm 1.0 then"]
