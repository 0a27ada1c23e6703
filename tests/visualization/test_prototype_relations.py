"""Fig. 6 of LOFR: inner products of pose prototypes."""
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from mmengine.dataset import pseudo_collate
from mmpose.models import build_pose_estimator

from clamp_mmpose.testing import randomize, tiny_lofr_model
from clamp_mmpose.visualization import (
    RELATION_COLUMNS,
    draw_prototypes,
    missing_for_prototypes,
    prototype_products,
    relation_table,
)

NAMES = ['nose', 'left eye', 'R_eye', 'tail']
META = dict(skeleton_links=[(0, 1), (0, 2), (1, 2)], flip_indices=[0, 2, 1, 3])
MATRIX = np.array([[1, .2, .3, .4], [.2, 1, .9, .1], [.3, .9, 1, .0], [.4, .1, .0, 1]])


def make(**head):
    model = build_pose_estimator(tiny_lofr_model(num_keypoints=17, head=head))
    return randomize(model).eval()


def by_hand(vectors, kind):
    """(K, D) to (K, K), by loops."""
    rows = vectors.double().tolist()
    product = [[sum(a * b for a, b in zip(one, other)) for other in rows] for one in rows]
    if kind == 'dot':
        return product
    return [[value / math.sqrt(product[i][i] * product[j][j]) for j, value in enumerate(row)]
            for i, row in enumerate(product)]


@pytest.mark.parametrize('kind', ['cosine', 'dot'])
def test_products_are_the_mean_over_images_before_and_behind_the_graph(dataset, kind):
    model = make()
    found = prototype_products(model, dataset, [0, 2], kind)
    before, behind = [], []
    for index in (0, 2):
        with torch.no_grad():
            feats = model.extract_feat(model.data_preprocessor(pseudo_collate([dataset[index]]))['inputs'])
            head = model.head
            maps = head.activation_maps.to_keypoints(feats[-1]).flatten(2)
            embedded = head.reppg.embed(feats[-1]).flatten(2)
            before.append(by_hand((maps @ embedded.transpose(1, 2) / maps.shape[-1])[0], kind))
            behind.append(by_hand(head.read(feats).prototypes[0], kind))
    for matrix, expected in zip(found.values(), (before, behind)):
        np.testing.assert_allclose(matrix, np.mean(expected, axis=0), rtol=1e-3, atol=1e-4)
    assert [name.split()[0] for name in found] == ['of', 'related']
    assert not np.allclose(*found.values(), rtol=1e-2)


def test_without_reppg_they_are_learned_queries(dataset):
    model = make(reppg=None)
    (name, matrix), = prototype_products(model, dataset, [0, 1]).items()
    assert name == 'learned queries'
    np.testing.assert_allclose(matrix, by_hand(model.head.queries.detach(), 'cosine'), atol=1e-5)


def test_kinds_and_images_that_are_none_are_refused(dataset):
    with pytest.raises(ValueError, match="products='sine' must be one of cosine, dot"):
        prototype_products(make(), dataset, [0], 'sine')
    with pytest.raises(ValueError, match='at least one'):
        prototype_products(make(), dataset, [])


def test_the_diagonal_does_not_spread_the_colours():
    figure = draw_prototypes(dict(one=MATRIX), NAMES, META, kind='cosine')
    image = figure.axes[0].images[0]
    assert image.get_clim() == (0.0, 0.9)
    assert np.isnan(image.get_array().filled(np.nan).diagonal()).all()


def test_links_sides_and_the_highest_are_marked():
    figure = draw_prototypes(dict(one=MATRIX, two=-MATRIX), NAMES, META, kind='cosine', title='mean of 2 images')
    ax = figure.axes[0]
    marks = {line.get_marker(): sorted(zip(line.get_xdata(), line.get_ydata())) for line in ax.lines}
    assert marks['s'] == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert marks['D'] == [(1, 2), (2, 1)]
    assert marks['o'] == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert 'linked or mirrored: 2 of 4' in ax.get_title() and 'mean off the diagonal 0.32' in ax.get_title()
    colours = [label.get_color() for label in ax.get_yticklabels()]
    assert colours[0] == colours[3] == 'black' and len({*map(to_rgba, colours)}) == 3
    assert 'mean of 2 images: cosine' in figure._suptitle.get_text()


def test_the_table_names_what_is_highest():
    rows = [dict(zip([*RELATION_COLUMNS, *NAMES], row))
            for row in relation_table(dict(one=MATRIX), NAMES, META, kind='dot')]
    assert [(row['keypoint'], row['highest'], row['relation']) for row in rows] == [
        ('nose', 'tail', ''), ('left eye', 'R_eye', 'linked and mirrored'),
        ('R_eye', 'left eye', 'linked and mirrored'), ('tail', 'nose', '')]
    assert [rows[1][name] for name in NAMES] == ['0.2', '1', '0.9', '0.1'] and rows[0]['product'] == 'dot'


def test_a_dataset_without_skeleton_and_sides_has_no_such_marks():
    figure = draw_prototypes(dict(one=MATRIX), NAMES, {}, kind='cosine')
    assert [line.get_marker() for line in figure.axes[0].lines] == ['o']


def test_what_a_head_lacks_is_named():
    assert missing_for_prototypes(make().head) == []
    assert missing_for_prototypes(None) == ['read', 'activation_maps', 'reppg']
