"""Face swaps between two people: the donor's face is warped to the target's mesh, recoloured and blended."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay
from threadpoolctl import ThreadpoolController

from deepfakestream.forge.artifacts import leave_traces, to_uint8
from deepfakestream.forge.masks import blending_mask
from deepfakestream.forge.mesh import NUM_POINTS, Points
from deepfakestream.forge.regions import Mask, region
from deepfakestream.forge.self_blend import Forgery, blend
from deepfakestream.media.types import RGBImage

MAP_SIZE_PX = 56
"""The warp is interpolated on a coarse grid and enlarged; finer grids look the same and cost more."""


def swap_face(
    target: RGBImage, target_points: Points, donor: RGBImage, donor_points: Points, rng: np.random.Generator
) -> Forgery:
    """Return the target with the donor's face in place of its own; the real is the target.

    Args:
        target: picture `(S, S, 3)` whose face goes.
        target_points: its landmarks `(468, 2)`.
        donor: picture `(S, S, 3)` whose face comes.
        donor_points: its landmarks `(468, 2)`.
        rng: random numbers; the same state gives the same result.
    """
    size = target.shape[0]
    # SciPy solves one tiny system a triangle; BLAS threads that wait for each other made a swap a hundred
    # times slower on a busy machine.
    with _blas().limit(limits=1, user_api="blas"):
        face = _warp(donor, donor_points, target_points, size)
    hull = region(target_points, size, str(rng.choice(["hull", "below_brows", "inner"])))
    face = _recoloured(face, target, hull, rng)
    if rng.random() < 0.7:
        face = leave_traces(face, rng)
    if rng.random() < 0.2:
        return Forgery(real=target, fake=_poisson(face, target, hull), mask=hull)
    mask = blending_mask(hull, rng)
    mask = mask / max(float(mask.max()), 1e-6)
    return Forgery(real=target, fake=blend(face, target, mask), mask=mask)


def pose_distance(points: Points, others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each of `others` `(N, 468, 2)` is from `points` once position and size are removed.

    Args:
        points: landmarks `(468, 2)` in pixels.
        others: landmarks `(N, 468, 2)`.
    """
    distance: NDArray[np.float32] = np.linalg.norm(
        _normalised(others) - _normalised(points[None]), axis=(1, 2)
    )
    return distance


def _normalised(points: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = points - points.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = centred / np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    return unit


def _warp(donor: RGBImage, donor_points: Points, target_points: Points, size: int) -> RGBImage:
    """Move every mesh point of the donor onto the target's, linearly within each triangle."""
    triangles = Delaunay(target_points)
    interpolate = LinearNDInterpolator(triangles, donor_points, fill_value=-1.0)
    source_xy = interpolate(_grid(size)).astype(np.float32).reshape(MAP_SIZE_PX, MAP_SIZE_PX, 2)
    inside = source_xy[..., 0] >= 0
    source_xy[~inside] = _affine_map(
        donor_points, target_points, _grid(size).reshape(MAP_SIZE_PX, MAP_SIZE_PX, 2)
    )[~inside]
    full = cv2.resize(source_xy, (size, size), interpolation=cv2.INTER_LINEAR)
    warped = cv2.remap(donor, full[..., 0], full[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, dtype=np.uint8)


@lru_cache(maxsize=4)
def _grid(size: int) -> NDArray[np.float32]:
    axis = (np.arange(MAP_SIZE_PX, dtype=np.float32) + 0.5) * (size / MAP_SIZE_PX) - 0.5
    columns, rows = np.meshgrid(axis, axis)
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


def _affine_map(
    donor_points: Points, target_points: Points, grid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Continue the warp outside the mesh by the least-squares affine map from target to donor."""
    homogeneous = np.column_stack([target_points, np.ones(NUM_POINTS, np.float32)])
    matrix, *_ = np.linalg.lstsq(homogeneous, donor_points, rcond=None)
    mapped: NDArray[np.float32] = (grid @ matrix[:2] + matrix[2]).astype(np.float32)
    return mapped


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _recoloured(face: RGBImage, target: RGBImage, hull: Mask, rng: np.random.Generator) -> RGBImage:
    """Give the face the target's colours inside the hull (Reinhard et al., 2001), fully or in part."""
    inside = hull > 0.5
    if inside.sum() < 64:
        return face
    face_lab = cv2.cvtColor(face, cv2.COLOR_RGB2LAB).astype(np.float32)
    target_lab = cv2.cvtColor(target, cv2.COLOR_RGB2LAB).astype(np.float32)
    mean, std = face_lab[inside].mean(0), face_lab[inside].std(0) + 1e-3
    wanted_mean, wanted_std = target_lab[inside].mean(0), target_lab[inside].std(0)
    matched = (face_lab - mean) * np.clip(wanted_std / std, 0.5, 2.0) + wanted_mean
    share = np.float32(rng.uniform(0.6, 1.0))
    mixed = to_uint8(share * matched + (1.0 - share) * face_lab)
    return np.asarray(cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB), dtype=np.uint8)


def _poisson(face: RGBImage, target: RGBImage, hull: Mask) -> RGBImage:
    """Blend gradients instead of colours (Perez et al., 2003); colours settle around the hull too."""
    size = target.shape[0]
    mask = (hull > 0.5).astype(np.uint8) * 255
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    x, y, width, height = cv2.boundingRect(mask)
    if width < 8 or height < 8:
        return face
    centre = (x + width // 2, y + height // 2)
    blended = cv2.seamlessClone(face, target, mask, centre, cv2.NORMAL_CLONE)
    assert blended.shape == (size, size, 3)
    return np.asarray(blended, dtype=np.uint8)
