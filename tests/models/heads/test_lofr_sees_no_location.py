"""LOFR's shipped recipes, from the annotation file to the gradient: what hides locations hides them to the last bit."""
import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpose.models import build_pose_estimator
from mmpose.registry import DATASETS
from PIL import Image

from clamp_mmpose.datasets.presence import LocatedInstances
from clamp_mmpose.testing import randomize
from clamp_mmpose.testing.tiny_lofr import shrink_lofr

FOLDER = Path(__file__).parents[3] / 'configs' / 'lofr'
COCO = 'lofr_res50_4xb32-160e_coco-256x192'
PEOPLE = 60  # enough for 5 % of them
KEYPOINT_LOSS = dict(type='KeypointMSELoss', use_target_weight=True)


def presence_step(cfg):
    return next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'GeneratePresence')


def halve_sizes(part):
    """The same part of a recipe with input and heatmaps half as wide and high, for speed."""
    if isinstance(part, dict):
        return {key: tuple(side // 2 for side in value) if key in ('input_size', 'heatmap_size') else halve_sizes(value)
                for key, value in part.items()}
    return [halve_sizes(value) for value in part] if isinstance(part, list) else part


def find_recipes():
    """Name -> config, one of those that read and augment alike; a tag table has no location to see."""
    found = {}
    for path in sorted(FOLDER.glob('lofr_*.py'), key=lambda path: len(path.stem)):
        cfg = Config(halve_sizes(Config.fromfile(path).to_dict()))
        data = cfg.train_dataloader.dataset
        if data.type != 'PresenceTagDataset' and not presence_step(cfg).get('accept_location_leak'):
            found.setdefault(f'{data.type} {data.pipeline}', (path.stem, cfg))
    return dict(found.values())


RECIPES = find_recipes()
LOCATION_FREE = [name for name, cfg in RECIPES.items() if not presence_step(cfg).get('located')]
MIXED = [name for name, cfg in RECIPES.items() if presence_step(cfg).get('located', 0) not in (0, 1)]


def with_locations(cfg, located):
    """The recipe for training where some instances keep their locations."""
    cfg = copy.deepcopy(cfg)
    data = cfg.train_dataloader.dataset
    presence_step(cfg)['located'] = located
    if not any(step.type == 'GenerateTarget' for step in data.pipeline):
        data.pipeline = [*data.pipeline[:-1], dict(type='GenerateTarget', encoder=cfg.codec), data.pipeline[-1]]
    cfg.model.head.keypoint_loss = KEYPOINT_LOSS
    return cfg


def write_people(folder, cfg, noisy=()):
    """Annotations in the format of the recipe's; of the people in ``noisy`` all coordinates are others, and the
    presence is the same."""
    K = cfg.model.head.out_channels
    random, noise = np.random.default_rng(0), np.random.default_rng(1)
    folder.mkdir()
    Image.fromarray(random.integers(0, 255, (120, 160, 3), dtype=np.uint8)).save(folder / '1.png')
    people = []
    for index in range(PEOPLE):
        present, places = random.integers(0, 3, K), random.uniform(20, 100, (K, 2)).round(2)
        present[index % K], present[(index + 1) % K] = 2, 0
        other = noise.uniform(1, 119, (K, 2)).round(2)
        places = np.where(present[:, None] > 0, other if index in noisy else places, 0)
        people.append((present, places))
    if 'Mpii' in cfg.train_dataloader.dataset.type:
        content = [dict(image='1.png', center=[70 + index % 9, 60], scale=0.45, joints=places.tolist(),
                        joints_vis=(present > 0).astype(int).tolist())
                   for index, (present, places) in enumerate(people)]
    else:
        content = dict(
            images=[dict(id=1, file_name='1.png', width=160, height=120)],
            categories=[dict(id=1, name='person')],
            annotations=[dict(
                id=100 + index, image_id=1, category_id=1, bbox=[20 + index % 9, 12, 80, 96], area=7000.0, iscrowd=0,
                num_keypoints=int((present > 0).sum()), keypoints=np.c_[places, present].ravel().tolist())
                for index, (present, places) in enumerate(people)])
    (folder / 'people.json').write_text(json.dumps(content))
    return folder


def read_batch(folder, cfg, indices):
    """The samples as the recipe's pipeline makes them, with the same augmentation each time."""
    data = dict(cfg.train_dataloader.dataset, data_root=str(folder), ann_file='people.json', data_prefix=dict(img=''))
    dataset = DATASETS.build(data)
    samples = []
    for index in indices:
        np.random.seed(index)
        samples.append(dataset.prepare_data(index))
    return pseudo_collate(samples)


def learn(batch, cfg, train=True):
    """The losses of one step of the recipe's model, made small, and all gradients."""
    config = copy.deepcopy(cfg.model)
    shrink_lofr(config.head, config.backbone)
    config.backbone.init_cfg = None
    config.head.encoder.update(num_layers=1, num_heads=2)
    config.head.part_decoder.update(num_layers=2, num_heads=2)
    torch.manual_seed(0)  # also of dropout
    model = randomize(build_pose_estimator(config)).train(train)
    losses = model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
    model.parse_losses(losses)[0].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    return {name: value.detach() for name, value in losses.items()}, gradients


def same(first, second):
    """Whether losses and gradients are the same to the last bit."""
    return all(one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
               for one, other in zip(first, second))


def located(cfg, yes, no):
    """Places of as many people that keep their locations, and that do not."""
    step = presence_step(cfg)
    keeps = LocatedInstances(step.located, step.get('seed', 0))
    first = 0 if 'Mpii' in cfg.train_dataloader.dataset.type else 100
    kept = [index for index in range(PEOPLE) if first + index in keeps]
    left = [index for index in range(PEOPLE) if first + index not in keeps]
    assert len(kept) >= yes and len(left) >= no
    return kept[:yes], left[:no]


@pytest.mark.parametrize('name', LOCATION_FREE)
def test_noise_for_every_coordinate_changes_no_bit_of_loss_and_gradients(name, tmp_path):
    cfg, some = RECIPES[name], range(4)
    folders = [write_people(tmp_path / str(len(noisy)), cfg, noisy) for noisy in ((), range(PEOPLE))]
    first, second = (learn(read_batch(folder, cfg, some), cfg) for folder in folders)
    assert same(first, second)
    assert 'loss_kpt' not in first[0] and all(torch.isfinite(value) for value in first[0].values())
    # The noise is one, and would be seen.
    supervised = with_locations(cfg, 1)
    assert not same(*(learn(read_batch(folder, supervised, some), supervised) for folder in folders))


@pytest.mark.parametrize('name', [*MIXED, COCO])
def test_of_a_mixed_batch_the_located_alone_are_seen(name, tmp_path):
    cfg = RECIPES[name] if name in MIXED else with_locations(RECIPES[name], 0.25)
    kept, left = located(cfg, 1, 2)
    some = sorted([*kept, *left])
    plain, others, own = (learn(read_batch(write_people(tmp_path / kind, cfg, noisy), cfg, some), cfg)
                          for kind, noisy in (('plain', ()), ('others', set(range(PEOPLE)) - {*kept}), ('own', kept)))
    assert plain[0]['loss_kpt'] > 0
    assert same(plain, others)
    assert not same(plain, own)
    changed = {key for key in plain[0] if not torch.equal(plain[0][key], own[0][key])}
    assert changed == {'loss_kpt'}  # what is classified needs no location


def test_no_located_instance_is_training_without_locations(tmp_path):
    cfg = RECIPES[COCO]
    folder, none = write_people(tmp_path / 'people', cfg), with_locations(cfg, 0)
    free, semi = (learn(read_batch(folder, one, range(4)), one) for one in (cfg, none))
    assert semi[0].pop('loss_kpt') == 0
    assert same(free, semi)


def test_the_heatmap_loss_is_that_of_the_located_and_adds_to_the_others(tmp_path):
    """Without dropout and batch statistics an instance is the same in any batch."""
    cfg = RECIPES[COCO]
    folder, mixed, full = write_people(tmp_path / 'people', cfg), with_locations(cfg, 0.25), with_locations(cfg, 1)
    kept, left = located(mixed, 2, 2)
    some = [kept[0], left[0], kept[1], left[1]]
    free, partly, wholly = (learn(read_batch(folder, one, some), one, train=False)[0] for one in (cfg, mixed, full))
    for losses in (partly, wholly):
        assert losses.keys() == {*free, 'loss_kpt'}
        assert all(torch.equal(losses[key], free[key]) for key in free)
    single = {index: learn(read_batch(folder, full, [index]), full, train=False)[0]['loss_kpt'] for index in some}
    torch.testing.assert_close(partly['loss_kpt'], sum(single[index] for index in kept) / 2)
    torch.testing.assert_close(wholly['loss_kpt'], sum(single.values()) / 4)
    assert not torch.isclose(partly['loss_kpt'], wholly['loss_kpt'])


def test_full_supervision_has_the_gradients_of_both_losses(tmp_path):
    cfg = RECIPES[COCO]
    folder, full = write_people(tmp_path / 'people', cfg), with_locations(cfg, 1)
    alone = copy.deepcopy(full)
    alone.model.head.update(classification_weights=(0., 0., 0.), diversity_loss=None)
    free, both, heatmaps = (learn(read_batch(folder, one, range(3)), one, train=False)[1] for one in (cfg, full, alone))
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, free[name] + heatmaps[name], rtol=1e-4, atol=1e-6)
    assert any(value.abs().sum() > 0 for value in heatmaps.values())
