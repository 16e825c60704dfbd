"""Every error that a user can meet, in one tree.

DeepfakeStreamError
├── ParamsError          params.yaml or a setting holds an unknown or impossible value
│   └── DivergedError    training with these parameters left the numbers
├── MediaError           one file cannot be scanned; carries a reason code
├── WrongKindError       a video where a picture is expected, or the other way round
├── DataError            a source, manifest or artifact is missing, or contradicts itself
├── WeightsError         model or detector weights are missing or have another digest
├── GateError            a gate said no: validation or promotion
├── MissingExtraError    a command needs packages of an extra that is not installed
└── ServerError          a port is taken, or a server does not answer

A message is one sentence that names the field or file and the rule, then the remedy. `MediaError` becomes a
status in a result wherever several files are handled; the others end the command with exit status 1.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an item has no score, or why its score covers only part of it."""

    NOT_FOUND = "not_found"
    EMPTY_FILE = "empty_file"
    UNREADABLE = "unreadable"
    UNSUPPORTED_FORMAT = "unsupported_format"
    NO_VIDEO_STREAM = "no_video_stream"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    TIME_BUDGET = "time_budget"
    MEMORY_BUDGET = "memory_budget"
    TRUNCATED = "truncated"
    PART_NOT_SEARCHED = "part_not_searched"
    HDR_CONVERTED = "hdr_converted"
    NO_COLOUR = "no_colour"
    NO_FACE = "no_face"
    FACE_TOO_SMALL = "face_too_small"
    FACE_CUT_OFF = "face_cut_off"
    TOO_MANY_FACES = "too_many_faces"
    PICTURE_OF_FACE = "picture_of_face"
    DECODER_CRASHED = "decoder_crashed"
    DUPLICATE = "duplicate"
    LABEL_MISSING = "label_missing"
    LABEL_CONFLICT = "label_conflict"
    GROUP_MISSING = "group_missing"
    HELD_OUT = "held_out"
    FORGOTTEN = "forgotten"
    LOW_QUALITY = "low_quality"
    NEAR_DUPLICATE = "near_duplicate"


class DeepfakeStreamError(Exception):
    """Root of every error that this project raises on purpose."""


class ParamsError(DeepfakeStreamError):
    """A parameter or setting is unknown, missing or out of range."""


class DivergedError(ParamsError):
    """A training whose loss or scores are no longer numbers."""


class MediaError(DeepfakeStreamError):
    """One media file cannot be scanned; `reason` says why in a code."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WrongKindError(DeepfakeStreamError):
    """A media file is not of the kind that the caller takes."""

    def __init__(self, *, found: str, expected: str) -> None:
        super().__init__(f"the file is of kind {found}; give one of kind {expected}")
        self.found = found
        self.expected = expected


class DataError(DeepfakeStreamError):
    """A data source, manifest or artifact is missing, malformed or contradicts itself."""


class WeightsError(DeepfakeStreamError):
    """Weights are missing or do not have the digest that was asked for."""


class GateError(DeepfakeStreamError):
    """A gate refused to let the pipeline go on; the message says which rule and what to do."""


class MissingExtraError(DeepfakeStreamError):
    """A package that comes with an extra of ours is not installed."""

    def __init__(self, module: str, extras: tuple[str, ...]) -> None:
        names = ",".join(extras)
        super().__init__(
            f"this needs '{module}', which is not installed; run pip install 'deepfakestream[{names}]'"
        )
        self.module = module
        self.extras = extras


class ServerError(DeepfakeStreamError):
    """A server could not be started or reached."""
