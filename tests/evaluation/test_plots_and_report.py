from __future__ import annotations

import re
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfakestream.evaluation.metrics import measure
from deepfakestream.evaluation.operating import measure_points
from deepfakestream.evaluation.plots import draw_all
from deepfakestream.evaluation.report import ReportContent, render, worst_mistakes
from deepfakestream.evaluation.slices import measure_slices
from deepfakestream.model.spec import OperatingPoint

POINTS = {
    "balanced": OperatingPoint(threshold=0.6, inconclusive_from=0.4, fpr=0.1, tpr=0.9, measured_on="val")
}


def _scores(n: int, *, label: str | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    is_fake = np.arange(n) % 2 == 1
    return pd.DataFrame(
        {
            "media_id": [f"{i:064x}" for i in range(n)],
            "label": label or np.where(is_fake, "fake", "real"),
            "manipulation": np.where(is_fake, "swap", "none"),
            "group_id": [f"g{i}" for i in range(n)],
            "source": "set <b>",
            "original_name": [f"{i}.mp4" for i in range(n)],
            "p_fake": np.clip(rng.normal(0.35 + 0.3 * is_fake, 0.2), 0, 1),
            "face_px": rng.uniform(40, 300, n),
            "sharpness": rng.uniform(1, 500, n),
            "luma": rng.uniform(20, 230, n),
        }
    )


def _page(scores: pd.DataFrame) -> str:
    metrics = measure(scores, num_bootstrap=10, seed=0, threshold=0.6)
    slices = measure_slices(scores, threshold=0.6, num_bootstrap=10, seed=0)
    return render(
        ReportContent(
            title="Evaluation",
            facts={"Network": "dual <script>"},
            metrics=metrics,
            points=measure_points(scores, POINTS),
            slices=slices,
            mistakes=worst_mistakes(scores, threshold=0.6),
            plots=draw_all(scores, slices, auc=metrics["auc"], threshold=0.6),
        )
    )


@pytest.mark.parametrize("scores", [_scores(0), _scores(1), _scores(20, label="fake"), _scores(200)])
def test_pictures_are_drawn_whatever_there_is(scores: pd.DataFrame) -> None:
    metrics = measure(scores, num_bootstrap=10, seed=0)
    slices = measure_slices(scores, threshold=0.5, num_bootstrap=10, seed=0)
    pictures = draw_all(scores, slices, auc=metrics["auc"], threshold=0.5)
    assert list(pictures) == ["roc", "reliability", "histogram", "slices"]
    for png in pictures.values():
        with Image.open(BytesIO(png)) as image:
            assert min(image.size) > 200
            assert np.asarray(image.convert("L")).std() > 5  # something is on it


def test_same_scores_give_the_same_picture() -> None:
    pages = [_page(_scores(60)) for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (_scores(0), "no file has a score: nothing was measured"),
        (_scores(20, label="fake"), "one class only"),
        (_scores(200), "AUC 0."),
    ],
)
def test_page_says_first_what_was_found(scores: pd.DataFrame, sentence: str) -> None:
    verdict = re.search(r'<p class="verdict.*?</p>', _page(scores), flags=re.DOTALL)
    assert verdict is not None
    assert sentence in verdict[0]


def test_page_is_self_contained_and_escaped() -> None:
    page = _page(_scores(200))
    assert page.count("data:image/png;base64,") == 4
    assert "<script" not in page
    assert "set &lt;b&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_page_names_slices_without_numbers() -> None:
    assert "too few files for numbers" in _page(_scores(24))


class TestWorstMistakes:
    def test_none(self) -> None:
        scores = _scores(10)
        right = scores.assign(p_fake=(scores["label"] == "fake").astype(float))
        assert worst_mistakes(right, threshold=0.6).empty
        assert "No file lies on the wrong side" in _page(right)

    def test_worst_first_and_no_unscored(self) -> None:
        scores = _scores(5).assign(p_fake=[0.7, 0.1, 0.95, 0.61, np.nan])  # real, fake, real, fake, real
        found = worst_mistakes(scores, threshold=0.6)
        assert found["original_name"].tolist() == ["2.mp4", "1.mp4", "0.mp4"]
        assert found["error"].tolist() == pytest.approx([0.95, 0.9, 0.7])

    def test_limit(self) -> None:
        scores = _scores(60)
        wrong = scores.assign(p_fake=(scores["label"] == "real").astype(float))
        assert len(worst_mistakes(wrong, threshold=0.5, limit=7)) == 7
