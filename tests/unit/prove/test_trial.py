"""The score, the exit code and the words for them."""

import pytest

from harness.prove.table import lines, summary
from harness.prove.trial import Fate, Proof, Trial, exit_code, score


def trial(fate, *, claimed=True, mutant="no-op", **more):
    return Trial(
        mutant=mutant, what="a fault", fate=fate, claimed=claimed, owed={"top1": "why"} if claimed else {}, **more
    )


CAUGHT, SURVIVED, UNTOLD = (trial(fate) for fate in Fate)
FREE = trial(Fate.SURVIVED, claimed=False, missing="a budget on a time")


def proof(*trials, **more):
    return Proof(spec="mine", trials=trials, **more)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ((CAUGHT, CAUGHT, SURVIVED), (2, 3)),
        # What could not be told, and what nobody claimed, is in neither number.
        ((CAUGHT, UNTOLD, FREE), (1, 1)),
        ((FREE, UNTOLD), (0, 0)),
    ],
)
def test_the_score_counts_claimed_mutants_of_which_something_can_be_told(trials, expected):
    assert score([proof(*trials)]) == expected
    assert proof(*trials).score() == expected


@pytest.mark.parametrize(
    ("proofs", "code"),
    [
        ([proof(CAUGHT, FREE)], 0),
        ([proof(CAUGHT), proof(CAUGHT, SURVIVED), proof(refused="red")], 1),
        ([proof(CAUGHT, UNTOLD), proof(refused="red")], 2),
        ([proof(CAUGHT, UNTOLD)], 11),
        ([proof(refused="busy", untold=True), proof(CAUGHT)], 11),
        # An unclaimed mutant of which nothing can be told is nobody's fault; nor is a spec that cannot run here.
        ([proof(CAUGHT, trial(Fate.UNTOLD, claimed=False)), proof(not_here="no cuda")], 0),
        # Where nothing that is claimed was tried, nothing was proven.
        ([], 11),
        ([proof(not_here="no cuda")], 11),
        ([proof(FREE), proof(trial(Fate.CAUGHT, claimed=False))], 11),
    ],
)
def test_the_exit_code_is_that_of_the_worst(proofs, code):
    assert exit_code(proofs) == code


@pytest.mark.parametrize(
    ("proofs", "said"),
    [
        ([proof(not_here="no cuda"), proof(not_here="no cuda")], "0 of 0 claimed mutants caught; 0 cases"),
        ([proof(FREE)], "0 of 0 claimed mutants caught; 1 not claimed; 1 case"),
    ],
)
def test_the_denominator_is_told_where_it_is_zero(proofs, said):
    assert list(summary(proofs))[-1] == f"  {said}: nothing was proven"


def test_a_hundred_percent_means_all():
    many = proof(*[CAUGHT] * 299, SURVIVED)
    assert list(lines(many))[-1] == "  299 of 300 claimed mutants caught (99 %)"


def test_a_case_is_told_mutant_by_mutant():
    told = trial(Fate.CAUGHT, mutant="padded-file", verdicts={"top1": "PASS", "size_mb": "FAIL", "evidence": "INVALID"})
    text = list(lines(proof(told, trial(Fate.UNTOLD, sentence="others were at work"), FREE)))
    assert text[0] == "mine"
    assert [line.split(maxsplit=2)[2] for line in text[2:5]] == [
        "caught: size_mb FAIL, evidence INVALID",
        "could not tell: others were at work",
        "survived; would claim it: a budget on a time",
    ]
    assert text[5] == "  1 of 1 claimed mutants caught (100 %); 1 claimed could not be told; 1 not claimed"


def test_who_caught_it_and_who_owed_it_are_told_apart():
    stranger = trial(Fate.SURVIVED, verdicts={"size_mb": "FAIL", "top1": "PASS"}, others={"size_mb": "FAIL"})
    refused = trial(Fate.CAUGHT, refused=True, verdicts={"size_mb": "INVALID", "top1": "INVALID"})
    text = list(lines(proof(stranger, refused)))
    assert [line.split(maxsplit=2)[2] for line in text[2:4]] == [
        "SURVIVED; caught by others: size_mb FAIL; top1 owed it",
        "caught by the artifact, which was refused: size_mb INVALID, top1 INVALID",
    ]
    assert text[4] == "  1 of 2 claimed mutants caught (50 %)"


def test_survivors_are_named_at_the_end_with_what_was_too_loose():
    bad = trial(Fate.SURVIVED, mutant="shuffled-layer", sentence="top1 should have caught it and is too loose (…)")
    text = list(summary([proof(CAUGHT, FREE), proof(bad, case="w4")]))
    assert text[-2] == "  1 of 2 claimed mutants caught (50 %); 1 not claimed; 2 cases"
    assert text[-1] == "survived: mine[w4]: shuffled-layer: top1 should have caught it and is too loose (…)"


def test_a_case_that_is_not_green_says_why():
    assert list(lines(proof(refused="top1: … → FAIL"))) == [
        "mine", "  not green without any fault, so nothing can be proven: top1: … → FAIL",
    ]  # fmt: skip
