import numpy as np
import pytest
import torch

from harness.methods.low_rank import nf4

# QLoRA, appendix E.
PUBLISHED = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def decoded(weight: torch.Tensor, block: int) -> torch.Tensor:
    codes, scales = nf4.encode(weight, block)
    return nf4.decode(codes, scales, torch.tensor(nf4.values()), tuple(weight.shape))


def test_the_values_are_those_of_the_paper() -> None:
    np.testing.assert_allclose(nf4.values(), PUBLISHED, atol=1e-6)


@pytest.mark.parametrize("shape", [(10, 64), (3, 7, 5, 5), (1, 1)])
def test_every_weight_becomes_the_nearest_value_of_its_block(shape: tuple[int, ...]) -> None:
    weight = normal(*shape)
    flat = np.pad(weight.numpy().ravel(), (0, -weight.numel() % 32)).reshape(-1, 32)
    largest = np.abs(flat).max(1, keepdims=True)
    table = np.array(nf4.values())
    nearest = table[np.abs((flat / largest)[..., None] - table).argmin(-1)] * largest
    expected = nearest.ravel()[: weight.numel()].reshape(shape)
    np.testing.assert_allclose(decoded(weight, 32).numpy(), expected, rtol=1e-6)


def test_values_of_the_code_come_back_exactly_and_zeros_too() -> None:
    weight = torch.tensor([nf4.values()]).flip(1) * 3
    assert torch.allclose(decoded(weight, 16), weight)
    assert torch.count_nonzero(decoded(torch.zeros(5, 8), 16)) == 0


def test_it_is_nearer_to_normal_weights_than_even_steps() -> None:
    weight = normal(1000, 64)
    largest = weight.abs().amax(1, keepdim=True)
    even = torch.round(weight / largest * 7).clamp(-8, 7) * largest / 7
    nf4_error, even_error = ((weight - one).square().mean().item() for one in (decoded(weight, 64), even))
    assert nf4_error < 0.85 * even_error


def test_scales_in_eight_bits_are_right_to_half_a_step() -> None:
    scales = normal(700).abs() + 0.5
    codes, least, step = nf4.encode_scales(scales)
    assert (codes.dtype, len(codes), len(least)) == (torch.uint8, 700, 3)
    back = nf4.decode_scales(codes, least, step)
    assert float((back - scales).abs().max()) <= 0.5001 * float(step.max())
    flat = torch.full((5,), 0.25)
    assert torch.equal(nf4.decode_scales(*nf4.encode_scales(flat)), flat)
