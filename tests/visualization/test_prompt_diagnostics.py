import csv

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import MODELS

from clamp_mmpose.structures import VisionLanguageFeatures
from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.visualization import (
    diagnose_prompts,
    draw_prompt_diagnostics,
    format_prompt_diagnostics,
    write_prompt_diagnostics,
)

NAMES = [f'point {index}' for index in range(17)]
MIRROR = [1, 0, 2, 3, 4, 8, 9, 10, 5, 6, 7, 14, 15, 16, 11, 12, 13]  # AP-10K


def build(**changes):
    model = tiny_clamp_model('vit', names=NAMES)
    model['neck'].update(changes)
    return MODELS.build(model).eval()


class Rigged(torch.nn.Module):
    """A model whose names have the same scores at every place of every image."""

    def __init__(self, scores):
        super().__init__()
        self.data_preprocessor = build().data_preprocessor
        self.neck = None
        self.scores = torch.tensor(scores, dtype=torch.float32)

    def extract_feat(self, inputs):
        B = len(inputs)
        score_map = self.scores[None, :, None, None].expand(B, -1, 4, 4)
        return VisionLanguageFeatures((score_map, ), text=torch.eye(17)[None].expand(B, -1, -1), score_map=score_map)


def one_keypoint(dataset, place):
    """The samples of a dataset with one labelled keypoint each, as its pipeline gives them."""

    class Part:
        metainfo = dataset.metainfo

        def __len__(self):
            return len(dataset)

        def __getitem__(self, index):
            sample = dataset[index]
            visible = sample['data_samples'].gt_instances.keypoints_visible
            visible[:, [i for i in range(17) if i != place]] = 0
            return sample

    return Part()


def labelled(dataset, place):
    return sum(dataset[index]['data_samples'].gt_instances.keypoints_visible[0, place] > 0
               for index in range(len(dataset)))


def test_ranks_margins_and_winners_of_a_rigged_model(dataset):
    scores = np.full(17, 0.1)
    scores[[11, 14, 3]] = 0.5, 0.8, 0.6  # the left hip is taken for the right one
    found = diagnose_prompts(Rigged(scores), one_keypoint(dataset, 11), batch_size=4)
    count = labelled(dataset, 11)
    assert count > 0
    np.testing.assert_array_equal(found.labelled, np.eye(17, dtype=int)[11] * count)
    np.testing.assert_allclose(found.scores[11], scores, atol=1e-6)
    np.testing.assert_allclose([found.rank[11], found.margin[11], found.mirror_margin[11], found.mirror_lost[11]],
                               [3, -0.3, -0.3, 1], atol=1e-6)
    np.testing.assert_array_equal(found.chosen[11], np.eye(17)[14])
    assert found.confused_with()[11] == (14, 1.0)
    assert np.isnan(found.scores[0]).all() and np.isnan(found.margin[0])


@pytest.mark.parametrize('own, rank, margin, lost', [(0.5, 1, 0.4, 0), (0.05, 17, -0.05, 1)])
def test_the_own_name_may_be_the_best_or_the_worst(dataset, own, rank, margin, lost):
    scores = np.full(17, 0.1)
    scores[5] = own
    found = diagnose_prompts(Rigged(scores), one_keypoint(dataset, 5), batch_size=100)
    np.testing.assert_allclose([found.rank[5], found.margin[5], found.mirror_margin[5], found.mirror_lost[5]],
                               [rank, margin, margin, lost], atol=1e-6)


def test_what_has_no_other_side_has_no_side_margin(dataset):
    found = diagnose_prompts(build(), dataset)
    np.testing.assert_array_equal(found.mirror, MIRROR)
    assert np.isnan(found.mirror_margin[[2, 3, 4]]).all() and np.isnan(found.mirror_lost[[2, 3, 4]]).all()
    assert np.isfinite(np.delete(found.mirror_margin, [2, 3, 4])).all()


def test_scores_are_those_of_the_score_map_at_the_labels(dataset, monkeypatch):
    """Against a loop that interpolates by hand between the cells' centres."""
    monkeypatch.setitem(dataset.pipeline.transforms[-1].__dict__, 'pack_transformed', True)
    assert isinstance(dataset.pipeline.transforms[-1], PackPoseInputs)
    model = build()
    scores, counts = np.zeros((17, 17)), np.zeros(17, dtype=int)
    for index in range(len(dataset)):
        sample = dataset[index]
        with torch.no_grad():
            feats = model.extract_feat(model.data_preprocessor(pseudo_collate([sample]))['inputs'])
        cells = feats.score_map[0].double().numpy()
        truth = sample['data_samples'].gt_instances
        for place, (x, y) in enumerate(truth.transformed_keypoints[0]):
            if truth.keypoints_visible[0, place] > 0 and -0.5 <= x <= 63.5 and -0.5 <= y <= 63.5:
                column, row = np.clip([(x + 0.5) / 16 - 0.5, (y + 0.5) / 16 - 0.5], 0, 3)
                left, top = int(column), int(row)
                right, bottom = min(left + 1, 3), min(top + 1, 3)
                a, b = column - left, row - top
                scores[place] += ((1 - a) * (1 - b) * cells[:, top, left] + a * (1 - b) * cells[:, top, right] +
                                  (1 - a) * b * cells[:, bottom, left] + a * b * cells[:, bottom, right])
                counts[place] += 1
    found = diagnose_prompts(model, dataset, batch_size=4)
    np.testing.assert_array_equal(found.labelled, counts)
    np.testing.assert_allclose(found.scores, scores / counts[:, None], atol=1e-4)
    np.testing.assert_allclose(found.chosen.sum(1), 1)


def test_similarities_are_those_of_the_prompts_at_every_stage(dataset):
    model = build()
    found = diagnose_prompts(model, dataset, [0, 1])
    with torch.no_grad():
        batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]))
        text = dict(text=model.neck.prompts(), prompt_encoder=model.neck.encode_text(),
                    image=model.extract_feat(batch['inputs']).text)
    assert [*found.similarity] == [*text]
    for stage, vectors in text.items():
        expected = [[F.cosine_similarity(vectors[:, i], vectors[:, j]).mean() for j in range(17)] for i in range(17)]
        np.testing.assert_allclose(found.similarity[stage], expected, atol=1e-5)
    place, cosine = found.nearest('text')[4]
    row = np.delete(found.similarity['text'][4], 4)
    assert place != 4 and cosine == row.max() == found.similarity['text'][4, place]


@pytest.mark.parametrize('changes, stages', [
    (dict(), ['text', 'prompt_encoder', 'image']),
    (dict(prompt_encoder=None, context_decoder=None), ['text', 'image']),
    (dict(text_encoder=None, embed_dim=32), ['text', 'prompt_encoder', 'image']),
    ('fused', ['text', 'prompt_encoder', 'image']),
    ('post', ['text', 'image']),
    ('pre', ['image']),
], ids=str)
def test_every_neck_has_the_stages_that_it_goes_through(dataset, changes, stages):
    model = tiny_clamp_model('vit', names=NAMES)
    if isinstance(changes, dict):
        model['neck'].update(changes)
    elif changes != 'fused':
        names = model['neck'].pop('keypoint_names')
        model['neck'].update(type='DenseCLIPNeck', names=names, prompting=changes)
    model = MODELS.build(model).eval()
    if changes == 'fused':
        model.neck.fuse_text()
    found = diagnose_prompts(model, dataset, [0])
    assert [*found.similarity] == stages
    assert all(matrix.shape == (17, 17) for matrix in found.similarity.values())


def test_a_model_without_prompts_is_refused(dataset):
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, decoder=tiny_clamp_model()['head']['decoder'],
                deconv_out_channels=(16, 16), deconv_kernel_sizes=(4, 4))
    model = MODELS.build(dict(tiny_clamp_model('vit', names=NAMES), neck=None, head=head)).eval()
    with pytest.raises(ValueError, match=r'TopdownPoseEstimator has no prompts.*DenseCLIPNeck'):
        diagnose_prompts(model, dataset)


def test_data_that_cannot_be_used_is_refused(dataset):
    with pytest.raises(ValueError, match=f'none of the {len(dataset)} instances'):
        diagnose_prompts(build(), one_keypoint(dataset, None))
    with pytest.raises(ValueError, match='none of the 0 instances'):
        diagnose_prompts(build(), dataset, [])
    with pytest.raises(ValueError, match='asks for 2 names and the dataset has 17'):
        diagnose_prompts(MODELS.build(tiny_clamp_model('vit', names=NAMES[:2])).eval(), dataset)
    sample = dataset[0]
    sample['data_samples'].pop('input_center')
    with pytest.raises(ValueError, match='TopdownAffine'):
        diagnose_prompts(build(), [sample])


def test_csv_has_a_row_per_keypoint_and_one_per_pair(dataset, tmp_path):
    found = diagnose_prompts(build(), one_keypoint(dataset, 11))
    paths = write_prompt_diagnostics(found, tmp_path / 'new')
    assert [path.name for path in paths] == ['prompts.csv', 'prompt_pairs.csv']
    rows, pairs = ([*csv.DictReader(path.open())] for path in paths)
    assert [row['keypoint'] for row in rows] == NAMES and len(pairs) == 17 * 17
    assert float(rows[11]['margin']) == found.margin[11] and rows[11]['mirror'] == 'point 14'
    assert rows[2]['margin'] == rows[2]['mirror_margin'] == '' and rows[2]['mirror'] == '-'
    pair = pairs[11 * 17 + 3]
    assert (pair['keypoint'], pair['name']) == ('point 11', 'point 3')
    assert float(pair['score']) == found.scores[11, 3]
    assert float(pair['cosine_image']) == found.similarity['image'][11, 3]


def test_table_has_aligned_columns(dataset):
    lines = format_prompt_diagnostics(diagnose_prompts(build(), one_keypoint(dataset, 11))).splitlines()
    assert len(lines) == 18
    assert lines[1].split()[:4] == ['point', '0', '0', '-']
    assert all(line[lines[0].index('nearest prompt'):].startswith('point') for line in lines[1:])


@pytest.mark.parametrize('stages', [1, 3])
def test_figure_shows_every_stage_the_winners_and_the_margins(dataset, stages, tmp_path):
    model = build() if stages == 3 else Rigged(np.arange(17))
    found = diagnose_prompts(model, dataset, batch_size=100)
    figure = draw_prompt_diagnostics(found)
    titles = [ax.get_title().split(':')[0] for ax in figure.axes if ax.get_title()]
    assert titles == ['cosine of the prompts'] * stages + ['name that scores highest (column)\nat a keypoint (row)',
                                                           'own score minus the best other',
                                                           'own score minus the other side']
    shown = next(ax for ax in figure.axes if ax.get_title().startswith('name that'))
    np.testing.assert_array_equal(np.asarray(shown.images[0].get_array()), found.chosen)
    figure.savefig(tmp_path / 'prompts.png')
