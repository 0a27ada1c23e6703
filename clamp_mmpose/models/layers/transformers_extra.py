from __future__ import annotations

from types import ModuleType

MEND = "pip install 'clamp-mmpose[blip]'"


def import_transformers() -> ModuleType:
    """Hugging Face's transformers, which only some methods need. ImportError says how to get it.

    With a torch older than it supports, transformers imports and goes without its models; that is an error here.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"captions need Hugging Face's transformers ({error}): {MEND}") from error
    if not transformers.is_torch_available():
        import torch
        raise ImportError(f'transformers {transformers.__version__} goes without torch {torch.__version__}, which is '
                          "older than it supports: pip install 'transformers>=4.40,<5', or update torch")
    return transformers
