"""How the DFDC crops of the development data frame their faces: where `extract.crop_scale` comes from."""

from __future__ import annotations

import csv
import random
import sys
import tarfile
from itertools import islice

import av
import cv2
import numpy as np
import pytest

from deepfakestream.faces.boxes import centre_xy, height, longer_side, width

NUM_CROPS = 600
CROP_PX = 224
PADDING_PX = round(0.4 * CROP_PX)
FRAME_HW = (360, 640)
SHOWN_PX = 160
SIDE_PX = CROP_PX * SHOWN_PX / (CROP_PX + 2 * PADDING_PX)
PERCENTILES = (5, 50, 95)


def random_crops(folder):
    with (folder / "manifest.csv").open() as file:
        rows = random.Random(7).sample(list(csv.DictReader(file)), NUM_CROPS)
    for shard in sorted({row["shard"] for row in rows}):
        wanted = {row["file"] for row in rows if row["shard"] == shard}
        with tarfile.open(folder / shard) as archive:
            for member in archive:
                if member.name in wanted:
                    data = np.frombuffer(archive.extractfile(member).read(), np.uint8)
                    yield cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def crops_of_whole_videos(devdata):
    """Yield crop, native side and video, where the video or a fake's original is at hand."""
    videos = {path.stem: path for path in (devdata / "videos").glob("*/*.mp4")}
    folder = devdata / "dfdc-faces"
    with (folder / "manifest.csv").open() as file:
        for row in csv.DictReader(file):
            video = videos.get(row["video"]) or videos.get(row["source_video"])
            if video:
                with tarfile.open(folder / row["shard"]) as archive:
                    data = np.frombuffer(archive.extractfile(row["file"]).read(), np.uint8)
                    rgb = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
                yield rgb, int(row["native_width_px"]), video


def find_in_video(rgb, side_px, video):
    """Return correlation, left, top and frame of the best match of a crop among every tenth frame."""
    small = cv2.resize(rgb, (round(side_px / 4),) * 2, interpolation=cv2.INTER_AREA)
    best = (-1.0, 0, 0, None)
    with av.open(str(video)) as container:
        for picture in islice(container.decode(video=0), 0, None, 10):
            frame = picture.to_ndarray(format="rgb24")
            shrunk = cv2.resize(frame, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
            _, match, _, (left, top) = cv2.minMaxLoc(cv2.matchTemplate(shrunk, small, cv2.TM_CCOEFF_NORMED))
            best = max(best, (match, 4 * left, 4 * top, frame), key=lambda found: found[0])
    return best


def framing(box_xyxy):
    """Return the crop's side over the box, and where the box's centre lies, over the crop's side."""
    centre_x, centre_y = centre_xy(box_xyxy)
    middle = SHOWN_PX / 2
    return {
        "side / longer box side": SIDE_PX / longer_side(box_xyxy),
        "side / box width": SIDE_PX / width(box_xyxy),
        "side / box height": SIDE_PX / height(box_xyxy),
        "centre right of crop's / side": (centre_x - middle) / SIDE_PX,
        "centre below crop's / side": (centre_y - middle) / SIDE_PX,
    }


def shown_small(rgb):
    """Return the crop with replicated borders, as large as a face in a frame that the detector has shrunk."""
    padded = cv2.copyMakeBorder(rgb, *[PADDING_PX] * 4, cv2.BORDER_REPLICATE)
    small = cv2.resize(padded, (SHOWN_PX, SHOWN_PX), interpolation=cv2.INTER_AREA)
    below, right = FRAME_HW[0] - SHOWN_PX, FRAME_HW[1] - SHOWN_PX
    return cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE)


@pytest.mark.bench
@pytest.mark.devdata
def test_framing_of_dfdc_crops(devdata, detector):
    crops = [shown_small(rgb) for rgb in random_crops(devdata / "dfdc-faces")]
    looks = [faces for crop in crops for faces in detector.detect([crop])]
    found = [faces[0] for faces in looks if faces and faces[0].score >= 0.8]
    rows = [framing(face.box_xyxy) for face in found]
    lines = ["", f"{len(crops)} crops, {len(found)} with a face; percentiles {PERCENTILES}"]
    for name in rows[0]:
        values = np.percentile([row[name] for row in rows], PERCENTILES)
        lines.append(f"{name:>32}: " + "  ".join(f"{value:6.3f}" for value in values))
    sys.stdout.write("\n".join(lines) + "\n")
    assert 0.75 < np.median([row["side / longer box side"] for row in rows]) < 0.95


@pytest.mark.bench
@pytest.mark.devdata
def test_framing_in_the_full_videos(devdata, detector):
    """The crops whose full video is at hand, located by template matching: few, but no estimate."""
    lines = ["", "match, side over the longer box side, centre below the crop's over the side"]
    ratios = []
    for rgb, side_px, video in crops_of_whole_videos(devdata):
        match, _, top, frame = find_in_video(rgb, side_px, video)
        box = detector.detect([frame])[0][0].box_xyxy
        ratios.append(side_px / longer_side(box))
        below = (centre_xy(box)[1] - top - side_px / 2) / side_px
        lines.append(f"{match:5.2f}  {ratios[-1]:5.2f}  {below:6.2f}")
    sys.stdout.write("\n".join(lines) + "\n")
    assert 0.7 < np.median(ratios) < 0.9
