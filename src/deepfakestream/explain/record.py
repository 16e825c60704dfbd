"""The numbers of an explanation as JSON, and the page that shows them next to the pictures."""

from __future__ import annotations

from html import escape
from typing import Any

from deepfakestream.explain.face import FaceExplanation, FaceMap
from deepfakestream.scanning.wording import VERDICT_WORDS, reason_words


def face_record(explanation: FaceExplanation, picture: str, verdict: str) -> dict[str, Any]:
    """Return everything about one face but its pixels.

    Args:
        explanation: of the face.
        picture: name of its picture.
        verdict: on the face, in words.
    """
    face = explanation.face
    return {
        "picture": picture,
        "time_s": face.time_s,
        "frame_index": face.frame_index,
        "track_id": face.track_id,
        "box_xyxy": list(face.box_xyxy),
        "verdict": verdict,
        "p_fake": explanation.p_fake,
        "logit": explanation.logit,
        "logit_by_stream": explanation.stream_logits,
        "face_region_from": explanation.region_from,
        "area_inside_face": explanation.area_inside_face,
        "maps": [_map_record(each) for each in explanation.maps],
    }


def _map_record(face_map: FaceMap) -> dict[str, Any]:
    test = face_map.faithfulness
    return {
        "method": face_map.method,
        "stream": face_map.stream,
        "cells": [[float(f"{value:.6g}") for value in row] for row in face_map.cells.tolist()],
        "deletion_auc": test.curves.deletion_auc,
        "insertion_auc": test.curves.insertion_auc,
        "random_deletion_auc": test.random_deletion_auc,
        "random_insertion_auc": test.random_insertion_auc,
        "random_maps_beaten": test.num_beaten,
        "random_maps": test.num_random,
        "faithful": test.is_faithful,
        "energy_inside_face": face_map.energy_inside_face,
        "jpeg_stability": face_map.jpeg_stability,
        "warnings": list(face_map.warnings),
    }


def page(record: dict[str, Any]) -> str:
    """Return an HTML page of the pictures and their warnings that refers to the PNG files next to it."""
    title = f"{VERDICT_WORDS[record['verdict']]}, p_fake {record['p_fake']:.3f}"
    parts = [_figure(face) for face in record["faces"]]
    limits = "".join(f"<p>But {escape(reason_words(reason))}.</p>\n" for reason in record["reasons"])
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f"<title>{escape(record['file'])}: {escape(title)}</title>"
        "<style>body{font-family:sans-serif;max-width:70rem;margin:1rem auto;padding:0 1rem}"
        "img{max-width:100%}li{color:#a11212}</style>\n"
        f"<h1>{escape(record['file'])}</h1><p>Whole file: {escape(title)}; operating point "
        f"{escape(record['operating_point'])}, fake from {record['threshold']:.3f}. Model "
        f"{escape(record['model']['name'])} version {escape(record['model']['version'])}.</p>\n"
        + limits
        + "\n".join(parts)
        + "\n<p>A map shows what moved the network's score; it is no proof of where a picture was changed."
        "</p></html>\n"
    )


def _figure(face: dict[str, Any]) -> str:
    warnings = [warning for each in face["maps"] for warning in each["warnings"]]
    listed = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    alternative = f"Person {face['track_id']} at {face['time_s']:.2f} s: p_fake {face['p_fake']:.3f}"
    return (
        f'<figure><img src="{escape(face["picture"])}" alt="{escape(alternative)}">'
        f"<figcaption>{escape(alternative)}</figcaption></figure><ul>{listed}</ul>"
    )
