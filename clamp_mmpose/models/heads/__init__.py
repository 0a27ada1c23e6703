from .clamp_head import CLAMPHead

__all__ = ['CLAMPHead']
