"""Adaptation in test and validation, through a real runner on drawn people."""
import copy
import pickle

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmpose.models import build_pose_estimator
from mmpose.registry import HOOKS, MODELS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.engine.adaptation import snapshot
from clamp_mmpose.testing import calibrate_norms, randomize, tiny_metta_model

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
CROP = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale'), dict(type='TopdownAffine', input_size=(64, 64))]
PACK = [dict(type='GenerateTarget', encoder=CODEC), dict(type='PackPoseInputs')]
ANN_FILE = 'annotations/person_keypoints_val.json'
LR = 2e-4


@pytest.fixture(scope='module')
def toy_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy')
    make_toy_dataset(root, kind='people', train=2, val=4)
    return root


def make_model(stage='joint', **arguments):
    return randomize(build_pose_estimator(tiny_metta_model(stage, num_keypoints=17, codec=CODEC, **arguments)))


@pytest.fixture
def run(toy_root, tmp_path):
    """Tests (or trains and validates) a tiny model; returns the runner, whose ``found`` are the metrics."""

    def run(hook, *, model=None, train=False, name='run', batch_size=3, before=None, evaluator=None):
        data = dict(type='CocoDataset', data_root=str(toy_root), data_mode='topdown')
        loader = dict(num_workers=0, persistent_workers=False)
        val = dict(dataloader=dict(
            loader, batch_size=batch_size, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(
                data, data_prefix=dict(img='data/'), ann_file=ANN_FILE, test_mode=True, pipeline=[*CROP, *PACK])),
            cfg=dict(), evaluator=evaluator or dict(type='PCKAccuracy'))
        parts = {f'{"val" if train else "test"}_{key}': value for key, value in val.items()}
        if train:
            parts |= dict(
                train_dataloader=dict(
                    copy.deepcopy(val['dataloader']), sampler=dict(type='DefaultSampler', shuffle=True)),
                train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)))
            parts['train_dataloader']['dataset']['test_mode'] = False
        model = model or make_model()
        torch.manual_seed(3)
        runner = Runner(
            model, str(tmp_path / name), custom_hooks=[] if hook is None else [dict(type='mmpose.MeTTAHook', **hook)],
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1) if train else None),
            default_scope='mmpose', randomness=dict(seed=5), experiment_name=f'{tmp_path.name}-{name}', **parts)
        if before:
            before(runner)
        runner.found = runner.train() if train else runner.test()
        return runner

    return run


def calibrated(run, **arguments):
    """A model whose adaptation does something, and a run that gave it the statistics."""
    model = make_model(**arguments)
    runner = run(None, model=model, name='calibrate')
    dataset = runner.test_dataloader.dataset
    inputs = model.data_preprocessor(pseudo_collate([dataset[index] for index in range(4)]), False)['inputs']
    return calibrate_norms(model, lambda: model.head.adaptation_loss(model.extract_feat(inputs), inputs))


def recorded(model):
    """All keypoints that the model predicts from now on."""
    keypoints, step = [], model.test_step

    def test_step(data):
        outputs = step(data)
        keypoints.extend(torch.from_numpy(sample.pred_instances.keypoints).float() for sample in outputs)
        return outputs

    model.test_step = test_step
    return keypoints


def test_it_tells_the_accuracy_after_each_step_the_time_and_the_share_guarded(run):
    model = calibrated(run)
    found = run(dict(steps=3, lr=LR), model=model).found
    steps = {key: value for key, value in found.items() if '/step_' in key}
    assert set(steps) == {f'adaptation/step_{step}/PCK' for step in range(4)}
    assert found['adaptation/step_3/PCK'] == found['PCK']
    assert found['adaptation/seconds_per_image'] > 0 and 0 <= found['adaptation/guarded'] <= 1
    for step in range(3):
        alone = run(dict(steps=step, lr=LR), model=model, name=f'{step}').found
        assert alone['PCK'] == found[f'adaptation/step_{step}/PCK'], step
    assert found['adaptation/step_0/PCK'] == run(None, model=model, name='plain').found['PCK']


def test_the_hook_and_test_cfg_give_the_same_keypoints(run):
    model = calibrated(run)
    keypoints = recorded(model)
    run(dict(steps=2, lr=LR), model=model, name='hook')
    by_hook = torch.stack(keypoints)
    keypoints.clear()
    run(None, model=model, name='plain')
    plain = torch.stack(keypoints)
    other = make_model(test_cfg=dict(adaptation=dict(steps=2, lr=LR)))
    other.load_state_dict(model.state_dict())
    keypoints = recorded(other)
    run(None, model=other, name='cfg', batch_size=1)
    torch.testing.assert_close(torch.stack(keypoints), by_hook, rtol=0, atol=1e-2)
    assert (by_hook - plain).abs().max() > 1


def test_the_stored_weights_stay_bit_identical_and_the_model_adapts_no_more_afterwards(run):
    model = calibrated(run)
    before = snapshot(model.state_dict())
    run(dict(steps=2, lr=LR), model=model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.adaptation is None


def test_a_training_and_its_checkpoints_are_as_without_the_hook(run):
    with_hook = run(dict(steps=1), train=True, name='with')
    without = run(None, train=True, name='without')
    saved = [torch.load(f'{runner.work_dir}/epoch_2.pth', weights_only=False)['state_dict']
             for runner in (with_hook, without)]
    assert saved[0].keys() == saved[1].keys()
    torch.testing.assert_close(saved[0], saved[1], rtol=0, atol=0)
    scalars = with_hook.message_hub.log_scalars
    steps = {'val/adaptation/step_0/PCK', 'val/adaptation/step_1/PCK'}
    assert {'val/PCK', 'val/adaptation/guarded', *steps} <= set(scalars)
    assert len(scalars['val/adaptation/step_0/PCK']._log_history) == 2


def test_without_accuracy_nothing_is_evaluated_twice(run):
    found = run(dict(steps=2, accuracy=False)).found
    assert set(found) == {'PCK', 'adaptation/seconds_per_image', 'adaptation/guarded'}


def test_each_epoch_counts_anew(run):
    runner = run(dict(steps=1, scope='stream', lr=LR), train=True)
    hook, = (hook for hook in runner.hooks if type(hook).__name__ == 'MeTTAHook')
    assert hook.adaptation.images == len(runner.val_dataloader.dataset)


def test_coco_metric_is_evaluated_per_step_into_files_of_their_own(run, toy_root, tmp_path):
    found = run(dict(steps=1, lr=LR), evaluator=dict(
        type='CocoMetric', ann_file=str(toy_root / ANN_FILE), outfile_prefix=str(tmp_path / 'out'))).found
    assert {'coco/AP', 'adaptation/step_0/coco/AP', 'adaptation/step_1/coco/AP'} <= set(found)
    assert (tmp_path / 'out_step0.keypoints.json').exists() and (tmp_path / 'out.keypoints.json').exists()


def test_a_model_that_cannot_adapt_is_named_with_what_it_lacks(run):
    config = tiny_metta_model(num_keypoints=17, codec=CODEC)
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, decoder=CODEC, deconv_out_channels=(8, 8),
                deconv_kernel_sizes=(4, 4))
    config.pop('stage')
    plain = MODELS.build(dict(config, type='TopdownPoseEstimator', head=head))
    with pytest.raises(ValueError, match=r'^TopdownPoseEstimator cannot adapt: it is no MeTTAPoseEstimator, and its '
                                         r'head HeatmapHead lacks adaptable_parameters\(\) and adaptation_loss\(\)'):
        run(dict(), model=plain)


def test_a_checkpoint_without_auxiliary_network_is_an_error(run, tmp_path):
    model = make_model()
    state = {name: value for name, value in model.state_dict().items() if not name.startswith('head.inpainting.')}
    torch.save(dict(state_dict=state), tmp_path / 'plain.pth')
    with pytest.raises(ValueError, match=r'no auxiliary network \(head.inpainting\)'):
        run(dict(), model=model, before=lambda runner: setattr(runner, '_load_from', str(tmp_path / 'plain.pth')))


def test_two_hooks_are_an_error(run):
    with pytest.raises(ValueError, match=r'^MeTTAHook is named twice in default_hooks and custom_hooks'):
        run(dict(), before=lambda runner: runner.register_hook(dict(type='mmpose.MeTTAHook')))


def test_the_hook_takes_the_place_of_test_cfg_for_the_time(run):
    model = calibrated(run, test_cfg=dict(adaptation=dict(steps=1, lr=LR)))
    own, images = model.adaptation, model.adaptation.images
    keypoints = recorded(model)
    run(dict(steps=3, lr=LR), model=model, name='both')
    both = torch.stack(keypoints)
    assert model.adaptation is own and own.images == images
    other = make_model()
    other.load_state_dict(model.state_dict())
    keypoints = recorded(other)
    run(dict(steps=3, lr=LR), model=other, name='hook')
    torch.testing.assert_close(torch.stack(keypoints), both, rtol=0, atol=0)


def test_dumped_results_are_those_of_the_last_step(run, tmp_path):
    path = tmp_path / 'results.pkl'
    runner = run(dict(steps=2, lr=LR), model=calibrated(run), evaluator=[
        dict(type='PCKAccuracy'), dict(type='DumpResults', out_file_path=str(path))])
    assert 'adaptation/step_0/PCK' in runner.found
    samples = pickle.loads(path.read_bytes())
    assert len(samples) == len(runner.test_dataloader.dataset)
    for sample in samples:
        last = sample['adapted_instances'][-1]
        assert (sample['pred_instances']['keypoint_scores'] == last.keypoint_scores).all()
    assert any((sample['pred_instances']['keypoint_scores'] != sample['adapted_instances'][0].keypoint_scores).any()
               for sample in samples)


def test_inference_mode_is_a_clear_error(run):
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r'^adaptation needs gradients'):
        run(dict(steps=1))


@pytest.mark.parametrize('arguments, message', [(dict(steps=-1), 'steps=-1'), (dict(lr=0), 'lr=0'),
                                                (dict(lr=float('inf')), 'lr=inf'), (dict(scope='x'), "scope='x'")])
def test_arguments_that_make_no_sense_are_named(arguments, message):
    with pytest.raises(ValueError, match=f'^{message}'):
        HOOKS.build(dict(type='MeTTAHook', **arguments))
