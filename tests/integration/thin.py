"""INTEGRATION_THIN=n is for the build with sanitizers, where each test takes several times as long, of memory too:

    thin(rows)    every n-th row of a table whose rows differ in data and not in code
    once          a test of bounds, speed or of the tests themselves, which shows nothing more there
    conftest.py   of files in TABLES every n-th of the tests that come from one table

All run in the build without sanitizers."""

import os

import pytest

THIN = int(os.environ.get("INTEGRATION_THIN", "1"))
TABLES = {"test_command_line.py", "test_listing.py", "test_sdk_fake.py", "test_txn.py", "test_values.py"}

once = pytest.mark.skipif(THIN > 1, reason="once, in the build without sanitizers")


def thin(rows):
    return list(rows)[::THIN]


def leave_out(items):
    """The items that stay."""
    counts = {}
    left = []
    for item in items:
        table = (item.path.name, getattr(item, "originalname", None))
        if item.path.name in TABLES and hasattr(item, "callspec"):
            counts[table] = counts.get(table, -1) + 1
            if counts[table] % THIN:
                continue
        left.append(item)
    return left
