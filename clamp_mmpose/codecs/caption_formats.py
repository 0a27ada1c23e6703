"""How a caption writes one joint: its name, its numbers, and what stands between them."""
from __future__ import annotations

from typing import NamedTuple


class Literal(NamedTuple):
    """A piece of a caption that is known beforehand."""
    text: str


class Slot(NamedTuple):
    """A piece of a caption that the picture decides.

    joint: index of the keypoint in the dataset. axis: 'x', 'y' or 'visible'. choices: what can stand here, by value.
    """
    joint: int
    axis: str
    choices: tuple[str, ...]


class Pixels:
    """A coordinate as a whole number of pixels, 0 to size - 1; halves are rounded to the even number."""

    def __init__(self, size: int) -> None:
        self.largest = size - 1
        self.choices = tuple(map(str, range(size)))

    def write(self, value: float) -> str:
        return self.choices[min(max(round(value), 0), self.largest)]

    def read(self, text: str) -> float | None:
        """The value; None if it is out of range."""
        value = float(text)
        return value if 0 <= value <= self.largest else None


class Fraction:
    """A coordinate divided by the size, as Python writes the rounded number: ``0.5``, not ``0.500``."""

    def __init__(self, size: int, decimals: int) -> None:
        self.size, self.decimals = size, decimals
        self.largest = round((size - 1) / size, decimals)
        self.choices = tuple(str(step / 10**decimals) for step in range(round(self.largest * 10**decimals) + 1))

    def write(self, value: float) -> str:
        # Adding 0 makes -0.0 a plain zero.
        return str(round(min(max(value, 0), self.size - 1) / self.size, self.decimals) + 0.)

    def read(self, text: str) -> float | None:
        """The value in pixels; None if it is out of range."""
        value = float(text)
        return value * self.size if 0 <= value <= self.largest else None


class Flag:
    """Whether a joint is visible, 0 or 1."""
    choices = ('0', '1')

    def write(self, value: float) -> str:
        return self.choices[bool(value)]

    def read(self, text: str) -> float | None:
        value = float(text)
        return value if value in (0, 1) else None


class JointFormat:
    """What a caption says of one joint: ``name``, ``opening``, the numbers with ``between`` them, ``closing``.

    numbers: axis -> what reads and writes its numbers, in the order of the caption. values: axis -> choice -> value.
    """

    def __init__(self, numbers: dict, *, opening: str = ':', between: str = ',', closing: str = ' ') -> None:
        self.numbers = numbers
        self.opening, self.between, self.closing = opening, between, closing
        self.values = {axis: {choice: number.read(choice) for choice in number.choices}
                       for axis, number in numbers.items()}

    def template(self, joint: int, name: str) -> tuple[Literal | Slot, ...]:
        pieces = [Literal(name + self.opening)]
        for axis, number in self.numbers.items():
            pieces += [Slot(joint, axis, number.choices), Literal(self.between)]
        return (*pieces[:-1], Literal(self.closing))

    def write(self, name: str, values: dict[str, float]) -> str:
        """values: axis -> value in input pixels, or whether the joint is visible."""
        texts = [number.write(values[axis]) for axis, number in self.numbers.items()]
        return name + self.opening + self.between.join(texts) + self.closing


def _pixels(size: tuple[int, int], decimals: int) -> JointFormat:
    return JointFormat(dict(x=Pixels(size[0]), y=Pixels(size[1])))


def _fractions(size: tuple[int, int], decimals: int) -> JointFormat:
    return JointFormat(dict(x=Fraction(size[0], decimals), y=Fraction(size[1], decimals)))


def _visibility(size: tuple[int, int], decimals: int) -> JointFormat:
    return JointFormat(dict(visible=Flag()))


def _single(size: tuple[int, int], decimals: int) -> JointFormat:
    return JointFormat(dict(x=Pixels(size[0]), y=Pixels(size[1])), opening=': (', between=', ', closing=')')


# Style -> how it writes a joint. The names are the keys of the paper's data; "single" is its warm-up task.
STYLES = dict(
    text=_pixels,
    simple_text=_pixels,
    visibility_text=_visibility,
    simple_visibility_text=_visibility,
    normalized_text=_fractions,
    normalized_simple_text=_fractions,
    single=_single,
)
