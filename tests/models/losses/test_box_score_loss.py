import math

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData

from clamp_mmpose.models import BoxScoreLoss
from clamp_mmpose.structures import VisionLanguageFeatures

SIZE = (48, 64)  # height and width of the batch in pixels: 12 x 16 cells of stride 4
K = 3
BOXES = [
    [[3.9, 8.0, 31.9, 40.1], [20.0, 4.0, 44.0, 30.0]],  # overlapping ones, of two classes
    [[-10.0, -3.0, 90.0, 70.0], [17.0, 17.0, 18.5, 19.5]],  # over the borders, and smaller than a cell
]
LABELS = [[0, 2], [1, 1]]


def samples(boxes, labels, wrap=lambda boxes: boxes):
    result = []
    for boxes_of_image, labels_of_image in zip(boxes, labels):
        instances = InstanceData(
            bboxes=wrap(torch.tensor(boxes_of_image).reshape(-1, 4)),
            labels=torch.tensor(labels_of_image, dtype=torch.long))
        result.append(BaseDataElement(gt_instances=instances, metainfo=dict(batch_input_shape=SIZE)))
    return result


def features(score_map):
    return VisionLanguageFeatures([], score_map=score_map)


def resized(image, height, width):
    """Bilinear, with the corners of the outermost pixels aligned."""
    rows, columns = image.shape
    result = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
            x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            result[i, j] = upper * (1 - (y - top)) + lower * (y - top)
    return result


def equation_8(score_map, boxes, labels, *, tau=0.07, stride=4):
    """BCE of sigmoid(s / tau) per cell and class, averaged over the cells in any box of their image and all classes."""
    height, width = SIZE[0] // stride, SIZE[1] // stride
    total, count = 0.0, 0
    for image, boxes_of_image, labels_of_image in zip(score_map, boxes, labels):
        classes = [[set() for _ in range(width)] for _ in range(height)]
        for (x1, y1, x2, y2), label in zip(boxes_of_image, labels_of_image):
            for i in range(height):
                for j in range(width):
                    # The cells of a box end before the cell that its right or lower side lies in, and the map's last.
                    if math.floor(x1 / stride) <= j < min(math.floor(x2 / stride), width - 1) and (
                            math.floor(y1 / stride) <= i < min(math.floor(y2 / stride), height - 1)):
                        classes[i][j].add(label)
        for k in range(len(image)):
            scores = resized(image[k] / tau, height, width)
            for i in range(height):
                for j in range(width):
                    if classes[i][j]:
                        probability = 1 / (1 + math.exp(-scores[i, j]))
                        total -= math.log(probability if k in classes[i][j] else 1 - probability)
                        count += 1
    return total / count


@pytest.fixture
def score_map():
    return torch.rand(2, K, 3, 4, dtype=torch.float64) - 0.5


def test_it_is_equation_8_inside_the_boxes(score_map):
    expected = equation_8(score_map.numpy(), BOXES, LABELS)
    losses = BoxScoreLoss()(features(score_map), samples(BOXES, LABELS))
    assert set(losses) == {'loss_score'}
    assert losses['loss_score'].item() == pytest.approx(expected, rel=1e-10)
    weighted = BoxScoreLoss(loss_weight=0.5)(features(score_map), samples(BOXES, LABELS))
    assert weighted['loss_score'].item() == pytest.approx(expected / 2, rel=1e-10)


@pytest.mark.parametrize('tau, stride', [(0.5, 4), (0.07, 8), (1.0, 16)])
def test_temperature_and_stride_are_arguments(score_map, tau, stride):
    expected = equation_8(score_map.numpy(), BOXES, LABELS, tau=tau, stride=stride)
    loss = BoxScoreLoss(tau=tau, stride=stride)(features(score_map), samples(BOXES, LABELS))['loss_score']
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_boxes_may_be_wrapped_as_mmdetection_wraps_them(score_map):
    from mmdet.structures.bbox import HorizontalBoxes
    wrapped = BoxScoreLoss()(features(score_map), samples(BOXES, LABELS, wrap=HorizontalBoxes))['loss_score']
    assert wrapped == BoxScoreLoss()(features(score_map), samples(BOXES, LABELS))['loss_score']


def test_an_image_without_boxes_adds_nothing(score_map):
    both = BoxScoreLoss()(features(score_map), samples([BOXES[0], []], [LABELS[0], []]))['loss_score']
    assert both.item() == pytest.approx(equation_8(score_map[:1].numpy(), BOXES[:1], LABELS[:1]), rel=1e-10)


@pytest.mark.parametrize('boxes, labels', [
    ([[], []], [[], []]),
    ([[[17.0, 17.0, 18.5, 19.5]], []], [[1], []]),  # no cell is covered
])
def test_a_batch_without_a_covered_cell_gives_zero_with_a_gradient(score_map, boxes, labels):
    score_map.requires_grad_()
    loss = BoxScoreLoss()(features(score_map), samples(boxes, labels))['loss_score']
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(score_map.grad, torch.zeros_like(score_map))


def test_the_gradient_is_that_of_the_formula(score_map):
    def loss(values):
        return BoxScoreLoss()(features(values), samples(BOXES, LABELS))['loss_score']

    assert torch.autograd.gradcheck(loss, score_map.requires_grad_())


def test_a_score_rises_inside_the_boxes_of_its_class_and_falls_in_those_of_others(score_map):
    score_map = torch.zeros_like(score_map).requires_grad_()
    whole = [[0.0, 0.0, 64.0, 48.0]]
    BoxScoreLoss()(features(score_map), samples([whole, whole], [[0], [2]]))['loss_score'].backward()
    rising = score_map.grad.mean((2, 3)) < 0
    assert rising.tolist() == [[True, False, False], [False, False, True]]


def test_a_label_without_a_name_is_an_error(score_map):
    with pytest.raises(ValueError, match=r"a box has label 3, but the neck has 3 names; give one name per class"):
        BoxScoreLoss()(features(score_map), samples(BOXES, [[0, 3], [1, 1]]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_gives_what_full_precision_gives_for_the_same_scores(score_map, dtype, autocast):
    # Cosines of 1 over a small temperature: exp(100) is beyond float16.
    score_map = (2 * score_map).clamp(-1, 1).to(dtype).requires_grad_()
    loss = BoxScoreLoss(tau=0.01)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = loss(features(score_map), samples(BOXES, LABELS))['loss_score']
    value.backward()
    assert value.dtype == torch.float32 and torch.isfinite(score_map.grad).all()
    expected = loss(features(score_map.detach().double()), samples(BOXES, LABELS))['loss_score']
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
