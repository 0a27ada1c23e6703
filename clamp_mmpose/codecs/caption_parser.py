"""Reads what a language model wrote as a caption, whatever it is."""
from __future__ import annotations

import re
from typing import NamedTuple

from .caption_formats import JointFormat
from .caption_names import fold

# White space is single by now. An uncased BERT tokenizer gives "0. 5" or "0 . 5" for 0.5.
_NUMBER = '([+-]? ?[0-9]+(?: ?[.] ?[0-9]+)?)'
_WORD = re.compile(r'[^\s,():]+')


class CaptionReport(NamedTuple):
    """What was found in one caption, as names of joints and as pieces of text.

    ok: the codec can write this caption itself, but for case, accents and white space.
    missing: joints without a usable value.
    repeated: joints named more than once; the first usable value counts.
    unknown: words before a colon that name no joint.
    out_of_range: joints with a number that is not inside the image.
    malformed: joints without the numbers that the style has.
    junk: all other words.
    """
    ok: bool
    missing: tuple[str, ...]
    repeated: tuple[str, ...]
    unknown: tuple[str, ...]
    out_of_range: tuple[str, ...]
    malformed: tuple[str, ...]
    junk: tuple[str, ...]


class CaptionParser:
    """Finds ``name: numbers`` in a text, in any order and with anything between them.

    Case, accents and white space do not matter, except that a name is not found inside another word.

    names: joint -> name, of the joints that a caption has, in order. optional: whether a caption may lack some.
    """

    def __init__(self, names: dict[int, str], joint_format: JointFormat, *, optional: bool) -> None:
        self.names = names
        self.format = joint_format
        self.optional = optional
        self.joints = {fold(name): joint for joint, name in names.items()}
        # A tokenizer may part a name into as many words as it has letters.
        self.longest_name = max(map(len, self.joints))
        self.values = re.compile(r' ?\(? ?' + ' ?, ?'.join([_NUMBER] * len(joint_format.numbers)) + r'(?: ?\))?')

    def parse(self, caption: str) -> tuple[dict[int, dict[str, float]], CaptionReport]:
        """joint -> axis -> value, of the joints that could be read, and what was found. Never raises on a string."""
        text = ' '.join(fold(caption).split())
        found, seen = {}, set()
        # Dictionaries are sets that keep the order.
        repeated, unknown, out_of_range, malformed, junk = {}, {}, {}, {}, {}
        labels, numbers = self._split(text)
        for label, match in zip(labels, numbers):
            joint, words = self._name(label)
            if joint is None:
                unknown.update(dict.fromkeys(words[-1:]))
                junk.update(dict.fromkeys(words[:-1]))
                continue
            name = self.names[joint]
            junk.update(dict.fromkeys(words))
            if joint in seen:
                repeated[name] = None
            seen.add(joint)
            values = match and self._values(match)
            if match is None:
                malformed[name] = None
            elif None in values.values():
                out_of_range[name] = None
            else:
                found.setdefault(joint, values)
        junk.update(dict.fromkeys(_WORD.findall(labels[-1])))
        missing = tuple(name for joint, name in self.names.items() if joint not in found)
        ok = (self.optional or not missing) and self._written(found) == text.replace(' ', '')
        return found, CaptionReport(ok, missing, *map(tuple, (repeated, unknown, out_of_range, malformed, junk)))

    def _split(self, text: str) -> tuple[list[str], list[re.Match | None]]:
        """The text before each colon without the numbers of the one before, last the rest; the numbers after each."""
        first, *segments = text.split(':')
        matches = [self.values.match(segment) for segment in segments]
        return [first] + [segment[match.end():] if match else segment for segment, match in zip(segments, matches)
                          ], matches

    def _name(self, label: str) -> tuple[int | None, list[str]]:
        """The joint that the label ends with, and the words before it; or None and all words."""
        words = _WORD.findall(label)
        # The longest match comes first: "upper _ neck" before "neck".
        for start in range(max(0, len(words) - self.longest_name), len(words)):
            joint = self.joints.get(''.join(words[start:]))
            if joint is not None:
                return joint, words[:start]
        return None, words

    def _values(self, match: re.Match) -> dict[str, float | None]:
        numbers = self.format.numbers.items()
        return {axis: number.read(text.replace(' ', '')) for (axis, number), text in zip(numbers, match.groups())}

    def _written(self, found: dict[int, dict[str, float]]) -> str:
        written = [self.format.write(name, found[joint]) for joint, name in self.names.items() if joint in found]
        return ''.join(fold(''.join(written)).split())
