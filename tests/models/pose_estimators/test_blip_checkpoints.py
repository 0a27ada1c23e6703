"""Checkpoints bring architecture and tokenizer: what was trained runs where its Hugging Face folder is not."""
import copy
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import Runner, load_checkpoint
from mmpose.apis import init_model
from mmpose.registry import MODELS

from clamp_mmpose.apis.weights import load_weights
from clamp_mmpose.checkpoint import CheckpointError
from clamp_mmpose.testing import pack_batch, randomize, tiny_blip_model


class Pictures(torch.utils.data.Dataset):
    """As MMPose's datasets, four of them."""
    metainfo = dict(dataset_name='pictures', num_keypoints=5,
                    keypoint_id2name=dict(enumerate(['head', 'rhand', 'lhand', 'rfoot', 'lfoot'])))

    def __len__(self):
        return 4

    def __getitem__(self, index):
        batch = pack_batch(tiny_blip_model()['codec'], 5, batch_size=1, seed=index)
        return dict(inputs=batch['inputs'][0], data_samples=batch['data_samples'][0])


def _captions(model, pictures=None):
    data = pack_batch(tiny_blip_model()['codec'], 5) if pictures is None else pseudo_collate(pictures)
    with torch.no_grad():
        samples = model.eval().test_step(data)
    return [(sample.pred_caption['caption'], sample.pred_instances.keypoint_scores.tolist()) for sample in samples]


def _loader():
    return dict(batch_size=2, num_workers=0, dataset=Pictures(), sampler=dict(type='DefaultSampler', shuffle=False))


def _runner(work_dir, model, **arguments):
    arguments = dict(
        train_dataloader=_loader(),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        custom_hooks=[dict(type='ModelCheckHook')]) | arguments
    return Runner(model, str(work_dir), default_scope='mmpose',
                  default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)), **arguments)


@pytest.fixture
def trained(folder, tmp_path):
    """(checkpoint, model) of a training from a Hugging Face folder that is gone by now."""
    runner = _runner(tmp_path / 'run', tiny_blip_model(pretrained=str(folder)))
    model = runner.train()
    shutil.rmtree(folder)
    return tmp_path / 'run' / 'epoch_2.pth', model


def test_a_trained_model_is_built_from_its_checkpoint(trained):
    path, model = trained
    gone = MODELS.build(copy.deepcopy(tiny_blip_model(pretrained=model.pretrained)))
    assert 'does not exist' in gone.unbuilt
    load_checkpoint(gone, str(path), map_location='cpu', strict=True)
    assert _captions(gone) == _captions(model)
    assert [name for name, _ in gone.named_parameters()] == [name for name, _ in model.named_parameters()]
    # It can be saved and loaded on.
    again = MODELS.build(tiny_blip_model(pretrained=None))
    again.load_state_dict(gone.state_dict())
    assert _captions(again) == _captions(model)


def test_loading_twice_changes_nothing(trained):
    path, model = trained
    gone = MODELS.build(tiny_blip_model(pretrained=None))
    for _ in range(2):
        load_checkpoint(gone, str(path), map_location='cpu', strict=True)
    assert _captions(gone) == _captions(model)


def test_inferencers_build_it(trained):
    path, model = trained
    config = Config(dict(model=tiny_blip_model(pretrained=model.pretrained), default_scope='mmpose',
                         dataset_type='CocoDataset', data_mode='topdown',
                         train_dataloader=dict(dataset=dict(type='CocoDataset'))))
    assert _captions(init_model(copy.deepcopy(config), str(path), device='cpu')) == _captions(model)
    mine = init_model(copy.deepcopy(config), None, device='cpu')
    load_weights(mine, str(path))
    assert _captions(mine) == _captions(model)


def test_mmengine_tests_it(trained, tmp_path):
    path, model = trained
    expected = [caption for caption, _ in _captions(model, [Pictures()[index] for index in range(4)])]
    found = []

    class Keep(BaseMetric):

        def process(self, data_batch, data_samples):
            found.extend(sample['pred_caption']['caption'] for sample in data_samples)
            self.results.append(len(data_samples))

        def compute_metrics(self, results):
            return dict(number=sum(results))

    runner = _runner(tmp_path / 'test', tiny_blip_model(pretrained=model.pretrained), train_dataloader=None,
                     train_cfg=None, optim_wrapper=None, load_from=str(path), test_dataloader=_loader(),
                     test_cfg=dict(), test_evaluator=[Keep()])
    assert runner.test() == dict(number=4)
    assert found == expected


def test_training_without_the_folder_says_so_before_the_first_step(trained, tmp_path):
    path, model = trained
    runner = _runner(tmp_path / 'more', tiny_blip_model(pretrained=model.pretrained), load_from=str(path))
    with pytest.raises(FileNotFoundError, match='BLIP is not built'):
        runner.train()


def test_a_checkpoint_serves_as_pretrained(trained, tmp_path):
    """So a run whose folder is gone goes on, with all that it had learnt."""
    path, model = trained
    other = MODELS.build(tiny_blip_model(pretrained=str(path)))
    other.init_weights()
    assert _captions(other) == _captions(model)
    runner = _runner(tmp_path / 'run', tiny_blip_model(pretrained=str(path)), load_from=str(path), resume=True,
                     train_cfg=dict(by_epoch=True, max_epochs=3))
    runner.train()
    assert runner.epoch == 3 and (tmp_path / 'run' / 'epoch_3.pth').exists()


def test_resuming_repeats_the_losses_of_a_straight_run(folder, tmp_path):
    config = tiny_blip_model(pretrained=str(folder))
    straight = _runner(tmp_path / 'straight', copy.deepcopy(config)).train()
    _runner(tmp_path / 'halves', copy.deepcopy(config), train_cfg=dict(by_epoch=True, max_epochs=1)).train()
    runner = _runner(tmp_path / 'halves', copy.deepcopy(config), resume=True,
                     load_from=str(tmp_path / 'halves' / 'epoch_1.pth'))
    weights = dict(runner.train().named_parameters())
    torch.testing.assert_close(weights, dict(straight.named_parameters()))


def test_averaged_weights_are_saved_and_tested(folder, tmp_path):
    ema = dict(type='EMAHook', momentum=0.5)
    runner = _runner(tmp_path / 'ema', tiny_blip_model(pretrained=str(folder)), custom_hooks=[ema])
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
    expected = _captions(hook.ema_model.module)
    shutil.rmtree(folder)
    checkpoint = torch.load(tmp_path / 'ema' / 'epoch_2.pth', weights_only=True)
    assert 'module.architecture.config' in checkpoint['ema_state_dict']
    # The file's own weights are the averaged ones.
    gone = MODELS.build(tiny_blip_model(pretrained=None))
    gone.load_state_dict(checkpoint['state_dict'])
    assert _captions(gone) == expected
    averaged = ExponentialMovingAverage(MODELS.build(tiny_blip_model(pretrained=None)))
    averaged.load_state_dict(checkpoint['ema_state_dict'])
    assert averaged.module.architecture is not None


def test_files_are_read_without_running_code(trained):
    path, _ = trained
    state_dict = torch.load(path, weights_only=True)['state_dict']
    assert state_dict['architecture.config'].dtype == torch.uint8


def test_names_of_data_parallel_training_are_understood(trained, tmp_path):
    path, model = trained
    state_dict = torch.load(path, weights_only=True)['state_dict']
    torch.save(dict(state_dict={f'module.{name}': tensor for name, tensor in state_dict.items()}),
               tmp_path / 'parallel.pth')
    gone = MODELS.build(tiny_blip_model(pretrained=None))
    load_checkpoint(gone, str(tmp_path / 'parallel.pth'), map_location='cpu', strict=True)
    assert _captions(gone) == _captions(model)


def test_half_precision_and_device_follow_the_model(trained):
    path, _ = trained
    gone = MODELS.build(tiny_blip_model(pretrained=None)).to(torch.bfloat16)
    load_checkpoint(gone, str(path), map_location='cpu')
    assert {parameter.dtype for parameter in gone.parameters()} == {torch.bfloat16}
    assert _captions(gone)


def test_options_hold_for_a_model_that_is_built_late(trained):
    path, _ = trained
    gone = MODELS.build(tiny_blip_model(pretrained=None, frozen=['vision_model'])).train()
    load_checkpoint(gone, str(path), map_location='cpu')
    assert not any(parameter.requires_grad for parameter in gone.blip.vision_model.parameters())
    assert not gone.blip.vision_model.training and gone.blip.text_decoder.training


def test_a_checkpoint_of_another_blip_is_refused(trained):
    path, _ = trained
    with pytest.raises(ValueError, match=r'another BLIP than the config.*text_config\.num_attention_heads 4, not 2'):
        load_checkpoint(MODELS.build(tiny_blip_model(heads=4)), str(path), map_location='cpu')


def test_a_checkpoint_with_another_vocabulary_is_refused(trained):
    """Of the same size, so that every tensor fits."""
    path, model = trained
    words = sorted(model.architecture.tokenizer.get_vocab(), key=model.architecture.tokenizer.get_vocab().get)
    ten, eleven = words.index('10'), words.index('11')
    words[ten], words[eleven] = words[eleven], words[ten]
    other = MODELS.build(tiny_blip_model(vocabulary=words))
    with pytest.raises(ValueError, match='another vocabulary'):
        load_checkpoint(other, str(path), map_location='cpu')


def test_a_checkpoint_without_architecture_needs_a_model_that_has_one(trained, tmp_path):
    path, model = trained
    state_dict = torch.load(path, weights_only=True)['state_dict']
    bare = {name: tensor for name, tensor in state_dict.items() if not name.startswith('architecture.')}
    built = MODELS.build(tiny_blip_model())
    built.load_state_dict(bare)
    assert _captions(built) == _captions(model)
    with pytest.raises(FileNotFoundError, match='BLIP is not built: neither pretrained nor blip is given'):
        MODELS.build(tiny_blip_model(pretrained=None)).load_state_dict(bare)
    torch.save(bare, tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match='is no checkpoint of BLIPCaptionPoseEstimator'):
        MODELS.build(tiny_blip_model(pretrained=str(tmp_path / 'bare.pth')))


def test_a_damaged_architecture_is_named(make):
    state_dict = make().state_dict()
    state_dict['architecture.tokenizer'] = state_dict['architecture.tokenizer'][:100]
    with pytest.raises(CheckpointError, match=r'architecture\.tokenizer is damaged'):
        MODELS.build(tiny_blip_model(pretrained=None)).load_state_dict(state_dict)


def test_other_keypoints_than_the_datasets_are_refused(tmp_path):
    codec = dict(type='CaptionPose', input_size=(64, 64), names=['head', 'hand'])
    runner = _runner(tmp_path, tiny_blip_model(codec=codec))
    with pytest.raises(ValueError, match='the codec has 2 names, head, hand, and the dataset 5 keypoints'):
        runner.train()


def test_copies_are_independent(make):
    model = make()
    other = randomize(copy.deepcopy(model), seed=5)
    assert other.architecture is not model.architecture
    assert _captions(other) != _captions(model)
