"""`clamp-mmpose export` says in one line what it cannot export, and keeps no graph that is not the model."""
import importlib.util

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.models import build_pose_estimator
from mmpose.registry import KEYPOINT_CODECS

from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.tools.cli import main

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
from clamp_mmpose.tools.export import graph
from clamp_mmpose.tools.export.check import PIXELS, Difference, compare
from clamp_mmpose.tools.export.decoding import build_decoding
from clamp_mmpose.tools.export.subject import Prediction

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)


@pytest.fixture
def options(tmp_path):
    """Writes a config and a checkpoint, of the same model or another, and gives the options that name them."""

    def write(model=None, weights=None, **changes):
        model = model or tiny_clamp_model()
        Config(dict(default_scope='mmpose', model=model) | changes).dump(tmp_path / 'config.py')
        if weights is None:
            weights = dict(state_dict=build_pose_estimator(dict(model)).state_dict(), meta={})
        torch.save(weights, tmp_path / 'weights.pth')
        return ['--config', str(tmp_path / 'config.py'), '--checkpoint', str(tmp_path / 'weights.pth'), '--out',
                str(tmp_path / 'new' / 'model.onnx')]

    return write


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs the command; returns its one line of complaint."""

    def run(*arguments, status=2):
        assert main(['export', *map(str, arguments)]) == status
        lines = [line for line in capsys.readouterr().err.splitlines() if 'clamp-mmpose export' in line]
        assert len(lines) == 1 and 'Traceback' not in lines[0]
        assert not list(tmp_path.rglob('*.onnx'))
        return lines[0]

    return run


def test_files_that_are_not_there(options, refused, tmp_path):
    config, checkpoint, out = options()[1::2]
    assert 'there is no file nowhere.pth' in refused('--config', config, '--checkpoint', 'nowhere.pth', '--out', out)
    assert 'there is no file nowhere.py' in refused('--config', 'nowhere.py', '--checkpoint', checkpoint, '--out', out)
    assert '--images: there is no file nowhere.jpg' in refused(*options(), '--images', 'nowhere.jpg')
    assert 'is a folder' in refused('--config', config, '--checkpoint', checkpoint, '--out', tmp_path)


def test_a_picture_that_cannot_be_read(options, refused, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'not a picture')
    assert 'broken.jpg is no picture' in refused(*options(), '--images', tmp_path / 'broken.jpg')


def test_a_file_that_is_there_is_written_over_only_by_force(options, capsys):
    arguments = ['export', *options(), '--output', 'heatmaps']
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert '--force writes over it' in capsys.readouterr().err
    assert main([*arguments, '--force']) == 0


def test_a_checkpoint_of_another_model(options, refused):
    baseline = dict(tiny_clamp_model(with_embedding=False), neck=None)
    baseline['head'] = dict(type='HeatmapHead', in_channels=32, out_channels=5, decoder=CODEC,
                            deconv_out_channels=(16, 16), deconv_kernel_sizes=(4, 4))
    weights = dict(state_dict=build_pose_estimator(dict(baseline)).state_dict())
    assert 'weights.pth does not fit the config: ' in refused(*options(weights=weights))
    state = build_pose_estimator(tiny_clamp_model()).state_dict()
    weights = dict(state_dict={key: value for key, value in state.items() if 'context_decoder' not in key})
    assert 'does not fit the config: it has no neck.context_decoder' in refused(*options(weights=weights))
    wide = tiny_clamp_model(head=dict(deconv_out_channels=(8, 8)))
    assert 'size mismatch' in refused(*options(weights=dict(state_dict=build_pose_estimator(wide).state_dict())))


@pytest.mark.parametrize('weights', [dict(epoch=3), [1, 2], dict(state_dict=dict(a=1))])
def test_a_checkpoint_without_weights(options, refused, weights):
    assert 'holds no weights; a checkpoint is a file' in refused(*options(weights=weights))


def test_a_checkpoint_that_is_no_checkpoint(options, refused, tmp_path):
    arguments = options()
    (tmp_path / 'weights.pth').write_bytes(b'text')
    refused(*arguments)


def test_a_checkpoint_of_parallel_training_is_taken(options):
    state = build_pose_estimator(tiny_clamp_model()).state_dict()
    weights = dict(state_dict={f'module.{key}': value for key, value in state.items()})
    assert main(['export', *options(weights=weights), '--output', 'heatmaps']) == 0


def test_contexts_that_come_from_the_image(options, refused):
    neck = dict(type='DenseCLIPNeck', names=['a', 'b'], prompting='pre')
    message = refused(*options(tiny_clamp_model() | dict(neck=neck), weights={}))
    assert "prompting='pre' runs the text tower for every image" in message


def test_a_model_that_is_not_top_down(options, refused):
    bottom_up = dict(type='BottomupPoseEstimator', backbone=dict(type='ResNet', depth=18))
    assert "only MMPose's TopdownPoseEstimator" in refused(*options(bottom_up, weights={}))
    detector = dict(type='mmdet.FasterRCNN')
    assert "only MMPose's TopdownPoseEstimator" in refused(*options(detector, weights={}))


def test_a_config_without_a_model(refused, options, tmp_path):
    arguments = options()
    (tmp_path / 'config.py').write_text('x = 1')
    assert 'has no model' in refused(*arguments)
    (tmp_path / 'config.py').write_text('x = (')
    refused(*arguments)


def test_a_model_that_does_not_build(options, refused):
    assert 'does not build a model' in refused(*options(tiny_clamp_model(head=dict(colour='red')), weights={}))
    assert 'PartThatIsNot' in refused(*options(tiny_clamp_model(head=dict(type='PartThatIsNot')), weights={}))
    headless = {key: value for key, value in tiny_clamp_model().items() if key != 'head'}
    assert 'has no head' in refused(*options(headless, weights={}))
    assert 'has no decoder' in refused(*options(tiny_clamp_model(head=dict(decoder=None))))
    chosen = tiny_clamp_model() | dict(test_cfg=dict(output_keypoint_indices=[0, 2]))
    assert 'test_cfg.output_keypoint_indices' in refused(*options(chosen))


def test_pictures_need_the_pipeline_of_the_config(options, refused, tmp_path):
    (tmp_path / 'picture.ppm').write_bytes(b'P6 1 1 255 abc')
    assert '--images needs the test_dataloader' in refused(*options(), '--images', tmp_path / 'picture.ppm')


HEADS = {
    'RTMCCHead': dict(type='RTMCCHead', in_channels=32, out_channels=5, input_size=(64, 64), in_featuremap_size=(4, 4),
                      loss=dict(type='KLDiscretLoss'),
                      decoder=dict(type='SimCCLabel', input_size=(64, 64), sigma=2.0, simcc_split_ratio=2.0)),
    'RegressionHead': dict(type='RegressionHead', in_channels=32, num_joints=5, loss=dict(type='SmoothL1Loss'),
                           decoder=dict(type='RegressionLabel', input_size=(64, 64))),
}


@pytest.mark.parametrize('name', HEADS)
def test_a_head_without_heatmaps(options, refused, name):
    model = dict(tiny_clamp_model(with_embedding=False), neck=None, head=HEADS[name])
    if name == 'RegressionHead':
        model['neck'] = dict(type='GlobalAveragePooling')
    assert f'the head {name} gives no heatmaps' in refused(*options(model))


def test_other_names_for_a_head_of_fixed_keypoints(options, refused):
    assert 'CLAMPHead(matching_only=True)' in refused(*options(), '--prompts', 'beak')


@pytest.mark.parametrize('arguments, message', [
    (['--batch', '0'], '--batch 0 must be 1 or more'),
    (['--atol', '0'], '--atol 0.0 above 0'),
    (['--device', 'cuda'], 'finds no CUDA device'),
    (['--opset', '9'], '--opset 9'),
    (['--opset', '999'], '--opset 999'),
])
def test_options_that_make_no_sense(options, refused, arguments, message):
    if arguments[1] == 'cuda' and torch.cuda.is_available():
        pytest.skip('there is a CUDA device')
    assert message in refused(*options(), *arguments)


def test_an_operator_that_the_opset_lacks_is_not_followed_by_the_whole_graph(options, capfd):
    assert main(['export', *options(), '--opset', '13']) == 2
    captured = capfd.readouterr()
    assert 'scaled_dot_product_attention' in captured.err and 'graph(' not in captured.out + captured.err


def test_without_the_packages_it_says_how_to_get_them(options, refused, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *args: None if 'onnx' in name else found(name, *args))
    assert 'pip install onnx onnxruntime' in refused(*options())
    assert 'pip install onnx onnxruntime onnxscript' in refused(*options(), '--exporter', 'dynamo')


def test_a_graph_that_differs_is_not_written(options, refused, monkeypatch, capsys):
    right = graph.PoseGraph._heatmaps
    monkeypatch.setattr(graph.PoseGraph, '_heatmaps', lambda self, x: right(self, x) + 1e-3)
    assert 'the graph is not the model' in refused(*options(), status=1)
    assert main(['export', *options(), '--atol', '0.01']) == 0


def test_a_graph_for_one_number_of_pictures_is_not_written(options, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(graph.PoseGraph, '_heatmaps', lambda self, x: self.model.head(
        self.model.extract_feat(x.reshape(2, 3, 64, 64))))
    assert main(['export', *options()]) == 1
    assert 'onnxruntime does not run the graph with batch 1' in capsys.readouterr().err
    assert not list(tmp_path.rglob('*.onnx'))


def test_decoding_that_differs_is_found_and_ties_are_counted():
    codec = KEYPOINT_CODECS.build(CODEC)
    heatmaps = np.zeros((1, 3, 16, 16), np.float32)
    heatmaps[0, :, 5, 6] = 1
    heatmaps[0, 0, 5, 7] = 0.5
    heatmaps[0, 1, 9, 9] = 1  # two maxima
    heatmaps[0, 2, 5, 7], heatmaps[0, 2, 5, 5], heatmaps[0, 2, 6, 6] = 0.5, 0.1, 0.2
    keypoints, scores = codec.decode(heatmaps[0])
    expected = Prediction(heatmaps, keypoints, scores)
    same = compare(dict(heatmaps=heatmaps, keypoints=keypoints, scores=scores), expected, codec)
    # Of the first, noise decides between the neighbours above and below.
    assert same == Difference(heatmaps=0, highest=1, keypoints=0, undecided=2, total=3) and same.passes(1e-4)
    moved = keypoints.copy()
    moved[0, 1] += 30
    assert compare(dict(heatmaps=heatmaps, keypoints=moved, scores=scores), expected, codec).passes(1e-4)
    moved[0, 2, 0] += 0.02
    assert not compare(dict(heatmaps=heatmaps, keypoints=moved, scores=scores), expected, codec).passes(1e-4)
    lower = compare(dict(heatmaps=heatmaps, keypoints=keypoints, scores=scores - 0.01), expected, codec)
    assert lower.heatmaps == pytest.approx(0.01) and not lower.passes(1e-4)
    assert not compare(dict(heatmaps=heatmaps * np.nan), expected, codec).passes(1e-4)


def test_rounding_on_a_flat_map_is_no_difference():
    """UDP's decoding divides by the second derivatives of the logarithm, so on such maps it multiplies rounding."""
    codec = KEYPOINT_CODECS.build(dict(CODEC, type='UDPHeatmap'))
    decoding = build_decoding(codec)
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.normal(size=(16, 16, 64)), (0, 0), 3).transpose(2, 0, 1)
    heatmaps = (0.13 + 1e-3 * smooth[None]).astype(np.float32)
    keypoints, scores = codec.decode(heatmaps[0])
    found, found_scores = (part.numpy() for part in decoding(torch.from_numpy(heatmaps)))
    assert np.linalg.norm(found - keypoints, axis=-1).max() > PIXELS  # both are right
    outputs = dict(heatmaps=heatmaps, keypoints=found, scores=found_scores)
    difference = compare(outputs, Prediction(heatmaps, keypoints, scores), codec)
    assert difference.passes(1e-4) and difference.undecided > 0
