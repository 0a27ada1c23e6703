"""LOFR models and batches for the tests of the head."""
import copy

import torch
from mmengine.registry import init_default_scope
from mmpose.models import build_pose_estimator

from clamp_mmpose.testing import pack_batch, randomize, tiny_lofr_model

FLIP_INDICES = (0, 2, 1, 4, 3)


def make(head=None, *, seed=0, **arguments):
    init_default_scope('mmpose')
    torch.manual_seed(seed)
    config = tiny_lofr_model(head=head, **arguments)
    return randomize(build_pose_estimator(config)), config


def make_batch(config, *, presence=None, batch_size=2, seed=0):
    """Packed samples with a presence, (B, K), as GeneratePresence has it; half of the keypoints of each by default."""
    count = config['head']['out_channels']
    batch = pack_batch(config['head']['decoder'], count, batch_size=batch_size, flip_indices=FLIP_INDICES[:count],
                       seed=seed)
    if presence is None:
        presence = (torch.arange(batch_size)[:, None] + torch.arange(count)) % 2
    for sample, row in zip(batch['data_samples'], torch.as_tensor(presence)):
        sample.gt_instance_labels.presence = row[None].float()
    return batch


def inputs_of(model, batch, training=True):
    return model.data_preprocessor(copy.deepcopy(batch), training)


def losses_of(model, batch):
    return model(**inputs_of(model, batch), mode='loss')


def gradients_of(model, batch):
    """The losses, and the gradient of each weight, None where no loss reaches it."""
    model.zero_grad(set_to_none=True)
    losses = losses_of(model, batch)
    model.parse_losses(losses)[0].backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def features_of(model, batch):
    return model.extract_feat(inputs_of(model, batch)['inputs'])
