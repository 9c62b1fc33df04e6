from importlib.metadata import version

import hf_nextfail


def test_the_package_is_installed_under_the_version_that_it_names():
    assert version("hf-nextfail") == hf_nextfail.__version__
