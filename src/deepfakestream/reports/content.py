"""What every report says, in words and numbers, whatever it is written in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deepfakestream.scanning.result import ScanResult
from deepfakestream.scanning.wording import VERDICT_WORDS, describe_point, limits_of, rates_of

DISCLAIMER = (
    "This verdict is an estimate by a program and no proof. It speaks of face swaps only, and of the faces "
    "that were scored. It is wrong at the rates stated above. That nothing was found does not show that a "
    "file is genuine."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a report is made of."""

    id: str
    created_at: float
    """When the file was taken, seconds since 1970."""
    media_sha256: str
    service_version: str
    result: ScanResult
    """A result with facts about the file."""
    faces: tuple[dict[str, Any], ...]
    """Records of the heat maps, the most suspicious face first."""
    pictures: tuple[bytes, ...]
    """Their PNGs; empty where none were drawn."""

    @property
    def title(self) -> str:
        """The verdict in two words."""
        return VERDICT_WORDS[self.result.verdict].capitalize()

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and values of what was scanned, by what, and when."""
        result, media = self.result, self.result.media
        assert media is not None
        size = f"{media.width_px} x {media.height_px} pixels, {media.size_bytes} bytes"
        model = result.model
        facts = [
            ("Analysis", self.id),
            ("Received", datetime.fromtimestamp(self.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
            ("SHA-256 of the file", self.media_sha256),
            ("File", f"{media.kind}, {media.codec}, {size}"),
        ]
        if media.duration_s is not None:
            facts.append(("Length", f"{media.duration_s:.1f} s"))
        facts += [
            ("Model", f"{model.name} version {model.version}, weights {model.weights_sha256[:16]}"),
            ("Operating point", describe_point(result.operating_point, result.threshold)),
            ("What the threshold means", rates_of(result.threshold)),
            ("Service", f"DeepfakeStream {self.service_version}"),
        ]
        return facts

    @property
    def limits(self) -> list[str]:
        """Sentences on what limits the verdict, and on how the file was read."""
        notes = self.result.media.notes if self.result.media else ()
        read = [note.text.rstrip(".") for note in notes if note.reason is None]
        return [*limits_of(self.result), *(f"{text[0].upper()}{text[1:]}." for text in read)]

    @property
    def tracks(self) -> list[tuple[str, str, str, str]]:
        """Rows of a table of persons: number, time, score, frames."""
        return [
            (
                str(track.track_id),
                f"{track.start_s:.1f} to {track.end_s:.1f} s" if track.end_s > 0 else "-",
                f"{track.p_fake:.3f}",
                str(track.num_frames),
            )
            for track in self.result.tracks
        ]

    @property
    def captions(self) -> list[str]:
        """A sentence for each heat map, with its warnings."""
        captions = []
        for face in self.faces:
            where = f"Person {face['track_id']} at {face['time_s']:.2f} s"
            what = f"{where}, score of this face {face['p_fake']:.3f}."
            warnings = [warning for each in face["maps"] for warning in each["warnings"]]
            captions.append(" ".join([what, *warnings]))
        return captions
