from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from deepfakestream.errors import DataError
from deepfakestream.evaluation.estimate import Estimate
from deepfakestream.evaluation.metrics import fpr_metric_name, measure

GOLDEN = [("real", 0.1), ("real", 0.4), ("fake", 0.35), ("fake", 0.8)]


def _table(rows: list[tuple[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "media_id": [f"m{i}" for i in range(len(rows))],
            "label": [label for label, _ in rows],
            "group_id": [f"g{i}" for i in range(len(rows))],
            "p_fake": np.array([p for _, p in rows], dtype=float),
        }
    )


def _random(n: int, *, seed: int = 0, shift: float = 1.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    is_fake = rng.random(n) < 0.4
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + shift * is_fake - shift / 2)))
    return _table([("fake" if fake else "real", value) for fake, value in zip(is_fake, p, strict=True)])


class TestUndefined:
    def test_empty(self) -> None:
        found = measure(_table([]), num_bootstrap=10, seed=0)
        assert found.status == "empty"
        assert found.share_not_applicable is None
        assert {estimate.value for estimate in found.estimates.values()} == {None}
        assert "nothing was measured" in found.describe()

    def test_no_file_has_a_score(self) -> None:
        found = measure(_table([("real", np.nan), ("fake", np.nan)]), num_bootstrap=10, seed=0)
        assert (found.status, found.n, found.share_not_applicable) == ("empty", 0, 1.0)

    @pytest.mark.parametrize("label", ["real", "fake"])
    def test_one_class(self, label: str) -> None:
        found = measure(_table([(label, 0.2), (label, 0.9)]), num_bootstrap=10, seed=0)
        assert found.status == "one_class"
        assert {found[name].value for name in ("auc", "ap", "eer", "f1", "accuracy", "tpr_at_fpr_1pct")} == {
            None
        }
        assert found["fpr"].value == (0.5 if label == "real" else None)
        assert found["tpr"].value == (0.5 if label == "fake" else None)
        assert found["brier"].value is not None
        assert "one class only" in found.describe()

    def test_one_file(self) -> None:
        found = measure(_table([("fake", 0.7)]), num_bootstrap=10, seed=0)
        assert found["brier"].value == pytest.approx(0.09)
        assert found["brier"].low is None

    def test_single_group_has_no_interval(self) -> None:
        table = _table(GOLDEN).assign(group_id="one")
        found = measure(table, num_bootstrap=10, seed=0)
        assert (found["auc"].value, found["auc"].low, found.num_bootstrap) == (0.75, None, 0)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.drop(columns="group_id"), "columns group_id are missing"),
            (lambda t: t.assign(media_id="same"), "file same has two rows"),
            (lambda t: t.assign(label="Fake"), "label 'Fake' is neither"),
            (lambda t: t.assign(p_fake=1.2), "outside 0-1"),
            (lambda t: t.assign(p_fake=-0.1), "outside 0-1"),
        ],
    )
    def test_bad_tables(self, change: object, message: str) -> None:
        assert callable(change)
        with pytest.raises(DataError, match=message):
            measure(change(_table(GOLDEN)), num_bootstrap=1, seed=0)


class TestGolden:
    """Worked out by hand for reals at .1 and .4, fakes at .35 and .8."""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("auc", 0.75),  # 3 of 4 pairs in order
            ("ap", 0.5 * 1 + 0.5 * 2 / 3),  # first fake at precision 1, second at 2/3
            ("eer", 0.5),
            ("tpr_at_fpr_1pct", 0.5),
            ("tpr_at_fpr_5pct", 0.5),
            ("f1", 2 / 3),  # at .5: one fake caught, none wrong
            ("accuracy", 0.75),
            ("tpr", 0.5),
            ("fpr", 0.0),
            ("brier", (0.01 + 0.16 + 0.4225 + 0.04) / 4),
            ("log_loss", -(np.log(0.9) + np.log(0.6) + np.log(0.35) + np.log(0.8)) / 4),
            ("ece", abs((0.1 + 0.4 + 0.35 + 0.8) / 4 - 0.5)),  # four files make one bin
        ],
    )
    def test_value(self, name: str, expected: float) -> None:
        assert measure(_table(GOLDEN), num_bootstrap=1, seed=0)[name].value == pytest.approx(expected)

    def test_interpolated_tpr(self) -> None:
        # ROC: (0, 0) (0, .5) (.5, .5) (.5, 1) (1, 1): half way between two points at 25 % and at 75 %.
        table = _table([("fake", 0.9), ("real", 0.8), ("fake", 0.7), ("real", 0.1)])
        found = measure(table, num_bootstrap=1, seed=0, fpr_levels=(0.25, 0.5, 0.75))
        assert [found[fpr_metric_name(x)].value for x in (0.25, 0.5, 0.75)] == [0.5, 1.0, 1.0]

    def test_eer_between_points(self) -> None:
        # Ties: one threshold separates nothing, so the ROC is the diagonal and the EER one half.
        table = _table([("fake", 0.5), ("real", 0.5)])
        assert measure(table, num_bootstrap=1, seed=0)["eer"].value == pytest.approx(0.5)

    def test_perfect(self) -> None:
        found = measure(_table([("real", 0.0), ("fake", 1.0)]), num_bootstrap=1, seed=0)
        expected = {"auc": 1, "ap": 1, "eer": 0, "f1": 1, "log_loss": 0, "brier": 0, "ece": 0}
        assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-12)

    def test_certain_and_wrong_is_finite(self) -> None:
        found = measure(_table([("real", 1.0), ("fake", 0.0)]), num_bootstrap=1, seed=0)
        assert found["log_loss"].value == pytest.approx(36.04, abs=0.01)

    @pytest.mark.parametrize(("fpr", "name"), [(0.01, "1pct"), (0.05, "5pct"), (0.001, "0_1pct")])
    def test_metric_names(self, fpr: float, name: str) -> None:
        assert fpr_metric_name(fpr) == f"tpr_at_fpr_{name}"


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("decimals", [2, 8])  # 2: many ties
    def test_same_numbers(self, decimals: int) -> None:
        table = _random(500)
        table["p_fake"] = table["p_fake"].round(decimals)
        is_fake, p = (table["label"] == "fake").to_numpy(), table["p_fake"].to_numpy()
        found = measure(table, num_bootstrap=1, seed=0, threshold=0.4)
        expected = {
            "auc": sklearn_metrics.roc_auc_score(is_fake, p),
            "ap": sklearn_metrics.average_precision_score(is_fake, p),
            "f1": sklearn_metrics.f1_score(is_fake, p >= 0.4),
            "accuracy": sklearn_metrics.accuracy_score(is_fake, p >= 0.4),
            "log_loss": sklearn_metrics.log_loss(is_fake, p),
            "brier": sklearn_metrics.brier_score_loss(is_fake, p),
        }
        assert {name: found[name].value for name in expected} == pytest.approx(expected)


class TestProperties:
    def test_reversed_scores_reverse_the_auc(self) -> None:
        table = _random(200)
        forward = measure(table, num_bootstrap=1, seed=0)["auc"].value
        backward = measure(table.assign(p_fake=1 - table["p_fake"]), num_bootstrap=1, seed=0)["auc"].value
        assert forward is not None
        assert backward == pytest.approx(1 - forward)

    def test_monotone_map_keeps_what_depends_on_ranks(self) -> None:
        table = _random(200)
        before = measure(table, num_bootstrap=1, seed=0)
        after = measure(table.assign(p_fake=table["p_fake"] ** 3), num_bootstrap=1, seed=0)
        for name in ("auc", "ap", "eer", "tpr_at_fpr_5pct"):
            assert before[name].value == pytest.approx(after[name].value)

    def test_order_of_rows_changes_nothing(self) -> None:
        table = _random(300)
        table["p_fake"] = table["p_fake"].round(1)
        shuffled = table.sample(frac=1.0, random_state=1)
        one, other = (measure(each, num_bootstrap=1, seed=0) for each in (table, shuffled))
        for name, estimate in one.estimates.items():
            assert other[name].value == pytest.approx(estimate.value), name

    def test_files_without_score_count_only_in_their_share(self) -> None:
        table = _random(100)
        more = pd.concat(
            [table, _table([("fake", np.nan)] * 25).assign(media_id=[f"x{i}" for i in range(25)])]
        )
        one, other = (measure(each, num_bootstrap=1, seed=0) for each in (table, more))
        assert other.share_not_applicable == pytest.approx(0.2)
        assert other["auc"].value == one["auc"].value


class TestInterval:
    def test_covers_the_point_and_is_seeded(self) -> None:
        table = _random(200)
        one, again, other = (measure(table, num_bootstrap=100, seed=seed)["auc"] for seed in (1, 1, 2))
        assert one == again
        assert one != other
        assert one.low is not None
        assert one.high is not None
        assert one.value is not None
        assert one.low < one.value < one.high

    def test_copies_of_a_file_in_one_group_add_no_certainty(self) -> None:
        table = _random(60)
        copies = pd.concat([table.assign(media_id=[f"{i}-{k}" for i in range(60)]) for k in range(10)])
        one, ten = (measure(each, num_bootstrap=300, seed=0)["auc"] for each in (table, copies))
        assert one.low == pytest.approx(ten.low)
        assert one.high == pytest.approx(ten.high)

    def test_calibrated_width(self) -> None:
        """The 95 % interval of a mean is near its textbook width."""
        table = _random(1000)
        found = measure(table, num_bootstrap=400, seed=0)["brier"]
        loss = (table["p_fake"] - (table["label"] == "fake")) ** 2
        assert found.low is not None
        assert found.high is not None
        assert found.high - found.low == pytest.approx(2 * 1.96 * loss.std() / np.sqrt(1000), rel=0.15)


def _calibrated(n: int, *, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.6, 0.6, n)
    return _table(
        [("fake" if fake else "real", value) for fake, value in zip(rng.random(n) < p, p, strict=True)]
    )


class TestCalibrationErrorOfFewFiles:
    def test_the_interval_holds_its_own_value(self) -> None:
        """Resampling adds noise, which raises the error: plain quantiles lie above it in 3 of 12 sets."""
        for seed in range(12):
            found = measure(_calibrated(100, seed=seed), num_bootstrap=200, seed=0)["ece"]
            assert found.value is not None
            assert found.low is not None
            assert found.high is not None
            assert 0.0 <= found.low < found.value < found.high

    def test_what_chance_alone_gives(self) -> None:
        """Calibrated scores stay below it in about 19 of 20 sets, and it shrinks with their number."""
        found = [measure(_calibrated(300, seed=seed), num_bootstrap=1, seed=0) for seed in range(60)]
        below = [(each["ece"].value or 0.0) < (each.ece_of_chance or 0.0) for each in found]
        assert 53 <= sum(below) <= 60
        many = measure(_calibrated(10_000, seed=0), num_bootstrap=1, seed=0).ece_of_chance
        assert many == pytest.approx(0.014, abs=0.003)

    def test_one_certain_file_leaves_nothing_to_chance(self) -> None:
        assert measure(_table([("fake", 1.0)]), num_bootstrap=1, seed=0).ece_of_chance == 0.0
        assert measure(_table([]), num_bootstrap=1, seed=0).ece_of_chance is None


def test_scalars_are_named_for_mlflow() -> None:
    found = measure(_random(100), num_bootstrap=20, seed=0).scalars("test_")
    assert {"test_auc", "test_auc_low", "test_auc_high", "test_ece", "test_n", "test_tpr_at_fpr_1pct"} <= set(
        found
    )


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=None), "not defined"),
        (Estimate(value=0.5), "0.500 (no interval)"),
        (Estimate(value=0.5, low=0.4, high=0.6), "0.500 (0.400–0.600)"),
    ],
)
def test_estimate_in_words(estimate: Estimate, text: str) -> None:
    assert str(estimate) == text


class TestFaces:
    def test_frames_of_a_file_are_no_independent_items(self) -> None:
        """Copies of a face in its file narrow no interval, because whole source groups are resampled."""
        files = _random(60)
        faces = pd.concat([files] * 5, ignore_index=True)
        faces["crop_id"] = [f"c{i}" for i in range(len(faces))]
        of_files = measure(files, num_bootstrap=60, seed=0)
        of_faces = measure(faces, num_bootstrap=60, seed=0, unit="face")
        assert (of_faces.unit, of_faces.n) == ("face", 300)
        assert "300 faces" in of_faces.describe()
        assert of_faces["auc"].model_dump() == pytest.approx(of_files["auc"].model_dump())

    def test_a_face_counts_once(self) -> None:
        faces = _table(GOLDEN).assign(crop_id="same")
        with pytest.raises(DataError, match="face same "):
            measure(faces, num_bootstrap=1, seed=0, unit="face")
