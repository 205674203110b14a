"""What tasks whose models return logits have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Chances nearer to no or yes than this count as this: their logits would not be finite.
LEAST_CHANCE = 1e-6


def divergence_of_logits(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float, *, reverse: bool = False
) -> torch.Tensor:
    """T² · KL(teacher ‖ student) of the distributions softmax(logits / T), the mean over all rows.

    G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015, equation 1; the factor keeps
    gradients of one size at every temperature (section 2.1). `reverse` gives KL(student ‖ teacher): Y. Gu et al.,
    "MiniLLM: Knowledge Distillation of Large Language Models", 2024.

    Args:
        student: shape (…, classes).
        teacher: the same shape.
        temperature: T.
        reverse: swap the two distributions.
    """
    from torch.nn.functional import kl_div, log_softmax

    ours, theirs = (log_softmax(one.flatten(0, -2) / temperature, dim=-1) for one in (student, teacher))
    source, target = (theirs, ours) if reverse else (ours, theirs)
    return kl_div(source, target, reduction="batchmean", log_target=True) * temperature**2


def divergence_of_chances(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float, *, reverse: bool = False
) -> torch.Tensor:
    """T² · KL(teacher ‖ student) of each chance of a yes or no, softened as sigmoid(logit / T); nothing is reduced.

    Args:
        student: in 0…1, of any shape.
        teacher: the same shape.
        temperature: T.
        reverse: swap the two.
    """
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    ours, theirs = (one.logit(eps=LEAST_CHANCE) / temperature for one in (student, teacher))
    source, target = (theirs, ours) if reverse else (ours, theirs)
    chance = target.sigmoid()
    lost = cross_entropy(source, chance, reduction="none") - cross_entropy(target, chance, reduction="none")
    return lost * temperature**2
