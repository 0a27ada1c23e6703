import pytest
from mmengine.dataset import pseudo_collate
from mmpose.models import build_pose_estimator
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.testing import calibrate_norms, randomize, tiny_metta_model

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


@pytest.fixture
def make_metta(dataset):
    """Builds tiny MeTTA models with random weights by which steps do something."""

    def make(head=None, **arguments):
        model = randomize(build_pose_estimator(tiny_metta_model(num_keypoints=17, head=head, **arguments))).eval()
        inputs = model.data_preprocessor(pseudo_collate([dataset[index] for index in range(4)]), False)['inputs']
        return calibrate_norms(model, lambda: model.head.adaptation_loss(model.extract_feat(inputs), inputs))

    return make
