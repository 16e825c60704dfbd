from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepfakestream.errors import DataError
from deepfakestream.evaluation.differences import auc_difference
from deepfakestream.promotion.gate import Decision, Outcome, decide, refuse_rolled_back
from deepfakestream.promotion.params import PromoteParams

POLICY = PromoteParams(
    min_auc=0.6, max_ece=0.2, min_groups=10, min_new_items=50, auc_margin=0.02, confidence=0.9
)
NEW = 50


def _scores(n: int = 400, *, shift: float = 2.0, noise_seed: int = 1, group_size: int = 2) -> pd.DataFrame:
    """Scores of the same files: labels, groups and difficulty do not depend on shift or noise."""
    is_fake = np.arange(n) % 2 == 1
    difficulty = np.random.default_rng(0).normal(size=n)
    noise = 0.2 * np.random.default_rng(noise_seed).normal(size=n)
    logit = difficulty + noise + shift * is_fake - shift / 2
    return pd.DataFrame(
        {
            "media_id": [f"m{i}" for i in range(n)],
            "label": np.where(is_fake, "fake", "real"),
            "manipulation": np.where(is_fake, np.where(np.arange(n) % 4 == 1, "swap", "blend"), "none"),
            "group_id": [f"g{i // group_size}" for i in range(n)],
            "p_fake": 1 / (1 + np.exp(-max(shift, 1.0) * logit)),
        }
    )


def _decide(
    challenger: pd.DataFrame, champion: pd.DataFrame, policy: PromoteParams = POLICY, new_items: int = NEW
) -> Decision:
    return decide(challenger=challenger, champion=champion, policy=policy, new_items=new_items, seed=0)


def _rule(decision: Decision, name: str) -> Outcome:
    return next(rule.outcome for rule in decision.rules if rule.name == name)


class TestEachNo:
    def test_no_files(self) -> None:
        decision = _decide(_scores(0), _scores(0))
        assert decision.outcome == Outcome.HOLD
        assert decision.reasons == (
            "0 real and 0 fake test files have a score: both kinds are needed; ingest more test files",
        )

    def test_one_class(self) -> None:
        scores = _scores()
        decision = _decide(scores[scores["label"] == "fake"], scores)
        assert (decision.outcome, [rule.name for rule in decision.rules]) == (Outcome.HOLD, ["measurable"])

    def test_below_the_auc_floor(self) -> None:
        decision = _decide(_scores(shift=0.0), _scores(shift=0.0))
        assert decision.outcome == Outcome.REJECT
        assert "below the floor 0.6000" in decision.reasons[0]

    def test_badly_calibrated(self) -> None:
        scores = _scores()
        decision = _decide(scores.assign(p_fake=scores["p_fake"] ** 8), scores)
        assert _rule(decision, "max_ece") == decision.outcome == Outcome.REJECT
        assert _rule(decision, "min_auc") == Outcome.PROMOTE

    def test_surely_worse(self) -> None:
        decision = _decide(_scores(shift=1.0), _scores(shift=2.0))
        assert _rule(decision, "not_worse") == decision.outcome == Outcome.REJECT
        assert decision.difference is not None
        assert decision.difference.high is not None
        assert decision.difference.high < -POLICY.auc_margin

    def test_too_few_files_to_show_anything(self) -> None:
        small = POLICY.model_copy(update={"max_ece": 1.0})
        rng = np.random.default_rng(5)
        challenger, champion = _scores(40), _scores(40)
        challenger["p_fake"] = np.clip(challenger["p_fake"] + rng.normal(0, 0.25, 40), 0, 1)
        decision = _decide(challenger, champion, small)
        assert _rule(decision, "not_worse") == decision.outcome == Outcome.HOLD
        assert decision.difference is not None
        assert decision.difference.low is not None
        assert decision.difference.high is not None
        assert decision.difference.low < -small.auc_margin <= decision.difference.high

    def test_a_single_group_cannot_compare(self) -> None:
        one_group = _scores().assign(group_id="one")
        decision = _decide(one_group, one_group)
        assert _rule(decision, "not_worse") == decision.outcome == Outcome.HOLD

    @pytest.mark.parametrize(("group_size", "outcome"), [(40, Outcome.PROMOTE), (50, Outcome.HOLD)])
    def test_too_few_source_groups_decide_nothing(self, group_size: int, outcome: Outcome) -> None:
        """400 files of 10 and of 8 groups, 10 are needed; the challenger is better by far."""
        better, champion = _scores(shift=4.0, group_size=group_size), _scores(group_size=group_size)
        decision = _decide(better, champion)
        assert (decision.outcome, _rule(decision, "min_groups")) == (outcome, outcome)

    def test_groups_count_for_each_class(self) -> None:
        scores = _scores()
        few_fakes = scores["group_id"].where(scores["label"] == "real", "one group of fakes")
        decision = _decide(_scores(shift=4.0).assign(group_id=few_fakes), scores.assign(group_id=few_fakes))
        assert _rule(decision, "min_groups") == decision.outcome == Outcome.HOLD

    @pytest.mark.parametrize("new_items", [0, NEW - 1])
    def test_equal_without_enough_new_items(self, new_items: int) -> None:
        decision = _decide(_scores(), _scores(), new_items=new_items)
        assert _rule(decision, "better") == decision.outcome == Outcome.HOLD

    def test_surely_worse_without_new_items(self) -> None:
        decision = _decide(_scores(shift=1.0), _scores(shift=2.0), new_items=0)
        assert _rule(decision, "better") == decision.outcome == Outcome.REJECT

    def test_rolled_back(self) -> None:
        decision = refuse_rolled_back("2026-11-30 by somebody: false alarms")
        assert (decision.outcome, decision.rules[0].name) == (Outcome.REJECT, "rolled_back")
        assert "false alarms" in decision.reasons[0]

    def test_wins_by_refusing_hard_files(self) -> None:
        champion, challenger = _scores(), _scores()
        wrong = (challenger["p_fake"] >= 0.5) != (challenger["label"] == "fake")
        challenger.loc[wrong, "p_fake"] = np.nan
        decision = _decide(challenger, champion)
        assert _rule(decision, "coverage") == decision.outcome == Outcome.REJECT
        assert _rule(decision, "not_worse") == Outcome.PROMOTE

    def test_better_overall_but_blind_to_one_kind_of_fake(self) -> None:
        champion, challenger = _scores(shift=1.5), _scores(shift=4.0)
        blind = challenger["manipulation"] == "blend"
        almost_real = np.random.default_rng(3).normal(-1.2, 1.0, int(blind.sum()))
        challenger.loc[blind, "p_fake"] = 1 / (1 + np.exp(-4 * almost_real))
        lenient = POLICY.model_copy(update={"max_ece": 1.0, "auc_margin": 0.05})
        decision = _decide(challenger, champion, lenient)
        assert _rule(decision, "not_worse") == Outcome.PROMOTE
        assert _rule(decision, "slice swap") == Outcome.PROMOTE
        assert _rule(decision, "slice blend") == decision.outcome == Outcome.HOLD

    def test_reject_outweighs_hold(self) -> None:
        decision = _decide(
            _scores().assign(group_id="one"), _scores(), POLICY.model_copy(update={"max_ece": 0.0})
        )
        assert {_rule(decision, "max_ece"), _rule(decision, "not_worse")} == {Outcome.REJECT, Outcome.HOLD}
        assert decision.outcome == Outcome.REJECT


class TestYes:
    def test_better(self) -> None:
        decision = _decide(_scores(shift=3.0), _scores(shift=2.0))
        assert decision.outcome == Outcome.PROMOTE
        assert decision.difference is not None
        assert decision.difference.delta > 0

    def test_better_without_new_items(self) -> None:
        decision = _decide(_scores(shift=3.0), _scores(shift=2.0), new_items=0)
        assert (decision.outcome, _rule(decision, "better")) == (Outcome.PROMOTE, Outcome.PROMOTE)

    def test_equal_is_not_worse_after_learning_from_new_items(self) -> None:
        decision = _decide(_scores(), _scores())
        assert decision.outcome == Outcome.PROMOTE
        assert decision.difference is not None
        assert (decision.difference.low, decision.difference.delta, decision.difference.high) == (
            0.0,
            0.0,
            0.0,
        )
        assert len(decision.reasons) == len(decision.rules)


class TestAtTheBound:
    """What lies exactly at a bound is within it; the next number beyond is not."""

    @pytest.mark.parametrize(("name", "beyond"), [("min_auc", 1.0), ("max_ece", 0.0)])
    def test_of_one_model(self, name: str, beyond: float) -> None:
        scores = _scores()
        value = next(rule.value for rule in _decide(scores, scores).rules if rule.name == name)
        assert value is not None
        found = [
            _rule(_decide(scores, scores, POLICY.model_copy(update={name: bound})), name)
            for bound in (value, np.nextafter(value, beyond))
        ]
        assert found == [Outcome.PROMOTE, Outcome.REJECT]

    @pytest.mark.parametrize(("refused", "outcome"), [(8, Outcome.PROMOTE), (9, Outcome.REJECT)])
    def test_of_coverage(self, refused: int, outcome: Outcome) -> None:
        """8 of 400 files are the 2 % that a challenger may leave out more than the champion."""
        challenger = _scores()
        challenger.loc[: refused - 1, "p_fake"] = np.nan
        assert _rule(_decide(challenger, _scores()), "coverage") == outcome

    def test_of_the_difference(self) -> None:
        """A difference that may be exactly the margin is not surely worse: neither in all nor in a slice."""
        worse, champion = _scores(shift=1.0), _scores(shift=2.0)
        decision = _decide(worse, champion)
        assert decision.difference is not None
        assert decision.difference.high is not None
        at_margin = POLICY.model_copy(update={"auc_margin": -decision.difference.high})
        assert _rule(_decide(worse, champion, at_margin), "not_worse") == Outcome.HOLD
        swap = next(rule.value for rule in decision.rules if rule.name == "slice swap")
        assert swap is not None
        at_margin = POLICY.model_copy(update={"auc_margin": -swap})
        assert _rule(decision, "slice swap") == Outcome.HOLD
        assert _rule(_decide(worse, champion, at_margin), "slice swap") == Outcome.PROMOTE

    def test_of_what_was_learned(self) -> None:
        """The sentence of a held challenger names what is missing: new items, or nothing but the margin."""
        texts = [
            next(rule.text for rule in _decide(_scores(), _scores(), new_items=n).rules if rule.name == name)
            for n, name in ((NEW, "not_worse"), (NEW - 1, "better"))
        ]
        assert [f"{NEW - 1} new training items" in each for each in texts] == [False, True]
        assert ["margin" in each for each in texts] == [True, False]


def test_one_kind_of_fake_has_no_slice_of_its_own() -> None:
    scores = _scores()
    scores["manipulation"] = np.where(scores["label"] == "fake", "swap", "none")
    assert not [rule for rule in _decide(scores, scores).rules if rule.name.startswith("slice")]


def test_every_rule_gives_its_numbers() -> None:
    decision = _decide(_scores(shift=1.9), _scores(shift=2.0))
    names = ["measurable", "min_groups", "min_auc", "max_ece", "coverage", "not_worse"]
    names += ["slice blend", "slice swap"]
    assert [rule.name for rule in decision.rules] == names
    assert all(rule.value is not None and rule.bound is not None for rule in decision.rules[1:])


def test_same_question_same_answer() -> None:
    one, again = (_decide(_scores(shift=1.9), _scores(shift=2.0)) for _ in range(2))
    assert one == again


def test_order_of_the_champions_rows_changes_nothing() -> None:
    champion = _scores(shift=2.0)
    one = _decide(_scores(shift=1.9), champion)
    other = _decide(_scores(shift=1.9), champion.sample(frac=1.0, random_state=0))
    assert one == other


def test_different_files_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="scored on different files"):
        _decide(_scores(400), _scores(398))


def test_pairing_sees_what_separate_intervals_cannot() -> None:
    """The same files are hard for both, so the paired interval is much narrower than either AUC's own."""
    pairs = (
        _scores().rename(columns={"p_fake": "challenger"}).assign(champion=_scores(noise_seed=2)["p_fake"])
    )
    difference = auc_difference(pairs, confidence=0.975, seed=0)
    assert difference is not None
    assert difference.low is not None
    assert difference.high is not None
    assert difference.high - difference.low < 0.03


def test_clusters_widen_the_interval() -> None:
    """Twenty copies of each pair of files are no new evidence."""
    base = (
        _scores(60)
        .rename(columns={"p_fake": "challenger"})
        .assign(champion=_scores(60, noise_seed=2)["p_fake"])
    )
    copies = pd.concat([base] * 20)
    one, twenty = (auc_difference(each, confidence=0.9, seed=0) for each in (base, copies))
    assert one is not None
    assert twenty is not None
    assert one.low == pytest.approx(twenty.low)
