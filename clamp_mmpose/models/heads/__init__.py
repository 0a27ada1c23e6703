from .clamp_head import CLAMPHead
from .metta_head import MeTTAHead
from .with_auxiliary_loss import WithAuxiliaryLoss

__all__ = ['CLAMPHead', 'MeTTAHead', 'WithAuxiliaryLoss']
