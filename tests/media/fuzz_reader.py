"""Feeds damaged media to the reader; run by test_fuzz.py in a process of its own.

    python fuzz_reader.py CORPUS COUNT [SEED]

CORPUS is a folder of small media files, COUNT the number of inputs to try. With atheris
(https://github.com/google/atheris, not a dependency) inputs are chosen by the coverage of the reader's own
code. Without it they are mutated, and an input whose outcome is new joins the corpus. Each input must give
frames or a `MediaError`, in time; anything else ends the process with a traceback, and the input lies in
CORPUS/current. The same seed tries the same inputs on every machine, so that a failure can be repeated;
other seeds and larger counts search further.
"""

from __future__ import annotations

import importlib
import random
import sys
import time
from pathlib import Path

MAX_SECONDS_AN_INPUT = 20.0
MAX_RSS_MB = 3000
INTERESTING = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0", b"\xff\xd9")


class Target:
    """The reader on one file after another."""

    def __init__(self, corpus: Path) -> None:
        from deepfakestream.media.reader import open_media
        from deepfakestream.media.types import MediaBudget

        self._open = open_media
        self._budget = MediaBudget(
            max_pixels=1_000_000, max_duration_s=600, max_decoded_frames=300, max_wall_s=5.0
        )
        self._current = corpus / "current"

    def __call__(self, data: bytes) -> str:
        """Read the input and return what came of it."""
        from deepfakestream.errors import MediaError

        self._current.write_bytes(data)
        start = time.monotonic()
        try:
            with self._open(self._current, self._budget) as media:
                frames = list(media.frames(4))
                outcome = f"{media.info.codec} {media.reasons} {sorted({note.code for note in media.notes})}"
            assert frames
            assert all(frame.rgb.ndim == 3 and frame.rgb.dtype.name == "uint8" for frame in frames)
            assert len({frame.index for frame in frames}) == len(frames)
            for stream in {frame.stream for frame in frames}:
                times = [frame.time_s for frame in frames if frame.stream == stream]
                assert times == sorted(times)
        except MediaError as error:
            outcome = f"{error.reason} {str(error).split(':')[-1][:40]}"
        seconds = time.monotonic() - start
        assert seconds < MAX_SECONDS_AN_INPUT, f"took {seconds:.0f} s"
        return outcome


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return the input with up to eight changes."""
    changed = bytearray(data) or bytearray(1)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(changed) + 1)
        source = rng.choice([bytes(changed), rng.choice(others)])
        start = rng.randrange(len(source) + 1)
        end, piece = rng.choice(
            [
                (at + 1, bytes([rng.randrange(256)])),
                (at + 4, rng.choice(INTERESTING)),
                (at + rng.randint(1, 64), b""),
                (at, source[start : start + rng.randint(1, 256)]),
                (at + 64, source[start : start + 64]),
            ]
        )
        changed[at:end] = piece
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.2 else changed)


def mutate(target: Target, corpus: Path, count: int, seed: int) -> None:
    """Read this many mutated inputs, after the corpus itself."""
    rng = random.Random(seed)
    inputs = [path.read_bytes() for path in sorted(corpus.iterdir()) if path.name != "current"]
    outcomes = {target(data) for data in inputs}
    for _ in range(count):
        data = mutated(rng.choice(inputs), inputs, rng)
        outcome = target(data)
        if outcome not in outcomes:
            outcomes.add(outcome)
            inputs.append(data)


def main() -> None:
    corpus, count = Path(sys.argv[1]), int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        mutate(Target(corpus), corpus, count, seed)
        return
    with atheris.instrument_imports(include=["deepfakestream.media"]):
        target = Target(corpus)
    # libFuzzer takes a random seed where it is given 0
    options = [f"-runs={count}", f"-rss_limit_mb={MAX_RSS_MB}", "-max_len=60000", f"-seed={seed + 1}"]
    found = corpus.with_name("found")
    found.mkdir(exist_ok=True)
    atheris.Setup([sys.argv[0], *options, str(found), str(corpus)], lambda data: target(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
