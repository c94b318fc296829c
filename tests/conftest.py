"""What holds for every test."""

from tests.slow_callbacks import (  # noqa: F401 - hooks
    pytest_configure,
    pytest_runtest_call,
    pytest_runtest_setup,
    pytest_runtest_teardown,
    pytest_unconfigure,
)
