from .clip_text_encoder import CLIPTextEncoder
from .mirror_indices import mirror_indices
from .text_prompts import TextPrompts

__all__ = ['CLIPTextEncoder', 'TextPrompts', 'mirror_indices']
