"""How the authors' tensors are called, and how ours are: the mapping as data.

A name that ends in a dot stands for all that begin with it; of several that fit, the longest counts.
"""
from __future__ import annotations

# First parts of names. Every released model has the first, and one of the others.
SHARED_PARTS = ('backbone', 'text_encoder', 'context_decoder', 'contexts', 'gamma')
CLAMP_PARTS = ('keypoint_head', 'prompt_encoder', 'upconv_head')
SEGMENTATION_PARTS = ('decode_head', )
DETECTION_PARTS = ('bbox_head', 'rpn_head', 'roi_head')
OPTIONAL_RELEASED_PARTS = ('neck', 'auxiliary_head', 'identity_head', 'logit_scale', 'text_projection')

_SHARED = {
    'backbone.': 'backbone.tower.',
    'text_encoder.': 'neck.prompts.text_encoder.tower.',
    'contexts': 'neck.prompts.contexts',
    'context_decoder.': 'neck.context_decoder.',
    'gamma': 'neck.gamma',
}

RENAMED = {
    'CLAMP': {
        **_SHARED,
        'prompt_encoder.': 'neck.prompt_encoder.',
        'keypoint_head.': 'head.',
        'upconv_head.': 'head.score_head.',
        'logit_scale': 'head.feature_loss.logit_scale',
    },
    'DenseCLIP': {
        **_SHARED,
        **{f'backbone.fpn{level}.': f'neck.pyramid.fpn{level}.' for level in (1, 2, 3, 4)},
        'neck.': 'neck.next_neck.',
        **{f'{part}.': f'{part}.' for part in DETECTION_PARTS},
    },
}

_UNUSED = 'the released model has it and never uses it'
DROPPED = {
    'CLAMP': {
        'prompt_encoder.positional_embedding': _UNUSED,
        'prompt_encoder.text_projection': _UNUSED,
        'text_projection': 'the released model uses it only where text and image differ in width; here they do not',
    },
    'DenseCLIP': {
        'decode_head.': 'it segments, and the config has no such head',
        'auxiliary_head.': 'it only trains segmentation',
        'identity_head.': 'it only trains segmentation',
    },
}

# Parts of ours that a config may do without: why the released tensors are dropped then.
NOT_IN_CONFIG = {
    'head.score_head.': 'the config has no learned upsampling of the score map; it only trains',
    'head.feature_loss.': 'the config has no feature loss; it only trains',
    'neck.pyramid.': 'the config has no pyramid',
    'neck.next_neck.': 'the config has no next_neck',
    **{f'{part}.': f'the config has no {part}' for part in DETECTION_PARTS},
}

# Parts of ours that a file may lack: why, by the method.
NOT_IN_FILE = {
    'CLAMP': {
        'head.score_head.': 'the file has none; it only trains',
        'head.feature_loss.': 'the file has none; it only trains',
    },
    'DenseCLIP': {
        'head.': "the config's head is for another task than the file's; train it",
        'neck.next_neck.': 'the file has none; train it',
        **{f'{part}.': "the config's head is for another task than the file's; train it" for part in DETECTION_PARTS},
    },
}

# What the released CLAMP asks for, in AP-10K's order; the file itself does not say it.
AP10K_NAMES = ('left eye', 'right eye', 'nose', 'neck', 'tail root',
               'left shoulder', 'left elbow', 'left front paw', 'right shoulder', 'right elbow', 'right front paw',
               'left hip', 'left knee', 'left back paw', 'right hip', 'right knee', 'right back paw')


def longest_match(name: str, table: dict[str, str]) -> str | None:
    """The entry of ``table`` that ``name`` belongs to."""
    fitting = [entry for entry in table if name == entry or (entry.endswith('.') and name.startswith(entry))]
    return max(fitting, key=len, default=None)
