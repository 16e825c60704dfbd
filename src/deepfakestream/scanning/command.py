"""`deepfakestream scan`: verdicts on a terminal or as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from deepfakestream.errors import DataError
from deepfakestream.host.counted import counted
from deepfakestream.host.progress import progress_bar
from deepfakestream.host.terminal import one_line
from deepfakestream.media.find import find_media, is_folder
from deepfakestream.scanning.model_options import ModelOptions
from deepfakestream.scanning.result import ScanResult, Verdict
from deepfakestream.scanning.wording import VERDICT_WORDS, describe_point, explain_reason

_COLOURS: dict[Verdict, str] = {
    "likely_fake": "31",
    "inconclusive": "33",
    "likely_real": "32",
    "not_applicable": "2",
}
_MAX_TRACKS = 5


def scan_paths(paths: Sequence[Path], options: ModelOptions, *, as_json: bool) -> int:
    """Scan files and folders and print each verdict as soon as it is there.

    Args:
        paths: media files, or folders that are searched for media.
        options: the model and how it runs.
        as_json: print one JSON object a line instead of text.

    Returns:
        The exit status: 1 where a file could not be read, else 0. A file without a face was read.

    Raises:
        DataError: a folder holds no media.
        ParamsError: the operating point is unknown.
        WeightsError: the model folder is incomplete or damaged.
    """
    files = _expand(paths)
    _, engine = options.open()
    colour = not as_json and sys.stdout.isatty()
    unreadable = 0
    # On a terminal the verdicts themselves show the progress.
    shown: Iterable[Path] = (
        files if sys.stdout.isatty() else progress_bar(files, description="scan", unit="file")
    )
    for path in shown:
        result = engine.scan(path)
        line = to_json_line(result) if as_json else to_text(result, colour=colour)
        print(line, flush=True)  # noqa: T201 - this is the command's output
        unreadable += result.media is None
    return 1 if unreadable else 0


def to_json_line(result: ScanResult) -> str:
    """Return the result as one JSON object on one line."""
    return json.dumps(result.model_dump(mode="json"), ensure_ascii=False)


def to_text(result: ScanResult, *, colour: bool) -> str:
    """Return the block of lines that a person reads: the verdict in words, then what it rests on.

    Args:
        result: of one file.
        colour: whether to colour the verdict, for a terminal.
    """
    words = VERDICT_WORDS[result.verdict].upper()
    verdict = f"\033[{_COLOURS[result.verdict]}m{words}\033[0m" if colour else words
    score = "" if result.p_fake is None else f", p_fake {result.p_fake:.3f}"
    interval = f" (95 % {result.interval[0]:.3f} to {result.interval[1]:.3f})" if result.interval else ""
    lines = [f"{one_line(result.file)}: {verdict}{score}{interval}"]
    notes = [note for note in (result.media.notes if result.media else ()) if note.reason is None]
    media = [f"  media     {note.text}" for note in notes]
    if result.p_fake is None:
        codes = ", ".join(result.reasons)
        return "\n".join([*lines, f"  why       {one_line(result.message)} [{codes}]", *media])
    for track in result.tracks[:_MAX_TRACKS]:
        when = f"{track.start_s:.1f}-{track.end_s:.1f} s, " if track.end_s > 0 else ""
        face = f"{counted(track.num_frames, 'frame')}, face {track.median_face_px:.0f} px"
        lines.append(f"  track {track.track_id:<4}p_fake {track.p_fake:.3f}, {when}{face}")
    if len(result.tracks) > _MAX_TRACKS:
        hidden = counted(len(result.tracks) - _MAX_TRACKS, "more track")
        lines.append(f"  and       {hidden} with lower scores")
    lines.append(f"  model     {result.model.detector} detector, version {result.model.version}")
    lines.append(f"  why       {describe_point(result.operating_point, result.threshold)}")
    lines += [f"  note      {explain_reason(result, reason)}" for reason in result.reasons]
    return "\n".join([*lines, *media])


def _expand(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        found = find_media([path])
        if is_folder(path) and not found:
            raise DataError(f"{path}: no pictures or videos in this folder; name a folder or file with media")
        files += found
    return files
