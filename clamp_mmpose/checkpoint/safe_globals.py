"""What a training checkpoint may ask for while it is read.

``torch.load(weights_only=True)`` accepts tensors and plain containers, and refuses MMEngine's own checkpoints:
they also hold NumPy arrays and numbers, log histories, and references to a few functions. This module allows
exactly those. Where the real function would open a door (``getattr``, ``numpy.dtype``, ...) a stand-in answers
under its name and checks what it is asked for.
"""
from __future__ import annotations

import pickle
import re
from typing import Any, Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

# Booleans, integers, floats and complex numbers, in NumPy's one-letter codes.
NUMBER_CODES = '?bBhHiIlLqQefdgFDG'
NUMBER_PATTERN = re.compile(r'[<>|=]?(\?|[biufc]\d{1,2})')


class RefusedGlobal(pickle.UnpicklingError):
    """A checkpoint asks a stand-in for something that training state does not need; the message is that thing."""


class StandIn:
    """Answers under the name ``path`` ('module.name') in a checkpoint, in place of the function of that name.

    ``torch.serialization.add_safe_globals`` reads the name from the attributes set here, since torch 2.4.
    """

    def __init__(self, path: str, function: Callable) -> None:
        self.__module__, _, self.__name__ = path.rpartition('.')
        self.__qualname__ = self.__name__
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def attribute(owner: Any, name: str) -> Callable:
    """Stands in for ``getattr``, by which pickle names methods of a class. Knows ``KNOWN_METHODS`` only."""
    methods = KNOWN_METHODS.get(owner, {}) if isinstance(owner, (type, StandIn)) else {}
    if not isinstance(name, str) or name not in methods:
        owner = getattr(owner, '__name__', type(owner).__name__)
        raise RefusedGlobal(f'builtins.getattr({owner}, {name!r})')
    return methods[name]


def number_dtype(code: str, *_: Any) -> np.dtype:
    """A fresh NumPy dtype of plain numbers. Object and structured dtypes can turn bytes into pointers."""
    if not (isinstance(code, str) and NUMBER_PATTERN.fullmatch(code)):
        raise RefusedGlobal(f'numpy.dtype({code!r})')
    # A copy: reading the checkpoint sets the byte order on what is returned here.
    return np.dtype(code, copy=True)


def empty_array(cls: type, shape: tuple[int, ...], _: Any) -> np.ndarray:
    """The empty array that pickle then fills: NumPy's ``_reconstruct`` without a choice of class and shape."""
    if cls is not np.ndarray or shape != (0,):
        raise RefusedGlobal(f'numpy.core.multiarray._reconstruct({cls!r}, {shape!r})')
    return np.ndarray((0,), np.int8)


def number(dtype: np.dtype, data: bytes) -> np.generic:
    """One NumPy number from its bytes."""
    if not (isinstance(dtype, np.dtype) and dtype.kind in 'biufc' and isinstance(data, bytes)
            and len(data) == dtype.itemsize):
        raise RefusedGlobal(f'numpy.core.multiarray.scalar({dtype!r}, {data!r})')
    return np.frombuffer(data, dtype)[0]


def latin_bytes(text: str, encoding: str) -> bytes:
    """The content of an array, which pickle writes as text. Torch reads it by itself since 2.5."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise RefusedGlobal(f'_codecs.encode({text!r}, {encoding!r})')
    return text.encode(encoding)


def empty_bytes(*args: Any) -> bytes:
    """``bytes()``, which is how pickle writes the content of an array without elements."""
    if args:
        raise RefusedGlobal(f'builtins.bytes{args!r}')
    return b''


def refuse_construction(*args: Any) -> None:
    raise RefusedGlobal('mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler(...)')


# Names the class for `attribute`, without making it possible to build one.
ONE_CYCLE = StandIn('mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler', refuse_construction)

# What MMEngine's checkpoints refer to: statistics of a log history, the annealing function of a scheduler.
KNOWN_METHODS: dict[Any, dict[str, Callable]] = {
    HistoryBuffer: {name: vars(HistoryBuffer)[name] for name in ('min', 'max', 'current', 'mean')},
    ONE_CYCLE: {
        '_annealing_cos': OneCycleParamScheduler._annealing_cos,
        '_annealing_linear': OneCycleParamScheduler._annealing_linear,
    },
}

SAFE_GLOBALS: list[Callable] = [
    HistoryBuffer,
    np.ndarray,
    set,
    # Not only callables: reading also sets the state of these, which torch allows by exact type.
    *{type(np.dtype(code)) for code in NUMBER_CODES},
    ONE_CYCLE,
    StandIn('builtins.getattr', attribute),
    StandIn('builtins.bytes', empty_bytes),
    StandIn('_codecs.encode', latin_bytes),
    StandIn('numpy.dtype', number_dtype),
    # NumPy 1 and NumPy 2 write different module names.
    StandIn('numpy.core.multiarray._reconstruct', empty_array),
    StandIn('numpy._core.multiarray._reconstruct', empty_array),
    StandIn('numpy.core.multiarray.scalar', number),
    StandIn('numpy._core.multiarray.scalar', number),
]


def allow_training_state() -> None:
    """Makes ``torch.load(..., weights_only=True)`` accept MMEngine's checkpoints. May be called repeatedly."""
    torch.serialization.add_safe_globals(SAFE_GLOBALS)
