"""Shipped configs with other data and lengths."""
from pathlib import Path

import pytest
from mmengine.config import Config

from clamp_mmpose.tools.config_variant import load_variant, relocate, shorten

FOLDER = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(path for method in ('clamp', 'denseclip') for path in (FOLDER / method).glob('*.py')
                 if not path.stem.endswith('-det'))


def strings(value):
    """All strings in a config."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_all_that_a_config_reads_moves_with_its_data(path):
    cfg = load_variant(path, {})
    before = [text for text in strings(cfg.to_dict()) if text.startswith(cfg.data_root)]
    assert len(before) >= 6
    root = Path('/some where/else')
    cfg.merge_from_dict(relocate(cfg, root))
    after = list(strings({stage: cfg[f'{stage}_{part}'] for stage in ('train', 'val', 'test')
                          for part in ('dataloader', 'evaluator') if f'{stage}_{part}' in cfg}))
    assert not [text for text in after if text.startswith('data/') and text != 'data/']  # AP-10K's folder of pictures
    assert cfg.data_root == f'{root}/' and cfg.test_evaluator.ann_file.startswith(f'{root}/annotations')


def test_a_path_with_spaces_survives_the_file_that_mim_is_given(tmp_path):
    cfg = load_variant(FOLDER / 'clamp' / 'clamp_vit-b16_4xb32-210e_coco-256x192.py', {'randomness.seed': 3})
    cfg.merge_from_dict(relocate(cfg, Path('/my data, [all]/coco')))
    cfg.dump(tmp_path / 'seed3.py')
    again = Config.fromfile(tmp_path / 'seed3.py')
    assert again.to_dict() == cfg.to_dict() and again.randomness.seed == 3
    assert again.val_dataloader.dataset.bbox_file.startswith('/my data, [all]/coco/person_detection_results')


def test_a_variant_does_not_change_the_next_one():
    path = FOLDER / 'clamp' / 'clamp_tiny_1xb16-30e_toyanimals-128x128.py'
    load_variant(path, {'model.neck.num_contexts': 1}).model.head.in_channels = 5
    cfg = load_variant(path, {})
    assert 'num_contexts' not in cfg.model.neck and cfg.model.head.in_channels == 256 + 17


def test_a_shorter_training_ends_its_schedule_and_validates_at_its_end():
    cfg = load_variant(FOLDER / 'clamp' / 'clamp_tiny_1xb16-30e_toyanimals-128x128.py', shorten(7))
    assert cfg.train_cfg.max_epochs == cfg.train_cfg.val_interval == 7
    warmup, cosine = cfg.param_scheduler
    assert (warmup.end, cosine.end, cosine.T_max, cosine.eta_min) == (100, 7, 7, 1e-5)
