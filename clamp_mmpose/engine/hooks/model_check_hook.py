from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ...checkpoint import CheckpointError
from ...datasets.annotation_check import read_categories
from ..caption_name_match import find_foreign_names
from ..presence_check import check_presence


@HOOKS.register_module()
class ModelCheckHook(Hook):
    """Stops, before the first step, what MMEngine would go on with.

    Raises ValueError when the neck, or the codec of captions, names another number of keypoints, or in a detector of
    classes, than the dataset has, or classes in another order than the dataset or its annotation file: heads would
    train on score maps that belong to none of them, or to others. Likewise when names of the codec abbreviate the
    keypoints of the dataset in another order. A metric with a ``pred_converter`` may test on another dataset's
    keypoints.
    Raises ``CheckpointError`` for a checkpoint that shares no weight with the model, of which MMEngine only warns
    before it tests or trains random weights. With the first batch, raises ValueError for a head whose ``in_channels``
    do not count the score maps.

    Where ``GeneratePresence`` labels the training data, checks each of its pipelines, and warns of labels that hardly
    ever change.
    """

    # Before a hook that counts on a state dict.
    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        state_dict = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
        where = runner._load_from or 'the checkpoint'
        if not isinstance(state_dict, dict) or not state_dict:
            raise CheckpointError(f'{where} holds no weights, but {_describe(checkpoint)}; load_from and --checkpoint '
                                  'take a file that MMPose has written')
        model = _unwrapped(runner.model)
        if getattr(model, 'unbuilt', ''):
            return  # the checkpoint brings the model's architecture, which the model itself checks
        own = model.state_dict().keys()
        given = {str(key).removeprefix('module.') for key in state_dict}
        if not own & given:
            place = ("BLIP's weights go into pretrained=... of the model" if hasattr(model, 'pretrained') else
                     "CLIP's weights go into init_cfg=dict(type='CLIPPretrained', checkpoint=...) of the backbone and "
                     'text_encoder')
            raise CheckpointError(f'{where} has no weight in common with the model: it holds {_some(given)}, the model '
                                  f'{_some(own)}. {place}')

    def before_train(self, runner: Runner) -> None:
        check_presence(runner.train_dataloader.dataset, runner.logger)
        self._compare_names(runner, runner.train_dataloader)
        _watch_channels(_unwrapped(runner.model))

    def before_val(self, runner: Runner) -> None:
        if not _converts_keypoints(runner.val_loop):
            self._compare_names(runner, runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        if not _converts_keypoints(runner.test_loop):
            self._compare_names(runner, runner.test_dataloader)
        _watch_channels(_unwrapped(runner.model))

    def _compare_names(self, runner: Runner, loader: DataLoader) -> None:
        model = _unwrapped(runner.model)
        metainfo = getattr(loader.dataset, 'metainfo', None) or {}
        self._compare_caption_names(getattr(getattr(model, 'codec', None), 'names', None), metainfo)
        names = getattr(getattr(model, 'neck', None), 'keypoint_names', None)
        if names is None:
            return
        if metainfo.get('keypoint_id2name') is not None:
            _compare_number(names, 'keypoint', 'keypoints', [*metainfo['keypoint_id2name'].values()])
        elif metainfo.get('classes') is not None:
            classes = [*metainfo['classes']]
            _compare_number(names, 'class', 'classes', classes)
            _compare_order(names, classes)
            for dataset in _parts(loader.dataset):
                _compare_with_file(dataset, classes)

    def _compare_caption_names(self, names: Sequence[str] | None, metainfo: dict) -> None:
        keypoints = metainfo.get('keypoint_id2name')
        if names is None or keypoints is None:
            return
        keypoints = [*keypoints.values()]
        _compare_number(names, 'keypoint', 'keypoints', keypoints, owner='codec')
        foreign = find_foreign_names(names, keypoints)
        # A single one may be what somebody calls this keypoint; two have changed places.
        if len(foreign) > 1:
            some = '; '.join(f'{name} stands for {own}, and the dataset has {other} elsewhere'
                             for name, own, other in foreign[:3])
            raise ValueError(f"names of the codec do not follow the dataset's keypoints: {some}. There are tables of "
                             'names in configs/_base_/caption_names')


def _converts_keypoints(loop) -> bool:
    """Whether a metric turns the model's keypoints into those of another dataset, which it is tested on."""
    metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', ())
    return any(getattr(metric, 'pred_converter', None) for metric in metrics)


def _compare_number(names: Sequence[str], what: str, many: str, asked: list[str], owner: str = 'neck') -> None:
    if len(names) != len(asked):
        raise ValueError(f'the {owner} has {len(names)} names, {", ".join(names)}, and the dataset {len(asked)} '
                         f"{many}, {', '.join(asked)}; give one name per {what}, in the dataset's order")


def _compare_order(names: Sequence[str], classes: list[str]) -> None:
    names, classes = ([name.lower().replace('_', ' ') for name in side] for side in (names, classes))
    if names != classes and sorted(names) == sorted(classes):
        raise ValueError(f'names of the neck are the classes of the dataset in another order: {", ".join(names)}, and '
                         f'there {", ".join(classes)}; a box would be asked for by the name of another class')


def _compare_with_file(dataset: Dataset, classes: list[str]) -> None:
    """MMDetection numbers the classes by the annotation file, whatever the order of ``metainfo['classes']``."""
    known = read_categories(getattr(dataset, 'ann_file', None))
    if known is None or not hasattr(dataset, 'cat_ids'):
        return
    found = [name for name in known if name in classes]
    if found != classes:
        missing = [name for name in classes if name not in known]
        problem = f'it has no category {", ".join(missing)}' if missing else f'its categories are {", ".join(found)}'
        raise ValueError(f"metainfo['classes'] is {', '.join(classes)}, but of ann_file={dataset.ann_file!r} "
                         f'{problem}; give the names of the file in its order, for MMDetection numbers them so')


def _parts(dataset: Dataset) -> list[Dataset]:
    """The datasets inside wrappers that repeat or join them."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return [dataset] if inner == [None] else [part for child in inner for part in _parts(child)]


def _watch_channels(model: nn.Module) -> None:
    """Compares the head's ``in_channels`` with what the neck gives, once, when the first batch comes."""
    neck = getattr(model, 'neck', None)
    if getattr(neck, 'keypoint_names', None) is None:
        return

    def compare(neck: nn.Module, inputs: tuple, feats: Sequence[Tensor]) -> None:
        handle.remove()
        for name in ('head', 'bbox_head', 'rpn_head'):
            expected = getattr(getattr(model, name, None), 'in_channels', None)
            channels = feats[-1].shape[1]
            if isinstance(expected, int) and expected != channels:
                raise ValueError(f'in_channels={expected} of {name}, but the neck gives it {channels} channels: those '
                                 f'of the features and one for each of the {len(neck.keypoint_names)} names')

    handle = neck.register_forward_hook(compare)


def _unwrapped(model):
    return model.module if is_model_wrapper(model) else model


def _describe(checkpoint) -> str:
    if not isinstance(checkpoint, dict):
        return type(checkpoint).__name__
    return f'a dict of {_some(checkpoint)}' if checkpoint else 'an empty dict'


def _some(keys) -> str:
    keys = sorted(map(str, keys))
    return ', '.join(keys[:3]) + (f' and {len(keys) - 3} more' if len(keys) > 3 else '')
