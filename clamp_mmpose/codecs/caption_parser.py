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

    ok: the codec can write this caption itself, but for case, accents and white space. With all else empty, a caption
    that is not ok has other punctuation.
    missing: joints without a usable value.
    repeated: joints named more than once; the first usable value counts.
    unknown: words before a colon that name no joint; they are junk too.
    out_of_range: joints with a number that is not inside the image.
    malformed: joints without the numbers that the style has.
    irregular: joints out of order, or with numbers in another form, as 007 or 12.5 for a whole number.
    junk: all words that are neither a joint's name nor its numbers.
    """
    ok: bool
    missing: tuple[str, ...]
    repeated: tuple[str, ...]
    unknown: tuple[str, ...]
    out_of_range: tuple[str, ...]
    malformed: tuple[str, ...]
    irregular: tuple[str, ...]
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
        notes = {field: {} for field in CaptionReport._fields[2:]}
        entries, rest = self._entries(text)
        for label, match in entries:
            joint, words = self._name(label)
            notes['junk'].update(dict.fromkeys(words))
            if joint is None:
                if words:
                    notes['unknown'][words[-1]] = None
                continue
            values, problems = self._values(match)
            if joint in seen:
                problems.append('repeated')
            elif joint < max(seen, default=joint):
                problems.append('irregular')
            for problem in problems:
                notes[problem][self.names[joint]] = None
            seen.add(joint)
            if values:
                found.setdefault(joint, values)
        notes['junk'].update(dict.fromkeys(_WORD.findall(rest)))
        missing = tuple(name for joint, name in self.names.items() if joint not in found)
        ok = (self.optional or not missing) and self._written(found) == text.replace(' ', '')
        return found, CaptionReport(ok, missing, **{field: tuple(words) for field, words in notes.items()})

    def _entries(self, text: str) -> tuple[list[tuple[str, re.Match | None]], str]:
        """(the label before it, its numbers if it has them) for each colon, and the text after all of them."""
        label, *segments = text.split(':')
        entries = []
        for segment in segments:
            match = self.values.match(segment)
            entries.append((label, match))
            label = segment[match.end():] if match else segment
        return entries, label

    def _name(self, label: str) -> tuple[int | None, list[str]]:
        """The joint that the label ends with, and the words before it; or None and all words."""
        words = _WORD.findall(label)
        # The longest match comes first: "upper _ neck" before "neck".
        for start in range(max(0, len(words) - self.longest_name), len(words)):
            joint = self.joints.get(''.join(words[start:]))
            if joint is not None:
                return joint, words[:start]
        return None, words

    def _values(self, match: re.Match | None) -> tuple[dict[str, float], list[str]]:
        """axis -> value, none of them unless all can be used; the fields of the report that the joint belongs in."""
        if match is None:
            return {}, ['malformed']
        values, problems = {}, []
        for (axis, number), text in zip(self.format.numbers.items(), match.groups()):
            text = text.replace(' ', '')
            values[axis] = number.read(text)
            if values[axis] is None:
                return {}, ['out_of_range']
            if number.write(values[axis]) != text:
                problems = ['irregular']
        return values, problems

    def _written(self, found: dict[int, dict[str, float]]) -> str:
        written = [self.format.write(name, found[joint]) for joint, name in self.names.items() if joint in found]
        return ''.join(fold(''.join(written)).split())
