"""What MMEngine would go on with stops a run before its first step."""
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from clamp_mmpose.checkpoint import CheckpointError
from clamp_mmpose.engine.hooks import model_check_hook


class Names(nn.Module):

    def __init__(self, names):
        super().__init__()
        self.keypoint_names = names
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs):
        return (torch.zeros(1, 4 + len(self.keypoint_names), 1, 1), )


class Model(BaseModel):

    def __init__(self, names=('nose', 'tail')):
        super().__init__()
        self.neck = Names(names)
        self.steps = 0

    def forward(self, inputs, mode='tensor'):
        self.neck(inputs)
        self.steps += 1
        return dict(loss=self.neck.weight * 1.0) if mode == 'loss' else [BaseDataElement()]


class Data(torch.utils.data.Dataset):
    metainfo = dict(keypoint_id2name={0: 'nose', 1: 'tail'})

    def __init__(self, **metainfo):
        self.metainfo = metainfo or self.metainfo

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return dict(inputs=torch.zeros(1))


class Converting(BaseMetric):
    """Stands for a CocoMetric with a ``pred_converter``."""
    pred_converter = dict(num_keypoints=2, mapping=[(0, 0), (1, 1)])

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(number=len(results))


def runner(tmp_path, model, task='train', data=None, **kwargs):
    loader = dict(dataset=data or Data(), batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False),
                  collate_fn=pseudo_collate)
    parts = dict(train_dataloader=loader, train_cfg=dict(by_epoch=True, max_epochs=1),
                 optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)))
    if task == 'test':
        parts = dict(test_dataloader=loader, test_cfg=dict(), test_evaluator=Evaluator([]))
    return Runner(model, str(tmp_path), custom_hooks=[dict(type='mmpose.ModelCheckHook')],
                  default_hooks=dict(logger=None), **parts, **kwargs)


def test_a_metric_may_convert_to_the_keypoints_of_another_dataset(tmp_path):
    model = Model(names=('beak', 'left wing', 'right wing'))
    tested = runner(tmp_path, model, 'test')
    tested._test_evaluator = Evaluator([Converting()])
    tested.test()
    assert model.steps == 2


@pytest.mark.parametrize('task', ['train', 'test'])
def test_another_number_of_names_than_the_dataset_has(tmp_path, task):
    model = Model(names=('beak', 'left wing', 'right wing'))
    with pytest.raises(ValueError, match=r'the neck has 3 names, beak, left wing, right wing, and the dataset '
                       r'2 keypoints, nose, tail; give one name per keypoint'):
        getattr(runner(tmp_path, model, task), task)()
    assert model.steps == 0


@pytest.mark.parametrize('task', ['train', 'test'])
def test_the_right_number_runs(tmp_path, task):
    model = Model()
    getattr(runner(tmp_path, model, task), task)()
    assert model.steps == 2


@pytest.mark.parametrize('task', ['train', 'test'])
def test_another_number_of_names_than_a_detectors_dataset_has_classes(tmp_path, task):
    model = Model(names=('dog', 'cat'))
    with pytest.raises(ValueError, match=r'the neck has 2 names, dog, cat, and the dataset 3 classes, dog, cat, cow; '
                       r'give one name per class'):
        getattr(runner(tmp_path, model, task, Data(classes=('dog', 'cat', 'cow'))), task)()
    assert model.steps == 0


@pytest.mark.parametrize('metainfo', [
    dict(classes=('dog', 'cat')),
    dict(classes=('person', ), keypoint_id2name={0: 'nose', 1: 'tail'}),  # a pose dataset: its classes do not matter
    dict(dataset_name='without names'),
])
def test_the_right_number_of_classes_runs(tmp_path, metainfo):
    model = Model()
    runner(tmp_path, model, data=Data(**metainfo)).train()
    assert model.steps == 2


@pytest.mark.parametrize('checkpoint, message', [
    (dict(state_dict={'conv1.weight': torch.zeros(1)}), 'no weight in common.*it holds conv1.weight, the model neck.'),
    ({'conv1.weight': torch.zeros(1)}, 'has no weight in common with the model'),
    ({}, 'holds no weights, but an empty dict'),
    (dict(state_dict={}), 'holds no weights, but a dict of state_dict'),
    ([1, 2], 'holds no weights, but list'),
])
def test_a_checkpoint_without_a_weight_of_the_model(tmp_path, checkpoint, message):
    path = tmp_path / 'other.pth'
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match=f'other.pth .*{message}'):
        runner(tmp_path, Model(), load_from=str(path)).train()


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_checkpoint_with_some_weight_of_the_model_loads(tmp_path, prefix):
    path = tmp_path / 'some.pth'
    torch.save(dict(state_dict={f'{prefix}neck.weight': torch.tensor(5.0), 'head.weight': torch.zeros(1)}), path)
    model = Model()
    runner(tmp_path, model, 'test', load_from=str(path)).test()
    assert model.neck.weight == 5


def test_a_checkpoint_may_bring_the_architecture(tmp_path):
    """As that of a captioning BLIP whose folder is gone."""
    path = tmp_path / 'whole.pth'
    torch.save(dict(state_dict={'blip.weight': torch.zeros(1)}), path)
    model = Model()
    model.unbuilt = 'there is no folder'
    runner(tmp_path, model, 'test', load_from=str(path)).test()
    assert model.steps == 2
    model.unbuilt = ''
    model.pretrained = 'folder'
    with pytest.raises(CheckpointError, match=r"BLIP's weights go into pretrained=\.\.\. of the model$"):
        runner(tmp_path, model, 'test', load_from=str(path)).test()


@pytest.mark.parametrize('task', ['train', 'test'])
def test_a_head_that_does_not_count_the_names(tmp_path, task):
    model = Model()
    model.head = nn.Identity()
    model.head.in_channels = 4
    with pytest.raises(ValueError, match=r'in_channels=4 of head, but the neck gives it 6 channels.*of the 2 names'):
        getattr(runner(tmp_path, model, task), task)()
    model.head.in_channels = 6
    getattr(runner(tmp_path, model, task), task)()
    assert model.steps == 2 and not model.neck._forward_hooks


class Detections(Data):
    """What the hook sees of MMDetection's CocoDataset."""

    def __init__(self, classes, ann_file):
        self.metainfo = dict(classes=classes)
        self.ann_file = str(ann_file)
        self.cat_ids = list(range(len(classes)))


@pytest.mark.parametrize('names, classes, message', [
    (('cow', 'dog'), ('dog', 'cow'), r'classes of the dataset in another order: cow, dog, and there dog, cow'),
    (('dog', 'cow'), ('dog', 'cow'), r"its categories are cow, dog; give the names of the file in its order"),
    (('cow', 'cat'), ('cow', 'cat'), r"it has no category cat; give the names of the file"),
])
def test_classes_that_boxes_would_not_be_numbered_by(tmp_path, names, classes, message):
    ann_file = tmp_path / 'boxes.json'
    ann_file.write_text('{"annotations": [], "categories": [{"id": 4, "name": "cow"}, {"id": 2, "name": "dog", '
                        '"skeleton": [[1, 2]]}], "images": []}')
    with pytest.raises(ValueError, match=message):
        model_check_hook._compare_order(names, classes)
        model_check_hook._compare_with_file(Detections(classes, ann_file), classes)
    right = ['cow', 'dog']
    model_check_hook._compare_order(right, right)
    model_check_hook._compare_with_file(Detections(right, ann_file), right)
    model_check_hook._compare_with_file(Detections(['dog'], ann_file), ['dog'])  # a part of the file's
    wrapped = torch.utils.data.ConcatDataset([Detections(right, ann_file)] * 2)
    assert len(model_check_hook._parts(wrapped)) == 2
