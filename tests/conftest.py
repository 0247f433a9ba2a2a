"Fixtures every test shares: the folder of real data, and how long a campaign runs."

from pathlib import Path

import pytest
from fast import FAST

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
SHARED_DATA = ROOT.parent / "shared" / "data"


def pytest_addoption(parser):
    parser.addoption(
        "--full", action="store_true", help="run campaigns at their full length instead of the reduced one"
    )


def pytest_configure(config):
    from hypothesis import settings

    settings.register_profile(
        "campaign", max_examples=2000 if config.getoption("--full") else 100, deadline=None
    )  # @settings(settings.get_profile("campaign"))


def pytest_collection_modifyitems(config, items):
    """The fast tier by file; and the time limit of pyproject.toml is for an ordinary run: a campaign at its full length
    may take as long as it is."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).as_posix() in FAST:
            item.add_marker(pytest.mark.fast)
        if config.getoption("--full"):
            item.add_marker(pytest.mark.timeout(4 * 3600), append=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    "The folder of real market data, which is not part of this repository."
    if not SHARED_DATA.is_dir():
        pytest.skip("real data folder ../shared/data is not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def campaign(request):
    "`campaign(200, full=2000)`: episodes to run in this session."
    return lambda reduced, full: full if request.config.getoption("--full") else reduced


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    "Searches of one test are not counted in another's, nor in the folder the tests are run from."
    monkeypatch.setenv("FUTURES_ALGO_RUNS", str(tmp_path / "runs.db"))
