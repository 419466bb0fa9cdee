"""Fixtures: a node of the test's own, and one that many tests share, each with its own actor."""

import itertools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from client import Actor  # noqa: E402
from node import Node  # noqa: E402
from thin import THIN, leave_out  # noqa: E402


def pytest_collection_modifyitems(items):
    if THIN > 1:
        items[:] = leave_out(items)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.went_well = outcome.get_result().passed


@pytest.fixture
def start_node(tmp_path, request):
    """start_node("--memory", "64M") gives a node; all of them end with the test."""
    nodes = []

    def start(*options, ca=None, environment=None, binary=None):
        node = Node(tmp_path / f"data{len(nodes)}", options, ca, environment, binary=binary)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.finish()
    if getattr(request.node, "went_well", False):
        for node in nodes:
            node.discard()


@pytest.fixture
def node(start_node):
    """A node of this test alone: it may kill it."""
    return start_node()


class _Shared:
    """The shared node, and how to get another one where a test has crashed it."""

    def __init__(self, factory):
        self.factory = factory
        self.node = None

    def get(self):
        if self.node is None or self.node.process is None:
            self.node = Node(self.factory.mktemp("shared") / "data")
        return self.node


@pytest.fixture(scope="session")
def _shared(tmp_path_factory):
    shared = _Shared(tmp_path_factory)
    yield shared
    if shared.node is not None:
        shared.node.finish()
        shared.node.discard()


@pytest.fixture
def shared_node(_shared):
    """For tests that leave the node as it is, but for actors of their own."""
    node = _shared.get()
    yield node
    node.check()


_numbers = itertools.count(1)


@pytest.fixture
def client(shared_node):
    return shared_node.client


@pytest.fixture
def actor(shared_node, request):
    """An actor that nobody has used, on the shared node."""
    return Actor(shared_node.client, f"{request.node.name}-{next(_numbers)}"[:200])
