"""`clamp-mmpose export`: the file, run by onnxruntime alone, gives what MMPose predicts."""
import hashlib
import json
import os
import re
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.models import build_pose_estimator

from clamp_mmpose.apis import PoseInferencer
from clamp_mmpose.testing import TINY_TEXT, pack_batch, randomize, tiny_clamp_model, tiny_lofr_model
from clamp_mmpose.tools.cli import main

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

NAMES = ('left eye', 'right eye', 'nose', 'left front paw', 'tail root')
MSRA = dict(type='MSRAHeatmap', input_size=(64, 96), heatmap_size=(16, 24), sigma=1.5)
UDP = dict(MSRA, type='UDPHeatmap')
COMBINED = dict(UDP, heatmap_type='combined')
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(64, 96)),
    dict(type='PackPoseInputs'),
]
METAINFO = dict(
    dataset_name='five',
    paper_info={},
    keypoint_info={
        index: dict(name=name, id=index, color=[0, 0, 0], type='', swap=swap)
        for index, (name, swap) in enumerate(
            zip(('L_Eye', 'R_Eye', 'Nose', 'Paw', 'Tail'), ('R_Eye', 'L_Eye', '', '', '')))
    },
    skeleton_info={},
    joint_weights=[1.0] * 5,
    sigmas=[0.1] * 5)
FLIP_INDICES = [1, 0, 2, 3, 4]


def heatmap_head(in_channels, deconvs=2, codec=MSRA, **changes):
    return dict(type='HeatmapHead', in_channels=in_channels, out_channels=5, decoder=codec,
                deconv_out_channels=(16, ) * deconvs, deconv_kernel_sizes=(4, ) * deconvs) | changes


def denseclip(prompting='post', **changes):
    """DenseCLIP's neck and MMPose's own head on the tiny ViT."""
    neck = dict(type='DenseCLIPNeck', names=NAMES, text_encoder=dict(type='CLIPTextEncoder', arch=deepcopy(TINY_TEXT)),
                prompting=prompting, context_decoder=dict(width=32))
    return tiny_clamp_model(codec=MSRA) | dict(neck=neck, head=heatmap_head(37)) | changes


def plain(codec=MSRA, **changes):
    """MMPose's own ResNet and head."""
    backbone = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)
    return tiny_clamp_model(codec=codec) | dict(backbone=backbone, neck=None,
                                                head=heatmap_head(64, 3, codec)) | changes


def matching(codec=MSRA):
    return tiny_clamp_model(names=NAMES, codec=codec, head=dict(
        matching_only=True, in_channels=None, score_head=dict(deconv_out_channels=(8, 8))))


MODELS = {
    'CLAMP, ViT': tiny_clamp_model(codec=MSRA),
    'CLAMP, ResNet': tiny_clamp_model('resnet', codec=MSRA),
    'CLAMP, UDP': tiny_clamp_model(codec=UDP),
    'CLAMP, unbiased': tiny_clamp_model(codec=dict(MSRA, unbiased=True)),
    'CLAMP, learned matrix': tiny_clamp_model(codec=MSRA, neck=dict(text_encoder=None, embed_dim=32)),
    'CLAMP, no encoder or decoder': tiny_clamp_model(codec=MSRA, neck=dict(prompt_encoder=None, context_decoder=None)),
    'score map only': matching(),
    'DenseCLIP, post': denseclip('post'),
    'DenseCLIP, template': denseclip('template'),
    'DenseCLIP with losses': denseclip(head=dict(type='WithAuxiliaryLoss', head=heatmap_head(37),
                                                 losses=[dict(type='ScoreMapBCELoss')])),
    'any backbone': plain(),
    'any backbone, embedded': plain(
        backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
        neck=denseclip()['neck'] | dict(embedding=dict(type='DenseAttentionPool', in_channels=64, input_size=(64, 96))),
        head=heatmap_head(69, 3)),
    'LOFR': tiny_lofr_model(codec=MSRA),
    'LOFR, matched': tiny_lofr_model(codec=MSRA, head=dict(local_matching={})),
    'BGR, not normalised': plain(data_preprocessor=dict(type='PoseDataPreprocessor')),
}


@pytest.fixture
def files(tmp_path):
    """Writes a config and its checkpoint; returns the options of the command that name them."""

    def write(model, **changes):
        dataset = dict(type='AP10KDataset', metainfo=METAINFO, pipeline=PIPELINE)
        config = dict(default_scope='mmpose', model=deepcopy(model), train_dataloader=dict(dataset=dataset),
                      test_dataloader=dict(dataset=dataset)) | changes
        Config(config).dump(tmp_path / 'config.py')
        built = randomize(build_pose_estimator(deepcopy(model)))
        torch.save(dict(state_dict=built.state_dict(), meta={}), tmp_path / 'weights.pth')
        return ['--config', str(tmp_path / 'config.py'), '--checkpoint', str(tmp_path / 'weights.pth'), '--out',
                str(tmp_path / 'new' / 'model.onnx')]

    return write


def run_graph(path, batch):
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    images = np.stack([image.numpy()[::-1] for image in batch['inputs']]).astype(np.float32)  # RGB
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(image=images))))


def predict(model, batch, names=None, **test_cfg):
    """What MMPose predicts for a batch whose boxes are the whole input, so that its pixels are those of the image."""
    model = dict(deepcopy(model), test_cfg=dict(output_heatmaps='decoded', flip_test=False) | test_cfg)
    model = randomize(build_pose_estimator(model)).eval()
    if names is not None:
        model.neck.prompts.set_names(names)
    with torch.no_grad():
        samples = model(**model.data_preprocessor(batch, False), mode='predict')
    return dict(
        heatmaps=np.stack([sample.pred_fields.heatmaps.numpy() for sample in samples]),
        keypoints=np.concatenate([sample.pred_instances.keypoints for sample in samples]),
        scores=np.concatenate([sample.pred_instances.keypoint_scores for sample in samples]))


def assert_same(outputs, expected, names=('heatmaps', 'keypoints', 'scores')):
    assert tuple(outputs) == tuple(names)
    for name in {'heatmaps', 'scores'} & set(names):
        np.testing.assert_allclose(outputs[name], expected[name], rtol=0, atol=1e-4)
    if 'keypoints' in names:
        # On maps of random weights DarkPose may step a thousand pixels, over a Hessian that is nearly singular.
        places = expected['keypoints']
        near = ((places > -8) & (places < np.array(MSRA['input_size']) + 8)).all(-1)
        assert near.mean() > 0.5
        np.testing.assert_allclose(outputs['keypoints'][near], places[near], rtol=0, atol=0.02)


RARE = {'CLAMP, learned matrix', 'CLAMP, no encoder or decoder', 'DenseCLIP, template', 'CLAMP, unbiased'}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=pytest.mark.slow if name in RARE else ()) for name in MODELS])
def test_the_file_gives_what_mmpose_predicts_for_any_number_of_pictures(name, files, capsys):
    options = files(MODELS[name])
    assert main(['export', *options]) == 0
    printed = capsys.readouterr().out
    assert 'pictures in batches of 1, 2, 3, 7' in printed and 'heatmaps: largest difference' in printed
    for batch_size in (1, 5):
        batch = pack_batch(MSRA, 5, batch_size=batch_size, seed=batch_size)
        assert_same(run_graph(options[-1], batch), predict(MODELS[name], batch))


@pytest.mark.parametrize('shift', [True, False])
def test_with_flip_test_it_averages_as_mmpose_does(files, shift):
    model = dict(tiny_clamp_model(codec=MSRA), test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=shift))
    options = files(model)
    batch = pack_batch(MSRA, 5, batch_size=3, flip_indices=FLIP_INDICES)
    once, twice = predict(model, batch), predict(model, batch, flip_test=True, shift_heatmap=shift)
    assert np.abs(once['heatmaps'] - twice['heatmaps']).max() > 0.01
    assert main(['export', *options, '--flip-test']) == 0
    assert_same(run_graph(options[-1], batch), twice)
    assert main(['export', *options, '--force']) == 0
    assert_same(run_graph(options[-1], batch), once)


@pytest.mark.parametrize('output, names', [('heatmaps', ['heatmaps']), ('keypoints', ['keypoints', 'scores'])])
def test_only_what_is_asked_for_is_in_the_file(files, output, names):
    options = files(tiny_clamp_model(codec=MSRA))
    assert main(['export', *options, '--output', output]) == 0
    batch = pack_batch(MSRA, 5)
    assert_same(run_graph(options[-1], batch), predict(tiny_clamp_model(codec=MSRA), batch), names)


def test_the_text_tower_and_what_only_trains_are_not_in_the_file(files):
    model = tiny_clamp_model(codec=MSRA)
    options = files(model)
    assert main(['export', *options]) == 0
    graph = onnx.load(options[-1]).graph
    held = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    built = build_pose_estimator(model)
    dropped = [built.neck.prompts, built.neck.prompt_encoder, built.head.score_head, built.head.feature_loss]
    needed = sum(p.numel() for p in built.parameters()) - sum(p.numel() for part in dropped for p in part.parameters())
    assert held == pytest.approx(needed, rel=0.05)
    assert {output.type.tensor_type.shape.dim[0].dim_param for output in [*graph.input, *graph.output]} == {'batch'}


def test_the_file_says_what_it_is(files, tmp_path):
    options = files(tiny_clamp_model(names=NAMES, codec=UDP))
    assert main(['export', *options, '--flip-test']) == 0
    metadata = {prop.key: prop.value for prop in onnx.load(options[-1]).metadata_props}
    assert json.loads(metadata['keypoint_names']) == list(NAMES)
    assert json.loads(metadata['input_size']) == [64, 96]
    np.testing.assert_allclose(json.loads(metadata['mean']), [123.675, 116.28, 103.53], rtol=1e-6)
    assert json.loads(metadata['codec']) == json.loads(json.dumps(UDP))
    assert json.loads(metadata['flip_test']) is True
    assert metadata['checkpoint_sha256'] == hashlib.sha256((tmp_path / 'weights.pth').read_bytes()).hexdigest()
    assert metadata['config'] == 'config.py' and str(tmp_path) not in str(metadata)
    assert {'clamp-mmpose', 'torch', 'mmpose', 'onnx'} == set(json.loads(metadata['versions']))
    assert 'Apache-2.0' in metadata['license'] and 'RGB' in metadata['input_layout']


@pytest.mark.parametrize('use_udp', [False, True])
def test_the_file_alone_finds_the_keypoints_of_a_photograph(files, tmp_path, use_udp):
    """Cut out, run and placed by what the metadata say, they are where our inferencer has them."""
    pipeline = deepcopy(PIPELINE)
    pipeline[1]['padding'] = 1.4
    pipeline[2]['use_udp'] = use_udp
    dataset = dict(type='AP10KDataset', metainfo=METAINFO, pipeline=pipeline)
    model = dict(tiny_clamp_model(codec=MSRA), test_cfg=dict(flip_test=False))
    options = files(model, test_dataloader=dict(dataset=dataset))
    assert main(['export', *options]) == 0
    noise = np.random.default_rng(0).integers(0, 256, (70, 120, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 3)
    result, = PoseInferencer(*options[1:4:2], device='cpu')(image)

    session = onnxruntime.InferenceSession(options[-1], providers=['CPUExecutionProvider'])
    metadata = session.get_modelmeta().custom_metadata_map
    size, box = np.array(json.loads(metadata['input_size'])), json.loads(metadata['box'])
    assert [output.shape for output in session.get_outputs()] == [
        ['batch', 5, 24, 16], ['batch', 5, 2], ['batch', 5]]
    wide = np.array([120, 70]) * box['padding']
    wide = (wide / size).max() * size  # of the input's shape
    corner = np.array([60, 35]) - wide / 2
    scale = (size - 1 if box['use_udp'] else size) / wide
    cut = cv2.warpAffine(image, np.array([[scale[0], 0, -scale[0] * corner[0]], [0, scale[1], -scale[1] * corner[1]]]),
                         size.tolist(), flags=cv2.INTER_LINEAR)
    _, keypoints, scores = session.run(None, dict(image=cut.transpose(2, 0, 1)[None, ::-1].astype(np.float32)))
    np.testing.assert_allclose(keypoints[0] / size * wide + corner, result.keypoints[0], rtol=0, atol=0.02)
    np.testing.assert_allclose(scores[0], result.scores[0], rtol=0, atol=1e-3)


def test_without_language_the_names_are_the_datasets(files):
    options = files(plain())
    assert main(['export', *options, '--output', 'heatmaps']) == 0
    metadata = {prop.key: prop.value for prop in onnx.load(options[-1]).metadata_props}
    assert json.loads(metadata['keypoint_names']) == ['L Eye', 'R Eye', 'Nose', 'Paw', 'Tail']


def test_the_score_map_alone_is_exported_for_any_names(files, capsys):
    names = ['left ear', 'tail tip', 'right ear']
    options = files(matching())
    assert main(['export', *options, '--prompts', *names, '--flip-test']) == 0
    batch = pack_batch(MSRA, 5, flip_indices=[2, 1, 0])
    assert_same(run_graph(options[-1], batch), predict(matching(), batch, names, flip_test=True, shift_heatmap=True))
    assert main(['export', *options, '--force', '--prompts', 'left ear', '--flip-test']) == 2
    assert "the other side of 'left ear' is not among the names" in capsys.readouterr().err


def test_given_pictures_are_compared_too(files, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'wide.png'), np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8))
    options = files(tiny_clamp_model(codec=MSRA))
    assert main(['export', *options, '--images', str(tmp_path / 'wide.png')]) == 0
    assert 'MMPose, 14 pictures' in capsys.readouterr().out


def test_heatmaps_of_other_codecs(files, capsys):
    model = plain(COMBINED)
    model['head'].update(out_channels=15, loss=dict(type='CombinedTargetMSELoss', use_target_weight=True))
    options = files(model)
    assert main(['export', *options]) == 2
    assert 'keypoints of the codec UDPHeatmap with combined maps' in capsys.readouterr().err
    assert main(['export', *options, '--output', 'heatmaps']) == 0
    batch = pack_batch(MSRA, 5)
    assert_same(run_graph(options[-1], batch), predict(model, batch), ['heatmaps'])
    metadata = {prop.key: prop.value for prop in onnx.load(options[-1]).metadata_props}
    assert len(json.loads(metadata['keypoint_names'])) == 5


def test_the_newer_exporter_of_pytorch_gives_the_same(files):
    pytest.importorskip('onnxscript')
    options = files(tiny_clamp_model(codec=UDP))
    assert main(['export', *options, '--exporter', 'dynamo', '--opset', '18']) == 0
    batch = pack_batch(UDP, 5, batch_size=4)
    assert_same(run_graph(options[-1], batch), predict(tiny_clamp_model(codec=UDP), batch))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['clamp_rn50', 'clamp_vit-b16', 'clamp_vit-b16-matching', 'simplebaseline_clip-rn50'])
def test_models_of_full_size(name, tmp_path, capsys):
    config = f'configs/clamp/{name}_4xb32-210e_ap10k-256x256.py'
    cfg = Config.fromfile(config)
    torch.save(dict(state_dict=randomize(build_pose_estimator(cfg.model)).state_dict()), tmp_path / 'weights.pth')
    root = os.environ.get('CLAMP_MMPOSE_REAL_DATA')
    images = ['--images', *map(str, Path(root, 'ap10k').glob('*.jpg'))] if root else []
    out = tmp_path / 'model.onnx'
    assert main(['export', '--config', config, '--checkpoint', str(tmp_path / 'weights.pth'), '--out', str(out),
                 *images]) == 0
    difference = float(re.search(r'heatmaps: largest difference (\S+),', capsys.readouterr().out).group(1))
    assert difference <= 1e-4
    # Single precision, without the text tower of some 63 million parameters.
    held = sum(p.numel() for key, p in build_pose_estimator(cfg.model).named_parameters() if 'neck.p' not in key)
    assert out.stat().st_size < 4.2 * held
