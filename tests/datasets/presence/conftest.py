import pytest
from presence_people import make_people


@pytest.fixture(scope='session')
def folder(tmp_path_factory):
    """Made people, and in `noise` the same with other coordinates; not to be changed."""
    root = tmp_path_factory.mktemp('people')
    make_people(root)
    make_people(root / 'noise', noise=7)
    return root
