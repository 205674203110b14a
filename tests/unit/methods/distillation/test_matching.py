import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.distillation.matching import Recorder, attention_gap, feature_gap, regressor


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_attention_is_the_distance_of_maps_of_unit_length() -> None:
    student, teacher = random(3, 4, 5, 5), random(3, 9, 5, 5, seed=1)
    gaps = []
    for one, other in zip(student.numpy(), teacher.numpy(), strict=True):
        maps = [np.square(each).sum(0).ravel() for each in (one, other)]
        gaps.append(np.linalg.norm(maps[0] / np.linalg.norm(maps[0]) - maps[1] / np.linalg.norm(maps[1])) / 2)
    assert attention_gap(student, teacher).item() == pytest.approx(np.mean(gaps), rel=1e-9)


def test_equal_attention_has_no_gap_and_a_finite_slope() -> None:
    student = random(2, 3, 4, 4).requires_grad_(True)
    gap = attention_gap(student, 2 * student.detach())
    gap.backward()
    assert gap.item() < 1e-6
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


def test_maps_of_two_sizes_meet_at_the_smaller() -> None:
    teacher = random(2, 3, 8, 8)
    student = torch.nn.functional.avg_pool2d(teacher, 2)
    assert attention_gap(student, teacher).item() < 1e-6
    assert feature_gap(student, teacher, nn.Identity()).item() == pytest.approx(0)


def test_attention_over_tokens_is_over_their_places() -> None:
    student, teacher = random(3, 5, 4), random(3, 5, 9, seed=1)
    gaps = []
    for one, other in zip(student.numpy(), teacher.numpy(), strict=True):
        maps = [np.square(each).sum(-1) for each in (one, other)]
        gaps.append(np.linalg.norm(maps[0] / np.linalg.norm(maps[0]) - maps[1] / np.linalg.norm(maps[1])) / 2)
    assert attention_gap(student, teacher).item() == pytest.approx(np.mean(gaps), rel=1e-9)
    for other in (random(3, 6, 4), random(3, 5), random(3, 4, 5, 5)):
        with pytest.raises(MethodError, match="cannot match attention of shapes"):
            attention_gap(student, other)


def test_features_that_are_a_linear_map_of_each_other_are_matched_to_nothing() -> None:
    student = random(40, 6, 3, 3)
    teacher = torch.einsum("oi,bihw->bohw", random(4, 6, seed=2), student)
    with torch.random.fork_rng():
        regress = regressor(student, teacher).double()
    assert isinstance(regress, nn.Conv2d)
    solution = torch.linalg.lstsq(
        student.transpose(1, 3).reshape(-1, 6), teacher.transpose(1, 3).reshape(-1, 4)
    ).solution
    with torch.no_grad():
        regress.weight.copy_(solution.T[..., None, None])
        assert regress.bias is not None
        regress.bias.zero_()
    assert feature_gap(student, teacher, regress).item() == pytest.approx(0, abs=1e-20)
    with torch.no_grad():
        regress.weight.zero_()
    assert feature_gap(student, teacher, regress).item() == pytest.approx(teacher.square().mean().item() / 2)


def test_features_of_different_kinds_are_refused() -> None:
    with pytest.raises(MethodError, match=r"cannot match features of shapes \(1, 2, 3, 3\) and \(1, 2\)"):
        regressor(random(1, 2, 3, 3), random(1, 2))


def test_a_module_that_is_not_there_is_told_with_the_closest() -> None:
    with torch.random.fork_rng():
        model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(MethodError, match=r"the teacher has no module '1.1'. Did you mean '1.0'?"):
        Recorder(model, ["1.1"], "teacher")
    recorder = Recorder(model, ["0"], "student")
    with recorder.listening():
        model(torch.ones(1, 2))
    assert recorder.seen["0"].shape == (1, 2)
    recorder.seen.clear()
    model(torch.ones(1, 2))
    assert not recorder.seen
