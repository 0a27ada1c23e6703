from .clamp_head import CLAMPHead
from .clamp_metta_head import CLAMPMeTTAHead
from .lofr_head import LOFRHead
from .metta_head import MeTTAHead
from .with_auxiliary_loss import WithAuxiliaryLoss

__all__ = ['CLAMPHead', 'CLAMPMeTTAHead', 'LOFRHead', 'MeTTAHead', 'WithAuxiliaryLoss']
