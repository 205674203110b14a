from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from pydantic import ValidationError
from safetensors.torch import save_file

from harness.data.base import DATA
from harness.data.diffusion import Denoising, Noised, Sampler
from harness.data.noise import Noise
from harness.errors import DataError

# numpy 2 deprecates how torch makes arrays, which the solver of diffusers asks for.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def denoiser(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Something that depends on images and timesteps."""
    images, times = inputs
    return (torch.tanh(images * 0.7 + times.reshape(-1, 1, 1, 1) / 1000),)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm-solver"])
def test_the_sampler_is_the_plain_loop_of_diffusers(scheduler: str) -> None:
    noise = torch.randn((3, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    sampler = Sampler(scheduler=scheduler, steps=6)  # type: ignore[arg-type]
    (made,) = Denoising(sampler, -1.0, 1.0).run(denoiser, (noise,))
    schedule = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "epsilon"}
    plain = DDIMScheduler(**schedule) if scheduler == "ddim" else DPMSolverMultistepScheduler(**schedule)
    plain.set_timesteps(6)
    images = noise
    for time in plain.timesteps:
        (predicted,) = denoiser((images, torch.full((3,), int(time))))
        images = plain.step(predicted, time, images).prev_sample
    assert torch.equal(made, ((images + 1) / 2).clamp(0, 1))
    # A multistep solver that remembered the batch before would give other images.
    assert torch.equal(Denoising(sampler, -1.0, 1.0).run(denoiser, (noise,))[0], made)


def test_what_is_not_finite_stays_so() -> None:
    chain = Denoising(Sampler(steps=2), -1.0, 1.0)
    (made,) = chain.run(lambda inputs: (inputs[0] * torch.nan,), (torch.zeros((1, 1, 4, 4)),))
    assert made.isnan().all()


def test_calibration_is_what_the_model_meets_on_the_way() -> None:
    dataset = Noise(shape=(1, 16, 16), samples=10, calibration=25, sampler=Sampler(steps=10)).load(Path())
    assert dataset.chain is not None
    visited = dataset.chain.visited(denoiser, dataset.calibration, 25)
    (batch,) = visited.batches(100)
    images, times = batch.inputs
    assert len(visited) == 25
    # Two whole chains and the half of a third, from the most noise to the least.
    assert times.tolist() == 2 * list(range(900, -1, -100)) + list(range(900, 400, -100))
    start = next(dataset.calibration.batches(1)).inputs[0]
    assert torch.equal(images[:1], start)
    assert len(set(visited.digests())) == 25


def test_noise_is_seeded_and_calibration_shares_none_with_evaluation() -> None:
    one, again, other = (Noise(shape=(4,), samples=20, seed=seed).load(Path()).checked() for seed in (0, 0, 1))
    assert one.evaluation is not None
    assert again.evaluation is not None
    assert other.evaluation is not None
    assert list(one.evaluation.digests()) == list(again.evaluation.digests())
    assert not set(one.evaluation.digests()) & set(other.evaluation.digests())
    assert not set(one.evaluation.digests()) & set(one.calibration.digests())


def test_every_sample_is_held_to_as_many_real_images() -> None:
    evaluation = Noise(shape=(4,), samples=398).load(Path()).evaluation
    assert evaluation is not None
    targets = torch.cat([batch.targets for batch in evaluation.batches(100)])
    assert targets.shape == (398, 2, 1, 16, 16)
    assert float(targets.min()) >= 0
    assert float(targets.max()) <= 1
    assert float(targets.max()) > 0.99
    with pytest.raises(DataError, match="798 images are made, and 797 real ones held out"):
        Noise(shape=(4,), samples=798).load(Path())


def test_a_denoiser_learns_the_noise_that_was_added() -> None:
    dataset = Noise(shape=(1, 16, 16), sampler=Sampler()).load(Path())
    assert isinstance(dataset.train, Noised)
    first, second = (next(dataset.train.batches(8, shuffle=seed)) for seed in (1, 1))
    assert torch.equal(first.targets, second.targets)
    noisy, times = first.inputs
    kept = DDIMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod[times].reshape(-1, 1, 1, 1)
    images = (noisy - (1 - kept).sqrt() * first.targets) / kept.sqrt()
    clear = times < 900
    # Ho et al. 2020, equation 4: what is left without the noise is an image between black and white.
    assert clear.any()
    assert float(images[clear].abs().max()) < 1.001


def test_a_decoder_learns_from_draws_of_the_posterior(tmp_path: Path) -> None:
    codes = {"mean": torch.arange(2000.0).reshape(1000, 2), "log_variance": torch.full((1000, 2), -60.0)}
    save_file(codes, tmp_path / "latents.safetensors")
    split = Noise(shape=(2,), latents="latents.safetensors").load(tmp_path).train
    assert split is not None
    batch = next(split.batches(1000, shuffle=7))
    rows = (batch.inputs[0][:, 0] / 2).round().long()
    assert sorted(rows.tolist()) == list(range(1000))
    ordered = next(split.batches(1000)).targets
    # Codes and images are shuffled alike.
    assert torch.equal(batch.targets, ordered[rows])


def test_a_posterior_of_other_images_is_refused(tmp_path: Path) -> None:
    save_file({"mean": torch.zeros(5, 2), "log_variance": torch.zeros(5, 2)}, tmp_path / "few.safetensors")
    save_file({"codes": torch.zeros(5, 2)}, tmp_path / "other.safetensors")
    for name, reason in (("few", "codes of 5 images"), ("other", "holds codes"), ("absent", "no posterior at")):
        split = Noise(shape=(2,), latents=f"{name}.safetensors").load(tmp_path).train
        assert split is not None
        with pytest.raises(DataError, match=reason):
            next(split.batches(8))


def test_options_that_contradict_each_other_are_refused() -> None:
    for options, reason in (
        ({"pixels": [0, 0]}, "black and white are both 0"),
        ({"sampler": {"steps": 20, "train_steps": 10}}, "20 steps are more than the 10"),
        ({"sampler": {}, "latents": "file"}, "give one"),
    ):
        with pytest.raises(ValidationError, match=reason):
            DATA["noise"].model_validate({"source": "noise", "shape": [2], **options})
