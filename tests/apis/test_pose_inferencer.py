import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import MMPoseInferencer, inference_topdown, init_model
from pose_files import DETECTOR, NAMES, picture, write_model, write_picture, write_video

from clamp_mmpose.apis import Boxes, BoxFile, PoseInferencer, WholeImage
from clamp_mmpose.testing import tiny_clamp_model

# Batches of other sizes add in another order; in pixels of pictures 80 wide.
TOLERANCE = dict(rtol=0, atol=2e-3)


class GivenBoxes(WholeImage):
    """As many boxes as the frame's number says, each another."""

    def find(self, frames):
        return [Boxes.of([self.box(number) for number in range(int(frame.input.name))],
                         [1 - number / 10 for number in range(int(frame.input.name))], [1] * int(frame.input.name))
                for frame in frames]

    @staticmethod
    def box(number):
        return [5 * number, 3, 30 + 5 * number, 50 - number]


@pytest.fixture(scope='module')
def inferencer(model_files):
    return PoseInferencer(*model_files, device='cpu')


def test_predictions_are_those_of_inference_topdown_in_any_batch(model_files):
    model = init_model(*model_files, device='cpu')
    images = [picture(seed) for seed in range(4)]  # with 0, 1, 2 and 3 boxes
    expected = [None] + [
        [sample.pred_instances for sample in
         inference_topdown(model, image, [GivenBoxes.box(number) for number in range(count)])]
        for count, image in enumerate(images[1:], 1)
    ]
    for batch_size in (1, 2, 16):
        results = list(PoseInferencer(*model_files, boxes=GivenBoxes(), batch_size=batch_size, device='cpu')(images))
        assert [len(result) for result in results] == [0, 1, 2, 3]
        for result, single in zip(results[1:], expected[1:]):
            for number, instances in enumerate(single):
                np.testing.assert_allclose(result.keypoints[number], instances.keypoints[0], **TOLERANCE)
                np.testing.assert_allclose(result.scores[number], instances.keypoint_scores[0], atol=1e-5)


def test_whole_images_are_those_of_mmposes_inferencer(model_files, inferencer, tmp_path):
    files = [str(write_picture(tmp_path / f'{seed}.jpg', seed, height=50 + seed)) for seed in range(3)]
    theirs = MMPoseInferencer(pose2d=model_files[0], pose2d_weights=model_files[1], det_model='whole_image',
                              device='cpu')
    for result, other in zip(inferencer(files), theirs(files)):
        instance, = other['predictions'][0]
        np.testing.assert_allclose(result.keypoints[0], instance['keypoints'], **TOLERANCE)
        np.testing.assert_allclose(result.scores[0], instance['keypoint_scores'], atol=1e-5)
        np.testing.assert_allclose(result.boxes.xyxy, instance['bbox'])


def test_names_are_those_of_the_dataset_and_the_checkpoints_come_first(model_files, tmp_path):
    assert PoseInferencer(*model_files, device='cpu').keypoint_names[:2] == ('L_Eye', 'R_Eye')
    meta = init_model(*model_files, device='cpu').dataset_meta
    meta = dict(copy.deepcopy(meta), keypoint_id2name=dict(enumerate(NAMES)))
    files = write_model(tmp_path, meta=dict(dataset_meta=meta))
    assert PoseInferencer(*files, device='cpu').keypoint_names[:2] == ('left eye', 'right eye')


def test_files_folders_and_videos_come_in_order_and_a_broken_one_stops_nothing(inferencer, tmp_path):
    write_picture(tmp_path / 'a.png')
    (tmp_path / 'b.jpg').write_text('no picture')
    write_video(tmp_path / 'c.avi', frames=3)
    results = list(inferencer(str(tmp_path), every=2))
    assert [(result.path[-5:], result.frame.index, result.error is None) for result in results] == [
        ('a.png', None, True), ('b.jpg', None, False), ('c.avi', 0, True), ('c.avi', 2, True)]
    assert len(results[1]) == 0 and results[1].keypoints.shape == (0, 17, 2)


def test_one_image_that_a_transform_cannot_take_stops_nothing(inferencer, monkeypatch):
    images = [picture(seed) for seed in range(3)]
    pipeline = inferencer.pipeline

    def stumble(data):
        if data['img'] is images[1]:
            raise ZeroDivisionError('of an odd image')
        return pipeline(data)

    monkeypatch.setattr(inferencer, 'pipeline', stumble)
    results = list(inferencer(images))
    assert [result.error for result in results] == [None, 'ZeroDivisionError: of an odd image', None]
    assert [len(result.boxes.xyxy) for result in results] == [1, 0, 1]


def test_few_frames_wait_for_their_batch(model_files, monkeypatch):
    """Large photographs wait in smaller numbers, and nothing is read far ahead."""
    read = []

    def images():
        for seed in range(6):
            read.append(seed)
            yield picture(seed)

    from clamp_mmpose.apis import pose_inferencer
    from clamp_mmpose.apis.frames import Frame
    from clamp_mmpose.apis.inputs import Input
    inferencer = PoseInferencer(*model_files, batch_size=4, device='cpu')
    next(inferencer._estimate(Frame(Input('x', 'x'), image=image) for image in images()))
    assert read == [0, 1, 2, 3]
    read.clear()
    monkeypatch.setattr(pose_inferencer, '_MAX_WAITING_BYTES', picture().nbytes)
    next(inferencer._estimate(Frame(Input('x', 'x'), image=image) for image in images()))
    assert read == [0, 1]


def test_the_text_tower_is_dropped(inferencer):
    assert inferencer.model.neck.prompts.text_encoder is None


def test_the_flip_test_can_be_left_out(model_files, inferencer):
    without = PoseInferencer(*model_files, flip_test=False, device='cpu')
    model = init_model(*model_files, device='cpu')
    model.test_cfg['flip_test'] = False
    expected = inference_topdown(model, picture())[0].pred_instances
    result, = without(picture())
    np.testing.assert_allclose(result.keypoints, expected.keypoints, **TOLERANCE)
    np.testing.assert_allclose(result.scores, expected.keypoint_scores, atol=1e-5)
    assert np.abs(result.scores - next(inferencer(picture())).scores).max() > 1e-3


def test_selected_outputs_have_their_own_names(tmp_path):
    files = write_model(tmp_path, test_cfg=dict(output_keypoint_indices=[2, 0]))
    inferencer = PoseInferencer(*files, device='cpu')
    result, = inferencer(picture())
    assert result.keypoint_names == ('Nose', 'L_Eye') and result.keypoints.shape == (1, 2, 2)
    assert inferencer.output_meta['num_keypoints'] == 2


@pytest.mark.parametrize('change, reason', [
    (lambda weights: weights.pop('head.final_layer.weight'), r'it has no head\.final_layer\.weight$'),
    (lambda weights: weights.update({'head.final_layer.bias': torch.zeros(20)}), r'head\.final_layer\.bias'),
    (lambda weights: weights.clear(), 'holds no weights'),
])
def test_weights_that_do_not_fill_the_model_are_refused(change, reason, model_files, tmp_path):
    checkpoint = torch.load(model_files[1], weights_only=True)
    change(checkpoint['state_dict'])
    torch.save(checkpoint, tmp_path / 'other.pth')
    with pytest.raises(RuntimeError, match=reason):
        PoseInferencer(model_files[0], tmp_path / 'other.pth', device='cpu')


def test_weights_of_a_wrapped_model_and_of_a_fused_one_are_taken(model_files, inferencer, tmp_path):
    checkpoint = torch.load(model_files[1], weights_only=True)
    fused = dict(state_dict=inferencer.model.state_dict(), meta={})
    checkpoint['state_dict'] = {f'module.{key}': value for key, value in checkpoint['state_dict'].items()}
    expected, = inferencer(picture())
    for number, content in enumerate((checkpoint, fused)):
        torch.save(content, tmp_path / f'{number}.pth')
        result, = PoseInferencer(model_files[0], tmp_path / f'{number}.pth', device='cpu')(picture())
        np.testing.assert_allclose(result.keypoints, expected.keypoints, **TOLERANCE)


def test_names_of_another_dataset_than_the_model_are_refused(tmp_path):
    model = tiny_clamp_model('vit')  # five keypoints, and AP-10K has 17
    with pytest.raises(ValueError, match=r'the neck asks for 5 keypoints, .* has 17'):
        PoseInferencer(*write_model(tmp_path, **model), device='cpu')


def test_a_box_file_is_matched_before_anything_is_read(model_files, tmp_path):
    (tmp_path / 'boxes.json').write_text('{"images": [{"id": 4, "file_name": "x.jpg"}], "annotations": []}')
    write_picture(tmp_path / 'y.jpg')
    inferencer = PoseInferencer(*model_files, boxes=BoxFile(tmp_path / 'boxes.json'), device='cpu')
    with pytest.raises(ValueError, match='names none of the inputs'):
        inferencer(str(tmp_path / 'y.jpg'))


@pytest.mark.parametrize('inputs, options, reason', [
    ('gone.jpg', {}, 'no file or folder gone'),
    (['gone.jpg', picture()], {}, 'paths or arrays'),
    (picture(), dict(every=0), 'every=0 must be 1 or more'),
    ([picture(), picture()[..., 0]], {}, r'image of shape \(60, 80\); an image is \(H, W, 3\), BGR'),
    (picture()[:0], {}, r'image of shape \(0, 80, 3\)'),
])
def test_wrong_arguments_are_refused_at_once(inputs, options, reason, inferencer):
    with pytest.raises(ValueError, match=reason):
        inferencer(inputs, **options)


# Prompts


@pytest.fixture
def free_files(tmp_path):
    """Of a model whose head reads the keypoints from the score map alone, however many there are."""
    head = tiny_clamp_model(names=NAMES)['head'] | dict(matching_only=True, in_channels=None)
    return write_model(tmp_path / 'free', head=head)


def test_other_prompts_give_other_keypoints(free_files):
    inferencer = PoseInferencer(*free_files, device='cpu')
    before, = inferencer(picture())
    inferencer.set_prompts(['beak', 'nose', 'left wing', 'right wing'])
    after, = inferencer(picture())
    assert after.keypoint_names == ('beak', 'nose', 'left wing', 'right wing')
    assert after.keypoints.shape == (1, 4, 2)
    assert inferencer.model.test_cfg['flip_test']
    inferencer.set_prompts(NAMES)
    again, = inferencer(picture())
    np.testing.assert_allclose(again.keypoints, before.keypoints, **TOLERANCE)
    assert again.keypoint_names == before.keypoint_names  # the dataset's, with its skeleton and colours
    assert inferencer.output_meta['skeleton_links']


def test_prompts_in_another_order_give_the_same_keypoints_in_that_order(free_files):
    inferencer = PoseInferencer(*free_files, device='cpu')
    before, = inferencer(picture())
    order = np.random.default_rng(0).permutation(17)
    inferencer.set_prompts([NAMES[place] for place in order])
    after, = inferencer(picture())
    np.testing.assert_allclose(after.keypoints[0], before.keypoints[0][order], **TOLERANCE)
    assert inferencer.model.test_cfg['flip_test']


def test_a_side_without_its_counterpart_leaves_the_flip_test_out(free_files):
    inferencer = PoseInferencer(*free_files, device='cpu')
    inferencer.set_prompts(['left eye', 'nose'])
    assert not inferencer.model.test_cfg['flip_test']
    assert len(next(inferencer(picture()))) == 1
    inferencer.set_prompts(['left eye', 'right eye'])
    assert inferencer.model.test_cfg['flip_test']


@pytest.mark.parametrize('names', [['beak'], NAMES[::-1], [*NAMES[:-1], 'horn']], ids=['fewer', 'reversed', 'one'])
def test_a_head_that_goes_by_place_takes_no_other_prompts(names, inferencer):
    with pytest.raises(ValueError, match=r'CLAMPHead was trained for 17 keypoints .* place.*matching_only'):
        inferencer.set_prompts(names)
    inferencer.set_prompts(NAMES)  # its own


def test_a_model_that_asks_for_nothing_takes_no_prompts(tmp_path):
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, deconv_out_channels=(16, 16),
                deconv_kernel_sizes=(4, 4), decoder=tiny_clamp_model()['head']['decoder'])
    inferencer = PoseInferencer(*write_model(tmp_path, neck=None, head=head), device='cpu')
    assert len(next(inferencer(picture()))) == 1
    with pytest.raises(ValueError, match='asks for nothing by name'):
        inferencer.set_prompts(['beak'])


def test_a_model_without_boxes_is_refused(tmp_path):
    config, checkpoint = write_model(tmp_path)
    config = Config.fromfile(config)
    config.model.type = 'BottomupPoseEstimator'
    with pytest.raises(ValueError, match='is a BottomupPoseEstimator, not a top-down model'):
        PoseInferencer(config, checkpoint, device='cpu')
    with pytest.raises(ValueError, match='is a RetinaNet, not a top-down model'):
        PoseInferencer(DETECTOR, checkpoint, device='cpu')
    with pytest.raises(ValueError, match='the config has no model'):
        PoseInferencer(Config(), checkpoint, device='cpu')
