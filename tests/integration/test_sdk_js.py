"""The client for JavaScript against real nodes: each file of tests/sdk-js is run by Node's own test runner, and all
of its tests pass."""

import glob
import os
import re

import pytest

import sdk_js

FILES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(sdk_js.TESTS, "*.test.js")))


@pytest.mark.parametrize("name", FILES)
def test_all_tests_of_a_file_pass(name):
    sdk_js.build()
    out = sdk_js.run_node("--test", "--test-reporter=tap", os.path.join(sdk_js.TESTS, name))
    passed, skipped = (int(re.search(rf"^# {word} (\d+)$", out, re.M)[1]) for word in ("pass", "skipped"))
    assert passed >= 1 and skipped == 0, out
