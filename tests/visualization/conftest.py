import pytest
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.toy import make_toy_dataset

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(64, 64)),
    dict(type='PackPoseInputs', pack_transformed=True),
]


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory):
    """Some drawn animals."""
    root = tmp_path_factory.mktemp('toy')
    make_toy_dataset(root, train=1, val=6)
    return root


@pytest.fixture
def dataset(toy_root):
    return DATASETS.build(
        dict(
            type='AP10KDataset',
            data_root=str(toy_root),
            data_mode='topdown',
            ann_file='annotations/ap10k-val-split1.json',
            data_prefix=dict(img='data/'),
            test_mode=True,
            pipeline=PIPELINE))
