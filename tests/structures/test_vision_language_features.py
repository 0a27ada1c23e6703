import copy
import pickle

import pytest
import torch

from clamp_mmpose.structures import VisionLanguageFeatures

EXTRAS = ('dense', 'pooled', 'text', 'score_map')


@pytest.fixture
def feats():
    return VisionLanguageFeatures(
        (torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 4)),
        dense=torch.rand(2, 3, 4, 4),
        pooled=torch.rand(2, 3),
        text=torch.rand(2, 5, 3),
        score_map=torch.rand(2, 5, 4, 4))


def test_behaves_as_the_tuple_of_its_maps(feats):
    first, last = feats
    assert isinstance(feats, tuple) and len(feats) == 2
    assert feats[-1] is last and feats[0] is first
    assert [x.shape for x in feats] == [first.shape, last.shape]


def test_takes_maps_from_any_iterable():
    maps = [torch.rand(1, 1, 2, 2), torch.rand(1, 1, 1, 1)]
    assert VisionLanguageFeatures(iter(maps))[1] is maps[1]


def test_extras_are_none_unless_given():
    feats = VisionLanguageFeatures([torch.rand(1, 1, 2, 2)])
    assert [getattr(feats, name) for name in EXTRAS] == [None] * 4


def test_slicing_gives_a_plain_tuple_of_the_maps(feats):
    part = feats[:1]
    assert type(part) is tuple and part[0] is feats[0]
    assert type(feats + feats) is tuple


@pytest.mark.parametrize('copied', [
    lambda x: pickle.loads(pickle.dumps(x)),
    copy.deepcopy,
    copy.copy,
], ids=['pickle', 'deepcopy', 'copy'])
def test_copies_keep_maps_and_extras(feats, copied):
    clone = copied(feats)
    assert type(clone) is VisionLanguageFeatures
    torch.testing.assert_close(tuple(clone), tuple(feats), rtol=0, atol=0)
    for name in EXTRAS:
        torch.testing.assert_close(getattr(clone, name), getattr(feats, name), rtol=0, atol=0)


def test_a_deep_copy_shares_no_memory(feats):
    clone = copy.deepcopy(feats)
    clone.dense.zero_()
    clone[0].zero_()
    assert feats.dense.any() and feats[0].any()
