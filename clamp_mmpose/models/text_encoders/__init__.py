from .clip_text_encoder import CLIPTextEncoder
from .text_prompts import TextPrompts

__all__ = ['CLIPTextEncoder', 'TextPrompts']
