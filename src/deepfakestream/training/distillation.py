"""Knowledge distillation: a student learns a teacher's odds besides the labels (Hinton et al., 2015).

The teacher sees the very pictures that the student sees, after augmentation, so its odds say how much of a
forgery is left in them; labels cannot.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deepfakestream.errors import ParamsError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.files import load_network
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.model.packaged import named_model_dir
from deepfakestream.training.params import DistillParams


class Teacher:
    """A trained network whose odds are mixed into a student's targets."""

    def __init__(self, network: DetectorNetwork, *, weight: float, temperature: float) -> None:
        """Bind the teacher.

        Args:
            network: on the device of the student; it is not trained.
            weight: share of the teacher in the loss; the labels have the rest.
            temperature: divides both logits, so that odds far from even still differ.
        """
        self._network = network.eval().requires_grad_(False)
        self._weight = weight
        self._temperature = temperature

    def blend(self, loss: Tensor, logits: Tensor, pixels: Tensor) -> Tensor:
        """Return the loss against labels and teacher.

        Args:
            loss: scalar, against the labels.
            logits: `(N,)`, of the student.
            pixels: `(N, 3, S, S)`, what the student saw.
        """
        with torch.no_grad():
            odds = torch.sigmoid(self._network(pixels).float() / self._temperature)
        softened = functional.binary_cross_entropy_with_logits(logits / self._temperature, odds)
        # Gradients of softened odds shrink with the temperature's square (Hinton et al., 2015, section 2).
        return (1.0 - self._weight) * loss + self._weight * self._temperature**2 * softened


def open_teacher(params: DistillParams, extraction: ExtractionSpec, device: torch.device) -> Teacher | None:
    """Return the teacher that the parameters name, or None where they name none.

    Args:
        params: section `train.extra.distill`.
        extraction: how the crops of this training are made.
        device: where it runs.

    Raises:
        ParamsError: the teacher was trained on crops that are made otherwise.
        WeightsError: its folder is missing, incomplete or damaged.
    """
    if not params.teacher:
        return None
    folder = named_model_dir(params.teacher)
    network, spec = load_network(folder)
    for field in ("crop_size_px", "crop_scale", "crop_shift_y"):
        own, its = getattr(extraction, field), getattr(spec.extraction, field)
        if own != its:
            raise ParamsError(
                f"train.extra.distill.teacher: {folder} knows crops with {field} {its}, and "
                f"extract.{field} is {own}; name a teacher of such crops, or extract them as it asks"
            )
    return Teacher(network.to(device), weight=params.weight, temperature=params.temperature)
