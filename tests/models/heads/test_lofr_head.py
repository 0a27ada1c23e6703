"""LOFRHead: losses, what they reach and what they must not see, and what it predicts."""
import copy
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lofr_models import FLIP_INDICES, features_of, gradients_of, inputs_of, losses_of, make, make_batch
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import MODELS
from torch.testing import assert_close

OFF = dict(spe=None, scales=(4, ), reppg=None, diversity_loss=None)
TABLE_5 = ['', 'spe', 'scales', 'reppg', 'diversity_loss', 'spe scales', 'reppg diversity_loss',
           'spe scales reppg diversity_loss']


def variant(on):
    """Arguments of the head with the modules named in ``on``."""
    return {key: value for key, value in OFF.items() if key not in on.split()}


def predict(model, batch, **test_cfg):
    model.eval().test_cfg = test_cfg
    with torch.no_grad():
        return model(**inputs_of(model, batch, False), mode='predict')


def set_logits(model, presence):
    """Makes the decoder's classifier say ``presence``, a probability for each keypoint, of every image."""
    with torch.no_grad():
        model.head.decoder_classifier.weight.zero_()
        model.head.decoder_classifier.bias.copy_(torch.logit(torch.as_tensor(presence)))


def test_the_losses_are_those_of_equation_13():
    model, config = make()
    batch = make_batch(config)
    losses = losses_of(model.train(), batch)
    assert set(losses) == {'loss_cls_cnn', 'loss_cls_encoder', 'loss_cls_decoder', 'loss_diversity', 'acc_presence'}
    model.eval()  # the two passes of one batch are alike without dropout
    losses = losses_of(model, batch)
    out = model.head.read(features_of(model, batch))
    presence = torch.cat([sample.gt_instance_labels.presence for sample in batch['data_samples']])
    for name, weight in (('cnn', 0.2), ('encoder', 0.2), ('decoder', 0.5)):
        logits = getattr(out, f'{name}_logits').double()
        total = 0
        for b, c in itertools.product(range(2), range(5)):
            p = logits[b, c].sigmoid()
            total -= p.log() if presence[b, c] else (1 - p).log()
        assert_close(losses[f'loss_cls_{name}'].double(), weight * total / 10, rtol=1e-5, atol=1e-6)
    unit = F.normalize(out.features, dim=-1)
    cosines = unit @ unit.transpose(1, 2)
    assert_close(losses['loss_diversity'], 0.1 * (cosines.sum() - 10) / 2 / 20, rtol=1e-4, atol=1e-6)
    assert float(losses['acc_presence']) == ((out.decoder_logits > 0) == (presence > 0)).float().mean()


@pytest.mark.parametrize('presence', [0., 1.])
def test_without_an_opinion_each_classifier_loses_ln_2(presence):
    model, config = make()
    for classifier in (model.head.activation_maps.classifier, model.head.encoder_classifier,
                       model.head.decoder_classifier):
        torch.nn.init.zeros_(classifier.weight)
        torch.nn.init.zeros_(classifier.bias)
    losses = losses_of(model, make_batch(config, presence=torch.full((2, 5), presence)))
    for name, weight in (('cnn', 0.2), ('encoder', 0.2), ('decoder', 0.5)):
        assert float(losses[f'loss_cls_{name}']) == pytest.approx(weight * math.log(2), abs=1e-6)


def test_response_maps_have_the_finest_scale_and_sum_to_1():
    head = MODELS.build(dict(
        type='LOFRHead', in_channels=(4, 8, 16, 32), out_channels=17, channels=8,
        metainfo='configs/_base_/datasets/coco.py',
        encoder=dict(num_layers=1, feedforward_channels=8), part_decoder=dict(num_layers=1, feedforward_channels=8),
        decoder=dict(type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)))
    feats = [torch.randn(1, 4 * 2**i, 64 >> i, 48 >> i) for i in range(4)]
    out = head.read(feats)
    assert out.responses.shape == (1, 17, 64, 48) and out.activations.shape == (1, 17, 8, 6)
    assert bool((out.responses >= 0).all())
    assert_close(out.responses.sum((2, 3)), torch.ones(1, 17))
    assert head(feats).shape == (1, 17, 64, 48)


@pytest.mark.parametrize('on', TABLE_5)
@pytest.mark.parametrize('keypoint_loss', [None, dict(type='KeypointMSELoss', use_target_weight=True)])
def test_every_weight_learns_in_every_row_of_table_5(on, keypoint_loss):
    """One without a gradient would stop DistributedDataParallel."""
    model, config = make(variant(on) | dict(keypoint_loss=keypoint_loss))
    losses, gradients = gradients_of(model.train(), make_batch(config))
    assert ('loss_diversity' in losses) == ('diversity_loss' in on)
    assert ('loss_kpt' in losses) == (keypoint_loss is not None)
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    learnt = ['activation_maps.classifier.weight', 'encoder_classifier.weight', 'decoder_classifier.weight']
    learnt += ['reppg.convs.0.edge_logits', 'reppg.convs.1.edge_logits', 'reppg.embed.weight'] if 'reppg' in on else [
        'queries']
    learnt += ['spe.psi.0.weight'] if 'spe' in on else []
    learnt += ['encoder.fuse.weight'] if 'scales' in on else []
    for name in learnt:
        assert gradients[f'head.{name}'].abs().sum() > 0, name
    for name in ('reppg', 'spe', 'encoder.fuse.weight', 'queries'):
        found = any(key.startswith(f'head.{name}') for key in gradients)
        assert found == any(key.startswith(name) for key in learnt), name


@pytest.mark.parametrize('options', [
    dict(spe=dict(mode='project')), dict(reppg=dict(num_layers=1, weighting='softmax')), dict(scales=(8, )),
    dict(scales=(16, 4)), dict(encoder=dict(num_layers=1, num_heads=1, with_cp=True)),
    dict(part_decoder=dict(num_layers=1, num_heads=1)), dict(classification_weights=(0., 0., 1.)),
    dict(position_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=4, normalize=True)),
    dict(position_encoding=dict(type='mmdet.LearnedPositionalEncoding', num_feats=4), spe=None),
], ids=str)
def test_every_weight_learns_with_other_options(options):
    model, config = make(options)
    batch = make_batch(config)
    _, gradients = gradients_of(model.train(), batch)
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    size = 64 // min(options.get('scales', (4, )))
    assert model.head.read(features_of(model, batch)).responses.shape == (2, 5, size, size)
    assert predict(model, batch)[0].pred_instances.keypoints.shape == (1, 5, 2)


def test_no_gradient_goes_through_the_places_that_spe_marks():
    """With SPE the activation maps learn from their classifier and the prototypes, not from the encoder."""
    model, config = make(dict(reppg=None, classification_weights=(0., 0.2, 0.5)))
    _, gradients = gradients_of(model.train(), make_batch(config))
    assert float(gradients['head.activation_maps.to_keypoints.weight'].abs().sum()) == 0
    assert gradients['head.spe.psi.0.weight'].abs().sum() > 0
    model.eval()
    feats = [x.detach() for x in features_of(model, make_batch(config))]
    out = model.head.read(feats)
    with torch.no_grad():  # but the encoder does see them
        model.head.activation_maps.classifier.weight.mul_(-1)
    assert (model.head.read(feats).encoder_logits - out.encoder_logits).abs().max() > 1e-4


def scramble(batch):
    """Other coordinates, weights and heatmaps for the same presence."""
    batch = copy.deepcopy(batch)
    for sample in batch['data_samples']:
        sample.gt_instances.keypoints = np.random.default_rng(0).normal(size=(1, 5, 2)) * 1e6
        sample.gt_instances.transformed_keypoints = np.full((1, 5, 2), np.nan)
        sample.gt_instance_labels.keypoint_weights[:] = np.nan
        sample.gt_fields.heatmaps = torch.full((5, 16, 16), np.nan)
    return batch


def remove_locations(batch):
    batch = copy.deepcopy(batch)
    for sample in batch['data_samples']:
        del sample.gt_fields, sample.gt_instances, sample.gt_instance_labels.keypoint_weights
    return batch


@pytest.mark.parametrize('change', [scramble, remove_locations])
def test_without_locations_loss_and_gradients_are_the_same_to_the_last_bit(change):
    model, config = make()
    batch = make_batch(config)
    results = []
    for given in (batch, change(batch)):
        torch.manual_seed(0)
        results.append(gradients_of(model.train(), given))
    assert_close(results[0], results[1], rtol=0, atol=0)


def locate(batch, instances):
    """The batch with locations of these instances alone."""
    batch = copy.deepcopy(batch)
    for index, sample in enumerate(batch['data_samples']):
        if index not in instances:
            sample.gt_instance_labels.keypoint_weights.zero_()
            sample.gt_fields.heatmaps.zero_()
    return batch


def test_instances_without_locations_are_location_free_in_a_mixed_batch():
    model, config = make(dict(keypoint_loss=dict(type='KeypointMSELoss', use_target_weight=True)))
    batch = make_batch(config, batch_size=3)
    free, _ = make()
    free.load_state_dict(model.state_dict())
    torch.manual_seed(0)
    losses, gradients = gradients_of(model.train(), locate(batch, []))
    torch.manual_seed(0)
    free_losses, free_gradients = gradients_of(free.train(), batch)
    assert float(losses.pop('loss_kpt')) == 0
    assert_close((losses, gradients), (free_losses, free_gradients), rtol=0, atol=0)

    # The located instance counts as if it were the whole batch; what the others' heatmaps say does not matter.
    model.eval()
    mixed = locate(batch, [1])
    loss = losses_of(model, mixed)['loss_kpt']
    mixed['data_samples'][0].gt_fields.heatmaps.fill_(math.nan)
    assert_close(losses_of(model, mixed)['loss_kpt'], loss, rtol=0, atol=0)
    alone = {key: value[1:2] for key, value in batch.items()}
    assert_close(losses_of(model, alone)['loss_kpt'], loss)


def test_the_keypoint_loss_compares_response_maps_of_peak_1_where_there_are_weights():
    model, config = make(dict(keypoint_loss=dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=3.)))
    batch, head = make_batch(config), model.eval().head
    batch['data_samples'][0].gt_instance_labels.keypoint_weights[0, 2] = 0
    responses = head.read(features_of(model, batch)).responses
    total = 0
    for sample, maps in zip(batch['data_samples'], responses):
        for c in range(5):
            if sample.gt_instance_labels.keypoint_weights[0, c] > 0:
                total += (maps[c] / maps[c].max() - sample.gt_fields.heatmaps[c]).square().mean()
    assert_close(losses_of(model, batch)['loss_kpt'], 3 * total / 10)


def test_keypoints_are_the_maxima_of_the_response_maps_and_scores_their_presence():
    model, config = make()
    batch = make_batch(config)
    presence = [0.9, 0.3, 0.05, 0.6, 0.25]
    set_logits(model, presence)
    result = predict(model, batch, output_heatmaps=True)
    responses = model.head.read(features_of(model, batch)).responses
    for sample, maps in zip(result, responses):
        assert_close(sample.pred_fields.heatmaps, maps)
        assert_close(sample.pred_instances.keypoint_scores[0], np.array(presence, np.float32), rtol=1e-5, atol=1e-6)
        for (x, y), response in zip(sample.pred_instances.keypoints[0], maps):
            row, column = divmod(int(response.argmax()), 16)
            # MSRA's quarter of a cell, of 4 pixels, towards the higher neighbour
            assert abs(x - 4 * column) <= 1 and abs(y - 4 * row) <= 1


def test_scores_are_not_those_that_coco_metric_ignores():
    model, config = make()
    set_logits(model, [0.9] * 5)
    result = predict(model, make_batch(config), output_heatmaps=True)[0]
    assert float(result.pred_fields.heatmaps.max()) < 0.2  # what would be the score without normalisation
    assert result.pred_instances.keypoint_scores.min() > 0.2


def test_an_image_and_its_mirror_image_predict_mirrored_keypoints():
    """Flipped features of a flipped image: the average is the same from both sides."""
    model, config = make()
    head, batch = model.eval().head, make_batch(config)
    first, second = ([x.detach() for x in features_of(model, make_batch(config, seed=seed))] for seed in (0, 1))
    cfg = dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False, output_heatmaps=True)
    samples = batch['data_samples']
    preds, fields = head.predict([first, second], samples, cfg)
    mirrored, mirrored_fields = head.predict([second, first], samples, cfg)
    flip = list(FLIP_INDICES)
    for ours, theirs, a, b in zip(preds, mirrored, fields, mirrored_fields):
        assert_close(ours.keypoint_scores[:, flip], theirs.keypoint_scores)
        assert_close(a.heatmaps.flip(-1)[flip], b.heatmaps)
        x, mirrored_x = ours.keypoints[0, flip, 0], theirs.keypoints[0, :, 0]
        assert_close(4 * 15 - x, mirrored_x)


@pytest.mark.parametrize('source', ['response', 'activation'])
@pytest.mark.parametrize('shift', [False, True])
def test_flip_test_averages_maps_and_presence_with_left_and_right_swapped(source, shift):
    model, config = make()
    head, batch = model.eval().head, make_batch(config)
    feats = [[x.detach() for x in features_of(model, make_batch(config, seed=seed))] for seed in (0, 1)]
    test_cfg = dict(flip_test=True, shift_heatmap=shift, output_heatmaps=True, predict_from=source)
    preds, fields = head.predict(feats, batch['data_samples'], test_cfg)
    one, two = map(head.read, feats)
    maps = [out.responses if source == 'response' else out.activations.relu() for out in (one, two)]
    expected = (maps[0] + flip_heatmaps(maps[1], list(FLIP_INDICES), shift_heatmap=shift)) / 2
    assert_close(torch.stack([field.heatmaps for field in fields]), expected)
    logits = [out.decoder_logits if source == 'response' else out.cnn_logits for out in (one, two)]
    scores = (logits[0].sigmoid() + logits[1].sigmoid()[:, list(FLIP_INDICES)]) / 2
    assert_close(torch.tensor(np.concatenate([pred.keypoint_scores for pred in preds])), scores)


def test_flip_test_runs_through_the_estimator():
    model, config = make()
    plain, flipped = (predict(model, make_batch(config), flip_test=flip) for flip in (False, True))
    assert not np.array_equal(plain[0].pred_instances.keypoint_scores, flipped[0].pred_instances.keypoint_scores)
    assert flipped[0].pred_instances.keypoints.shape == (1, 5, 2)


def test_the_activation_maps_predict_too():
    model, config = make()
    batch = make_batch(config)
    result = predict(model, batch, predict_from='activation', output_heatmaps=True)
    out = model.head.read(features_of(model, batch))
    assert_close(torch.stack([sample.pred_fields.heatmaps for sample in result]), out.activations.relu())
    for sample, maps, logits in zip(result, out.activations, out.cnn_logits):
        assert_close(sample.pred_instances.keypoint_scores[0], logits.sigmoid().detach().numpy(), rtol=1e-5, atol=1e-6)
        for (x, y), activation in zip(sample.pred_instances.keypoints[0], maps):
            row, column = divmod(int(activation.argmax()), 2)
            assert abs(x - 32 * column) <= 1 and abs(y - 32 * row) <= 1


def test_an_activation_map_that_is_negative_everywhere_has_its_keypoint_in_the_image_still():
    model, config = make()
    with torch.no_grad():
        model.head.activation_maps.to_keypoints.bias.fill_(100)
        model.head.activation_maps.classifier.weight.abs_().neg_()
    result = predict(model, make_batch(config), predict_from='activation', output_heatmaps=True)[0]
    assert float(result.pred_fields.heatmaps.max()) == 0
    assert bool((result.pred_instances.keypoints >= -1).all()) and result.pred_instances.keypoints.max() > 0
    assert result.pred_instances.keypoint_scores.max() < 0.01


def test_a_flat_map_is_no_division_by_zero():
    model, _ = make()
    heatmaps = model.head._heatmaps(torch.full((1, 5, 16, 16), 1 / 256), torch.full((1, 5), 0.5))
    assert bool((heatmaps == 0).all())


def test_matched_parts_are_as_present_as_they_match_where_their_maps_look():
    model, config = make(dict(local_matching={}))
    model.eval()
    out = model.head.read(features_of(model, make_batch(config)))
    sharpness = model.head.part_decoder.sharpness
    assert_close(out.responses, (out.evidence * sharpness).flatten(2).softmax(-1).view_as(out.evidence))
    assert_close(out.decoder_logits, (out.responses * out.evidence).sum((2, 3)))
    assert_close(out.responses.sum((2, 3)), torch.ones(2, 5))


def test_without_context_a_part_is_matched_with_the_keys_of_the_backbones_maps():
    model, config = make(dict(local_matching={}, reppg=dict(embedding=True), part_decoder=dict(num_layers=1)))
    head, feats = model.eval().head, features_of(model, make_batch(config))
    layer = head.part_decoder.layers[-1]
    with torch.no_grad():
        for scale in (layer.query_scale, layer.key_scale, head.reppg.scale):
            scale.zero_()
    out = head.read(feats)
    keys = head.local_keys(feats, (16, 16))
    expected = torch.einsum('cd,bdhw->bchw', head.reppg.embedding, keys) / 8**.5 + layer.bias[:, None, None]
    assert_close(out.evidence, expected, rtol=1e-4, atol=1e-5)


def with_windows(batch, boxes, presence):
    for sample, *labels in zip(batch['data_samples'], boxes, presence):
        for name, label in zip(('window_boxes', 'window_presence'), labels):
            sample.gt_instance_labels.set_field(torch.tensor([label]), name)
    return batch


BOXES = [[[0., 0, 32, 64], [math.nan] * 4], [[8., 8, 40, 40], [16., 0, 64, 30]]]
TAGS = [[[1., 0, 0, 1, 0], [0.] * 5], [[0., 0, 1, 0, 0], [1., 1, 0, 0, 0]]]


def test_windows_count_as_much_as_what_their_image_lacks():
    model, config = make(dict(local_matching={}))
    model.eval()
    batch = with_windows(make_batch(config), BOXES, TAGS)
    out = model.head.read(features_of(model, batch))
    logits, labels = [*out.decoder_logits], [sample.gt_instance_labels.presence[0] for sample in batch['data_samples']]
    for image, window, cells in ((0, 0, np.s_[:, 0:8]), (1, 0, np.s_[2:10, 2:10]), (1, 1, np.s_[0:8, 4:16])):
        evidence = out.evidence[image][(slice(None), *cells)].flatten(1)
        weights = (evidence * model.head.part_decoder.sharpness).softmax(-1)
        logits.append((weights * evidence).sum(-1))
        labels.append(torch.tensor(TAGS[image][window]))
    logits, labels = torch.stack(logits), torch.stack(labels).float()
    known = torch.ones_like(labels)
    known[:2] -= labels[:2]  # what an image has may lie in any of its windows, or in none
    expected = F.binary_cross_entropy_with_logits(logits, labels, known)
    assert 0 < known[:2].sum() < known[:2].numel()
    assert_close(losses_of(model, batch)['loss_cls_decoder'], 0.5 * expected, rtol=1e-4, atol=1e-5)


def test_images_with_and_without_windows_share_a_batch():
    model, config = make(dict(local_matching={}))
    model.eval()
    batch, empty = (with_windows(make_batch(config), BOXES, TAGS) for _ in range(2))
    del batch['data_samples'][0].gt_instance_labels.window_boxes
    empty['data_samples'][0].gt_instance_labels.window_boxes[:] = math.nan
    assert losses_of(model, batch)['loss_cls_decoder'] == losses_of(model, empty)['loss_cls_decoder']


def test_a_label_that_is_not_known_adds_neither_loss_nor_gradient():
    model, config = make(dict(local_matching={}))
    model.eval()
    unknown = [[[math.nan] * 5 for _ in windows] for windows in TAGS]
    alone, beside = make_batch(config), with_windows(make_batch(config), BOXES, unknown)
    for sample in (*alone['data_samples'], *beside['data_samples']):
        sample.gt_instance_labels.presence[:] = 0  # of what an image has, its windows tell
    results = []
    for batch in (alone, beside):
        model.zero_grad()
        loss = losses_of(model, batch)['loss_cls_decoder']
        loss.backward()
        results.append((loss.detach(), model.head.part_decoder.layers[-1].bias.grad.clone()))
    (loss, gradient), others = results
    assert_close(others, (loss * 2 / 5, gradient * 2 / 5), rtol=1e-4, atol=1e-7)  # a mean over 2 images, 3 windows
    assert gradient.any()


def test_samples_of_a_batch_may_have_more_windows_than_others():
    model, config = make(dict(local_matching={}))
    model.eval()
    short = with_windows(make_batch(config), [BOXES[0][:1], BOXES[1]], [TAGS[0][:1], TAGS[1]])
    full = with_windows(make_batch(config), BOXES, TAGS)
    assert losses_of(model, short)['loss_cls_decoder'] == losses_of(model, full)['loss_cls_decoder']


def test_matching_is_switched_on_by_a_dict():
    with pytest.raises(ValueError, match='local_matching=True must be dict'):
        make(dict(local_matching=True))


def test_windows_need_parts_that_are_matched():
    model, config = make()
    with pytest.raises(ValueError, match='local_matching=dict'):
        losses_of(model, with_windows(make_batch(config), BOXES, TAGS))


def test_every_weight_gets_a_gradient_with_matched_parts_and_embedded_prototypes():
    model, config = make(dict(local_matching={}, reppg=dict(embedding=True)))
    _, gradients = gradients_of(model.train(), make_batch(config))
    assert not [name for name, gradient in gradients.items() if gradient is None]
    assert gradients['head.reppg.embedding'].abs().sum() > 0


def test_embedded_prototypes_differ_where_the_maps_of_the_keypoints_are_alike():
    cosines = {}
    for embedding in (False, True):
        model, config = make(dict(reppg=dict(embedding=embedding)))
        with torch.no_grad():
            for parameter in model.head.activation_maps.to_keypoints.parameters():
                parameter.copy_(parameter.mean(0, keepdim=True).expand_as(parameter))
        unit = F.normalize(model.head.read(features_of(model.eval(), make_batch(config))).prototypes, dim=-1)
        cosines[embedding] = (unit @ unit.transpose(1, 2)).mean()
    assert cosines[False] > .7 > cosines[True]
