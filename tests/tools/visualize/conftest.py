import pytest
import torch
from drawn_models import NAMES
from matplotlib.figure import Figure
from mmengine.config import Config
from mmpose.registry import MODELS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.testing import tiny_clamp_model


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory):
    """Some drawn animals."""
    root = tmp_path_factory.mktemp('toy')
    make_toy_dataset(root, train=1, val=3)
    return root


@pytest.fixture
def unpainted(monkeypatch):
    """For tests that do not look at pictures: figures are made, but their files stay empty."""
    monkeypatch.setattr(Figure, 'savefig', lambda self, path, **kwargs: path.touch())


@pytest.fixture
def files(toy_root, tmp_path):
    """Writes a config and its checkpoint; returns their paths. Keyword arguments replace parts of the model, or with a
    type all of it.
    """

    def write(name='config', size=64, dataset_type='AP10KDataset', **changes):
        model = changes if 'type' in changes else tiny_clamp_model('vit', names=NAMES) | changes
        pipeline = [
            dict(type='LoadImage'),
            dict(type='GetBBoxCenterScale'),
            dict(type='TopdownAffine', input_size=(size, size)),
            dict(type='PackPoseInputs'),
        ]
        dataset = dict(
            type=dataset_type,
            data_root=str(toy_root),
            data_mode='topdown',
            ann_file='annotations/ap10k-val-split1.json',
            bbox_file='detections.json',  # is not there, and has no ground truth
            data_prefix=dict(img='data/'),
            test_mode=True,
            pipeline=pipeline)
        config = dict(default_scope='mmpose', model=model, val_dataloader=dict(dataset=dataset))
        Config(config).dump(tmp_path / f'{name}.py')
        torch.save(dict(state_dict=MODELS.build(model).state_dict(), meta={}), tmp_path / f'{name}.pth')
        return str(tmp_path / f'{name}.py'), str(tmp_path / f'{name}.pth')

    return write
