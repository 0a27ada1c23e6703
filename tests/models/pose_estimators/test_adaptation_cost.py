"""What adapting to an image computes, and what it does not."""
import pytest
import torch
from mmpose.models import build_pose_estimator
from torch.utils._python_dispatch import TorchDispatchMode

from clamp_mmpose.testing import pack_batch, randomize, tiny_metta_model

CONV_BACKWARD = torch.ops.aten.convolution_backward.default


def make(steps, batch_size=3, stage='joint', **head):
    config = tiny_metta_model(stage, head=head, test_cfg=dict(adaptation=dict(steps=steps)))
    model = randomize(build_pose_estimator(config)).eval()
    batch = pack_batch(config['head']['decoder'], 5, batch_size=batch_size)
    return model, batch


def predict(model, batch):
    with torch.no_grad():
        return model.test_step(batch)


@pytest.mark.parametrize('steps', [0, 1, 5])
@pytest.mark.parametrize('windowed', [True, False])
def test_backbone_and_appearance_are_computed_once_per_image(steps, windowed):
    model, batch = make(steps, windowed=windowed)
    images = {}
    for name in ('backbone', 'head.deconv_layers', 'head.inpainting.appearance_encoder'):
        images[name] = []
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: images[name].append(len(inputs[0])))
    predict(model, batch)
    assert all(seen == [3] for seen in images.values()), images


class RecordedBackward(TorchDispatchMode):
    """For each convolution the shape of its weight, and whether gradients of input, weight and bias were computed."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func == CONV_BACKWARD:
            self.calls.append((tuple(args[2].shape), args[10]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('stage', ['joint', 'test'])
def test_gradients_go_to_the_adapted_block_alone(stage):
    """Even where the model's weights could have some, as during the validations of its training."""
    steps = 3
    model, batch = make(steps, stage=stage, conv_out_channels=(7, 6))
    with RecordedBackward() as recorded:
        predict(model, batch)
    # Gradients of each image's own make of a batch a grouped convolution.
    first, second, third = ({(images * out, *shape) for images in (1, 3)}
                            for out, *shape in ((7, 8, 3, 3), (6, 7, 3, 3), (5, 6, 1, 1)))
    of_weight = [shape for shape, mask in recorded.calls if mask[1]]
    of_input = {shape for shape, mask in recorded.calls if mask[0]}
    assert len(of_weight) == steps * 3 and set(of_weight) <= first | second | third
    assert all(layer & set(of_weight) for layer in (first, second, third))
    # Nothing behind the block: its first convolution has no gradient of its input.
    auxiliary = {tuple(weight.shape) for weight in model.head.inpainting.parameters() if weight.ndim == 4}
    assert of_input <= second | third | auxiliary and of_input & auxiliary
    assert all(p.grad is None for p in model.parameters())


def test_weights_that_images_share_are_not_grouped():
    model, batch = make(2, conv_out_channels=(7, 6))
    groups = []

    class Groups(TorchDispatchMode):

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func in (torch.ops.aten.convolution.default, CONV_BACKWARD):
                backward = func == CONV_BACKWARD
                groups.append((tuple(args[2 if backward else 1].shape)[-3:], args[9 if backward else 8]))
            return func(*args, **(kwargs or {}))

    with Groups():
        predict(model, batch)
    own = {(8, 3, 3), (7, 3, 3), (6, 1, 1), (11, 1, 1)}  # the block's, and the last layer's
    assert {shape for shape, number in groups if number == 3} <= own
    assert any(number == 3 for _, number in groups) and any(number == 1 for _, number in groups)
