from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepfakestream.monitoring.drift import check
from deepfakestream.monitoring.drift_psi import compare, psi
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.monitoring.prediction_log import FEATURES

PARAMS = DriftParams(window_size=200, min_window=30, num_threshold=0.2, share_threshold=0.15)


def predictions(n: int, seed: int = 0) -> pd.DataFrame:
    """A plausible log: 25 fps clips and stills of one person or two, most scores near 0 and 1."""
    rng = np.random.default_rng(seed)
    still = rng.random(n) < 0.4
    return pd.DataFrame(
        {
            "p_fake": rng.beta(0.5, 0.5, n),
            "face_px": rng.lognormal(4.8, 0.5, n),
            "sharpness": rng.lognormal(5.0, 0.7, n),
            "luma": rng.normal(118.0, 22.0, n).clip(0, 255),
            "detector_score": 1.0 - rng.beta(1.0, 80.0, n),
            "num_faces": np.where(still, 1.0, rng.integers(12, 17, n)),
            "num_tracks": rng.integers(1, 3, n).astype(float),
            "width_px": rng.choice([640.0, 1280.0, 1920.0], n),
            "height_px": rng.choice([360.0, 720.0, 1080.0], n),
            "duration_s": np.where(still, 0.0, rng.uniform(1, 20, n)),
            "fps": np.where(still, 0.0, 25.0),
            "coded_bits_per_px": rng.lognormal(0.2, 0.4, n),
        }
    )


def blurred(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(sharpness=table.sharpness * 0.15, detector_score=table.detector_score - 0.03)


def darkened(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(luma=table.luma * 0.4, sharpness=table.sharpness * 0.16)


def shifted(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(p_fake=0.5 + table.p_fake * 0.5)


def run(current: pd.DataFrame, reference: pd.DataFrame, tmp_path: Path, *, params=PARAMS, features=FEATURES):
    newest = current if "embedding" in current else None
    return check(
        current, reference, params, out_dir=tmp_path, model_version="3", newest=newest, features=features
    )


def only(*names: str) -> dict[str, str]:
    """Return some of the features: every one that is compared costs Evidently a plot."""
    return {name: FEATURES[name] for name in names}


@pytest.mark.parametrize(
    ("current", "reference"),
    [
        (predictions(0), predictions(200)),
        (predictions(1), predictions(200)),
        (predictions(29), predictions(200)),
        (predictions(200), predictions(29)),
        (predictions(200), predictions(0)),
        (pd.DataFrame(), pd.DataFrame()),
    ],
    ids=["empty", "one", "one short", "reference short", "no reference", "nothing"],
)
def test_few_rows_are_never_drift(current, reference, tmp_path):
    report = run(current, reference, tmp_path)
    assert report.status == "too_few"
    assert not report.drifted
    assert report.html is None
    assert "drift.min_window" in report.describe()


def test_columns_without_any_value_on_both_sides_say_nothing(tmp_path):
    nothing = predictions(60) * np.nan
    report = run(nothing, nothing, tmp_path)
    assert (report.status, report.share) == ("too_few", 0.0)


@pytest.mark.parametrize("share_threshold", [PARAMS.share_threshold, 0.0])  # 0: any column
def test_the_reference_does_not_drift_from_itself(share_threshold, tmp_path):
    params = PARAMS.model_copy(update={"share_threshold": share_threshold})
    report = run(predictions(120), predictions(120), tmp_path, params=params)
    assert (report.status, report.share) == ("ok", 0.0)
    assert {column.name for column in report.columns} == {"p_fake", *FEATURES}
    assert all(column.value == pytest.approx(0.0) for column in report.columns)


@pytest.mark.parametrize(
    "n", [30, pytest.param(60, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.slow)]
)
def test_another_draw_of_the_same_population_is_not_drift(n, tmp_path):
    report = run(predictions(n, seed=n), predictions(150, seed=1), tmp_path)
    assert report.status == "ok", report.describe()


@pytest.mark.parametrize(
    ("inject", "columns"),
    [(blurred, {"sharpness", "detector_score"}), (darkened, {"luma", "sharpness"}), (shifted, {"p_fake"})],
)
def test_injected_drift_is_found_and_named(inject, columns, tmp_path):
    report = run(inject(predictions(60, seed=5)), predictions(150, seed=1), tmp_path)
    assert report.status == "drift", report.describe()
    assert {column.name for column in report.drifted} == columns
    assert report.html is not None
    assert report.html.stat().st_size > 100_000
    assert report.json_path is not None
    assert type(report).model_validate_json(report.json_path.read_text()) == report


@pytest.mark.parametrize(
    ("fill", "features", "share_threshold"),
    [
        (np.nan, FEATURES, PARAMS.share_threshold),
        (np.inf, only("luma", "face_px", "fps"), 0.9),
        (None, only("luma", "face_px", "fps"), 0.9),
    ],
    ids=["nan", "inf", "absent"],
)
def test_values_that_went_missing_are_drift_of_that_column(fill, features, share_threshold, tmp_path):
    current = predictions(60)
    current = current.drop(columns="luma") if fill is None else current.assign(luma=fill)
    params = PARAMS.model_copy(update={"share_threshold": share_threshold})
    report = run(current, predictions(150), tmp_path, params=params, features=features)
    assert [column.name for column in report.drifted] == ["luma"]
    assert report.drifted[0].value is None
    assert report.status == "ok"


def test_a_feature_that_the_reference_lacks_is_not_compared(tmp_path):
    reference = predictions(150).drop(columns="luma")
    report = run(predictions(60), reference, tmp_path, features=only("luma", "fps"))
    luma = next(column for column in report.columns if column.name == "luma")
    assert not luma.drifted
    assert "the reference has 0 values" in luma.note


@pytest.mark.parametrize("value", [25.0, 30.0])
def test_a_column_that_is_constant_in_the_reference_is_not_compared(value, tmp_path):
    """Of files that training got as face crops the detector knows nothing, so their numbers are constants."""
    current, reference = predictions(60).assign(fps=value), predictions(150).assign(fps=25.0)
    report = run(current, reference, tmp_path, features=only("fps", "luma"))
    fps = next(column for column in report.columns if column.name == "fps")
    assert (fps.drifted, fps.value) == (False, None)
    assert "25.0" in fps.note
    assert report.status == "ok"


def test_unchanged_traffic_does_not_drift_from_a_reference_of_face_crops(tmp_path):
    """As evaluation writes it for crops, with score and luma alone; and as an earlier release did."""
    files = predictions(150, seed=1)
    crops = files[["p_fake", "luma"]].reindex(columns=files.columns)
    constants = dict.fromkeys(("detector_score", "num_faces", "num_tracks"), 1.0)
    constants |= dict.fromkeys(("face_px", "width_px", "height_px"), 224.0)
    constants |= dict.fromkeys(("duration_s", "fps"), 0.0)
    for reference in (crops, crops.assign(**constants)):
        report = run(predictions(200, seed=2), reference, tmp_path)
        assert report.status == "ok", report.describe()
        assert [column.name for column in report.columns if column.value is not None] == ["p_fake", "luma"]


@pytest.mark.parametrize("name", ["sharpness", "luma", "coded_bits_per_px"])
def test_a_single_strong_column_about_the_picture_counts(name, tmp_path):
    current = predictions(200, seed=5)
    current = current.assign(**{name: current[name] * 0.4})
    params = PARAMS.model_copy(update={"share_threshold": 0.9})
    report = run(current, predictions(300, seed=1), tmp_path, params=params)
    assert (report.status, [column.name for column in report.drifted]) == ("drift", [name])
    assert "drift.strong_threshold" in report.reason


def test_another_format_alone_is_no_drift(tmp_path):
    current = predictions(200, seed=5).assign(width_px=3840.0)
    report = run(current, predictions(300, seed=1), tmp_path)
    assert (report.status, [column.name for column in report.drifted]) == ("ok", ["width_px"])


def test_embeddings_that_drifted_are_drift_alone(tmp_path):
    rng = np.random.default_rng(0)

    def with_embeddings(table: pd.DataFrame, shift: float) -> pd.DataFrame:
        rows = list(rng.normal(shift, 1.0, (len(table), 16)))
        names = [f"{shift} {row}" for row in range(len(table))]
        return table.assign(embedding=rows, media_sha256=names, client=None, group=np.arange(len(table)))

    reference = with_embeddings(predictions(150, seed=1), 0.0)
    for shift, status in ((0.01, "ok"), (0.8, "drift")):
        current = with_embeddings(predictions(60, seed=5), shift)
        report = run(current, reference, tmp_path, features=only("luma", "fps"))
        assert (report.status, report.embedding.drifted) == (status, status == "drift")
        assert report.drifted == ()
        assert "p = " in report.as_markdown()
        assert "p = " in report.html.read_text(encoding="utf-8")
    assert "embeddings" in report.describe()
    assert "drift.embedding_alpha" in report.reason
    assert report.json_path is not None
    assert type(report).model_validate_json(report.json_path.read_text()) == report


def test_a_reference_of_an_earlier_release_has_no_embeddings_to_compare(tmp_path):
    current = predictions(60).assign(embedding=None, media_sha256="x", client=None)
    report = run(current, predictions(150), tmp_path, features=only("luma"))
    assert report.embedding.distance is None
    assert "no embeddings" in report.as_markdown()


def test_a_categorical_feature_is_compared_by_value(tmp_path):
    report = check(
        predictions(60).assign(codec="hevc"),
        predictions(150).assign(codec=["h264", "av1"] * 75),
        PARAMS,
        out_dir=tmp_path,
        model_version="3",
        features={"codec": "categorical"},
    )
    assert "codec" in {column.name for column in report.drifted}


@pytest.mark.parametrize("name", ["p_fake", "luma", "num_faces", "width_px", "fps", "codec"])
def test_our_psi_is_the_one_that_evidently_reports(name, tmp_path):
    """Many values, few values, equal values and words."""
    current = predictions(70, seed=3).assign(codec=["hevc", "h264"] * 35)
    reference = predictions(160, seed=4).assign(codec=["h264", "av1"] * 80)
    kind = "categorical" if name == "codec" else "numerical"
    results, page = compare(
        current, reference, kinds={name: kind}, thresholds={name: 0.2}, out_dir=tmp_path, metadata={}
    )
    assert psi(current[name], reference[name], kind=kind) == pytest.approx(results[name][0], abs=1e-9)
    assert "<body" in page


def bare(report) -> bool:
    """What the rule would say if 0.2 were the threshold at every sample size."""
    drifted = [column.name for column in report.columns if column.value is not None and column.value >= 0.2]
    return "p_fake" in drifted or len(drifted) / len(report.columns) >= PARAMS.share_threshold


@pytest.mark.slow
def test_error_rates(tmp_path):
    """Five unchanged and six changed windows at each of two sizes."""
    for n, m in ((30, 60), (60, 150)):
        unchanged = [
            run(predictions(n, 1000 + seed), predictions(m, 5000 + seed), tmp_path) for seed in range(5)
        ]
        assert sum(report.status == "drift" for report in unchanged) <= 1
        assert sum(bare(report) for report in unchanged) >= 3
        for seed in range(6):
            inject = (blurred, darkened, shifted)[seed % 3]
            changed = run(inject(predictions(n, 2000 + seed)), predictions(m, 7000 + seed), tmp_path)
            assert changed.status == "drift", changed.describe()
