"""Which keypoint names a model confuses: how alike their prompts are, and how they score where keypoints are."""
from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.models.pose_estimators.base import BasePoseEstimator
from mmpose.structures import PoseDataSample
from mmpose.structures.bbox import get_warp_matrix
from torch import Tensor
from tqdm import tqdm

from ..models.layers.keypoint_sampling import sample_bilinear
from ..models.necks.language_neck import LanguageNeck

STAGES = dict(text='text', prompt_encoder='after the prompt encoder', image='after looking at the image')


@dataclasses.dataclass(frozen=True)
class PromptDiagnostics:
    """What the prompts of K ``names`` say of one another and of labelled keypoints. Rows are keypoints.

    ``similarity``: cosines of the prompts (K, K) at each stage that the model has: 'text', 'prompt_encoder' and
    'image', the mean over the images, which is what the score map is made of.

    At the location of each labelled keypoint all names have a score, that of the score map there: ``labelled`` (K,)
    keypoints inside a crop; ``scores`` (K, K), the mean of each name's score; ``chosen`` (K, K), the share of keypoints
    at which a name scores highest; ``rank`` (K,), the mean rank of the own name, 1 at best; ``margin`` (K,), own score
    minus the best other. ``mirror`` (K,): the place of the name of the other side, or its own; ``mirror_margin`` (K,),
    own score minus that name's, and ``mirror_lost`` (K,), the share of keypoints where it is negative. NaN where there
    is nothing to measure, as between sides of a nose.
    """

    names: tuple[str, ...]
    similarity: dict[str, np.ndarray]
    labelled: np.ndarray
    scores: np.ndarray
    chosen: np.ndarray
    rank: np.ndarray
    margin: np.ndarray
    mirror: np.ndarray
    mirror_margin: np.ndarray
    mirror_lost: np.ndarray

    def nearest(self, stage: str | None = None) -> list[tuple[int, float]]:
        """For each name the place of the most similar other one and the cosine, at the last stage unless told."""
        return _highest_other(self.similarity[stage or list(self.similarity)[-1]])

    def confused_with(self) -> list[tuple[int, float]]:
        """For each keypoint the place of the other name that most often scores highest there, and its share."""
        return _highest_other(self.chosen)


@torch.no_grad()
def diagnose_prompts(model: BasePoseEstimator,
                     dataset: BaseDataset,
                     indices: Sequence[int] | None = None,
                     *,
                     batch_size: int = 8) -> PromptDiagnostics:
    """Asks a top-down ``model`` with a language neck for every name at every labelled keypoint of ``dataset``.

    ``indices`` are the instances to use, all of them if None. The scores are read off the neck's score map, bilinearly;
    keypoints outside the crop do not count.
    """
    indices = range(len(dataset)) if indices is None else indices
    scores, places, similar = [], [], []
    # Shown on a terminal only.
    for start in tqdm(range(0, len(indices), batch_size), desc='prompts', unit='batch', disable=None):
        samples = [dataset[index] for index in indices[start:start + batch_size]]
        batch = model.data_preprocessor(pseudo_collate(samples), False)
        feats = model.extract_feat(batch['inputs'])
        if getattr(feats, 'text', None) is None or getattr(feats, 'score_map', None) is None:
            raise ValueError(f'{type(model).__name__} has no prompts: its features carry no text and score_map; one '
                             'with PromptLearnerNeck or DenseCLIPNeck has')
        found, place = _scores_at_keypoints(feats.score_map, batch['inputs'], batch['data_samples'])
        scores.append(found)
        places.append(place)
        similar.append(_cosine(feats.text))
    places = np.concatenate(places) if places else []
    if not len(places):
        raise ValueError(f'none of the {len(indices)} instances has a labelled keypoint inside its crop')
    names = _names(model, dataset)
    mirror = np.array(dataset.metainfo.get('flip_indices', range(len(names))))
    similarity = dict(_text_similarity(model.neck), image=np.concatenate(similar).mean(0))
    return PromptDiagnostics(names, similarity, **_summarize(np.concatenate(scores), places, mirror))


def _names(model: BasePoseEstimator, dataset: BaseDataset) -> tuple[str, ...]:
    names = getattr(model.neck, 'keypoint_names', None)
    return tuple(names or (name.replace('_', ' ') for name in dataset.metainfo['keypoint_id2name'].values()))


def _scores_at_keypoints(score_map: Tensor, inputs: Tensor,
                         samples: Sequence[PoseDataSample]) -> tuple[np.ndarray, np.ndarray]:
    """(N, K), the scores of all names at the N labelled keypoints inside the crops, and (N,), which keypoint it is."""
    input_size = (inputs.shape[-1], inputs.shape[-2])
    points, visible = zip(*(_in_crop(sample, input_size) for sample in samples))
    if points[0].shape[0] != score_map.shape[1]:
        raise ValueError(f'the model asks for {score_map.shape[1]} names and the dataset has {points[0].shape[0]} '
                         'keypoints; they must be the same')
    # The channels to be sampled are the names.
    scores, weight = sample_bilinear(
        score_map, score_map.new_tensor(np.stack(points)), score_map.new_tensor(np.stack(visible)), input_size)
    instance, place = (weight > 0).nonzero(as_tuple=True)
    return scores[instance, place].double().cpu().numpy(), place.cpu().numpy()


def _in_crop(sample: PoseDataSample, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (K, 2) in pixels of the network's input and their visibility (K,)."""
    if 'input_center' not in sample.metainfo:
        raise ValueError("the pipeline makes no crops; prompts are diagnosed for top-down models, whose pipeline has "
                         "'TopdownAffine'")
    truth = sample.gt_instances
    to_crop = get_warp_matrix(sample.input_center, sample.input_scale, 0, input_size)
    points = cv2.transform(truth.keypoints[:1, :, :2].astype(np.float32), to_crop)[0]
    return points, truth.keypoints_visible.reshape((*truth.keypoints.shape[:2], -1))[0, :, 0].astype(np.float32)


def _text_similarity(neck: LanguageNeck) -> dict[str, np.ndarray]:
    """Before the image; nothing where the prompts come from the image (DenseCLIP's 'pre')."""
    if not isinstance(neck, LanguageNeck) or not getattr(neck.prompts, 'static', True):
        return {}
    similarity = dict(text=_cosine(neck.prompts())[0])
    if neck.prompt_encoder is not None:
        similarity['prompt_encoder'] = _cosine(neck.encode_text())[0]
    return similarity


def _cosine(text: Tensor) -> np.ndarray:
    text = F.normalize(text.double(), dim=-1)
    return (text @ text.transpose(-1, -2)).cpu().numpy()


def _summarize(scores: np.ndarray, places: np.ndarray, mirror: np.ndarray) -> dict[str, np.ndarray]:
    """``scores`` (N, K) of N keypoints, which are the ``places`` (N,)."""
    K = scores.shape[1]
    rows = np.arange(len(scores))
    own = scores[rows, places]
    others = scores.copy()
    others[rows, places] = -np.inf
    margin = own - others.max(1) if K > 1 else np.full(len(own), np.nan)
    rank = 1 + (others >= own[:, None]).sum(1)
    chosen = np.eye(K)[scores.argmax(1)]
    mirror_margin = np.where(mirror[places] == places, np.nan, own - scores[rows, mirror[places]])

    def mean(values: np.ndarray) -> np.ndarray:
        parts = [values[places == place] for place in range(K)]
        return np.array([part.mean(0) if len(part) else np.full(values.shape[1:], np.nan) for part in parts])

    return dict(
        labelled=np.bincount(places, minlength=K),
        scores=mean(scores),
        chosen=mean(chosen),
        rank=mean(rank),
        margin=mean(margin),
        mirror=mirror,
        mirror_margin=mean(mirror_margin),
        mirror_lost=mean(np.where(np.isnan(mirror_margin), np.nan, mirror_margin < 0)))


def _highest_other(matrix: np.ndarray) -> list[tuple[int, float]]:
    """Of each row the highest value off the diagonal; the row itself and NaN if there is none."""
    best = []
    for place, row in enumerate(matrix):
        others = np.where(np.arange(len(row)) == place, -np.inf, row)
        known = len(row) > 1 and not np.isnan(row).any()
        other = int(others.argmax()) if known else place
        best.append((other, float(row[other]) if known else np.nan))
    return best
