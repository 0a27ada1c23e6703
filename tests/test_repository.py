"""What holds for the package as a whole: the order of its imports, names, lengths, and what importing it costs."""
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import mmengine.registry
import mmpose.registry
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'clamp_mmpose'
# A module imports what stands on its own line or above.
LAYERS = [
    ('version', 'structures', 'adaptation'),  # engine/adaptation.py: pure functions, which estimators call
    ('codecs', 'layers', 'losses'),
    ('checkpoint', 'datasets', 'text_encoders', 'backbones'),
    ('necks', ),
    ('heads', ),
    ('pose_estimators', ),
    ('models', ),  # the package that registers the parts
    ('engine', 'evaluation', 'visualization', 'testing'),
    ('apis', ),
    ('tools', ),
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Of one line, these do not import one another.
APART = [('text_encoders', 'backbones'), ('codecs', 'layers'), ('engine', 'visualization'), ('datasets', 'backbones')]
REGISTRIES = [
    registry for module in (mmpose.registry, mmengine.registry) for registry in vars(module).values()
    if isinstance(registry, mmengine.registry.Registry)
]


def _part(module):
    """The folder under ``clamp_mmpose`` or ``clamp_mmpose.models`` that a dotted name lies in; '' for the root."""
    names = module.split('.')[1:]
    if len(names) > 1 and (names[0] == 'models' or names[:2] == ['engine', 'adaptation']):
        names = names[1:]
    return names[0] if names else ''


def _imports(path):
    """Dotted names of the modules of the package that the file imports."""
    package = '.'.join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit('.', node.level - 1)[0] if node.level > 1 else package if node.level else ''
            source = '.'.join(filter(None, [base, node.module]))
            found = [f'{source}.{alias.name}' for alias in node.names] if source == 'clamp_mmpose' else [source]
        else:
            continue
        yield from (name for name in found if name.split('.')[0] == 'clamp_mmpose')


def _part_of_file(path):
    module = path.relative_to(ROOT).with_suffix('')
    return _part('.'.join(module.parts[:-1] if path.name == '__init__.py' else module.parts))


def test_a_module_imports_only_what_stands_before_it():
    checked = 0
    for path in sorted(PACKAGE.rglob('*.py')):
        own = _part_of_file(path)
        for other in map(_part, _imports(path)):
            if own and other and other not in (own, '__version__'):
                assert RANK[other] <= RANK[own], f'{path.relative_to(ROOT)}: {own} imports {other}'
                assert not any({own, other} == set(pair) for pair in APART), f'{path.relative_to(ROOT)}: {other}'
                checked += 1
    assert checked > 20


def test_the_order_of_imports_is_known_for_every_folder():
    folders = {path.name for path in PACKAGE.iterdir() if any(path.glob('**/*.py'))}
    folders |= {path.name for path in (PACKAGE / 'models').iterdir() if any(path.glob('**/*.py'))}
    assert folders - {'__pycache__'} <= set(RANK)


def test_no_module_or_config_is_longer_than_300_lines():
    files = [path for folder in ('clamp_mmpose', 'configs', 'requirements') for path in (ROOT / folder).rglob('*.py')]
    assert len(files) > 50
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def _registered():
    """Name -> class or function, of all that the package registers."""
    return {name: module for registry in REGISTRIES for name, module in registry.module_dict.items()
            if module.__module__.split('.')[0] == 'clamp_mmpose'}


@pytest.mark.parametrize('name', ['CLIPResNet', 'CLIPVisionTransformer', 'CLIPTextEncoder', 'PromptLearnerNeck',
                                  'CLAMPHead', 'KeypointTextContrastiveLoss'])
def test_a_part_is_found_in_mmposes_registry_by_its_name(name):
    part = mmpose.registry.MODELS.get(name)
    assert part.__name__ == name and part.__module__.startswith('clamp_mmpose.models.')
    # From MMDetection's configs too.
    assert mmengine.registry.MODELS.get(f'mmpose.{name}') is part


def test_the_file_of_a_registered_class_is_named_after_it():
    for name, part in _registered().items():
        if isinstance(part, type) and part.__module__.startswith('clamp_mmpose.models.'):
            words = re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()
            assert part.__module__.rsplit('.', 1)[1].replace('_', '') == words.replace('_', ''), name


def test_every_registered_class_says_what_it_is():
    assert [name for name, part in _registered().items() if not (part.__doc__ or '').strip()] == []


def test_importing_the_package_is_cheap():
    """It builds nothing, loads no tower's library, and adds little to what MMPose needs itself."""
    script = '''
import json, sys, time
import mmpose.models, mmpose.apis, mmengine.runner
before, start = set(sys.modules), time.process_time()
import clamp_mmpose
seconds = time.process_time() - start
print(json.dumps([seconds, sorted({name.split('.')[0] for name in set(sys.modules) - before})]))
'''
    output = subprocess.run([sys.executable, '-W', 'ignore', '-c', script], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout
    seconds, loaded = json.loads(output.splitlines()[-1])
    assert seconds < 3
    assert 'clamp_mmpose' in loaded
    # MMPose imports mmdet itself, but neither its models nor its datasets.
    assert not {'open_clip', 'transformers', 'timm', 'safetensors', 'mmdet'} & set(loaded)
