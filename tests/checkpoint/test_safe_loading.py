"""Checkpoints that MMEngine's Runner writes load again, through MMEngine and through torch itself."""
import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from clamp_mmpose.checkpoint import register_safe_loading
from clamp_mmpose.checkpoint.safe_globals import NUMBER_CODES

SAFE_BY_DEFAULT = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)


class Numbers(torch.utils.data.Dataset):
    metainfo = dict(
        dataset_name='numbers', sigmas=np.full(3, 0.5, np.float32), flip_pairs=[(0, 1)], classes={'cat', 'dog'},
        colors=np.zeros((3, 3), np.uint8), links=np.zeros((0, 2), int), scores=[np.float32(0.25), np.bool_(True)])

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.full((2,), float(index)))


class TinyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))

    def forward(self, inputs, mode='tensor'):
        loss = self.layers(inputs).square().mean()
        return dict(loss=loss, acc=loss.detach() / 2) if mode == 'loss' else loss


def build_runner(work_dir, *, max_epochs=1, wrapper='OptimWrapper', scheduler=None, resume=False, hooks=()):
    return Runner(
        model=TinyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=True), batch_size=2, num_workers=0,
            collate_fn=dict(type='default_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(type=wrapper, optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=[scheduler] if scheduler else None,
        custom_hooks=list(hooks),
        randomness=dict(seed=0),
        resume=resume,
        default_scope='mmengine',
        experiment_name=f'{work_dir}-{resume}')


def train(work_dir, **kwargs):
    build_runner(work_dir, hooks=[dict(type='EMAHook')], **kwargs).train()
    return str(work_dir / 'epoch_1.pth')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return train(tmp_path_factory.mktemp('run'), scheduler=dict(type='LinearLR', start_factor=0.1, end=2))


def assert_same(loaded, expected):
    assert type(loaded) is type(expected)
    if isinstance(expected, dict):
        assert list(loaded) == list(expected)
        for key, value in expected.items():
            assert_same(loaded[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(loaded) == len(expected)
        for one, other in zip(loaded, expected):
            assert_same(one, other)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert loaded.dtype == expected.dtype
        np.testing.assert_array_equal(loaded, expected)
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(loaded, expected, rtol=0, atol=0)
    elif type(expected).__name__ == 'HistoryBuffer':
        assert_same(vars(loaded), vars(expected))
    else:
        assert loaded == expected


def test_a_runner_checkpoint_loads_as_it_was_saved(checkpoint):
    assert_same(CheckpointLoader.load_checkpoint(checkpoint, 'cpu'), torch.load(checkpoint, weights_only=False))


@pytest.mark.skipif(not SAFE_BY_DEFAULT, reason='torch before 2.6 does not check by default')
def test_plain_torch_load_reads_a_runner_checkpoint(checkpoint):
    assert_same(torch.load(checkpoint), torch.load(checkpoint, weights_only=False))


def test_training_resumes(tmp_path, checkpoint):
    train(tmp_path, max_epochs=1)
    runner = build_runner(tmp_path, max_epochs=2, resume=True)
    runner.train()
    assert runner.epoch == 2
    assert runner.message_hub.get_scalar('train/loss').data[0].shape == (4,)
    assert runner.message_hub.get_scalar('train/loss').mean() > 0


def test_runner_loads_weights(tmp_path, checkpoint):
    runner = build_runner(tmp_path)
    runner.load_checkpoint(checkpoint)
    expected = torch.load(checkpoint, weights_only=False)['state_dict']
    assert_same(dict(runner.model.state_dict()), dict(expected))


@pytest.mark.parametrize('scheduler', [
    dict(type='ConstantLR'),
    dict(type='CosineAnnealingLR', T_max=4),
    dict(type='CosineRestartLR', periods=[2, 2], restart_weights=[1, 0.5], eta_min=0),
    dict(type='ExponentialLR', gamma=0.9),
    dict(type='LinearLR'),
    dict(type='MultiStepLR', milestones=[1]),
    dict(type='OneCycleLR', eta_max=0.1, total_steps=4),
    dict(type='OneCycleLR', eta_max=0.1, total_steps=4, anneal_strategy='linear'),
    dict(type='PolyLR'),
    dict(type='ReduceOnPlateauLR', monitor='loss'),
    dict(type='StepLR', step_size=1),
], ids=lambda scheduler: '-'.join(str(value) for value in scheduler.values()))
def test_state_of_every_scheduler_loads(tmp_path, scheduler):
    runner = build_runner(tmp_path, scheduler=scheduler)
    assert runner.train_loop.epoch == 0
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.save_checkpoint(str(tmp_path), 'epoch_1.pth')
    path = str(tmp_path / 'epoch_1.pth')
    assert_same(CheckpointLoader.load_checkpoint(path)['param_schedulers'],
                torch.load(path, weights_only=False)['param_schedulers'])


@pytest.mark.parametrize('name, arguments', [
    ('AdamW', dict(lr=0.1, amsgrad=True)),
    ('LBFGS', dict(lr=np.float64(0.1))),
    pytest.param('Adafactor', dict(lr=0.1), marks=pytest.mark.skipif(
        not hasattr(torch.optim, 'Adafactor'), reason='torch before 2.5 has no Adafactor')),
])
def test_state_of_optimizers_loads(tmp_path, name, arguments):
    model = TinyModel()
    wrapper = OptimWrapper(getattr(torch.optim, name)(model.parameters(), **arguments))

    def closure():
        loss = model(torch.randn(4, 2))
        loss.backward()
        return loss

    wrapper.optimizer.step(closure)
    path = tmp_path / 'optimizer.pth'
    torch.save(wrapper.state_dict(), path)
    assert_same(CheckpointLoader.load_checkpoint(str(path)), torch.load(path, weights_only=False))


@pytest.mark.gpu
def test_mixed_precision_checkpoint_resumes(tmp_path):
    train(tmp_path, wrapper='AmpOptimWrapper')
    runner = build_runner(tmp_path, max_epochs=2, wrapper='AmpOptimWrapper', resume=True)
    runner.train()
    assert runner.epoch == 2


@pytest.mark.parametrize('code', NUMBER_CODES)
@pytest.mark.parametrize('order', '<>')
def test_arrays_and_numbers_of_every_numeric_type_load(tmp_path, code, order):
    dtype = np.dtype(code).newbyteorder(order)
    array = np.arange(6).reshape(2, 3).astype(dtype)
    path = tmp_path / 'arrays.pth'
    torch.save(dict(array=array, fortran=np.asfortranarray(array), empty=array[:0], number=array[1, 0]), path)
    assert_same(CheckpointLoader.load_checkpoint(str(path)), torch.load(path, weights_only=False))


@pytest.mark.parametrize('module', [b'numpy.core.multiarray', b'numpy._core.multiarray'])
def test_files_written_with_either_numpy_load(tmp_path, module):
    saved = dict(array=np.arange(3.0), number=np.float32(0.5))
    path = tmp_path / 'numpy.pth'
    torch.save(saved, path, _use_new_zipfile_serialization=False)
    written = path.read_bytes()
    here = np.zeros(0).__reduce__()[0].__module__.encode()
    assert written.count(b'c' + here + b'\n') == 2
    path.write_bytes(written.replace(b'c' + here + b'\n', b'c' + module + b'\n'))
    assert_same(CheckpointLoader.load_checkpoint(str(path)), saved)


@pytest.mark.parametrize('new_format', [True, False], ids=['zip', 'before-zip'])
@pytest.mark.parametrize('wrapped', [True, False], ids=['state_dict', 'plain'])
def test_model_zoo_weights_load(tmp_path, new_format, wrapped):
    source, target = TinyModel(), TinyModel()
    weights = source.state_dict()
    if wrapped:
        weights = dict(state_dict=weights, meta=dict(epoch=210, mmpose_version='0.29.0'))
    path = str(tmp_path / 'zoo.pth')
    torch.save(weights, path, _use_new_zipfile_serialization=new_format)
    load_checkpoint(target, path, map_location='cpu', strict=True)
    assert_same(dict(target.state_dict()), dict(source.state_dict()))


def test_pretrained_weights_of_a_module_load(tmp_path, checkpoint):
    model = TinyModel()
    model.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    model.init_weights()
    expected = torch.load(checkpoint, weights_only=False)['state_dict']
    assert_same(dict(model.state_dict()), dict(expected))


def test_registering_twice_changes_nothing():
    schemes, allowed = dict(CheckpointLoader._schemes), set(torch.serialization.get_safe_globals())
    register_safe_loading()
    assert dict(CheckpointLoader._schemes) == schemes
    assert set(torch.serialization.get_safe_globals()) == allowed
