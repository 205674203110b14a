from typing import Any

from harness.forms import Form
from harness.methods.identity import Identity


def test_artifact_is_the_float_one_byte_for_byte(subject: Any, workshop: Any, weigh: Any) -> None:
    for model in ("lenet5-digits", "resnet20-digits"):
        before, after = weigh(subject(model)), weigh(Identity().apply(subject(model), workshop))
        assert before.content == after.content
        assert before.evidence == after.evidence


def test_every_form_passes_through() -> None:
    assert Identity().transitions == {form: form for form in Form}
