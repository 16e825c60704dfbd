from __future__ import annotations

import numpy as np
import pytest
import torch

from deepfakestream.explain.attribution import (
    GRID_CELLS,
    grad_cam,
    gwap_attention,
    kernel_shap,
    layer_cam,
    lime,
    pixels_of,
    stream_logits,
)
from deepfakestream.explain.residual import noise_residual

AVERAGE = [("rgb", "avg"), ("srm", "avg"), ("stacked", "avg"), ("dual", "avg"), ("ensemble", "avg")]
GWAP = [("rgb", "gwap"), ("dual", "gwap")]
STREAMS = {
    "rgb": ["rgb"],
    "srm": ["srm"],
    "stacked": ["stacked"],
    "dual": ["rgb", "srm"],
    "ensemble": ["rgb", "stacked"],
}


def logit_of(network, crop):
    with torch.inference_mode():
        return network(pixels_of(crop)).item()


@pytest.mark.parametrize("shape", AVERAGE)
def test_grad_cam_adds_up_to_the_logit_with_average_pooling(shape, networks, crop):
    network = networks[shape]
    total = sum(float(cells.sum()) for cells in grad_cam(network, crop).values())
    assert total + network.head.bias.item() == pytest.approx(logit_of(network, crop), abs=1e-4)


@pytest.mark.parametrize("shape", AVERAGE + GWAP)
def test_maps_come_by_stream_in_the_size_of_their_features(shape, networks, crop):
    coarse, fine = grad_cam(networks[shape], crop), layer_cam(networks[shape], crop)
    assert list(coarse) == list(fine) == STREAMS[shape[0]]
    assert {cells.shape for cells in coarse.values()} == {(2, 2)}
    assert {cells.shape for cells in fine.values()} == {(8, 8)}
    assert all(np.ptp(cells) > 0 for cells in [*coarse.values(), *fine.values()])


@pytest.mark.parametrize("shape", AVERAGE + GWAP)
def test_streams_and_bias_add_up_to_the_logit(shape, networks, crop):
    parts = stream_logits(networks[shape], crop)
    assert set(parts) == {"bias", *STREAMS[shape[0]]}
    assert sum(parts.values()) == pytest.approx(logit_of(networks[shape], crop), abs=1e-4)


@pytest.mark.parametrize("shape", GWAP)
def test_attention_is_a_distribution_over_positions(shape, networks, crop):
    attention = gwap_attention(networks[shape], crop)
    assert list(attention) == list(networks[shape].streams)
    for cells in attention.values():
        assert cells.shape == (2, 2)
        assert cells.min() > 0
        assert cells.sum() == pytest.approx(1.0, abs=1e-5)


def test_average_pooling_has_no_attention_to_show(networks, crop):
    assert gwap_attention(networks["dual", "avg"], crop) == {}


def test_explaining_leaves_the_network_as_it_was(networks, crop):
    network = networks["dual", "gwap"]
    before = logit_of(network, crop)
    grad_cam(network, crop), layer_cam(network, crop), noise_residual(network, crop)
    assert logit_of(network, crop) == before
    assert all(parameter.grad is None for parameter in network.parameters())


def one_cell_speaks(crops):
    """Logit 4 where the cell in row 1, column 5 is white, 0 where it is black."""
    size = crops.shape[1] // GRID_CELLS
    return crops[:, size : 2 * size, 5 * size : 6 * size].mean(axis=(1, 2, 3)).astype(np.float32) / 255 * 4


@pytest.mark.parametrize("method", [kernel_shap, lime])
def test_switching_cells_finds_the_one_that_counts(method):
    white, black = (np.full((70, 70, 3), value, np.uint8) for value in (255, 0))
    cells = method(one_cell_speaks, white, black)
    assert np.unravel_index(cells.argmax(), cells.shape) == (1, 5)
    assert np.sort(cells.ravel())[-2] < 0.1 * cells.max()


def test_shap_shares_out_the_whole_difference_to_the_baseline():
    white, black = (np.full((70, 70, 3), value, np.uint8) for value in (255, 0))
    assert kernel_shap(one_cell_speaks, white, black).sum() == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize("method", [kernel_shap, lime])
def test_switching_cells_draws_the_same_every_time(method, crop):
    def mean_of(crops):
        return crops.mean(axis=(1, 2, 3)).astype(np.float32)

    np.testing.assert_array_equal(method(mean_of, crop, crop // 2), method(mean_of, crop, crop // 2))


def test_the_residual_is_bounded_and_flat_where_the_picture_is(networks, crop):
    residual = noise_residual(networks["dual", "avg"], crop)
    assert residual.shape == (3, *crop.shape[:2])
    assert np.abs(residual).max() == 3.0
    flat = noise_residual(networks["dual", "avg"], np.full_like(crop, 77))
    assert np.abs(flat).max() < 1e-3


def test_the_residual_is_the_one_that_the_network_sees(networks, crop):
    network = networks["srm", "avg"]
    srm = network.streams["srm"].view
    with torch.inference_mode():
        expected = srm(pixels_of(crop))[0]
        seen = srm.norm(torch.from_numpy(noise_residual(network, crop))[None])[0]
    torch.testing.assert_close(seen, expected)


def test_a_network_without_noise_stream_has_no_residual(networks, crop):
    assert noise_residual(networks["rgb", "avg"], crop) is None
