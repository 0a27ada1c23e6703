from __future__ import annotations

from .keypoint_places import PLACES
from .shared_keypoints import SharedKeypoints
from .split_file import WRITTEN_BY, provenance

# MMPose's classes that read COCO-style files; the others' files have formats of their own.
DATASET_TYPES = dict(ap10k='AP10KDataset', animalpose='AnimalPoseDataset', coco='CocoDataset',
                     crowdpose='CrowdPoseDataset')
# Where their pictures are under data/, by MMPose's guides; an example for the others
IMAGES = dict(ap10k='data/', coco='val2017/', crowdpose='images/', mpii='images/', h36m='images/')

_TEMPLATE = '''# The {number} keypoints that {a} and {b} share, for MMPose. Written by {written_by}: make-splits common.
#
# To test a model of {a} on {b}, whose annotations `make-splits common --b-ann FILE` has converted:
#
# _base_ = ['CONFIG_OF_THE_MODEL.py', '{file_name}']
# custom_imports = dict(imports=['clamp_mmpose'], allow_failed_imports=False)
# test_pipeline = [*_base_.val_pipeline[:-1], _base_.{a}_flip, _base_.val_pipeline[-1]]
# test_dataloader = dict(
#     dataset=dict(
#         _delete_=True,
#         type='{type}',
#         metainfo=_base_.common_metainfo,
#         data_root='data/{b}/',
#         ann_file='CONVERTED_FILE.json',
#         data_prefix=dict(img='{images}'),
#         test_mode=True,
#         pipeline=test_pipeline))
# test_evaluator = dict(
#     _delete_=True,
#     type='CocoMetric',
#     ann_file='data/{b}/CONVERTED_FILE.json',
#     pred_converter=_base_.{a}_to_common)
#
# The annotations are converted in their file, not by CocoMetric's gt_converter: that one converts them again at each
# validation, and counts every keypoint as labelled.

common_num_keypoints = {number}
common_keypoint_names = [
    {names}
]

# (index in the dataset, index among the common), for a pipeline or for CocoMetric's pred_converter
{converters}
# The whole skeleton of one dataset as the other has it; what it lacks is unlabelled
{between}
# Flips a model of the dataset at test time, before PackPoseInputs
{flips}
# The metainfo is this file: MMEngine sorts a dict in the config that it keeps of a run, 10 before 2, and MMPose counts
# keypoints by their order there.
common_metainfo = dict(from_file='{{{{ fileDirname }}}}/{{{{ fileBasename }}}}')
dataset_info = dict(
{metainfo})

common_provenance = dict(
{provenance})
'''


def shared_config(shared: SharedKeypoints, file_name: str) -> str:
    """A config to inherit from: converters, flip orders and the metainfo of the shared skeleton.

    All names have a prefix of their own: MMEngine lets no two bases set one name, and recipes set ``keypoint_names``.
    """
    a, b = shared.a, shared.b
    number = len(shared.pairs)
    return _TEMPLATE.format(
        a=a, b=b, number=number, written_by=WRITTEN_BY, file_name=file_name,
        type=DATASET_TYPES.get(b, 'BaseCocoStyleDataset'), images=IMAGES.get(b, ''), names=_row(shared.keypoint_names),
        converters=''.join(_converter(f'{dataset}_to_common', number, shared.mapping(dataset), list(PLACES[dataset]),
                                      shared.keypoint_names) for dataset in (a, b)),
        between=''.join(_converter(f'{source}_to_{target}', len(PLACES[target]), shared.between(source),
                                   list(PLACES[source]), list(PLACES[target])) for source, target in ((a, b), (b, a))),
        flips=''.join(f"{dataset}_flip = dict(type='ModelFlipIndices', flip_indices={shared.flip_indices(dataset)})\n"
                      for dataset in (a, b)),
        metainfo=_dict(shared.metainfo), provenance=_dict(provenance('common', shared.sources(), shared.arguments)))


def _converter(name: str, number: int, mapping: list, sources: list, targets: list) -> str:
    """A ``KeypointConverter``, each of its pairs explained."""
    lines = []
    for source, target in mapping:
        same = sources[source] == targets[target]
        lines.append(f'        ({source}, {target}),  # {sources[source]}{"" if same else f" is {targets[target]}"}')
    head = f"{name} = dict(\n    type='KeypointConverter',\n    num_keypoints={number},\n    mapping=[\n"
    return head + '\n'.join(lines) + '\n    ])\n'


def _dict(content: dict) -> str:
    """The arguments of ``dict(...)``, one line for each keypoint and each link."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
            rows = ',\n'.join(f'        {name!r}: {one!r}' for name, one in value.items())
            lines.append(f'    {key}={{\n{rows}\n    }}')
        elif isinstance(value, list):
            lines.append(f'    {key}=[\n        {_row(value, indent=8)}\n    ]')
        else:
            lines.append(f'    {key}={value!r}')
    return ',\n'.join(lines)


def _row(values: list, indent: int = 4) -> str:
    """Items between commas, on as many lines as they need."""
    lines = ['']
    for index, value in enumerate(values):
        item = f'{value!r}' + (', ' if index < len(values) - 1 else '')
        if len(lines[-1]) + len(item) > 116 - indent:
            lines.append('')
        lines[-1] += item
    return f'\n{" " * indent}'.join(line.rstrip() for line in lines)
