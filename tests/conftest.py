"""One cache of machine code for a whole run of tests, and Hypothesis without a clock."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# The first call of a kernel compiles it: time says nothing about an example. What fails, fails for all who
# have the same tree: new examples are drawn on purpose, and not while something else is being changed.
settings.register_profile(
    "mhagen", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# Draws anew each time: `pytest --hypothesis-profile=drawn tests/spec tests/expr tests/tuning`.
settings.register_profile("drawn", settings.get_profile("mhagen"), derandomize=False, print_blob=True)
# For a night: `pytest --hypothesis-profile=long tests/kernels/test_random_specs.py`.
settings.register_profile("long", settings.get_profile("drawn"), max_examples=4000)
settings.load_profile("mhagen")

CACHE = pytest.StashKey[str]()


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gpu", action="store_true", help="run kernels of tests/gpu on the GPU of this machine")


def pytest_configure(config: pytest.Config) -> None:
    """Workers inherit the environment, so that each kernel is compiled once a run, whoever needs it first.

    What a shell starts in the background ignores interrupts, and so would all processes that tests interrupt.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("gpu"):
        os.environ["MHAGEN_TESTS_ON_GPU"] = "1"
    if not is_worker(config):
        config.stash[CACHE] = os.environ["MHAGEN_CACHE_DIR"] = tempfile.mkdtemp(prefix="mhagen-tests-")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose tools are missing ends before it begins."""
    for mark in item.iter_markers("needs_tools"):
        from gpu.toolchain import require

        require(*mark.args)


def pytest_collection_finish() -> None:
    """What was imported stays, and kernels are many objects: looking through all of them takes long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def pytest_unconfigure(config: pytest.Config) -> None:
    if CACHE in config.stash:
        shutil.rmtree(config.stash[CACHE], ignore_errors=True)
