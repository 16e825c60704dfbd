"""The budget's refusals, worded once."""

from __future__ import annotations

from pathlib import Path

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.types import MediaBudget


def check_pixels(path: Path, size_px: tuple[int, int], budget: MediaBudget) -> None:
    """Raise `MediaError` when a picture of this width and height is over the budget."""
    if size_px[0] * size_px[1] > budget.max_pixels:
        raise too_many_pixels(path, f"{size_px[0]} x {size_px[1]} pixels", budget)


def too_many_pixels(path: Path, what: str, budget: MediaBudget) -> MediaError:
    """Return the error for a picture over the budget."""
    return MediaError(
        Reason.TOO_MANY_PIXELS,
        f"{path.name}: {what} exceed the limit of {budget.max_pixels} pixels; scale it down",
    )


def check_duration(path: Path, duration_s: float, budget: MediaBudget) -> None:
    """Raise `MediaError` when a clip of this length is over the budget."""
    if duration_s > budget.max_duration_s:
        raise MediaError(
            Reason.TOO_LONG,
            f"{path.name}: {duration_s:.0f} s exceed the limit of {budget.max_duration_s:.0f} s; "
            "cut the clip or raise the limit",
        )


def check_num_frames(path: Path, num_frames: int, budget: MediaBudget) -> None:
    """Raise `MediaError` when an animation of so many frames is over the budget."""
    if num_frames > budget.max_decoded_frames:
        raise MediaError(
            Reason.TOO_LONG,
            f"{path.name}: {num_frames} frames exceed the limit of {budget.max_decoded_frames}; "
            "cut the animation or raise the limit",
        )
