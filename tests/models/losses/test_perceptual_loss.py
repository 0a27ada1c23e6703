import pytest
import torch
from torchvision.models import vgg16

from clamp_mmpose.models.losses import PerceptualLoss


def reference(layers, painted, images, means):
    """TTP's: the input and what comes out of the last ReLU before each pooling."""
    total = (painted - images).square().mean() / means[0]
    number = 0
    for layer in layers:
        if isinstance(layer, torch.nn.MaxPool2d):
            number += 1
            total += (painted - images).square().mean() / means[number]
        painted, images = layer(painted), layer(images)
    return total


@pytest.fixture
def loss():
    return PerceptualLoss(loss_weight=0.5).double()


def test_it_equals_a_loop_over_the_layers_for_each_image(loss):
    loss.means.copy_(torch.arange(1.0, 7.0))
    painted, images = torch.randn(2, 2, 3, 32, 32, dtype=torch.float64)
    result = loss(painted, images)
    for index in range(2):
        expected = 0.5 * reference(loss.features, painted[index:index + 1], images[index:index + 1], loss.means)
        torch.testing.assert_close(result[index], expected)
    assert torch.equal(loss(images, images), torch.zeros(2, dtype=torch.float64))


def test_training_moves_the_running_means(loss):
    painted, images = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)
    loss(painted, images)
    assert torch.equal(loss.means, torch.ones(6, dtype=torch.float64))
    loss(painted, images, update=True)
    expected = 0.99 + 0.01 * (painted - images).square().mean()
    torch.testing.assert_close(loss.means[0], expected)


def test_vggs_own_weights_fit_and_are_not_trained(tmp_path):
    torch.manual_seed(1)
    model = vgg16(weights=None)
    torch.save(model.state_dict(), tmp_path / 'vgg16.pth')
    loss = PerceptualLoss(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg16.pth')))
    loss.init_weights()
    assert torch.equal(loss.features[28].weight, model.features[28].weight)
    assert not any(p.requires_grad for p in loss.parameters())
