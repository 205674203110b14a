"""Whether a command line looks as if specs will be measured, so that the libraries may load early."""

import pytest

from harness.gate.options import expects_specs

CASES = {
    ("-m", "spec"): True,
    ("-m", "spec and ci"): True,
    ("-m", "not spec"): False,
    ("-m", "special"): False,
    ("specs/digits/lenet.yaml",): True,
    ("specs/digits/lenet.yaml::top1",): True,
    ("tests/unit",): False,
    ("-m", "spec", "--collect-only"): False,
    ("-m", "spec", "-n", "2"): False,
}


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_specs_are_expected_where_they_are_asked_for(arguments, pytestconfig):
    known, _ = pytestconfig._parser.parse_known_and_unknown_args(list(arguments))

    class Reading:
        known_args_namespace = known

    assert expects_specs(Reading()) is CASES[arguments]
