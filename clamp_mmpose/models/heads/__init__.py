from .clamp_head import CLAMPHead
from .lofr_head import LOFRHead
from .metta_head import MeTTAHead
from .with_auxiliary_loss import WithAuxiliaryLoss

__all__ = ['CLAMPHead', 'LOFRHead', 'MeTTAHead', 'WithAuxiliaryLoss']
