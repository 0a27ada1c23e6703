"""LOFR's layers against the paper's equations in loops, and what they must not do."""
import itertools
import math
from math import nan

import pytest
import torch
import torch.nn.functional as F
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from torch.profiler import ProfilerActivity, profile
from torch.testing import assert_close

from clamp_mmpose.models.layers import (
    ActivationMaps,
    ContextEncoder,
    LocalKeys,
    PartDecoder,
    PosePrototypes,
    SemanticGraphConv,
    SpatialPositionEncoding,
    kinematic_adjacency,
    resize_map,
    window_logits,
)
from clamp_mmpose.testing import randomize


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(module):
    return randomize(module).double().eval()


def chain(count):
    return kinematic_adjacency([(index, index + 1) for index in range(count - 1)], count)


def links_of(dataset):
    meta = parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{dataset}.py'))
    return meta['skeleton_links'], meta['num_keypoints']


def test_activation_maps_are_those_of_equation_1():
    layer, features = make(ActivationMaps(6, 3)), random(2, 6, 4, 5)
    logits, maps, activations = layer(features)
    weight, bias = layer.classifier.weight, layer.classifier.bias
    for b, c in itertools.product(range(2), range(3)):
        expected = bias[c] + sum(weight[c, k] * maps[b, k].sum() / 20 for k in range(3))
        assert_close(logits[b, c], expected)
        for y, x in itertools.product(range(4), range(5)):
            m = sum(weight[c, k] * maps[b, k, y, x] for k in range(3))
            assert_close(activations[b, c, y, x].relu(), max(m, torch.zeros_like(m)))
    # A global mean and a linear layer commute.
    assert_close(activations.mean((2, 3)) + bias, logits)


@pytest.mark.parametrize('weighting', ['sum', 'mean', 'softmax'])
def test_keypoint_vectors_are_those_of_equation_2(weighting):
    layer = make(PosePrototypes(6, 4, chain(3), weighting=weighting))
    features, maps = random(2, 6, 4, 5), random(2, 3, 4, 5, seed=1)
    vectors, embedded = layer.keypoint_vectors(features, maps), layer.embed(features)
    for b, c in itertools.product(range(2), range(3)):
        total = maps[b, c].exp().sum()
        expected = torch.zeros(4, dtype=torch.float64)
        for y, x in itertools.product(range(4), range(5)):
            value = maps[b, c, y, x]
            factor = {'sum': value, 'mean': value / 20, 'softmax': value.exp() / total}[weighting]
            expected += factor * embedded[b, :, y, x]
        assert_close(vectors[b, c], expected)


def test_graph_convolution_is_that_of_semgcn_in_loops():
    adjacency = kinematic_adjacency([(0, 2), (2, 3)], 4)
    layer, x = make(SemanticGraphConv(5, 6, adjacency)), random(2, 4, 5)
    edges = iter(layer.edge_logits)
    weights = [[next(edges).exp() if adjacency[i, j] else 0. for j in range(4)] for i in range(4)]
    for b, i in itertools.product(range(2), range(4)):
        expected = layer.bias.clone()
        for j in range(4):
            matrix = layer.weight[0] if i == j else layer.weight[1]
            expected = expected + weights[i][j] / sum(weights[i]) * (x[b, j] @ matrix)
        assert_close(layer(x)[b, i], expected)


@pytest.mark.parametrize('dataset, edges, parameters', [
    ('coco', 55, 131_383), ('mpii', 46, 131_374), ('crowdpose', 44, 131_372)])
def test_adjacency_and_graph_layer_have_the_sizes_of_the_skeleton(dataset, edges, parameters):
    links, count = links_of(dataset)
    adjacency = kinematic_adjacency(links, count)
    assert int(adjacency.sum()) == edges
    assert torch.equal(adjacency, adjacency.T) and bool((adjacency.diagonal() == 1).all())
    layer = SemanticGraphConv(256, 256, adjacency)
    assert sum(p.numel() for p in layer.parameters()) == parameters
    with torch.no_grad():
        layer.edge_logits.normal_(std=3)
    relations = layer.relations()
    assert_close(relations.sum(1), torch.ones(count))
    assert bool((relations[adjacency == 0] == 0).all()) and bool((relations[adjacency == 1] > 0).all())


def test_a_keypoint_without_links_sees_itself_alone():
    layer = SemanticGraphConv(5, 6, kinematic_adjacency([(0, 1)], 3))
    assert_close(layer.relations()[2], torch.tensor([0., 0., 1.]))
    assert kinematic_adjacency([(0, 1), (1, 0), (0, 1), (1, 1)], 3).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize('links, message', [
    ([], 'no links'), ([(0, 3)], r'\(0, 3\)'), ([(0, 1), (-1, 2)], r'\(-1, 2\)'), ([(0, 1, 2)], r'\(0, 1, 2\)')])
def test_a_skeleton_that_cannot_be_used_is_an_error(links, message):
    with pytest.raises(ValueError, match=message):
        kinematic_adjacency(links, 3)


def test_prototypes_know_their_neighbours_and_no_other_keypoint():
    layer = make(PosePrototypes(6, 4, chain(5), num_layers=2))
    features, maps = random(1, 6, 4, 5), random(1, 5, 4, 5, seed=1).requires_grad_()
    for keypoint, sees in ((0, {0, 1, 2}), (2, {0, 1, 2, 3, 4}), (4, {2, 3, 4})):
        slope, = torch.autograd.grad(layer(features, maps)[0, keypoint].sum(), maps)
        assert set(slope[0].abs().sum((1, 2)).nonzero()[:, 0].tolist()) <= sees
        assert slope[0, keypoint].abs().sum() > 0


def test_keypoint_maps_are_a_gaussian_around_the_maximum_times_the_map():
    layer, maps = SpatialPositionEncoding(8, 3, sigma=1.5), random(2, 3, 6, 7)
    maps[1, 2] = -maps[1, 2].abs()  # sees no keypoint
    maps.requires_grad_()
    result = layer.keypoint_maps(maps)
    assert not result.requires_grad
    for b, c in itertools.product(range(2), range(3)):
        positive = maps[b, c].detach().relu()
        if positive.max() == 0:
            assert bool((result[b, c] == 0).all())
            continue
        row, column = divmod(int(positive.argmax()), 7)
        for y, x in itertools.product(range(6), range(7)):
            distance = (y - row)**2 + (x - column)**2
            expected = math.exp(-distance / (2 * 1.5**2)) * float(positive[y, x] / positive.max())
            assert float(result[b, c, y, x]) == pytest.approx(expected, abs=1e-5)
        assert float(result[b, c].max()) == 1


def test_position_encoding_is_that_of_equations_3_and_4():
    layer = make(SpatialPositionEncoding(8, 3))
    features, maps = random(2, 8, 4, 5), random(2, 3, 4, 5, seed=1).abs()
    tokens = layer(features, maps)
    assert tokens.shape == (20, 2, 8)
    linear, norm = layer.psi
    for b, y, x in itertools.product(range(2), range(4), range(5)):
        phi = features[b, :, y, x] * max(maps[b, c, y, x] for c in range(3))
        expected = F.layer_norm(linear.weight @ (phi + features[b, :, y, x]) + linear.bias, (8, ), norm.weight,
                                norm.bias)
        assert_close(tokens[5 * y + x, b], expected)
    # Where no map sees a keypoint, the features stay.
    assert_close(layer(features, torch.zeros_like(maps)), layer.psi(features.flatten(2).permute(2, 0, 1)))
    assert SpatialPositionEncoding(8, 3, mode='project')(features.float(), maps.float()).shape == (20, 2, 8)


def test_resizing_leaves_the_first_cell_where_it_is():
    """Cell i of stride s lies on pixel s * i, so a ramp over the pixels stays that ramp."""
    pixels = torch.arange(6, dtype=torch.float64) * 32
    ramp = pixels.expand(1, 1, 8, 6)
    fine = resize_map(ramp, (64, 48))
    assert_close(fine[0, 0, 5, :41], 4. * torch.arange(41, dtype=torch.float64))
    assert_close(resize_map(fine, (8, 6)), ramp)
    assert resize_map(ramp, (8, 6)) is ramp
    assert_close(resize_map(ramp, (5, 7))[0, 0, 0, :6], torch.arange(6, dtype=torch.float64) * 32 * 6 / 7)


def encoder(**arguments):
    return ContextEncoder(8, 2, **dict(num_layers=2, num_heads=2, feedforward_channels=16) | arguments)


def test_the_encoder_shares_its_layers_and_keeps_scales_apart():
    layer, sizes = make(encoder()), [(4, 6), (2, 3)]
    tokens = [random(24, 2, 8), random(6, 2, 8, seed=1)]
    memory = layer(tokens, sizes)
    assert memory.shape == (2, 8, 4, 6)
    alone = []
    for x, size in zip(tokens, sizes):
        for block in layer.layers:
            x = block(x)
        alone.append(resize_map(x.permute(1, 2, 0).reshape(2, 8, *size), (4, 6)))
    assert_close(memory, layer.fuse(torch.cat(alone, 1)))


def test_a_single_scale_has_nothing_to_fuse():
    layer = ContextEncoder(8, 1, num_layers=1, num_heads=2)
    assert isinstance(layer.fuse, torch.nn.Identity)
    assert layer([torch.randn(24, 2, 8)], [(4, 6)]).shape == (2, 8, 4, 6)


def test_recomputing_changes_nothing_but_the_memory():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        layer = randomize(encoder(with_cp=with_cp, dropout=0.0)).double().train()
        x = random(24, 2, 8).requires_grad_()
        layer([x, x[:6]], [(4, 6), (2, 3)]).square().sum().backward()
        results.append([x.grad, *(p.grad for p in layer.parameters())])
    assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('training', [True, False])
def test_attention_of_the_encoder_stays_in_the_fused_kernel(training):
    layer, x = encoder().train(training), torch.randn(48, 2, 8)
    with torch.set_grad_enabled(training), profile(activities=[ProfilerActivity.CPU]) as profiler:
        result = layer([x, x], [(6, 8), (6, 8)])
        if training:
            result.sum().backward()
    kernels = {event.key for event in profiler.key_averages()}
    assert any('scaled_dot_product_flash_attention' in key or 'efficient_attention' in key for key in kernels)
    assert not any('softmax' in key for key in kernels), 'N x N weights'


@pytest.mark.parametrize('training', [True, False])
def test_a_response_map_sums_to_1(training):
    decoder = PartDecoder(8, num_layers=2, num_heads=2, feedforward_channels=16, dropout=0.5).train(training)
    responses, features, evidence = decoder(torch.randn(2, 5, 8), torch.randn(2, 8, 4, 6))
    assert evidence is None
    assert responses.shape == (2, 5, 4, 6) and features.shape == (2, 5, 8)
    assert bool((responses >= 0).all())
    assert_close(responses.sum((2, 3)), torch.ones(2, 5))


def test_a_part_feature_knows_the_image_only_where_its_map_looks():
    """Two parts with the same map have the same feature, whatever was asked for."""
    decoder = make(PartDecoder(8, num_layers=1, num_heads=2, feedforward_channels=16))
    memory, prototypes = random(1, 8, 4, 6), random(1, 3, 8, seed=1)
    with torch.no_grad():  # without keys all maps are even
        decoder.layers[0].multihead_attn.in_proj_weight[8:16] = 0
    responses, features, _ = decoder(prototypes, memory)
    assert_close(responses, torch.full_like(responses, 1 / 24))
    assert_close(features, features[:, :1].expand_as(features))
    layer, mean = decoder.layers[0], memory.mean((2, 3))
    projected = F.linear(mean, layer.multihead_attn.in_proj_weight[16:], layer.multihead_attn.in_proj_bias[16:])
    x = layer.norm2(mean + layer.multihead_attn.out_proj(projected))
    assert_close(features[:, 0], layer.norm3(x + layer.linear2(layer.linear1(x).relu())))


def test_a_window_has_the_logits_of_the_image_that_it_cuts_out():
    """The cells of a window give what they would give alone, whatever is around them."""
    evidence, sharpness = random(2, 3, 6, 8), torch.tensor(1.7, dtype=torch.float64)
    boxes = torch.tensor([[[0., 0, 64, 48], [8, 16, 40, 48], [nan, nan, nan, nan]],
                          [[20., 0, 21, 48], [15, -1, 17, 5], [-9, -9, 99, 12]]])
    logits, known = window_logits(evidence, sharpness, boxes, (64, 48))
    # One of the boxes lies between the places of cells 2 and 3, at pixels 16 and 24.
    assert known.tolist() == [[True, True, False], [False, True, True]]
    for found, (image, rows, columns) in zip(logits, (
            (0, slice(0, 6), slice(0, 8)), (0, slice(2, 6), slice(1, 5)),
            (1, slice(0, 1), slice(2, 3)), (1, slice(0, 2), slice(0, 8)))):
        cells = evidence[image, :, rows, columns].flatten(1)
        assert_close(found, ((1.7 * cells).softmax(-1) * cells).sum(-1))


def test_what_windows_teach_is_decoded_where_it_is():
    """Evidence that explains a point's windows best has its maximum on the cell that a codec puts on the point."""
    point, generator = (40., 24.), torch.Generator().manual_seed(0)
    evidence = torch.zeros(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    sides = torch.rand(1, 400, 2, generator=generator) * 40 + 8
    corners = torch.rand(1, 400, 2, generator=generator) * (64 - sides)
    boxes = torch.cat([corners, corners + sides], -1)
    inside = ((boxes[..., 0] <= point[0]) & (point[0] < boxes[..., 2]) & (boxes[..., 1] <= point[1])
              & (point[1] < boxes[..., 3])).double()
    optimizer = torch.optim.Adam([evidence], lr=0.1)
    for _ in range(100):
        logits, known = window_logits(evidence - 2, torch.tensor(1., dtype=torch.float64), boxes, (64, 64))
        loss = F.binary_cross_entropy_with_logits(logits[:, 0], inside[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    row, column = divmod(int(evidence.argmax()), 8)
    assert (column * 8, row * 8) == point


def test_windows_move_their_own_cells_alone():
    evidence = random(1, 2, 4, 4).requires_grad_()
    logits, _ = window_logits(evidence, torch.tensor(1.), torch.tensor([[[0., 0, 16, 32]]]), (32, 32))
    logits.sum().backward()
    assert (evidence.grad[..., :2].abs() > 0).all() and (evidence.grad[..., 2:] == 0).all()


def test_no_windows_have_no_logits():
    logits, known = window_logits(random(2, 3, 4, 4), torch.tensor(1.), torch.full((2, 1, 4), nan), (32, 32))
    assert logits.shape == (0, 3) and not known.any()


def test_the_transformer_has_the_parameters_of_detrs():
    assert sum(p.numel() for p in ContextEncoder(256, 3).layers.parameters()) == 5_260_288
    assert sum(p.numel() for p in PartDecoder(256).parameters()) == 9_472_512


@pytest.mark.parametrize('build, message', [
    (lambda: ContextEncoder(10, 1, num_heads=4), 'num_heads=4 of encoder'),
    (lambda: LocalKeys([4], 8, num_groups=3), 'num_groups=3 of local_matching'),
    (lambda: PartDecoder(8, num_layers=0), 'num_layers=0 of part_decoder'),
    (lambda: PosePrototypes(8, 8, torch.eye(2), num_layers=0), 'num_layers=0 of reppg'),
    (lambda: PosePrototypes(8, 8, torch.eye(2), weighting='max'), "weighting='max' of reppg"),
    (lambda: SpatialPositionEncoding(8, 3, mode='cross'), "mode='cross' of spe"),
    (lambda: SpatialPositionEncoding(8, 3, sigma=0), 'sigma=0 of spe'),
])
def test_arguments_that_do_not_fit_are_an_error(build, message):
    with pytest.raises(ValueError, match=message):
        build()
