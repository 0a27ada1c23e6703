"""Score maps during validation, through a real runner on drawn animals."""
import logging
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend
from mmpose.registry import MODELS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.engine.hooks import score_map_visualization_hook
from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.visualization import ScoreMapVisualizer

NAMES = Config.fromfile('configs/_base_/keypoint_names/ap10k.py').keypoint_names
CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
CROP = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale')]
PACK = [dict(type='TopdownAffine', input_size=(64, 64)), dict(type='GenerateTarget', encoder=CODEC),
        dict(type='PackPoseInputs', pack_transformed=True)]


@pytest.fixture(scope='module')
def toy_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy')
    make_toy_dataset(root, train=2, val=4)
    return root


@pytest.fixture
def drawn(monkeypatch):
    """What the visualizer is asked to draw; the pictures are one grey pixel each."""
    calls = []

    def draw(data_sample, names, **kwargs):
        calls.append(dict(kwargs, id=data_sample.id, names=names))
        return np.full((1, 1, 3), 127, np.uint8)

    monkeypatch.setattr(ScoreMapVisualizer, 'draw_score_maps', staticmethod(draw))
    return calls


@pytest.fixture
def run(toy_root, tmp_path):
    """Trains a tiny CLAMP and validates it after every epoch; returns the runner. ``hook``: its arguments, or None."""

    def run(hook, *, model=None, epochs=1, backends=('LocalVisBackend', ), name='run', iterations=None, train=True):
        data = dict(type='AP10KDataset', data_root=str(toy_root), data_mode='topdown', data_prefix=dict(img='data/'))
        random = [dict(type='RandomFlip'), dict(type='RandomBBoxTransform')]
        loader = dict(num_workers=0, persistent_workers=False)
        parts = dict(
            train_dataloader=dict(loader, batch_size=2, sampler=dict(type='DefaultSampler', shuffle=True), dataset=dict(
                data, ann_file='annotations/ap10k-train-split1.json', pipeline=[*CROP, *random, *PACK])),
            train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01))) if train else {}
        if iterations:
            parts['train_cfg'] = dict(by_epoch=False, max_iters=iterations, val_interval=1)
        torch.manual_seed(3)
        runner = Runner(
            MODELS.build(model or tiny_clamp_model('vit', names=NAMES, codec=CODEC)),
            str(tmp_path / name),
            val_dataloader=dict(
                loader, batch_size=3, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(
                    data, ann_file='annotations/ap10k-val-split1.json', test_mode=True, pipeline=[*CROP, *PACK])),
            val_cfg=dict(),
            val_evaluator=dict(type='PCKAccuracy'),
            custom_hooks=[] if hook is None else [dict(type='mmpose.ScoreMapVisualizationHook', **hook)],
            default_hooks=dict(checkpoint=None),
            visualizer=dict(type='PoseLocalVisualizer', vis_backends=[dict(type=kind) for kind in backends]),
            randomness=dict(seed=5),
            default_scope='mmpose',
            experiment_name=f'{tmp_path.name}-{name}',
            **parts)
        (runner.train if train else runner.val)()
        return runner

    return run


def pictures(runner):
    return sorted(path.name for path in Path(runner.work_dir).rglob('*.png'))


def ids(runner):
    """The annotations of the validation set, in its order."""
    dataset = runner.val_dataloader.dataset
    return [dataset.get_data_info(index)['id'] for index in range(len(dataset))]


def warnings(caplog):
    return [record.message for record in caplog.records
            if record.levelno == logging.WARNING and 'ScoreMapVisualizationHook' in record.message]


@pytest.fixture
def caplog(caplog, monkeypatch):
    """MMEngine's loggers pass nothing on."""
    from mmengine.logging import MMLogger
    monkeypatch.setattr(MMLogger, 'callHandlers', lambda self, record: caplog.handler.handle(record))
    return caplog


def test_each_epoch_leaves_pictures_in_the_work_directory(run, caplog):
    runner = run(dict(instances=2, keypoints=['nose']), epochs=2)
    assert warnings(caplog) == []
    assert pictures(runner) == ['score_maps_1_1.png', 'score_maps_1_2.png', 'score_maps_2_1.png', 'score_maps_2_2.png']
    shapes = {cv2.imread(str(path)).shape for path in Path(runner.work_dir).rglob('*.png')}
    assert all(min(shape[:2]) > 150 for shape in shapes)


def test_training_is_as_without_the_hook(run, drawn):
    with_hook = run(dict(instances=3), epochs=2, name='with')
    without = run(None, epochs=2, name='without')
    assert drawn
    weights = with_hook.model.state_dict()
    torch.testing.assert_close(weights, without.model.state_dict(), rtol=0, atol=0)
    other = run(None, epochs=1, name='shorter').model.state_dict()
    assert any((weights[name] != other[name]).any() for name in weights)  # there was something to disturb
    assert with_hook.model.training == without.model.training


def test_it_draws_the_maps_of_the_model_for_instances_spread_over_the_set(run, drawn):
    runner = run(dict(instances=3), train=False)
    order = ids(runner)
    assert len(order) > 4
    assert [call['id'] for call in drawn] == [order[0], order[round((len(order) - 1) / 2)], order[-1]]
    dataset = runner.val_dataloader.dataset
    for call in drawn:
        model = runner.model.eval()
        batch = model.data_preprocessor(pseudo_collate([dataset[order.index(call['id'])]]), False)
        with torch.no_grad():
            score_map = model.extract_feat(batch['inputs']).score_map
            upsampled = model.head.upsample_score_map(score_map, (16, 16))
        np.testing.assert_allclose(call['score_map'], score_map[0], atol=1e-5)
        np.testing.assert_allclose(call['upsampled'], upsampled[0], atol=1e-5)
        assert list(call['names']) == NAMES


def test_instances_are_chosen_by_their_place(run, drawn):
    runner = run(dict(instances=[4, 1], raw=True, limits=(0, 0.5), keypoints=['nose']), train=False)
    assert [call['id'] for call in drawn] == [ids(runner)[1], ids(runner)[4]]
    assert {(call['upsampled'] is None, call['limits'], *call['keypoints']) for call in drawn} == {
        (True, (0, 0.5), 'nose')}
    assert pictures(runner) == ['score_maps_1_0.png', 'score_maps_2_0.png']


def test_more_instances_than_there_are_draw_all_once(run, drawn):
    runner = run(dict(instances=1000), train=False)
    assert [call['id'] for call in drawn] == ids(runner)


@pytest.mark.parametrize('interval, epochs', [(1, [1, 2, 3, 4]), (2, [1, 3]), (5, [1])])
def test_interval_is_in_epochs(interval, epochs, run, drawn):
    runner = run(dict(instances=1, interval=interval), epochs=4)
    assert pictures(runner) == [f'score_maps_1_{epoch}.png' for epoch in epochs]


def test_training_by_iterations_draws_every_time(run, drawn):
    assert pictures(run(dict(instances=1, interval=5), iterations=2)) == ['score_maps_1_1.png', 'score_maps_1_2.png']


def test_tensorboard_has_the_pictures_at_their_epochs(run, drawn):
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    runner = run(dict(instances=2), epochs=2, backends=['TensorboardVisBackend'])
    runner.visualizer.close()
    events = accumulator.EventAccumulator(str(Path(runner.log_dir) / 'vis_data'), size_guidance=dict(images=0))
    events.Reload()
    assert sorted(events.Tags()['images']) == ['score_maps_1', 'score_maps_2']
    for tag in ('score_maps_1', 'score_maps_2'):
        assert [event.step for event in events.Images(tag)] == [1, 2]


def test_weights_and_biases_gets_the_pictures(run, drawn, monkeypatch):
    logged = []
    wandb = types.ModuleType('wandb')
    wandb.init = lambda **kwargs: None
    wandb.Image = lambda picture: ('image', picture)
    wandb.log = lambda content, commit: logged.append(content)
    wandb.config = types.SimpleNamespace(update=lambda *args, **kwargs: None)
    wandb.run = types.SimpleNamespace(log_code=lambda **kwargs: None)
    wandb.join = lambda: None
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    run(dict(instances=2), epochs=2, backends=['WandbVisBackend'])
    maps = [content for content in logged if any(key.startswith('score_maps') for key in content)]
    assert [list(content) for content in maps] == [['score_maps_1'], ['score_maps_2']] * 2
    for content in maps:
        (kind, picture), = content.values()
        assert kind == 'image' and picture.dtype == np.uint8 and picture.shape == (1, 1, 3)


def test_a_model_without_score_map_trains_on_after_one_warning(run, caplog):
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, decoder=CODEC, deconv_out_channels=(16, 16),
                deconv_kernel_sizes=(4, 4))
    runner = run(dict(), model=dict(tiny_clamp_model('vit', names=NAMES, codec=CODEC), neck=None, head=head), epochs=3)
    message, = warnings(caplog)
    assert 'makes no score map' in message and 'PromptLearnerNeck' in message
    assert runner.epoch == 3 and pictures(runner) == []


def test_a_name_that_is_not_there_is_one_warning(run, caplog):
    runner = run(dict(keypoints=['nose', 'beak']), epochs=2)
    message, = warnings(caplog)
    assert "'beak'" in message and all(name in message for name in NAMES)
    assert runner.epoch == 2 and pictures(runner) == []


def test_a_backend_that_fails_does_not_stop_the_training(run, drawn, caplog, monkeypatch):

    def fail(self, *args, **kwargs):
        raise OSError('disk full')

    monkeypatch.setattr(LocalVisBackend, 'add_image', fail)
    assert run(dict(), epochs=2).epoch == 2
    message, = warnings(caplog)
    assert 'disk full' in message


def test_other_processes_draw_nothing(run, drawn, monkeypatch):
    monkeypatch.setattr(score_map_visualization_hook, 'is_main_process', lambda: False)
    run(dict(), epochs=1)
    assert drawn == []


def test_the_model_inside_a_wrapper_is_drawn(run, drawn):
    model = MODELS.build(tiny_clamp_model('vit', names=NAMES, codec=CODEC))
    runner = run(dict(instances=1), train=False)
    drawn.clear()
    hook = score_map_visualization_hook.ScoreMapVisualizationHook(instances=1)
    wrapped = torch.nn.DataParallel(model.eval())
    batch = pseudo_collate([runner.val_dataloader.dataset[0]])
    fake = types.SimpleNamespace(
        model=wrapped, val_dataloader=runner.val_dataloader, _train_loop=None, epoch=0, iter=0, logger=runner.logger,
        visualizer=runner.visualizer)
    hook.before_val_epoch(fake)
    hook.after_val_iter(fake, 0, batch, model.test_step(batch))
    assert len(drawn) == 1


@pytest.mark.parametrize('arguments', [dict(interval=0), dict(instances=0), dict(limits=(1, 1)), dict(height=0)])
def test_arguments_that_make_no_sense_are_named(arguments):
    name, = arguments
    with pytest.raises(ValueError, match=f'^{name}='):
        score_map_visualization_hook.ScoreMapVisualizationHook(**arguments)
