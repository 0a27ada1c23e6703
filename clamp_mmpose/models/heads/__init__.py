from .clamp_head import CLAMPHead
from .with_auxiliary_loss import WithAuxiliaryLoss

__all__ = ['CLAMPHead', 'WithAuxiliaryLoss']
