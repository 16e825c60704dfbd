"""Which clips of the cross-set no training used: whole sources, so that people and cameras are new."""

from __future__ import annotations

from collections.abc import Mapping

HELD_OUT_SOURCES = frozenset(
    {
        "FuxiVirtualHuman/styletalk",
        "rizkiarm/LipNet",
        "guanjz20/guanjz20.github.io",
        "SkyworkAI/SkyReels-A1",
        "tanshuai0219/EDTalk",
        "OpenTalker/video-retalking",
        "bytedance/LatentSync",
        "harlanhong/harlanhong.github.io",
        "jixiaozhong/jixiaozhong.github.io",
        "deepbrainai-research/float",
        "Zz-ww/SadTalker-Video-Lip-Sync",
        "saifhassan/Wav2Lip-HD",
    }
)
_SPLIT_SOURCE = "iperov/DeepFaceLive"
_HELD_OUT_MODELS = (
    "Emily_Winston",
    "Natasha_Former",
    "Yohanna_Coralson",
    "Ewon_Spice",
    "Nicola_Badge",
    "Silwan_Stillwone",
)
"""Of the source with most swaps, these trained face models are held out, and the others are not."""


def is_held_out(row: Mapping[str, str]) -> bool:
    """Return whether no training used the clip of this manifest row."""
    if row["repo"] in HELD_OUT_SOURCES:
        return True
    people = (row["person"], row["pair"], row["source_identity"])
    return row["repo"] == _SPLIT_SOURCE and any(name in each for name in _HELD_OUT_MODELS for each in people)
