import pytest
from pose_files import write_model


@pytest.fixture(scope='session')
def model_files(tmp_path_factory):
    """Config and checkpoint of a tiny CLAMP for AP-10K."""
    return write_model(tmp_path_factory.mktemp('model'))
