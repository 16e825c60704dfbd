"""The process that reads media, for test_kills: it answers at once, or stops in the middle the first time.

Arguments: folder for marks, state to stop in (`scanning` stops it, with its number in the mark).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

RESULT = {
    "file": "upload", "verdict": "likely_fake", "p_fake": 0.9, "interval": None, "reasons": [], "tracks": [],
    "model": {"name": "m", "version": "0", "weights_sha256": "ff"}, "operating_point": "balanced",
    "threshold": {
        "threshold": 0.7, "inconclusive_from": 0.4, "fpr": None, "tpr": None, "measured_on": "not measured",
    },
    "media": {
        "sha256": "ab", "kind": "video", "codec": "h264", "width_px": 8, "height_px": 8, "size_bytes": 9,
        "duration_s": 3.0, "fps": 25.0, "frames_searched": 4,
    },
    "features": {}, "message": "said",
}  # fmt: skip


def say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    mark = Path(sys.argv[1]) / "scanning"
    say({"ready": True})
    for _line in sys.stdin:
        say({"stage": "extract", "done": 2, "total": 4})
        if sys.argv[2] == "scanning" and not mark.exists():
            mark.write_text(str(os.getpid()), encoding="utf-8")
            time.sleep(600)
        say({"answer": {"result": RESULT, "timings_ms": {"total": 1.0}}})


if __name__ == "__main__":
    main()
