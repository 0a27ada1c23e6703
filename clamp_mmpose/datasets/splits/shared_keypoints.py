from __future__ import annotations

import difflib
import hashlib
from functools import cache, cached_property
from pathlib import Path

from .keypoint_places import PLACES


class SharedKeypoints:
    """The keypoints that two datasets share, in the order and by the names of the first.

    a, b: names of datasets, as in ``PLACES``. loose: also those that are only roughly at one place. sigmas: the dataset
    whose sigmas OKS takes, for both; default: those of ``a``, and of ``b`` where MMPose has none for ``a``.

    Raises ValueError for an unknown dataset, or when nothing is shared.
    """

    def __init__(self, a: str, b: str, *, loose: bool = False, sigmas: str | None = None) -> None:
        for argument, name in (('a', a), ('b', b)):
            _known(argument, name, PLACES)
        if a == b:
            raise ValueError(f'a={a!r} and b={b!r} are one dataset: give two')
        if sigmas is not None:
            _known('sigmas', sigmas, (a, b))
        self.a, self.b, self.loose, self._sigmas_of = a, b, loose, sigmas
        self.pairs = _pairs(a, b, loose=loose)
        if not self.pairs:
            rough = '' if loose or not _pairs(a, b, loose=True) else ', except roughly: see --loose'
            raise ValueError(f'{a} and {b} share no keypoint{rough}')

    @property
    def title(self) -> str:
        return f'{self.a}-{self.b}{"-loose" if self.loose else ""}'

    @property
    def arguments(self) -> dict:
        return dict(a=self.a, b=self.b, loose=self.loose, sigmas=self._sigmas_of)

    def sources(self) -> list[dict]:
        """MMPose's descriptions of the two datasets."""
        paths = [_path(dataset) for dataset in (self.a, self.b)]
        return [dict(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]

    @property
    def keypoint_names(self) -> list[str]:
        names = list(PLACES[self.a])
        return [names[index] for index, _ in self.pairs]

    def names_of_both(self) -> list[tuple[str, str]]:
        names_a, names_b = list(PLACES[self.a]), list(PLACES[self.b])
        return [(names_a[index], names_b[other]) for index, other in self.pairs]

    def remarks(self) -> list[str]:
        """What a reader should know about the choice."""
        found = []
        if {self.a, self.b} == {'ap10k', 'animalpose'}:
            found.append("AP-10K names the leg joints of apes and bears by anatomy, a joint higher than those of other "
                         'animals: test without these families')
        if not self.loose:
            rough = [name for index, name in enumerate(PLACES[self.a])
                     if index in dict(_pairs(self.a, self.b, loose=True)) and index not in dict(self.pairs)]
            found += [f'--loose adds {", ".join(rough)}'] if rough else []
        return found

    def mapping(self, dataset: str) -> list[tuple[int, int]]:
        """(index in ``dataset``, index among the shared): what MMPose's ``KeypointConverter`` takes."""
        side = (self.a, self.b).index(dataset)
        return [(pair[side], index) for index, pair in enumerate(self.pairs)]

    def between(self, source: str) -> list[tuple[int, int]]:
        """(index in ``source``, index in the other dataset)."""
        return [pair if source == self.a else pair[::-1] for pair in self.pairs]

    def flip_indices(self, dataset: str) -> list[int]:
        """Of all keypoints of a dataset, for a model that was trained on it."""
        info = _keypoint_info(dataset)
        names = [keypoint['name'] for keypoint in info]
        return [names.index(keypoint['swap'] or keypoint['name']) for keypoint in info]

    @cached_property
    def metainfo(self) -> dict:
        """The shared skeleton, for ``metainfo=`` of MMPose's datasets. Links and colours are those of ``a``, and the
        links that only ``b`` has."""
        names = {side: {pair[number]: name.replace(' ', '_') for pair, name in zip(self.pairs, self.keypoint_names)}
                 for number, side in enumerate((self.a, self.b))}
        info, shared = _keypoint_info(self.a), names[self.a]
        by_name = {keypoint['name']: shared.get(index, '') for index, keypoint in enumerate(info)}
        keypoint_info = {
            number: dict(name=shared[index], id=number, color=list(info[index]['color']), type=info[index]['type'],
                         swap=by_name[info[index]['swap']] if info[index]['swap'] else '')
            for number, (index, _) in enumerate(self.pairs)
        }
        weights = _dataset_info(self.a)['joint_weights']
        return dict(
            dataset_name=f'common_{self.title.replace("-", "_")}', paper_info={}, keypoint_info=keypoint_info,
            skeleton_info=self._links(names), joint_weights=[weights[index] for index, _ in self.pairs],
            sigmas=self._sigmas())

    def _links(self, names: dict) -> dict:
        links = {}
        for dataset, shared in names.items():
            by_name = {keypoint['name']: shared.get(index) for index, keypoint in enumerate(_keypoint_info(dataset))}
            for link in _dataset_info(dataset)['skeleton_info'].values():
                ends = tuple(by_name[name] for name in link['link'])
                if None not in ends and frozenset(ends) not in links:
                    links[frozenset(ends)] = dict(link=ends, color=list(link['color']))
        return {number: dict(link, id=number) for number, link in enumerate(links.values())}

    def _sigmas(self) -> list[float]:
        for dataset in [self._sigmas_of] if self._sigmas_of else [self.a, self.b]:
            sigmas = _dataset_info(dataset)['sigmas']
            if len(sigmas):
                return [float(sigmas[index]) for index, _ in self.mapping(dataset)]
        raise ValueError(f'MMPose has no sigmas for {dataset}, which OKS needs: choose another by --sigmas')


def _pairs(a: str, b: str, *, loose: bool) -> list[tuple[int, int]]:
    """(index in a, index in b) of keypoints at one place."""
    places_b = [_places(place, loose) for place in PLACES[b].values()]
    return [(index, other) for index, place in enumerate(PLACES[a].values())
            for other, places in enumerate(places_b) if _places(place, loose) & places]


def _places(place, loose: bool) -> set:
    exact, *rough = place if isinstance(place, tuple) else (place, )
    return {one for one in [exact, *(rough if loose else [])] if one}


def _known(argument: str, name: str, allowed) -> None:
    if name not in allowed:
        close = difflib.get_close_matches(name, allowed, n=1, cutoff=.5)
        hint = f' Did you mean {close[0]!r}?' if close else ''
        raise ValueError(f'{argument}={name!r} is not known: choose one of {", ".join(allowed)}.{hint}')


def _path(dataset: str) -> Path:
    import mmpose
    return Path(mmpose.__file__).parent / '.mim' / 'configs' / '_base_' / 'datasets' / f'{dataset}.py'


@cache
def _dataset_info(dataset: str) -> dict:
    from mmengine.config import Config
    return Config.fromfile(_path(dataset)).to_dict()['dataset_info']


def _keypoint_info(dataset: str) -> list[dict]:
    """In the dataset's order."""
    return [keypoint for _, keypoint in sorted(_dataset_info(dataset)['keypoint_info'].items())]
