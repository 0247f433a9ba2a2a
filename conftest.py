"Pages under nbval (`pytest --nbval nbs/...`), whose cells were cleaned: what it needs to check stored outputs."

import os


def pytest_configure(config):
    "A page under test does not write the modules again: its last cell asks nbdev, and nbdev asks this variable."
    if config.getoption("nbval", False):
        os.environ["IN_TEST"] = "1"


def pytest_itemcollected(item):
    "Cleaning takes the execution counts away, and nbval takes a cell without one for a cell never run."
    cell = getattr(item, "cell", None)
    if cell is not None and cell.get("outputs") and cell.get("execution_count") is None:
        cell["execution_count"] = 1
