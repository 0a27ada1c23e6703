"""Training without locations does not see them, and a pipeline that would is refused."""
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import pseudo_collate
from mmpose.registry import MODELS, TRANSFORMS
from presence_people import (
    AUGMENTED,
    BOX,
    CROP,
    FLIP,
    HALF_BODY,
    LOAD,
    MOVE,
    PACK,
    PRESENCE,
    TARGET,
    equal,
    open_people,
    presence_of,
    read,
    with_targets,
)

LEAKY = dict(PRESENCE, accept_location_leak=True)
RECOMPUTED = dict(LEAKY, recompute_after_crop=True)


@TRANSFORMS.register_module()
class CropAroundKeypoints(BaseTransform):
    """Stands for what a user may write."""

    def transform(self, results):
        keypoints = results['keypoints'][0]
        low, high = keypoints.min(0), keypoints.max(0)
        results['bbox_center'], results['bbox_scale'] = ((low + high) / 2)[None], np.maximum(high - low, 1)[None]
        return results


def both(folder, pipeline):
    """The samples of the people, and of the same people with noise for coordinates."""
    return read(open_people(folder, pipeline)), read(open_people(folder / 'noise', pipeline))


def same(first, second):
    """Whether two lists of samples hold the same, to the last bit; the folder aside."""
    for one, other in zip(first, second):
        one, other = one['data_samples'].clone(), other['data_samples'].clone()
        for sample in (one, other):
            sample.set_metainfo(dict(img_path=''))
        parts = [(equal(one.get(name, {}), other.get(name, {})))
                 for name in ('gt_instances', 'gt_instance_labels', 'gt_fields')]
        if not all(parts) or not equal(one.metainfo, other.metainfo):
            return False
    return all(torch.equal(one['inputs'], other['inputs']) for one, other in zip(first, second))


PIPELINES = {
    'presence alone': AUGMENTED,
    'targets for none': with_targets(0),
    'presence last': [LOAD, BOX, FLIP, MOVE, CROP, TARGET, PRESENCE, dict(type='PackPoseInputs')],
    'transformed keypoints packed': [*AUGMENTED[:-1], dict(PACK, pack_transformed=True)],
    'transformed keypoints packed, presence last':
        [LOAD, BOX, FLIP, MOVE, CROP, PRESENCE, dict(PACK, pack_transformed=True)],
}


@pytest.mark.parametrize('pipeline', PIPELINES.values(), ids=PIPELINES)
def test_noise_for_coordinates_gives_the_same_batch(folder, pipeline):
    first, second = both(folder, pipeline)
    assert len(first) == len(second) == 6
    assert same(first, second)


def test_the_comparison_sees_coordinates_that_are_not_hidden(folder):
    """What the other tests rest on."""
    for pipeline in (with_targets(1), [LOAD, BOX, CROP, dict(type='PackPoseInputs')]):
        assert not same(*both(folder, pipeline))


class Classifier(torch.nn.Module):
    """Classifies presence, and learns from targets by their weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Conv2d(3, 8, 4, stride=4)
        self.head = torch.nn.Conv2d(8, 17, 1)

    def forward(self, batch):
        inputs, samples = torch.stack(batch['inputs']).float() / 255, batch['data_samples']
        maps = self.head(self.body(inputs).relu())
        labels = [sample.gt_instance_labels for sample in samples]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            maps.mean((2, 3)), torch.cat([label.presence for label in labels]))
        if 'gt_fields' in samples[0]:
            weights = torch.cat([label.keypoint_weights for label in labels])[..., None, None]
            targets = torch.stack([sample.gt_fields.heatmaps for sample in samples])
            loss = loss + (weights * (maps - targets)**2).mean()
        return loss


def gradients(samples):
    model = Classifier()
    loss = model(pseudo_collate(samples))
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize('pipeline', PIPELINES.values(), ids=PIPELINES)
def test_noise_for_coordinates_gives_the_same_loss_and_gradients(folder, pipeline):
    first, second = map(gradients, both(folder, pipeline))
    assert all(map(torch.equal, first, second)) and first[0] > 0
    assert not all(map(torch.equal, gradients(read(open_people(folder, with_targets(1)))), first))


def test_no_share_of_locations_is_training_without_locations(folder):
    targets, alone = read(open_people(folder, with_targets(0))), read(open_people(folder, AUGMENTED))
    assert all(torch.equal(one['inputs'], other['inputs']) for one, other in zip(targets, alone))
    assert all(np.array_equal(presence_of(one), presence_of(other)) for one, other in zip(targets, alone))
    assert all(map(torch.equal, gradients(targets), gradients(alone)))


def test_noise_for_the_unlocated_alone_gives_the_same_batch(folder, tmp_path):
    """In one batch, the locations of some are used and those of the others are not seen."""
    import json

    from presence_people import make_people
    pipeline = [LOAD, dict(PRESENCE, located=0.5), BOX, HALF_BODY, FLIP, MOVE, CROP, TARGET, PACK]
    located = TRANSFORMS.build(pipeline[1]).located
    content, noise = make_people(tmp_path), json.loads((folder / 'noise' / 'people.json').read_text())
    kept = [annotation['id'] in located for annotation in content['annotations']]
    assert set(kept) == {True, False}
    content['annotations'] = [own if keeps else other for own, other, keeps in zip(
        content['annotations'], noise['annotations'], kept)]
    (tmp_path / 'people.json').write_text(json.dumps(content))
    assert same(read(open_people(folder, pipeline)), read(open_people(tmp_path, pipeline)))
    assert not same(*both(folder, pipeline))


LEAKS = {
    'RandomHalfBody': [LOAD, BOX, HALF_BODY, LEAKY, CROP, PACK],
    'CropAroundKeypoints': [LOAD, BOX, dict(type='CropAroundKeypoints'), LEAKY, CROP, PACK],
    'recompute_after_crop=True': [LOAD, BOX, MOVE, CROP, RECOMPUTED, PACK],
}


@pytest.mark.parametrize('name', LEAKS)
def test_a_leak_is_refused_unless_it_is_accepted(folder, name):
    refusing = [{key: value for key, value in step.items() if key != 'accept_location_leak'} for step in LEAKS[name]]
    with pytest.raises(ValueError, match=rf'{name}.*accept_location_leak=True'):
        read(open_people(folder, refusing))


@pytest.mark.parametrize('name', LEAKS)
def test_an_accepted_leak_is_one(folder, name):
    first, second = both(folder, LEAKS[name])
    assert not same(first, second)
    assert not all(map(torch.equal, gradients(first), gradients(second)))


REFUSED = {
    'RandomHalfBody': [LOAD, PRESENCE, BOX, HALF_BODY, CROP, PACK],  # would do nothing there
    'BottomupRandomCrop': [LOAD, PRESENCE, BOX, dict(type='BottomupRandomCrop', crop_size=(40, 40)), CROP, PACK],
    'FilterAnnotations': [LOAD, PRESENCE, BOX, dict(type='FilterAnnotations', by_kpt=True), CROP, PACK],
    'Mosaic': [LOAD, PRESENCE, dict(type='Mosaic', img_scale=(48, 64)), BOX, CROP, PACK],
    'BottomupRandomAffine': [LOAD, BOX, dict(type='BottomupRandomAffine', input_size=(48, 64)), PRESENCE, CROP, PACK],
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_chooses_by_location_is_refused_wherever_it_stands(folder, name):
    with pytest.raises(ValueError, match=rf'{name} .*accept_location_leak=True'):
        read(open_people(folder, REFUSED[name]))


@pytest.mark.parametrize('wrapped', [
    dict(type='Compose', transforms=[HALF_BODY]),
    dict(type='RandomApply', transforms=[HALF_BODY], prob=0.5),
    dict(type='RandomChoice', transforms=[[dict(type='PhotometricDistortion')], [HALF_BODY]]),
], ids=lambda step: step['type'])
def test_a_wrapper_does_not_hide_what_it_holds(folder, wrapped):
    with pytest.raises(ValueError, match='RandomHalfBody'):
        read(open_people(folder, [LOAD, BOX, wrapped, PRESENCE, CROP, PACK]))


def test_half_body_crops_of_located_people_are_no_leak(folder):
    before = [LOAD, BOX, HALF_BODY, dict(PRESENCE, located=0.5), CROP, PACK]
    with pytest.raises(ValueError, match='put it after GeneratePresence'):
        read(open_people(folder, before))
    half, whole = (read(open_people(folder, [LOAD, dict(PRESENCE, located=0.5), BOX, *crop, CROP, TARGET, PACK]))
                   for crop in ([HALF_BODY], []))
    located = [bool(sample['data_samples'].gt_instance_labels.keypoint_weights.any()) for sample in whole]
    cropped = [not torch.equal(one['inputs'], other['inputs']) for one, other in zip(half, whole)]
    assert any(cropped) and all(keeps for crop, keeps in zip(cropped, located) if crop)


def test_full_supervision_takes_any_augmentation(folder):
    pipeline = [LOAD, BOX, HALF_BODY, dict(type='CropAroundKeypoints'), CROP, TARGET, dict(PRESENCE, located=1), PACK]
    assert len(read(open_people(folder, pipeline))) == 6


@pytest.mark.parametrize('step', [FLIP, TARGET], ids=['flip', 'targets'])
def test_labels_that_would_be_lost_in_packing_are_told(folder, step):
    pipeline = [LOAD, BOX, CROP, PRESENCE, step, dict(type='PackPoseInputs')]
    with pytest.raises(ValueError, match="type='PackPresenceInputs'"):
        read(open_people(folder, pipeline))


def test_hiding_what_a_metric_compares_with_is_told(folder):
    with pytest.raises(ValueError, match='validation and test'):
        read(open_people(folder, AUGMENTED, test_mode=True))


def test_presence_cannot_be_generated_twice(folder):
    with pytest.raises(ValueError, match='twice'):
        read(open_people(folder, [LOAD, PRESENCE, BOX, CROP, PRESENCE, PACK]))


def test_the_pipelines_of_joined_datasets_are_looked_at_too(folder):
    from mmpose.registry import DATASETS
    inner = dict(type='CocoDataset', ann_file='people.json', data_root=str(folder), pipeline=[LOAD, BOX, HALF_BODY])
    combined = dict(type='CombinedDataset', metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
                    datasets=[inner], pipeline=[PRESENCE, CROP, PACK])
    with pytest.raises(ValueError, match='RandomHalfBody'):
        DATASETS.build(combined)[0]
    inner['pipeline'] = [LOAD, BOX]
    assert presence_of(DATASETS.build(combined)[0]).shape == (1, 17)


def test_a_model_of_mmpose_trains_on_it(folder):
    """Heads that know nothing of presence take the batch as they take any other."""
    model = MODELS.build(dict(
        type='TopdownPoseEstimator', data_preprocessor=dict(type='PoseDataPreprocessor'),
        backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, out_indices=(0, )),  # stride 4
        head=dict(type='HeatmapHead', in_channels=4, out_channels=17, deconv_out_channels=None,
                  loss=dict(type='KeypointMSELoss', use_target_weight=True), decoder=TARGET['encoder'])))
    batch = pseudo_collate(read(open_people(folder, with_targets(0))))
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['loss_kpt'] == 0
