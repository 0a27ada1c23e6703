import pytest

from clamp_mmpose.checkpoint import register_safe_loading


@pytest.fixture(scope='session', autouse=True)
def safe_loading():
    register_safe_loading()
