import json

import cv2
import numpy as np
import pytest
import torch
from drawn_models import NAMES, plain_model
from matplotlib.figure import Figure

from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.tools.cli import main
from clamp_mmpose.tools.visualize.figures import FIGURES, load_figure


def test_pictures_are_written_and_named(files, tmp_path, capsys):
    out = tmp_path / 'new' / 'pictures'
    assert main(['visualize', *files(), '--out', str(out), '--num', '2', '--keypoints', 'nose', 'LEFT_EYE']) == 0
    expected = [str(out / name) for name in ('poses.png', 'score_maps_1.png', 'score_maps_2.png')]
    assert capsys.readouterr().out.splitlines()[-3:] == expected
    for path in expected:
        picture = cv2.imread(path)
        assert min(picture.shape[:2]) > 200 and picture.std() > 10


def test_a_model_without_score_maps_gives_one_picture(files, tmp_path, capsys):
    assert main(['visualize', *files(**plain_model()), '--out', str(tmp_path / 'out'), '--num', '1']) == 0
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['poses.png']


def test_a_model_that_predicts_from_the_score_map_alone_has_every_figure(files, tmp_path, unpainted):
    head = tiny_clamp_model(names=NAMES)['head'] | dict(
        matching_only=True, in_channels=None, score_head=dict(deconv_out_channels=(8, 8)))
    arguments = ['--out', str(tmp_path / 'out'), '--num', '1', '--mean-over', '1', '--figure', 'all']
    assert main(['visualize', *files(head=head), *arguments]) == 0
    drawn = {path.name for path in (tmp_path / 'out').iterdir()}
    assert {'poses.png', 'score_maps_1.png', 'score_map_overlay_1.png', 'similarity_1.png', 'prompts.png'} <= drawn


def test_the_seed_chooses_the_images(files, tmp_path):
    pictures = []
    config = files()
    for seed in '01':  # seeds that happen to begin with different animals
        arguments = ['--num', '1', '--keypoints', 'nose', '--seed', seed, '--out', str(tmp_path / seed)]
        assert main(['visualize', *config, *arguments]) == 0
        pictures.append((tmp_path / seed / 'poses.png').read_bytes())
    assert pictures[0] != pictures[1]


def test_an_unknown_keypoint_lists_the_known_ones(files, tmp_path, capsys):
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), '--keypoints', 'nose', 'beak']) == 2
    error = capsys.readouterr().err
    assert "'beak'" in error and all(name in error for name in NAMES)
    assert not (tmp_path / 'out').exists()


def test_a_missing_checkpoint_is_named(files, tmp_path, capsys):
    config, _ = files()
    assert main(['visualize', config, str(tmp_path / 'none.pth'), '--out', str(tmp_path / 'out')]) == 2
    assert 'none.pth' in capsys.readouterr().err


def test_options_change_the_config(files, tmp_path, capsys):
    option = 'val_dataloader.dataset.ann_file=annotations/none.json'
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), '--cfg-options', option]) == 2
    assert 'none.json' in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason='a CUDA device is there')
def test_a_device_that_is_not_there_is_named(files, tmp_path, capsys):
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), '--device', 'cuda']) == 2
    assert '--device cuda: PyTorch finds no CUDA device' in capsys.readouterr().err


def written(out):
    return sorted(path.name for path in out.iterdir())


def test_chosen_figures_alone_are_drawn(files, tmp_path, capsys, unpainted):
    out = tmp_path / 'out'
    assert main(['visualize', *files(), '--out', str(out), '--num', '1', '--figure', 'score-map-overlay']) == 0
    assert written(out) == ['score_map_overlay_1.png']


def test_all_draws_what_can_be_drawn_and_says_what_is_left_out(files, tmp_path, capsys, unpainted):
    out = tmp_path / 'out'
    arguments = ['--num', '2', '--mean-over', '3', '--figure', 'all']
    assert main(['visualize', *files(), '--out', str(out), *arguments]) == 0
    streams = capsys.readouterr()
    assert [line for line in streams.err.splitlines() if line.startswith('visualize:')] == [
        'visualize: comparison is left out: it needs --baseline CONFIG CHECKPOINT',
        'visualize: captions is left out: it needs a model that writes captions, such as BLIPCaptionPoseEstimator',
        'visualize: self-attention is left out: it needs a model that writes captions, such as '
        'BLIPCaptionPoseEstimator',
        'visualize: inpainting is left out: it needs a head that inpaints, such as MeTTAHead; CLAMPHead has no resize, '
        'self_supervised_heatmaps, inpainting, pixel_loss',
        'visualize: response-maps is left out: it needs a head with response maps, LOFRHead; CLAMPHead has no read, '
        'activation_maps, part_decoder',
        'visualize: prototypes is left out: it needs a head with pose prototypes, LOFRHead; CLAMPHead has no read, '
        'activation_maps, reppg',
        'visualize: adaptation is left out: it needs a model that adapts, MeTTAPoseEstimator; this is '
        'TopdownPoseEstimator, and its head CLAMPHead lacks adaptable_parameters() and adaptation_loss()',
        'visualize: adaptation-curve is left out: it needs --runs LABEL=PATH']
    assert written(out) == [
        'masking.csv', 'masking.png', 'masking_errors.png', 'poses.png', 'prompt_pairs.csv', 'prompts.csv',
        'prompts.png', 'score_map_overlay_1.png', 'score_map_overlay_2.png', 'score_maps_1.png', 'score_maps_2.png',
        'similarity.csv', 'similarity_1.png', 'similarity_2.png', 'similarity_mean.png']
    assert set(streams.out.splitlines()) >= {str(out / name) for name in written(out)}


@pytest.mark.parametrize('figure', ['score-maps', 'score-map-overlay', 'similarity', 'prompts'])
def test_a_figure_the_model_cannot_give_says_what_it_needs(figure, files, tmp_path, capsys, unpainted):
    config = files(**plain_model())
    assert main(['visualize', *config, '--out', str(tmp_path / 'out'), '--figure', 'poses', figure]) == 2
    assert f'--figure {figure} needs' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
    assert main(['visualize', *config, '--out', str(tmp_path / 'out'), '--figure', 'all', '--num', '1']) == 0
    assert f'{figure} is left out' in capsys.readouterr().err
    assert written(tmp_path / 'out') == ['masking.csv', 'masking.png', 'masking_errors.png', 'poses.png']


def test_an_unknown_figure_lists_those_there_are(files, tmp_path, capsys):
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), '--figure', 'poses', 'graph']) == 2
    error = capsys.readouterr().err
    assert '--figure graph' in error and all(name in error for name in (*FIGURES, 'all'))


def test_help_describes_every_figure(capsys):
    with pytest.raises(SystemExit):
        main(['visualize', '--help'])
    text = capsys.readouterr().out
    assert all(f'{name} ' in text and load_figure(name).HELP in text for name in FIGURES)


def test_many_instances_go_on_several_pages(files, tmp_path):
    for number in range(11):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.zeros((8, 8, 3), np.uint8))
    arguments = ['--out', str(tmp_path / 'out'), '--figure', 'poses', '--images', str(tmp_path)]
    assert main(['visualize', *files(**plain_model()), *arguments]) == 0
    heights = [cv2.imread(str(tmp_path / 'out' / f'poses_{page}.png')).shape[0] for page in (1, 2)]
    assert heights[0] > 5 * heights[1]


def test_limits_set_the_scale_of_the_overlay(files, tmp_path, capsys):
    pictures, config = {}, files()
    for name, limits in (('wide', ['-9', '9']), ('same', ['-9', '9']), ('narrow', ['-0.1', '0.1'])):
        arguments = ['--num', '1', '--figure', 'score-map-overlay', '--keypoints', 'nose']
        arguments += ['--out', str(tmp_path / name), '--limits', *limits]
        assert main(['visualize', *config, *arguments]) == 0
        pictures[name] = (tmp_path / name / 'score_map_overlay_1.png').read_bytes()
    assert pictures['wide'] == pictures['same'] != pictures['narrow']
    assert main(['visualize', *files(), *arguments[:-2], '1', '1']) == 2
    assert '--limits 1.0 1.0' in capsys.readouterr().err


def test_another_annotation_file_is_drawn(files, tmp_path, toy_root, monkeypatch, unpainted, capsys):
    """A path from where the user stands, not one in the data folder."""
    (tmp_path / 'mine.json').write_bytes((toy_root / 'annotations' / 'ap10k-train-split1.json').read_bytes())
    monkeypatch.chdir(tmp_path)
    arguments = ['--out', 'out', '--figure', 'comparison', '--baseline', *files()]
    seen = []
    monkeypatch.setattr('clamp_mmpose.visualization.draw_comparison',
                        lambda predictions, *args, **kwargs: seen.extend(predictions.values()) or Figure())
    assert main(['visualize', *files(), *arguments, '--ann', 'mine.json']) == 0
    listed = json.loads((tmp_path / 'mine.json').read_text())['images']
    assert {view.name for views in seen for view in views} == {image['file_name'] for image in listed}
    assert main(['visualize', *files(), *arguments, '--ann', 'other.json']) == 2
    assert 'other.json' in capsys.readouterr().err


def test_weights_of_another_model_are_refused_or_told(files, tmp_path, capsys, unpainted):
    config, checkpoint = files()
    torch.save(dict(state_dict=dict(other=torch.zeros(1))), tmp_path / 'other.pth')
    assert main(['visualize', config, str(tmp_path / 'other.pth'), '--out', str(tmp_path / 'out')]) == 2
    assert 'other.pth has no weight in common with the model' in capsys.readouterr().err
    weights = torch.load(checkpoint)['state_dict']
    weights.pop('neck.gamma')
    torch.save(dict(state_dict=weights), tmp_path / 'part.pth')
    arguments = ['--out', str(tmp_path / 'out'), '--num', '1', '--figure', 'poses']
    assert main(['visualize', config, str(tmp_path / 'part.pth'), *arguments]) == 0
    assert 'not in ' in (error := capsys.readouterr().err) and 'neck.gamma' in error


def test_weights_of_another_shape_are_refused(files, tmp_path, capsys):
    """MMEngine would go on with the random ones, and the pictures would show those."""
    config, checkpoint = files()
    weights = torch.load(checkpoint)['state_dict']
    weights['head.final_layer.weight'] = torch.ones(5, 16, 1, 1)
    torch.save(dict(state_dict=weights), tmp_path / 'other.pth')
    for extra in ([], ['--figure', 'similarity', '--before', str(tmp_path / 'other.pth')]):
        used = checkpoint if extra else str(tmp_path / 'other.pth')
        assert main(['visualize', config, used, '--out', str(tmp_path / 'out'), *extra]) == 2
        error = capsys.readouterr().err
        assert 'other.pth does not fit the config' in error and 'head.final_layer.weight' in error
        assert error.count('\n') == 1 and not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('text', 'options', 'message'), [
    ('model = (', [], 'SyntaxError: '),
    ('model = undefined', [], 'NameError: '),
    (None, ['model.neck.type=Missing'], 'KeyError: '),
    (None, ['model.backbone.colour=1'], 'TypeError: '),
])
def test_a_config_that_is_wrong_is_one_line(files, tmp_path, capsys, text, options, message):
    config, checkpoint = files()
    if text is not None:
        (tmp_path / 'config.py').write_text(text)
    arguments = ['--out', str(tmp_path / 'out'), *(['--cfg-options', *options] if options else [])]
    assert main(['visualize', config, checkpoint, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'visualize: error: {message}') and error.count('\n') == 1


def test_other_names_than_the_dataset_has_keypoints_are_refused(files, tmp_path, capsys):
    config = files(**tiny_clamp_model('vit', names=NAMES[:5]))
    assert main(['visualize', *config, '--out', str(tmp_path / 'out')]) == 2
    assert 'names 5 keypoints' in capsys.readouterr().err
