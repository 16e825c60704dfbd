"""The statistical gate: may the challenger become champion?

PROMOTE when every rule holds. REJECT when the challenger is bad in itself or surely worse than the champion.
HOLD when the data cannot show enough: more test files may change that. A challenger that learned from new
items must be shown to be "not worse"; one that learned from the same items must be shown to be better. Each
rule is listed with its numbers, whatever the outcome.
"""

from __future__ import annotations

from enum import StrEnum

import pandas as pd

from deepfakestream.errors import DataError
from deepfakestream.evaluation.differences import Difference, auc_difference
from deepfakestream.evaluation.metrics import Metrics, check_scores, measure
from deepfakestream.evaluation.slices import is_sufficient
from deepfakestream.frozen import Frozen
from deepfakestream.promotion.params import PromoteParams

COVERAGE_MARGIN = 0.02
"""How much larger a share of files than the champion the challenger may leave without a score."""


class Outcome(StrEnum):
    """What the gate says."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    REJECT = "REJECT"


class Rule(Frozen):
    """One rule, its numbers, and what it says alone."""

    name: str
    outcome: Outcome
    text: str
    """One sentence with the numbers."""
    value: float | None = None
    bound: float | None = None


class Decision(Frozen):
    """The gate's outcome with every rule."""

    outcome: Outcome
    rules: tuple[Rule, ...]
    difference: Difference | None
    """None where the two cannot be compared."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences that carry the outcome: the broken rules, or all of them for a promotion."""
        broken = tuple(rule.text for rule in self.rules if rule.outcome != Outcome.PROMOTE)
        return broken or tuple(rule.text for rule in self.rules)


def decide(
    *,
    challenger: pd.DataFrame,
    champion: pd.DataFrame,
    policy: PromoteParams,
    new_items: int,
    seed: int,
) -> Decision:
    """Return the decision about a challenger.

    Args:
        challenger: its scores, one row a test file, as for `metrics.measure`, with `manipulation`.
        champion: the champion's scores of the same files; those of version 0 where no version is champion.
        policy: floors, margin and confidence.
        new_items: training items of the challenger that the champion was not trained on.
        seed: of the resamples; the same scores and seed give the same decision.

    Raises:
        DataError: the tables cannot be measured, or are not about the same files.
    """
    check_scores(challenger)
    measured = measure(challenger, num_bootstrap=1, seed=seed)
    rules = [_is_measurable(measured)]
    difference = None
    if measured.status == "ok":
        pairs = _pair(challenger, champion)
        rules += [_enough_groups(pairs, policy), _auc_floor(measured, policy), _ece_ceiling(measured, policy)]
        rules.append(_coverage(challenger, champion))
        difference = auc_difference(pairs, confidence=policy.confidence, seed=seed)
        rules.append(_compared(difference, policy, new_items))
        rules += _slices_not_worse(pairs, policy, seed)
    strictness = (Outcome.REJECT, Outcome.HOLD, Outcome.PROMOTE)
    strictest = min((rule.outcome for rule in rules), key=strictness.index)
    return Decision(outcome=strictest, rules=tuple(rules), difference=difference)


def refuse_rolled_back(mark: str) -> Decision:
    """Return the decision about a version that somebody rolled back: it is not compared again.

    Args:
        mark: when, by whom and why.
    """
    text = f"the version was rolled back ({mark}); 'deepfakestream promote --again' decides about it anyway"
    rule = Rule(name="rolled_back", outcome=Outcome.REJECT, text=text)
    return Decision(outcome=Outcome.REJECT, rules=(rule,), difference=None)


def _pair(challenger: pd.DataFrame, champion: pd.DataFrame) -> pd.DataFrame:
    """Return the files that both models scored."""
    check_scores(champion)
    if set(challenger["media_id"]) != set(champion["media_id"]):
        raise DataError("promote: challenger and champion were scored on different files; run evaluate again")
    theirs = champion.set_index("media_id")["p_fake"]
    pairs = challenger.assign(challenger=challenger["p_fake"], champion=challenger["media_id"].map(theirs))
    return pairs[pairs["challenger"].notna() & pairs["champion"].notna()]


def _is_measurable(measured: Metrics) -> Rule:
    text = f"{measured.n_real} real and {measured.n_fake} fake test files have a score"
    if measured.status == "ok":
        return Rule(name="measurable", outcome=Outcome.PROMOTE, text=text)
    return Rule(
        name="measurable", outcome=Outcome.HOLD, text=f"{text}: both kinds are needed; ingest more test files"
    )


def _enough_groups(pairs: pd.DataFrame, policy: PromoteParams) -> Rule:
    """A bound from a few source groups promises more than it can keep."""
    counts = [pairs.loc[pairs["label"] == label, "group_id"].nunique() for label in ("real", "fake")]
    fewest = min(counts)
    enough = fewest >= policy.min_groups
    text = (
        f"both models scored test files of {counts[0]} source groups with a real file and {counts[1]} with a "
        f"fake one, {policy.min_groups} are needed of each"
    )
    return Rule(
        name="min_groups",
        outcome=Outcome.PROMOTE if enough else Outcome.HOLD,
        text=text if enough else f"{text}; ingest test files from more sources",
        value=fewest,
        bound=policy.min_groups,
    )


def _auc_floor(measured: Metrics, policy: PromoteParams) -> Rule:
    auc = measured["auc"].value or 0.0
    passed = auc >= policy.min_auc
    return Rule(
        name="min_auc",
        outcome=Outcome.PROMOTE if passed else Outcome.REJECT,
        text=f"AUC {auc:.4f} is {'at least' if passed else 'below'} the floor {policy.min_auc:.4f}",
        value=auc,
        bound=policy.min_auc,
    )


def _ece_ceiling(measured: Metrics, policy: PromoteParams) -> Rule:
    ece = measured["ece"].value or 0.0
    passed = ece <= policy.max_ece
    return Rule(
        name="max_ece",
        outcome=Outcome.PROMOTE if passed else Outcome.REJECT,
        text=f"calibration error {ece:.4f} is {'at most' if passed else 'above'} {policy.max_ece:.4f}",
        value=ece,
        bound=policy.max_ece,
    )


def _coverage(challenger: pd.DataFrame, champion: pd.DataFrame) -> Rule:
    """A model must not win by refusing the hard files."""
    ours, theirs = (float(scores["p_fake"].isna().mean()) for scores in (challenger, champion))
    passed = ours <= theirs + COVERAGE_MARGIN
    return Rule(
        name="coverage",
        outcome=Outcome.PROMOTE if passed else Outcome.REJECT,
        text=f"{ours:.1%} of the files get no score, {theirs:.1%} with the champion; "
        f"{'within' if passed else 'beyond'} the margin of {COVERAGE_MARGIN:.0%}",
        value=ours,
        bound=theirs + COVERAGE_MARGIN,
    )


def _compared(difference: Difference | None, policy: PromoteParams, new_items: int) -> Rule:
    """Return the rule `better`, or `not_worse` for a challenger that learned from enough new items."""
    is_new = new_items >= policy.min_new_items
    name, bound = ("not_worse", -policy.auc_margin) if is_new else ("better", 0.0)
    if difference is None or difference.low is None or difference.high is None:
        text = "the files that both models scored are too few for a comparison; ingest more test files"
        return Rule(name=name, outcome=Outcome.HOLD, text=text, bound=bound)
    numbers = (
        f"AUC {difference.challenger_auc:.4f} against the champion's {difference.champion_auc:.4f} on "
        f"the same {difference.n} files: difference {difference.delta:+.4f}, {policy.confidence:.1%} sure "
    )
    learned = f"{new_items} new training items, {policy.min_new_items} are needed for 'not worse'"
    needed = f"margin {bound:+.4f}" if is_new else f"an improvement is needed: {learned}"
    if difference.high < -policy.auc_margin:
        outcome = Outcome.REJECT
        text = f"to be at most {difference.high:+.4f} (margin {-policy.auc_margin:+.4f})"
    elif difference.low >= bound and (is_new or difference.low > 0.0):
        outcome, text = Outcome.PROMOTE, f"to be at least {difference.low:+.4f} ({needed})"
    else:
        outcome, text = Outcome.HOLD, f"only of at least {difference.low:+.4f} ({needed})"
    return Rule(name=name, outcome=outcome, text=numbers + text, value=difference.low, bound=bound)


def _slices_not_worse(pairs: pd.DataFrame, policy: PromoteParams, seed: int) -> list[Rule]:
    """Return a rule for each manipulation with enough files: it holds unless the challenger is surely worse.

    Slices are small: proof of "not worse" would hold back every model, so here the burden is reversed. Where
    there is one kind of fake, its slice would be all files once more.
    """
    rules: list[Rule] = []
    is_real = pairs["label"] == "real"
    kinds = sorted(set(pairs.loc[~is_real, "manipulation"].astype(str)))
    for kind in kinds if len(kinds) > 1 else ():
        rows = pairs[is_real | (pairs["manipulation"] == kind)]
        if is_sufficient(rows):
            rules.append(_slice_not_worse(kind, rows, policy, seed))
    return rules


def _slice_not_worse(kind: str, rows: pd.DataFrame, policy: PromoteParams, seed: int) -> Rule:
    difference = auc_difference(rows, confidence=policy.confidence, seed=seed)
    assert difference is not None, "a sufficient slice has both classes"
    bound = -policy.auc_margin
    worse = difference.high is not None and difference.high < bound
    tail = (
        ""
        if difference.high is None
        else f", {policy.confidence:.1%} sure to be at most {difference.high:+.4f}"
    )
    return Rule(
        name=f"slice {kind}",
        outcome=Outcome.HOLD if worse else Outcome.PROMOTE,
        text=f"on '{kind}' the AUC differs by {difference.delta:+.4f}{tail}: "
        f"{'worse than' if worse else 'not surely beyond'} the margin {bound:+.4f}",
        value=difference.high,
        bound=bound,
    )
