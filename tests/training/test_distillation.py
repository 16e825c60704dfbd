from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepfakestream.errors import ParamsError, WeightsError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.detector import (
    TrainingJob,
    fit_network,
    validation_pictures,
)
from deepfakestream.training.distillation import Teacher, open_teacher
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.params import DistillParams, TrainParams

CPU = torch.device("cpu")
MakeSet = Callable[..., FaceSet]
MakeParams = Callable[..., TrainParams]
WriteUntrained = Callable[..., Path]


class Says(DetectorNetwork):
    """A network that gives every picture the same logit."""

    def __init__(self, logit: float) -> None:
        super(DetectorNetwork, self).__init__()
        self.logit = logit

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.full((len(pixels),), self.logit)


def _blend(student: float, teacher: float, *, weight: float, temperature: float) -> torch.Tensor:
    logits = torch.tensor([student], requires_grad=True)
    of = Teacher(Says(teacher), weight=weight, temperature=temperature)
    loss = of.blend(torch.tensor(10.0), logits, torch.zeros(1, 3, 8, 8))
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return torch.stack([loss.detach(), logits.grad[0]])


class TestBlend:
    def test_by_hand(self) -> None:
        """Odds of sigmoid(2/2) against even odds: ln 2, times 2 squared; half of it, and half of the 10."""
        loss, _ = _blend(0.0, 2.0, weight=0.5, temperature=2.0)
        assert loss.item() == pytest.approx(0.5 * 10.0 + 0.5 * 4.0 * math.log(2.0))

    def test_gradient_by_hand(self) -> None:
        """T^2 * (sigmoid(s/T) - sigmoid(t/T)) / T."""
        _, gradient = _blend(0.0, 2.0, weight=1.0, temperature=2.0)
        assert gradient.item() == pytest.approx(2.0 * (0.5 - 1.0 / (1.0 + math.exp(-1.0))))

    def test_nothing_to_learn_from_a_teacher_of_the_same_opinion(self) -> None:
        _, gradient = _blend(1.3, 1.3, weight=1.0, temperature=3.0)
        assert gradient.item() == pytest.approx(0.0, abs=1e-6)


class TestOpenTeacher:
    def test_none_by_default(self, extraction: ExtractionSpec) -> None:
        assert open_teacher(DistillParams(), extraction, CPU) is None

    def test_missing_folder(self, extraction: ExtractionSpec, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="missing"):
            open_teacher(DistillParams(teacher=str(tmp_path / "none")), extraction, CPU)

    def test_crops_made_otherwise(
        self, params: MakeParams, extraction: ExtractionSpec, write_untrained: WriteUntrained, tmp_path: Path
    ) -> None:
        folder = write_untrained(tmp_path, params(), crop_scale=1.3)
        with pytest.raises(ParamsError, match=r"train\.extra\.distill\.teacher: .* crop_scale 1\.3"):
            open_teacher(DistillParams(teacher=str(folder)), extraction, CPU)


@pytest.mark.slow
def test_with_all_the_weight_only_the_teacher_counts(
    face_set: MakeSet,
    params: MakeParams,
    make_job: Callable[..., TrainingJob],
    write_untrained: WriteUntrained,
    tmp_path: Path,
) -> None:
    """The loss against labels may then be any: the same weights come out, and others without a teacher."""
    teacher = write_untrained(tmp_path / "teacher", params(variant="rgb"), seed=1)
    start = write_untrained(tmp_path / "start", params(variant="rgb"), seed=2)
    common = {"variant": "rgb", "start_from": str(start), "epochs": 1}
    alone = {"teacher": str(teacher), "weight": 1.0}
    weights = []
    for index, changes in enumerate(
        ({"distill": alone}, {"distill": alone, "label_smoothing": 0.3, "fake_weight": 5.0}, {})
    ):
        job = make_job(face_set(), face_set(), params(**common, **changes))
        store = CheckpointStore(directory=tmp_path / str(index))
        weights.append(
            fit_network(job, validation_pictures(job), store, lambda e, m: None).network.head.weight
        )
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
