"""The rules, as Great Expectations suites built in code: what is expected, how grave a breach is, what to do.

A `warning` sets rows aside and lets the pipeline go on; a `critical` breach stops it.
"""

from __future__ import annotations

from typing import Any

import great_expectations.expectations as gxe

from deepfakestream.data.columns import CROP_COLUMNS, MANIFEST_COLUMNS
from deepfakestream.data.splits import SPLITS
from deepfakestream.data.validation.params import ValidateParams

SHA256_PATTERN = "^[0-9a-f]{64}$"
LABELS = ["real", "fake"]
KINDS = ["video", "image", "crop"]
_ABSENT_FROM_VIEW = {"box_xyxy", "landmarks_xy"}


def item_rules(params: ValidateParams) -> list[Any]:
    """Return the expectations over the manifest (`views.items_view`)."""
    again = "restore data/ with 'dvc checkout data.dvc --force' or ingest the source again"
    again = "in their source and ingest into a new workspace"
    return [
        *_shape_rules(list(MANIFEST_COLUMNS), "media_id", min_rows=params.min_items, remedy=again),
        _rule("ColumnValuesToMatchRegex", "digest", again, column="media_id", regex=SHA256_PATTERN),
        _rule("ColumnValuesToBeInSet", "kind_words", again, column="kind", value_set=KINDS),
        _rule("ColumnValuesToBeBetween", "not_empty", again, column="size_bytes", min_value=1),
        _holds("method_fits_label", "a real has the manipulation 'none', a fake another; correct the source"),
        _never("group_crosses_splits", f"give these items one split, or no split, {again}"),
        _never("identity_crosses_splits", f"give all items of a person the same group_id {again}"),
        _mean(
            "is_fake",
            "fake_share",
            "ingest more of the rarer label, or widen validate.fake_share",
            min_value=params.fake_share[0],
            max_value=params.fake_share[1],
        ),
        _mean(
            "has_face",
            "share_with_face",
            "look at artifacts/extract/summary.json; remove media without faces or lower extract.min_score",
            min_value=1.0 - params.max_share_without_face,
        ),
    ]


def crop_rules(params: ValidateParams) -> list[Any]:
    """Return the expectations over the crops (`views.crops_view`); those on quality are warnings."""
    again = "make the crops again with 'dvc repro --force extract'"
    columns = [name for name in CROP_COLUMNS if name not in _ABSENT_FROM_VIEW]
    regroup = "give the items that show the same picture the same group_id and ingest into a new workspace"
    thin_out = "remove stills and repeated clips from the sources, or raise validate.max_duplicate_share"
    return [
        *_shape_rules(columns, "crop_id", min_rows=1, remedy=again),
        _rule("ColumnValuesToMatchRegex", "digest", again, column="crop_sha256", regex=SHA256_PATTERN),
        _holds("agrees_with_item", again),
        _never("digest_crosses_splits", regroup),
        _mean("is_copy", "share_of_copies", thin_out, max_value=params.max_duplicate_share),
        _quality("face_px", "validate.min_face_px", min_value=params.min_face_px),
        _quality("luma", "validate.luma", min_value=params.luma[0], max_value=params.luma[1]),
        _quality("sharpness", "validate.min_sharpness", min_value=params.min_sharpness),
        _quality("score", "the detector", min_value=0.0, max_value=1.0),
    ]


def distribution_rules() -> list[Any]:
    """Return the expectation over quantiles of face size, luma and sharpness (`views.distributions_view`)."""
    remedy = (
        "look at the pictures: another camera, framing or exposure?; "
        "or change validate.face_px_quantiles, luma_quantiles or sharpness_quantiles"
    )
    return [_holds("in_range", remedy)]


def method_rules(params: ValidateParams) -> list[Any]:
    """Return the expectations over the methods of the fakes (`views.methods_view`)."""
    return [
        _rule(
            "ColumnValuesToBeBetween",
            "num_items",
            "ingest more of these methods or leave them out, or change validate.method_items",
            column="num_items",
            min_value=params.method_items[0],
            max_value=params.method_items[1],
        )
    ]


def near_duplicate_rules() -> list[Any]:
    """Return the expectation over items that a later split shows too (`views.near_duplicates_view`).

    A warning: they are excluded, which closes the leak.
    """
    remedy = (
        "excluded; look at artifacts/validate/data_docs/near_duplicates.png; where both show the same clip, "
        "give them the same group_id in their source and ingest into a new workspace"
    )
    return [_never("picture_in_other_split", remedy, severity="warning")]


def shortcut_rules(params: ValidateParams) -> list[Any]:
    """Return the expectations over what tells the label from outside (`views.shortcuts_view`)."""
    level = "make reals and fakes alike in this: the same sources, encoder, size and quality for both"
    warns, stops = params.shortcut_auc
    return [
        _rule(
            "ColumnValuesToBeBetween",
            "hints_at_label",
            level,
            severity="warning",
            column="low",
            max_value=warns,
        ),
        _rule(
            "ColumnValuesToBeBetween",
            "gives_label_away",
            f"a model would learn this and not faces; {level}, or raise validate.shortcut_auc",
            column="metadata_low",
            max_value=stops,
        ),
    ]


def split_rules(params: ValidateParams, *, is_test: bool) -> list[Any]:
    """Return the expectations over splits (`views.splits_view`).

    Without train or val nothing can be trained; without test nothing is measured, which is a warning.

    Args:
        params: section `validate`.
        is_test: whether the expectations are those of `test`.
    """
    more = "ingest more source groups, or change ingest.split_fractions and ingest into a new workspace"
    remedy = f"evaluate has too little to measure on; {more}" if is_test else more
    severity = "warning" if is_test else "critical"
    minima = {"num_groups": params.min_groups_per_split, "num_real": 1, "num_fake": 1}
    regroup = (
        "look at artifacts/validate/data_docs/near_duplicates.png; give items that show the same clip or "
        "person the same group_id in their source and ingest into a new workspace, or raise "
        "validate.max_near_duplicate_share"
    )
    return [
        _rule(
            "ColumnValuesToBeBetween",
            "near_duplicate_share",
            regroup,
            column="near_duplicate_share",
            max_value=params.max_near_duplicate_share,
        ),
        *(
            _rule(
                "ColumnValuesToBeBetween",
                column,
                remedy,
                severity=severity,
                column=column,
                min_value=minimum,
            )
            for column, minimum in minima.items()
        ),
    ]


def _shape_rules(columns: list[str], identity: str, *, min_rows: int, remedy: str) -> list[Any]:
    """Rules that every table keeps: its columns, its size, one row an identity, its vocabulary."""
    filled = ("media_id", "label", "manipulation", "group_id", "split", "source")
    return [
        _rule("TableColumnsToMatchSet", "columns", remedy, column_set=columns, exact_match=False),
        _rule("TableRowCountToBeBetween", "row_count", "ingest more media", min_value=min_rows),
        _rule("ColumnValuesToBeUnique", "unique_id", remedy, column=identity),
        *(_rule("ColumnValuesToNotBeNull", f"{name}_present", remedy, column=name) for name in filled),
        _rule("ColumnValuesToBeInSet", "label_words", remedy, column="label", value_set=LABELS),
        _rule("ColumnValuesToBeInSet", "split_words", remedy, column="split", value_set=list(SPLITS)),
    ]


def _rule(kind: str, name: str, remedy: str, *, severity: str = "critical", **arguments: Any) -> Any:
    expectation = getattr(gxe, f"Expect{kind}")
    return expectation(severity=severity, meta={"rule": name, "remedy": remedy}, **arguments)


def _holds(column: str, remedy: str) -> Any:
    return _rule("ColumnValuesToBeInSet", column, remedy, column=column, value_set=[True])


def _never(column: str, remedy: str, severity: str = "critical") -> Any:
    return _rule(
        "ColumnValuesToBeInSet",
        f"no_{column}",
        remedy,
        severity=severity,
        column=column,
        value_set=[False],
    )


def _mean(column: str, name: str, remedy: str, **bounds: Any) -> Any:
    return _rule("ColumnMeanToBeBetween", name, remedy, column=column, **bounds)


def _quality(column: str, where: str, **bounds: Any) -> Any:
    remedy = f"excluded; look at the pictures, or change {where}"
    return _rule("ColumnValuesToBeBetween", column, remedy, severity="warning", column=column, **bounds)
