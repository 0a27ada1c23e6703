"""Checkpoints into models: what does not fit is an error, and what a checkpoint says beside its weights is heard."""
import pytest
import torch
from mmpose.models import build_pose_estimator

from clamp_mmpose.apis.weights import load_matching_weights, load_weights
from clamp_mmpose.checkpoint import CheckpointError
from clamp_mmpose.testing import randomize, tiny_clamp_model
from clamp_mmpose.tools.visualize.subject import load_weights as load_for_figures


@pytest.fixture
def trained():
    return randomize(build_pose_estimator(tiny_clamp_model()))


@pytest.mark.parametrize('load', [load_weights, load_for_figures])
def test_what_a_checkpoint_says_of_its_grid_is_heard(trained, load, tmp_path):
    """A wide grid of as many cells as a square one has: only the checkpoint's own word tells them apart."""
    width, height = trained.backbone.grid_size[::-1]
    stride = trained.backbone.stride
    size = (2 * width * stride, height * stride // 2)
    wide = randomize(build_pose_estimator(tiny_clamp_model(input_size=size)), seed=1)
    torch.save(dict(state_dict=wide.state_dict()), tmp_path / 'wide.pth')
    load(trained, str(tmp_path / 'wide.pth'))
    expected = randomize(build_pose_estimator(tiny_clamp_model()))
    expected.load_state_dict(wide.state_dict())
    table = dict(wide.named_parameters())['backbone.tower.positional_embedding']
    found = dict(trained.named_parameters())['backbone.tower.positional_embedding']
    assert found.shape == table.shape and not torch.equal(found, table)
    torch.testing.assert_close(found, dict(expected.named_parameters())['backbone.tower.positional_embedding'])


def test_statistics_that_are_missing_are_told(trained, tmp_path):
    weights = trained.state_dict()
    name = next(key for key in weights if key.endswith('running_mean'))
    del weights[name]
    torch.save(dict(state_dict=weights, meta=dict(epoch=3)), tmp_path / 'part.pth')
    assert load_matching_weights(trained, tmp_path / 'part.pth') == (dict(epoch=3), [name])
    with pytest.raises(CheckpointError, match=f'it has no {name}'):
        load_weights(trained, tmp_path / 'part.pth')
