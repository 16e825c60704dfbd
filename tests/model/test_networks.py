from __future__ import annotations

import pytest
import torch
from torch import nn

from deepfakestream.errors import ParamsError, WeightsError
from deepfakestream.model.imagenet import OFFLINE_BACKBONE, create_backbone, lite0_weights
from deepfakestream.model.network import (
    NORMALISATION,
    STREAMS,
    Normalise,
    create_network,
    head_of_streams,
    join_networks,
)
from deepfakestream.model.pooling import WeightedAveragePooling, create_pooling
from deepfakestream.model.spec import NetworkSpec, Variant

VARIANTS = ["rgb", "srm", "stacked", "dual", "ensemble"]


def _spec(variant: str, *, backbone: str = "test_efficientnet", pooling: str = "avg") -> NetworkSpec:
    return NetworkSpec.model_validate(
        {
            "variant": variant,
            "backbone": backbone,
            "global_pool": pooling,
            "drop_rate": 0.0,
        }
    )


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


class TestPooling:
    def test_one_position(self) -> None:
        features = torch.randn(2, 5, 1, 1)
        for kind in ("avg", "gwap"):
            assert torch.allclose(create_pooling(kind, 5)(features), features[:, :, 0, 0])  # type: ignore[arg-type]

    def test_untrained_gwap_is_the_average(self) -> None:
        features = torch.randn(2, 5, 3, 4)
        assert torch.allclose(
            create_pooling("gwap", 5)(features), create_pooling("avg", 5)(features), atol=1e-6
        )

    def test_weights_sum_to_one_and_are_positive(self) -> None:
        layer = WeightedAveragePooling(5)
        nn.init.normal_(layer.score.weight, std=3.0)
        weights = layer.weights(torch.randn(2, 5, 3, 4))
        assert weights.shape == (2, 1, 3, 4)
        assert torch.allclose(weights.sum(dim=(1, 2, 3)), torch.ones(2))
        assert (weights >= 0).all()

    def test_prefers_what_it_learnt(self) -> None:
        layer = WeightedAveragePooling(1)
        nn.init.constant_(layer.score.weight, 4.0)
        assert layer(torch.tensor([[[[0.0, 1.0]]]])).item() > 0.8


class TestNormalise:
    @pytest.mark.parametrize(("level", "expected"), [(0.0, -1.0), (127.5, 0.0), (255.0, 1.0)])
    def test_maps_to_unit_range(self, level: float, expected: float) -> None:
        assert Normalise(NORMALISATION)(torch.full((1, 3, 1, 1), level)).flatten().tolist() == [expected] * 3


class TestNetworks:
    @pytest.mark.parametrize("pooling", ["avg", "gwap"])
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_builds_and_answers_once_a_picture(self, variant: str, pooling: str) -> None:
        network = create_network(_spec(variant, pooling=pooling)).eval()
        with torch.inference_mode():
            assert network(torch.rand(2, 3, 64, 64) * 255).shape == (2,)
            assert network(torch.rand(1, 3, 64, 64) * 255).shape == (1,)

    @pytest.mark.parametrize(
        ("variant", "millions"),
        [("rgb", 3.37), ("srm", 3.37), ("stacked", 3.37), ("dual", 6.74), ("ensemble", 6.75)],
    )
    def test_size_on_the_default_backbone(self, variant: str, millions: float) -> None:
        with torch.device("meta"):
            count = _num_parameters(create_network(_spec(variant, backbone=OFFLINE_BACKBONE)))
        assert count / 1e6 == pytest.approx(millions, abs=0.01)
        assert count <= 10_000_000

    @pytest.mark.parametrize("variant", ["dual", "ensemble"])
    @pytest.mark.parametrize("pooling", ["avg", "gwap"])
    def test_joined_networks_give_the_mean_of_their_logits(self, variant: Variant, pooling: str) -> None:
        parts = {name: create_network(_spec(name, pooling=pooling)).eval() for name in STREAMS[variant]}
        joined = join_networks(parts, _spec(variant, pooling=pooling))
        pixels = torch.rand(3, 3, 64, 64) * 255
        with torch.inference_mode():
            alone = torch.stack([part(pixels) for part in parts.values()])
            assert torch.allclose(joined(pixels), alone.mean(dim=0), atol=1e-5)
        assert not torch.allclose(alone[0], alone[1], atol=1e-3)
        for name, part in parts.items():
            head = head_of_streams(joined, STREAMS[name])["head.weight"]
            assert torch.allclose(head, part.head.weight, atol=1e-6)

    def test_the_kernels_do_not_learn(self) -> None:
        network = create_network(_spec("stacked"))
        assert not network.streams["stacked"].view.srm.weight.requires_grad  # type: ignore[union-attr]

    def test_a_mirrored_network_takes_both_ways_alike(self) -> None:
        spec = _spec("stacked").model_copy(update={"flip_tta": True})
        network = create_network(spec).eval()
        pixels = torch.rand(2, 3, 64, 64) * 255
        with torch.inference_mode():
            logits = network(pixels)
            both = (network.one_way(pixels) + network.one_way(pixels.flip(3))) / 2
            assert torch.allclose(network(pixels.flip(3)), logits, atol=1e-6)
            assert torch.allclose(logits, both, atol=1e-6)
            assert not torch.allclose(logits, network.one_way(pixels), atol=1e-4)
            network.train()
            network.dropout.eval()
            assert torch.equal(network(pixels[:1]), network.one_way(pixels[:1]))

    def test_horizontal_flip_is_not_built_in_unless_asked_for(self) -> None:
        network = create_network(_spec("rgb")).eval()
        pixels = torch.rand(1, 3, 64, 64) * 255
        with torch.inference_mode():
            assert not torch.equal(network(pixels), network(pixels.flip(3)))


class TestImageNet:
    def test_every_weight_has_its_place(self) -> None:
        weights = lite0_weights()
        assert len(weights) == 296
        import timm

        network = timm.create_model(OFFLINE_BACKBONE, pretrained=False)
        own = {k: v.shape for k, v in network.state_dict().items()}
        assert {k: v.shape for k, v in weights.items()} == own

    def test_stacked_starts_as_rgb(self) -> None:
        """The extra channels have no weight yet, so noise in them changes nothing."""
        torch.manual_seed(0)
        rgb = create_backbone(OFFLINE_BACKBONE, imagenet=True).eval()
        wide = create_backbone(OFFLINE_BACKBONE, imagenet=True, in_channels=6).eval()
        assert (wide.conv_stem.weight[:, 3:] == 0).all()  # type: ignore[union-attr,index]
        pixels = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            with_noise = wide(torch.cat([pixels, torch.randn(1, 3, 64, 64)], dim=1))
            # A wider sum adds in another order, so the last bits may differ.
            torch.testing.assert_close(with_noise, rgb(pixels), rtol=1e-4, atol=1e-4)

    def test_stacked_network_answers_as_the_rgb_network(self) -> None:
        rgb = create_network(_spec("rgb", backbone=OFFLINE_BACKBONE), imagenet=True).eval()
        stacked = create_network(_spec("stacked", backbone=OFFLINE_BACKBONE), imagenet=True).eval()
        stacked.head.load_state_dict(rgb.head.state_dict())
        pixels = torch.rand(2, 3, 64, 64) * 255
        with torch.inference_mode():
            assert torch.allclose(rgb(pixels), stacked(pixels), atol=1e-6)

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("", "did you mean"),
            ("efficientnet_b99", "timm.list_models"),
            ("tf_efficientnet_lite00", "tf_efficientnet_lite0"),
        ],
    )
    def test_unknown_backbone_names_near_ones(self, name: str, hint: str) -> None:
        with pytest.raises(ParamsError, match=hint):
            create_backbone(name, imagenet=False)

    def test_skipped_blocks_change_training_and_never_scoring(self) -> None:
        torch.manual_seed(0)
        plain = create_backbone(OFFLINE_BACKBONE, imagenet=False)
        skipping = create_backbone(OFFLINE_BACKBONE, imagenet=False, drop_path=0.9)
        skipping.load_state_dict(plain.state_dict())
        pixels = torch.randn(8, 3, 64, 64)
        with torch.inference_mode():
            assert not torch.equal(skipping.train()(pixels), skipping(pixels))
            assert torch.equal(plain.train()(pixels), plain(pixels))
            skipping.load_state_dict(plain.state_dict())
            assert torch.equal(plain.eval()(pixels), skipping.eval()(pixels))

    def test_backbone_without_blocks_to_skip(self) -> None:
        assert create_backbone("dla46_c", imagenet=False) is not None
        with pytest.raises(ParamsError, match=r"^train\.network\.drop_path: .*dla46_c"):
            create_backbone("dla46_c", imagenet=False, drop_path=0.1)

    @pytest.mark.timeout(60)
    def test_hub_backbone_offline_says_so_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE=0 .*tf_efficientnet_lite0"):
            create_backbone("test_efficientnet", imagenet=True)
