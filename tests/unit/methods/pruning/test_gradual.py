from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.gradual import GradualPruning
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.training import Training

TOTAL = 61_470


def zeros(model: nn.Module) -> int:
    return sum(int((one == 0).sum()) for one in model.parameters() if one.ndim > 1)


def test_sparsity_is_exact_and_the_model_still_knows(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = GradualPruning(sparsity=0.85, train=Training(epochs=3, learning_rate=0.02))
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    assert sum(one.zeros for one in after.evidence.matrices) == round(0.85 * TOTAL)
    assert after.accuracy(digits) > before.accuracy(digits) - 0.03
    assert method.contradictions(before.evidence, after.evidence) == []
    assert len(method.contradictions(before.evidence, before.evidence)) == 1
    assert after.content == weigh(method.apply(subject(), workshop)).content
    assert list(method.apply(subject(), workshop).model.state_dict()) == list(subject().model.state_dict())


def test_sparsity_grows_by_the_cubic_and_no_zero_returns(subject: Any, workshop: Any) -> None:
    seen: list[int] = []
    gone: list[torch.Tensor] = []

    class Watched(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                flat = torch.cat([one.detach().flatten() == 0 for one in self.parameters() if one.ndim > 1])
                assert not gone or bool(flat[gone[-1]].all())
                gone.append(flat)
                seen.append(int(flat.sum()))
            return self.inner(x)  # type: ignore[no-any-return]

    model = Watched(subject().model)
    # 1,000 digits in batches of 50: 20 steps an epoch, 40 in all; pruning from step 10 to step 30.
    method = GradualPruning(
        sparsity=0.8, begin=0.25, end=0.75, every=5, train=Training(epochs=2, batch=50, learning_rate=0.001)
    )
    method.apply(subject(model), workshop)
    expected = [0] * 10
    for passed in (0.0, 0.25, 0.5, 0.75):
        expected += [round((0.8 - 0.8 * (1 - passed) ** 3) * TOTAL)] * 5
    expected += [round(0.8 * TOTAL)] * 10
    assert seen == expected


def test_zeros_of_an_earlier_step_stay(subject: Any, workshop: Any) -> None:
    sparse = MagnitudePruning(sparsity=0.4).apply(subject(), workshop)
    before = {name: one.detach() == 0 for name, one in sparse.model.named_parameters() if one.ndim > 1}
    after = GradualPruning(sparsity=0.6, train=Training(epochs=1)).apply(sparse, workshop).model
    assert all(bool((after.get_parameter(name)[gone] == 0).all()) for name, gone in before.items())
    assert zeros(after) == round(0.6 * TOTAL)


def test_data_to_train_on_is_asked_for(subject: Any, workshop: Any) -> None:
    bare = replace(workshop, data=replace(workshop.data, train=None))
    with pytest.raises(MethodError, match="-pruning trains: it needs data with a training split"):
        GradualPruning(sparsity=0.5).apply(subject(), bare)
