"""Colours as a viewer sees them: HDR, wide primaries, ICC profiles, PNG's gamma."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import rgb2lab

from deepfakestream.errors import Reason
from deepfakestream.media.colour import BT709, BT2020, HLG, LINEAR, PQ, to_srgb
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, NoteCode

TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def read(path, num_frames=2):
    return sample_frames(path, num_frames=num_frames, budget=MediaBudget())


def difference(rgb, expected):
    return float(np.abs(rgb.astype(int) - expected).mean())


def was_converted(sample):
    return NoteCode.COLOUR_CONVERTED in {note.code for note in sample.notes}


def pq_signal(light):
    """The inverse of SMPTE ST 2084, from light over reference white of 203 nits."""
    powered = (np.clip(light, 0, None) * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * powered) / (1 + 18.6875 * powered)) ** 78.84375


def hlg_signal(light):
    """The inverse of the HLG system at 1,000 nits, from light over reference white of 203 nits."""
    display = np.clip(light, 0, None) * 203 / 1000
    luminance = display @ [0.2627, 0.6780, 0.0593]
    scene = display * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
    with np.errstate(invalid="ignore"):
        upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def hdr(rgb, signal):
    """The picture in HDR, 16 bits a channel, BT.2020 primaries."""
    light = (rgb / 255.0) ** 2.4 @ TO_BT2020.T
    return np.round(65535 * np.clip(signal(light), 0, 1)).astype(np.uint16)


@pytest.mark.parametrize("signal", [pq_signal, hlg_signal])
@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx265", {"crf": "8", "x265-params": "log-level=error"}),
        ("mkv", "libvpx-vp9", {"crf": "8", "b:v": "0", "deadline": "realtime", "pix_fmt": "yuv420p"}),
        ("mp4", "libsvtav1", {"crf": "12", "preset": "10"}),
        ("mp4", "libx264", {"crf": "8"}),
    ],
)
def test_hdr_video_is_tone_mapped_and_reported(
    tmp_path, film, stream, astronaut, signal, suffix, codec, options
):
    face = astronaut[:256, 96:352]
    options = dict(options)
    pix_fmt = options.pop("pix_fmt", "yuv420p10le")
    path = film(
        tmp_path / f"hdr.{suffix}",
        stream(
            frames=[hdr(face, signal)] * 3,
            pixels="rgb48le",
            codec=codec,
            pix_fmt=pix_fmt,
            colours=(BT2020, PQ if signal is pq_signal else HLG, 9),
            options=options,
        ),
    )
    sample = read(path)
    assert difference(sample.frames[0].rgb, face) < 6
    assert sample.reasons == (Reason.HDR_CONVERTED,)
    assert was_converted(sample)


def test_what_is_brighter_than_white_keeps_its_hue_and_its_order():
    light = np.linspace(0, 10, 200)[None, :, None] * np.array([1.0, 0.5, 0.25])
    signal = np.round(65535 * pq_signal(light)).astype(np.uint16)
    rgb = to_srgb(signal, transfer=PQ, primaries=BT709).astype(float)
    red = rgb[0, :, 0]
    assert (np.diff(red) >= 0).all()
    assert red[-1] > 250
    assert red[20] < red[60] < red[180]
    assert rgb[0, -1, 0] > rgb[0, -1, 1] > rgb[0, -1, 2] > 100


def test_light_up_to_white_is_what_it_was():
    levels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    light = (levels / 255.0) ** 2.4
    signal = np.round(65535 * pq_signal(light)).astype(np.uint16)
    again = to_srgb(signal, transfer=PQ, primaries=BT709, is_video=True)
    assert np.abs(again.astype(int) - levels).max() <= 1


def test_wide_primaries_of_sdr_video_are_converted_and_grey_stays(tmp_path, film, stream, astronaut):
    wide = np.clip((astronaut[:128, 96:224] / 255.0) ** 2.2 @ TO_BT2020.T, 0, 1) ** (1 / 2.2)
    pixels = np.round(255 * wide).astype(np.uint8)
    options = {"crf": "6"}
    made = stream(frames=[pixels] * 2, colours=(BT2020, 14, 9), options=options, pix_fmt="yuv444p")
    sample = read(film(tmp_path / "wide.mp4", made))
    assert difference(sample.frames[0].rgb, astronaut[:128, 96:224]) < 6
    assert was_converted(sample)
    assert sample.reasons == ()


def test_ordinary_video_is_not_converted(tmp_path, film, stream, astronaut):
    for colours in ((1, 1, 1), (5, 6, 5), (6, 6, 6), (2, 2, 2), (1, 13, 1)):
        made = stream(
            frames=[astronaut[:64, 96:160]] * 2, colours=colours, options={"crf": "6"}, pix_fmt="yuv444p"
        )
        sample = read(film(tmp_path / "a.mp4", made))
        assert not was_converted(sample), colours
        assert difference(sample.frames[0].rgb, astronaut[:64, 96:160]) < 4


def test_linear_light_is_encoded():
    levels = np.array([[[0, 32768, 65535]]], dtype=np.uint16)
    assert to_srgb(levels, transfer=LINEAR, primaries=BT709).tolist() == [[[0, 188, 255]]]


# ---- ICC profiles ---------------------------------------------------------------------------------------


def fixed(value):
    return struct.pack(">i", round(value * 65536))


def matrix_profile(gamma, primaries):
    """A version 2 display profile: gamma, and CIE XYZ (D50) of red, green and blue."""
    white = (0.9642, 1.0, 0.8249)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(fixed, white)),
    }
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz))
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    return assembled(b"RGB ", tags)


def grey_profile(gamma):
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(fixed, (0.9642, 1.0, 0.8249))),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0",
    }
    return assembled(b"GRAY", tags)


def assembled(space, tags):
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


PROPHOTO = matrix_profile(1.8, ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)))
ADOBE_RGB = matrix_profile(
    2.2, ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
)


def in_profile(rgb, profile, mode="RGB"):
    """The picture's numbers in a profile."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(
        Image.fromarray(rgb), ImageCms.createProfile("sRGB"), target, outputMode=mode, renderingIntent=1
    )


@pytest.mark.parametrize("profile", [PROPHOTO, ADOBE_RGB], ids=["ProPhoto", "Adobe RGB"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_a_colour_profile_is_converted(tmp_path, astronaut, suffix, profile):
    options = {"webp": {"lossless": True}, "jpg": {"quality": 96, "subsampling": 0}, "avif": {"quality": 96}}
    picture = in_profile(astronaut, profile)
    assert difference(np.asarray(picture), astronaut) > 3
    path = tmp_path / f"a.{suffix}"
    picture.save(path, icc_profile=profile, **options.get(suffix, {}))
    sample = read(path)
    assert difference(sample.frames[0].rgb, astronaut) < 2.5
    assert was_converted(sample)
    assert sample.reasons == ()


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_colour_profile_of_an_animation_is_converted(tmp_path, astronaut, suffix):
    pictures = [in_profile(astronaut[k : k + 64, :96], ADOBE_RGB) for k in range(4)]
    path = tmp_path / f"a.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=100, icc_profile=ADOBE_RGB, **lossless
    )
    sample = read(path, num_frames=4)
    assert difference(sample.frames[2].rgb, astronaut[2:66, :96]) < 2
    assert was_converted(sample)


def test_a_colour_profile_of_a_film_is_converted(tmp_path, astronaut):
    """Motion JPEG whose pictures carry a profile."""
    buffer = io.BytesIO()
    picture = in_profile(astronaut[:256, 96:352], ADOBE_RGB)
    picture.save(buffer, format="JPEG", quality=96, subsampling=0, icc_profile=ADOBE_RGB)
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuvj444p"
        for position in range(4):
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.time_base = stream, stream.time_base or Fraction(1, 25)
            packet.pts = packet.dts = position
            packet.is_keyframe = True
            container.mux(packet)
    sample = read(path)
    assert difference(sample.frames[0].rgb, astronaut[:256, 96:352]) < 4
    assert was_converted(sample)


def cmyk_profile():
    """A version 2 printer profile: a table of two steps an ink from CMYK to CIE Lab."""
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    light = (1 - 0.8 * corners[:, :3]) * (1 - 0.9 * corners[:, 3:])
    lab = rgb2lab(light[None], illuminant="D65")[0]
    table = np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], axis=1).round().clip(0, 255)
    identity = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    lut += b"".join(fixed(v) for v in np.eye(3).ravel()) + identity * 4
    lut += table.astype(np.uint8).tobytes() + identity * 3
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(fixed, (0.9642, 1.0, 0.8249))),
        b"A2B0": lut,
        b"A2B1": lut,
    }
    profile = bytearray(assembled(b"CMYK", tags))
    profile[12:16], profile[20:24] = b"prtr", b"Lab "
    return bytes(profile)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_a_profile_of_inks_is_converted(tmp_path, suffix):
    """Cyan lets a fifth of the red through; without the profile it would let none."""
    inks = np.zeros((32, 32, 4), dtype=np.uint8)
    inks[16:, :, 0] = 255
    path = tmp_path / f"a.{suffix}"
    options = {"quality": 98} if suffix == "jpg" else {}
    Image.fromarray(inks, mode="CMYK").save(path, icc_profile=cmyk_profile(), **options)
    sample = read(path)
    rgb = sample.frames[0].rgb
    assert rgb[:12].min() > 245
    assert 25 < rgb[20:, :, 0].mean() < 75
    assert rgb[20:, :, 1:].min() > 235
    assert was_converted(sample)


def test_a_profile_of_srgb_changes_no_pixel(tmp_path, astronaut):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in ("png", "jpg"):
        Image.fromarray(astronaut).save(tmp_path / f"a.{suffix}", icc_profile=profile, quality=95)
        Image.fromarray(astronaut).save(tmp_path / f"b.{suffix}", quality=95)
        sample, plain = read(tmp_path / f"a.{suffix}"), read(tmp_path / f"b.{suffix}")
        assert np.array_equal(sample.frames[0].rgb, plain.frames[0].rgb)
        assert not was_converted(sample)


def test_a_profile_of_greys_is_converted(tmp_path, astronaut):
    grey = astronaut.mean(axis=2).round().astype(np.uint8)
    light = np.where(grey <= 10, grey / 255 / 12.92, ((grey / 255 + 0.055) / 1.055) ** 2.4)
    for suffix in ("png", "tif"):
        picture = Image.fromarray(np.round(255 * light).astype(np.uint8))
        picture.save(tmp_path / f"a.{suffix}", icc_profile=grey_profile(1.0))
        sample = read(tmp_path / f"a.{suffix}")
        assert difference(sample.frames[0].rgb[..., 0][grey > 30], grey[grey > 30]) < 2
        assert was_converted(sample)


@pytest.mark.parametrize("profile", [b"", b"nonsense", PROPHOTO[:200], grey_profile(2.0)])
def test_a_profile_that_is_damaged_or_of_other_colours_is_ignored(tmp_path, astronaut, profile):
    Image.fromarray(astronaut).save(tmp_path / "a.png", icc_profile=profile)
    assert np.array_equal(read(tmp_path / "a.png").frames[0].rgb, astronaut)


# ---- PNG and AVIF without a profile ---------------------------------------------------------------------


def png_with(path, rgb, *chunks):
    """A PNG with chunks before its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="PNG")
    data = buffer.getvalue()
    extra = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    path.write_bytes(data[:33] + extra + data[33:])
    return path


def test_the_gamma_of_a_png_is_applied(tmp_path):
    rgb = np.array([[[0, 55, 255]]], dtype=np.uint8)
    linear = read(png_with(tmp_path / "a.png", rgb, (b"gAMA", struct.pack(">I", 100_000))))
    assert linear.frames[0].rgb.tolist() == [[[0, 128, 255]]]
    assert was_converted(linear)
    for gamma in (45_455, 0, 1):
        usual = read(png_with(tmp_path / "b.png", rgb, (b"gAMA", struct.pack(">I", gamma))))
        assert usual.frames[0].rgb.tolist() == rgb.tolist()


def test_the_primaries_of_a_png_are_applied(tmp_path, astronaut):
    wide = np.clip((astronaut / 255.0) ** 2.2 @ TO_BT2020.T, 0, 1) ** (1 / 2.2)
    points = (31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)
    chunk = (b"cHRM", struct.pack(">8I", *points))
    sample = read(png_with(tmp_path / "a.png", np.round(255 * wide).astype(np.uint8), chunk))
    assert difference(sample.frames[0].rgb, astronaut) < 2
    broken = (b"cHRM", struct.pack(">8I", *[0] * 8))
    plain = read(png_with(tmp_path / "b.png", astronaut, broken))
    assert np.array_equal(plain.frames[0].rgb, astronaut)


@pytest.mark.parametrize(("signal", "transfer"), [(pq_signal, PQ), (hlg_signal, HLG)])
def test_an_hdr_png_is_tone_mapped(tmp_path, astronaut, signal, transfer):
    light = (
        np.where(astronaut <= 10, astronaut / 255 / 12.92, ((astronaut / 255 + 0.055) / 1.055) ** 2.4)
        @ TO_BT2020.T
    )
    pixels = np.round(255 * np.clip(signal(light), 0, 1)).astype(np.uint8)
    sample = read(png_with(tmp_path / "a.png", pixels, (b"cICP", bytes([BT2020, transfer, 0, 1]))))
    assert difference(sample.frames[0].rgb, astronaut) < 4
    assert sample.reasons == (Reason.HDR_CONVERTED,)


def test_an_hdr_avif_is_tone_mapped(tmp_path, astronaut):
    light = ((astronaut / 255 + 0.055) / 1.055) ** 2.4 @ TO_BT2020.T
    pixels = np.round(255 * np.clip(pq_signal(light), 0, 1)).astype(np.uint8)
    path = tmp_path / "a.avif"
    Image.fromarray(pixels).save(path, quality=97)
    data = bytearray(path.read_bytes())
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">HH", BT2020, PQ)
    path.write_bytes(data)
    sample = read(path)
    assert difference(sample.frames[0].rgb, astronaut) < 8
    assert sample.reasons == (Reason.HDR_CONVERTED,)
