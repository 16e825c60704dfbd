"""Copies of clips as platforms pass them on, so that a genuine clip and its forgery go through the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

import av

from deepfakestream.host.whole_files import replacing


class Pass(NamedTuple):
    """One encoding with H.264."""

    crf: int
    """Constant rate factor: 0 loses nothing, 51 most."""
    share: float = 1.0
    """Of the sides of the clip as it came."""


CONDITIONS: Mapping[str, tuple[Pass, ...]] = MappingProxyType(
    {
        "crf23": (Pass(crf=23),),
        "crf32": (Pass(crf=32),),
        "crf40": (Pass(crf=40),),
        "half": (Pass(crf=23, share=0.5),),
        "chain": (Pass(crf=28, share=0.7), Pass(crf=30), Pass(crf=32, share=0.7)),
    }
)
"""How clips are encoded again, one pass after the other."""


def re_encode(clip: Path, condition: str, copy: Path) -> None:
    """Write a copy of the clip that went through a condition; one that is there already is not made again.

    Args:
        clip: video that FFmpeg reads.
        condition: key of `CONDITIONS`.
        copy: path of the copy, which is an MP4 file.
    """
    if copy.is_file():
        return
    with replacing(copy) as whole, TemporaryDirectory() as scratch:
        source = clip
        for number, each in enumerate(CONDITIONS[condition]):
            target = Path(scratch) / f"{number}.mp4"
            _encode(source, target, each)
            source = target
        shutil.copyfile(source, whole)


def _encode(source: Path, target: Path, each: Pass) -> None:
    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4") as made:
        video = given.streams.video[0]
        rate = video.average_rate or 25
        stream = made.add_stream("libx264", rate=rate, options={"crf": str(each.crf), "preset": "veryfast"})
        # 4:2:0 needs even sides.
        stream.width, stream.height = (
            max(2, round(each.share * side) // 2 * 2) for side in (video.width, video.height)
        )
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(given.decode(video)):
            scaled = frame.reformat(stream.width, stream.height, "yuv420p", interpolation="AREA")
            scaled.pts, scaled.time_base = number, 1 / rate
            made.mux(stream.encode(scaled))
        made.mux(stream.encode(None))
