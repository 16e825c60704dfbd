from __future__ import annotations

import re
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfakestream.evaluation.caveats import caveats
from deepfakestream.evaluation.estimate import Estimate
from deepfakestream.evaluation.metrics import measure, measure_points
from deepfakestream.evaluation.plots import draw_det, draw_robustness, draw_scores, draw_slices, draw_training
from deepfakestream.evaluation.report import ReportContent, headline, render, worst_mistakes
from deepfakestream.evaluation.robustness import Condition, RobustnessCard, empty_card
from deepfakestream.evaluation.slices import measure_gaps, measure_slices
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


NAMES = ["histogram", "roc", "det", "reliability", "slices", "robustness", "training"]
HISTORY = [
    {"train_loss": 0.6, "val_auc": 0.7, "val_auc_swap": 0.8},
    {"train_loss": 0.5, "val_auc": 0.8, "val_auc_swap": 0.7},
]


def _condition(level: str, auc: float, fpr: float) -> Condition:
    return Condition(
        kind="JPEG quality",
        level=level,
        auc=auc,
        auc_change=Estimate(value=auc - 0.9, low=auc - 0.95, high=auc - 0.85),
        real_p_fake_change=0.1,
        fake_p_fake_change=-0.1,
        fpr=fpr,
        tpr=0.7,
    )


CARD = RobustnessCard(
    status="ok",
    n_real=20,
    n_fake=20,
    auc=0.9,
    fpr=0.05,
    tpr=0.8,
    threshold=0.6,
    conditions=(_condition("90", 0.89, 0.05), _condition("30", 0.6, 0.4)),
)


def _draw(scores: pd.DataFrame, card: RobustnessCard, history: list[dict[str, float]]) -> dict[str, bytes]:
    auc = measure(scores, num_bootstrap=10, seed=0)["auc"]
    slices = measure_slices(scores, threshold=0.6, num_bootstrap=10, seed=0)
    return {
        **draw_scores(scores, auc=auc, threshold=0.6),
        "slices": draw_slices(slices, auc=auc),
        "robustness": draw_robustness(card),
        "training": draw_training(history),
    }


def _page(
    scores: pd.DataFrame, *, card: RobustnessCard = CARD, split: str = "test", drawn: bool = False
) -> str:
    """Return the page; its pictures take a second to draw, and most tests look at none."""
    metrics = measure(scores, num_bootstrap=10, seed=0, threshold=0.6)
    slices = measure_slices(scores, threshold=0.6, num_bootstrap=10, seed=0)
    gaps = measure_gaps(scores, slices, threshold=0.6, num_bootstrap=10, seed=0)
    points = measure_points(scores, POINTS)
    return render(
        ReportContent(
            title="Evaluation",
            facts={"Network": "dual <script>"},
            caveats=caveats(
                split=split,
                metrics=metrics,
                points=points,
                promised=POINTS,
                slices=slices,
                gaps=gaps,
                card=card,
            ),
            metrics=metrics,
            face_metrics=metrics,
            points=points,
            slices=slices,
            gaps=gaps,
            robustness=card,
            mistakes=worst_mistakes(scores, threshold=0.6),
            plots=_draw(scores, card, HISTORY) if drawn else dict.fromkeys(NAMES, b"a picture"),
        )
    )


@pytest.mark.parametrize(
    ("scores", "card", "history"),
    [
        pytest.param(_scores(0), CARD, HISTORY, marks=pytest.mark.slow),
        (_scores(1), CARD, HISTORY),
        pytest.param(_scores(20, label="fake"), CARD, HISTORY, marks=pytest.mark.slow),
        pytest.param(_scores(200), CARD, HISTORY, marks=pytest.mark.slow),
        (_scores(200), empty_card("off", threshold=0.6), []),
    ],
)
def test_pictures_are_drawn_whatever_there_is(
    scores: pd.DataFrame, card: RobustnessCard, history: list[dict[str, float]]
) -> None:
    pictures = _draw(scores, card, history)
    assert list(pictures) == NAMES
    for png in pictures.values():
        with Image.open(BytesIO(png)) as image:
            assert min(image.size) > 200
            assert np.asarray(image.convert("L")).std() > 5  # something is on it


@pytest.mark.slow
def test_same_scores_give_the_same_picture() -> None:
    pages = [_page(_scores(60), drawn=True) for _ in range(2)]
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
    page = _page(_scores(200), drawn=True)
    assert page.count("data:image/png;base64,") == len(NAMES)
    assert "<script" not in page
    assert "set &lt;b&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_page_names_slices_without_numbers() -> None:
    page = _page(_scores(24))
    assert "too few files" in page
    assert "No slice has enough files to be ranked" in page


@pytest.mark.parametrize(
    ("split", "card", "sentence"),
    [
        ("val", CARD, "the split &#39;val&#39;, which weights, calibration and thresholds were chosen"),
        ("test", CARD, "&#39;JPEG quality 30&#39; costs 0.300 of the AUC"),
        ("test", CARD, "Genuine faces look forged under JPEG quality 30: 40% are called fake, 5% before"),
        ("test", CARD, "Fakes pass under JPEG quality 90: TPR 70%, 80% before"),
        ("test", empty_card("off", threshold=0.6), "Robustness was not measured"),
        ("test", empty_card("insufficient", threshold=0.6), "too few faces of a class"),
    ],
)
def test_page_says_what_to_distrust(split: str, card: RobustnessCard, sentence: str) -> None:
    assert sentence in _page(_scores(200), card=card, split=split)


def test_a_threshold_that_breaks_its_promise_is_named() -> None:
    assert "The threshold &#39;balanced&#39; promised" not in _page(_scores(200))
    shifted = _scores(200)
    alarming = shifted.assign(p_fake=shifted["p_fake"].clip(lower=0.61))
    assert "The threshold &#39;balanced&#39; promised a false positive rate of 10.0%" in _page(alarming)


@pytest.mark.parametrize(("n", "said"), [(198, True), (200, False)])  # half of them real
def test_a_rate_of_less_than_one_real_file_is_named(n: int, *, said: bool) -> None:
    sentence = f"Among {n // 2} real files a false positive rate of 1% is less than one file"
    assert (sentence in _page(_scores(n))) is said


@pytest.mark.parametrize(("overlap", "said"), [(False, True), (True, False)])
def test_a_det_curve_without_points_says_why(*, overlap: bool, said: bool) -> None:
    is_fake = np.arange(40) % 2 == 1
    p_fake = _scores(40)["p_fake"].to_numpy() if overlap else np.where(is_fake, 0.9, 0.1)
    with Image.open(BytesIO(draw_det(is_fake, p_fake))) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    has_soft_text = (np.abs(pixels - (0x7B, 0x87, 0x94)).sum(axis=2) < 10).sum() > 50
    assert has_soft_text == said


def test_few_calibrated_files_are_not_called_badly_calibrated() -> None:
    rng = np.random.default_rng(1)
    p_fake = rng.beta(0.6, 0.6, 100)
    scores = _scores(100).assign(p_fake=p_fake, label=np.where(rng.random(100) < p_fake, "fake", "real"))
    assert (measure(scores, num_bootstrap=1, seed=0)["ece"].value or 0.0) > 0.05
    assert "do not read it as a probability" not in _page(scores)
    assert "perfect calibration of 100 files stays below 0.1" in _page(scores)
    overconfident = scores.assign(p_fake=np.where(p_fake > 0.5, 0.99, 0.01))
    assert "do not read it as a probability" in _page(overconfident)


def test_headline_counts_in_hundreds() -> None:
    scores = _scores(200).assign(p_fake=lambda rows: np.where(rows["label"] == "fake", 0.9, 0.1))
    assert "100 of 100 fakes and calls 0 of 100" in headline(
        measure(scores, num_bootstrap=1, seed=0, threshold=0.6)
    )


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 of 100"),
        (0.004, "fewer than 1 of 100"),
        (0.005, "fewer than 1 of 100"),
        (0.006, "1 of 100"),
        (0.995, "more than 99 of 100"),
        (1.0, "100 of 100"),
    ],
)
def test_a_rate_is_never_rounded_to_none_or_all(share: float, words: str) -> None:
    ids = [str(index) for index in range(1001)]
    scores = pd.DataFrame({"label": ["real"] * 1000 + ["fake"], "group_id": ids, "media_id": ids})
    caught = np.arange(1001) < round(1000 * share)
    metrics = measure(
        scores.assign(p_fake=np.where(caught, 0.9, 0.1)), num_bootstrap=1, seed=0, threshold=0.6
    )
    assert f"calls {words} genuine files fake" in headline(metrics)


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
