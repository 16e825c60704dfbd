"""Columns of the two tables that every later step reads; the one place where they are named."""

from __future__ import annotations

MANIFEST_COLUMNS = {
    "media_id": "sha256 of the file's bytes; the item's identity",
    "path": "file, relative to data/; several items may share one tar",
    "member": "name inside the tar, or null",
    "kind": "video | image | crop (an image that is already a face crop)",
    "label": "real | fake",
    "manipulation": "method of a fake (e.g. dfdc, faceswap, self_blend); 'none' for a real",
    "group_id": "source group: a fake, its original and near duplicates share it; never crosses splits",
    "identity": "person, where known, else null",
    "split": "train | val | test",
    "source": "name of the source it came from",
    "licence": "licence note of the source",
    "original_name": "path in the source",
    "size_bytes": "size of the file",
    "width_px": "width of the upright picture",
    "height_px": "height of the upright picture",
    "codec": "codec of the picture stream",
    "duration_s": "length; null for images",
    "fps": "frame rate; null for images",
    "jpeg_quality": "estimated JPEG quality; null where it is no JPEG",
    "ingested_at": "UTC time of ingestion, ISO 8601",
    "tool_version": "version of deepfakestream that ingested it",
}

CROP_COLUMNS = {
    "crop_id": "media_id:frame_index:track_id",
    "media_id": "item that the face was found in",
    "label": "real | fake, of the item",
    "manipulation": "of the item",
    "group_id": "of the item",
    "identity": "of the item",
    "split": "of the item",
    "source": "of the item",
    "frame_index": "position among the sampled frames",
    "time_s": "presentation time of the frame",
    "track_id": "track within the item",
    "box_xyxy": "list of 4 floats, full-frame pixels",
    "landmarks_xy": "list of 10 floats (x, y of 5 points), full-frame pixels",
    "score": "detector confidence",
    "face_px": "shorter box side, full-frame pixels",
    "sharpness": "variance of the Laplacian of the crop's luma",
    "luma": "mean luma of the crop, 0-255",
    "yaw_deg": "turn of the head, positive towards the right of the picture; null without landmarks",
    "pitch_deg": "positive where the head looks up; null without landmarks",
    "roll_deg": "tilt of the head, positive clockwise; null without landmarks",
    "crop_sha256": "digest of the stored image bytes",
    "shard": "file in crops/ that holds the image",
    "row": "row in that shard",
}

ITEM_COLUMNS = ("label", "manipulation", "group_id", "identity", "split", "source")
"""Columns of the manifest that each crop carries."""
