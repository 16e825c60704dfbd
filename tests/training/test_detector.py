from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deepfakestream.errors import DataError, ParamsError, WeightsError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.files import load_network, round_to_half
from deepfakestream.model.imagenet import OFFLINE_BACKBONE
from deepfakestream.model.network import create_network, head_of_streams
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.detector import (
    TrainingJob,
    fit_network,
    train_detector,
    training_pairs,
    validation_pictures,
)
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.loop import EpochMetrics
from deepfakestream.training.params import TrainParams
from deepfakestream.training.pictures import write_pairs_picture
from deepfakestream.training.start import start_network
from deepfakestream.training.validation import logits_of

MakeSet = Callable[..., FaceSet]
MakeParams = Callable[..., TrainParams]
MakeJob = Callable[[FaceSet, FaceSet, TrainParams], TrainingJob]
WriteUntrained = Callable[..., Path]


class TestRefused:
    def test_training_split_without_fakes(
        self, face_set: MakeSet, params: MakeParams, make_job: MakeJob
    ) -> None:
        mix = {"dataset": 0.5, "self_blend": 0.5, "swap": 0.0}
        job = make_job(face_set(num_faked=0), face_set(), params(fake_mix=mix))
        with pytest.raises(DataError, match=r"'train' .*fake"):
            training_pairs(job)

    @pytest.mark.parametrize(
        "shape", [{"num_groups": 1, "num_faked": 0}, {"num_faked": 0, "num_without_mesh": 6}]
    )
    def test_nothing_to_validate_on(
        self, face_set: MakeSet, params: MakeParams, shape: dict[str, int], make_job: MakeJob
    ) -> None:
        job = make_job(face_set(), face_set(**shape), params())
        with pytest.raises(DataError, match="split 'val'"):
            validation_pictures(job)


def assert_same_weights(network: torch.nn.Module, wanted: dict[str, torch.Tensor]) -> None:
    found = network.state_dict()
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


class TestStart:
    def test_missing_folder(self, params: MakeParams, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="missing"):
            start_network(params(start_from=str(tmp_path / "none")))

    def test_unknown_backbone(self, params: MakeParams) -> None:
        with pytest.raises(ParamsError, match=r"train\.network\.backbone"):
            start_network(params(backbone="nonesuch"))

    def test_same_variant_takes_everything(
        self, params: MakeParams, tmp_path: Path, write_untrained: WriteUntrained
    ) -> None:
        donor = write_untrained(tmp_path, params())
        network = start_network(params(start_from=str(donor)))
        torch.manual_seed(1)
        wanted = create_network(params().network.spec)
        round_to_half(wanted)
        assert_same_weights(network, wanted.state_dict())

    def test_other_variant_takes_shared_streams_and_their_part_of_the_head(
        self, params: MakeParams, tmp_path: Path, write_untrained: WriteUntrained
    ) -> None:
        donor = write_untrained(tmp_path, params(variant="dual"))
        network = start_network(params(variant="srm", start_from=str(donor)))
        torch.manual_seed(1)
        dual = create_network(params(variant="dual").network.spec).state_dict()
        name = "streams.srm.backbone.conv_stem.weight"
        assert torch.equal(network.state_dict()[name], dual[name].half().float())
        wanted = 2 * dual["head.weight"][:, network.head.in_features :].half().float()
        assert torch.equal(network.head.weight, wanted)

    def test_a_stream_that_the_donor_lacks_leaves_the_head_as_it_is(
        self, params: MakeParams, tmp_path: Path, write_untrained: WriteUntrained
    ) -> None:
        """A head reads features by position; without all of its streams its parts mean nothing."""
        donor, _ = load_network(write_untrained(tmp_path, params(variant="dual")))
        assert head_of_streams(donor, ("rgb", "stacked")) == {}
        assert set(head_of_streams(donor, ("rgb", "srm"))) == {"head.weight", "head.bias"}

    def test_a_head_for_another_stream_is_not_taken(
        self, params: MakeParams, tmp_path: Path, write_untrained: WriteUntrained
    ) -> None:
        """Features of two streams have the same width and mean other things."""
        donor = write_untrained(tmp_path, params(variant="rgb", backbone=OFFLINE_BACKBONE))
        rgb, _ = load_network(donor)
        srm = start_network(params(variant="srm", backbone=OFFLINE_BACKBONE, start_from=str(donor)))
        assert rgb.head.weight.shape == srm.head.weight.shape
        assert (rgb.head.weight - srm.head.weight).abs().mean() > 0.01

    def test_default_start_is_version_0(self, params: MakeParams) -> None:
        """Where the variant and backbone are those of version 0, and from ImageNet weights elsewhere."""
        chosen = params(variant="stacked", start_from="packaged", backbone=OFFLINE_BACKBONE)
        packaged, _ = load_network(packaged_model_dir())
        stream = packaged.streams["stacked"].state_dict()
        assert_same_weights(start_network(chosen).streams["stacked"], stream)


class TestTrainDetector:
    @pytest.fixture
    def job(
        self,
        face_set: MakeSet,
        params: MakeParams,
        tmp_path: Path,
        write_untrained: WriteUntrained,
        make_job: MakeJob,
    ) -> TrainingJob:
        donor = write_untrained(tmp_path / "donor", params(variant="rgb"))
        chosen = params(variant="rgb", start_from=str(donor), epochs=1)
        return make_job(face_set(num_groups=6, num_faked=6), face_set(num_groups=6, num_faked=6), chosen)

    def test_spec_says_how_to_read_the_scores(
        self, job: TrainingJob, tmp_path: Path, extraction: ExtractionSpec
    ) -> None:
        detector = train_detector(job, CheckpointStore(directory=tmp_path / "ck"), lambda e, m: None)
        assert detector.spec.network == job.params.network.spec
        assert detector.spec.extraction == extraction
        assert detector.spec.trained_on == "made from one face"
        assert detector.spec.calibration.slope > 0
        assert set(detector.spec.operating_points) == {"balanced", "low_fpr", "high_recall"}
        point = detector.spec.operating_points["balanced"]
        assert point.measured_on.startswith("validation: ")
        assert "dataset+dataset_coded+self_blend+swap" in point.measured_on
        assert point.fpr is not None
        assert point.fpr <= 0.05

    def test_separate_streams_are_trained_alone_and_put_side_by_side(
        self, job: TrainingJob, params: MakeParams, tmp_path: Path, write_untrained: WriteUntrained
    ) -> None:
        donor = write_untrained(tmp_path / "both-streams", params(variant="ensemble"))
        chosen = {"epochs": 2, "start_from": str(donor)}
        both = replace(job, params=params(**chosen, variant="ensemble", streams="separate"))
        epochs: list[int] = []
        store = CheckpointStore(directory=tmp_path / "both")
        validation = validation_pictures(both)
        fit = fit_network(both, validation, store, lambda epoch, _: epochs.append(epoch))
        assert epochs == [0, 1, 2, 3, 4]
        assert fit.best_epoch == 4
        assert [("train_loss" in metrics) for metrics in fit.history] == [True] * 4 + [False]
        faces = validation["dataset"].images
        alone = []
        for name in ("rgb", "stacked"):
            one = replace(job, params=params(**chosen, variant=name))
            part = fit_network(
                one, validation, CheckpointStore(directory=tmp_path / name), lambda e, m: None
            ).network
            alone.append(logits_of(part, faces, job.context.device))
        np.testing.assert_allclose(
            logits_of(fit.network, faces, job.context.device), np.mean(alone, axis=0), atol=1e-5
        )

    @pytest.mark.slow
    def test_separate_streams_go_on_where_they_were_cut_off(
        self, job: TrainingJob, params: MakeParams, tmp_path: Path, write_untrained: WriteUntrained
    ) -> None:
        donor = write_untrained(tmp_path / "both-streams", params(variant="dual"))
        changed = {"variant": "dual", "streams": "separate", "epochs": 2, "start_from": str(donor)}
        both = replace(job, params=params(**changed))
        validation = validation_pictures(both)
        whole = fit_network(both, validation, CheckpointStore(directory=tmp_path / "a"), lambda e, m: None)

        def cut_off(epoch: int, _: EpochMetrics) -> None:
            if epoch == 3:  # the second stream's last epoch
                raise KeyboardInterrupt

        store = CheckpointStore(directory=tmp_path / "b")
        with pytest.raises(KeyboardInterrupt):
            fit_network(both, validation, store, cut_off)
        again = fit_network(both, validation, store, lambda e, m: None)
        assert_same_weights(again.network, whole.network.state_dict())
        store.remove()
        assert not (tmp_path / "b").exists()

    @pytest.mark.slow
    def test_same_job_same_weights(self, job: TrainingJob, tmp_path: Path) -> None:
        one, other = (
            train_detector(job, CheckpointStore(directory=tmp_path / name), lambda e, m: None)
            for name in ("a", "b")
        )
        assert_same_weights(one.network, other.network.state_dict())


def test_picture_of_pairs(face_set: MakeSet, params: MakeParams, tmp_path: Path, make_job: MakeJob) -> None:
    job = make_job(face_set(num_groups=2, num_faked=2), face_set(), params())
    path = tmp_path / "new" / "pairs.png"
    write_pairs_picture(training_pairs(job), path, rows=2, columns=3)
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == (2 * 112, 3 * 2 * 112, 3)
    left, right = picture[:112, :112].astype(int), picture[:112, 112:224].astype(int)
    assert np.abs(right[..., 1] - left[..., 1]).mean() > 30  # the fake is green
