"The house: every module has a floor, imports lead downwards, no circle, and no room uses another's private names."

from pathlib import Path

import pytest
from rooms import departures, read_house

ROOT = Path(__file__).resolve().parents[2]
RANK = {"__init__": 9, "core": 0, "journal": 1, "engine": 2}
SOUND = {
    "core/types.py": "LIMIT = 3\n_secret = 4\n",
    "core/contracts.py": "from .types import LIMIT, _secret\n",
    "journal/rows.py": "from small.core.types import LIMIT\nfrom ..core import contracts\n",
    "engine/loop.py": "from ..journal.rows import LIMIT\nimport small.core.types as types\nHIGH = types.LIMIT\n",
}


def found(tmp_path: Path, **changed: str) -> list[str]:
    "What the checker says of the small house with one file changed or added: `core__types` is core/types.py."
    files = SOUND | {f"{name.replace('__', '/')}.py": text for name, text in changed.items()}
    package = tmp_path / "small"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    (package / "__init__.py").write_text("__version__ = '1'\n")
    return departures(read_house(package), RANK)


def test_the_house_keeps_its_floor_plan():
    house = read_house(ROOT / "futures_algo")
    assert len(house.files) > 150 and len(house.imports) > 1000  # it did read the house
    assert departures(house) == []


def test_a_sound_house_is_left_alone(tmp_path):
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from .contracts import LIMIT\nLIMIT = 3\n",
        "def late():\n    from . import contracts\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from small.core import contracts\n",
        "from importlib import import_module\n\ndef late():\n    return import_module('small.core.contracts')\n",
        "from importlib import import_module\n\ndef late():\n    return import_module('.contracts', __package__)\n",
    ],
    ids=["at the top", "lazy, from .", "for types only", "by name", "by name, relative"],
)
def test_a_circle_inside_a_room_is_named_with_its_way_round(tmp_path, planted):
    assert found(tmp_path, core__types=planted) == [
        "circle of 2: small.core.contracts -> small.core.types -> small.core.contracts"
    ]


def test_a_long_circle_is_one_finding(tmp_path):
    circle = found(
        tmp_path,
        core__a="from . import b\n",
        core__b="def late():\n    import small.core.c\n",
        core__c="from .a import x\n",
    )
    assert circle == ["circle of 3: small.core.a -> small.core.b -> small.core.c -> small.core.a"]


@pytest.mark.parametrize(
    "planted",
    [
        "from ..engine.loop import HIGH\n",
        "from small.engine import loop\n",
        "import small.engine.loop\n",
        "from .. import engine\n",
        "from small.engine import *\n",
        "class Rows:\n    def late(self):\n        from ..engine import loop\n",
        "import typing\nif typing.TYPE_CHECKING:\n    from ..engine import loop\n",
        "import importlib\nloop = importlib.import_module('small.engine.loop')\n",
    ],
)
def test_an_arrow_up_is_named(tmp_path, planted):
    arrows = found(tmp_path, journal__extra=planted)
    assert len(arrows) == 1 and "small.journal.extra:" in arrows[0] and "not on a lower floor" in arrows[0]


def test_rooms_of_one_floor_do_not_import_each_other(tmp_path):
    package = tmp_path / "small"
    for room, text in {"left": "from ..right import a\n", "right": ""}.items():
        (package / room).mkdir(parents=True)
        (package / room / "a.py").write_text(text)
    assert departures(read_house(package), {"left": 1, "right": 1}) == [
        "small.left.a:1 imports small.right.a, which is not on a lower floor"
    ]


def test_a_front_door_counts_as_an_import_of_what_it_opens(tmp_path):
    door = "from small._facade import facade\n__all__, g, d = facade(__name__, {'rows': ('LIMIT',)})\n"
    package = tmp_path / "small"
    found(tmp_path, journal__rows="from . import LIMIT\n")
    (package / "_facade.py").write_text("def facade(room, homes): ...\n")
    (package / "journal" / "__init__.py").write_text(door)
    assert departures(read_house(package), RANK | {"_facade": -1}) == [
        "circle of 2: small.journal -> small.journal.rows -> small.journal"
    ]


@pytest.mark.parametrize(
    "planted",
    [
        "from ..core.types import _secret\n",
        "from ..core import types\nx = types._secret\n",
        "def late():\n    import small.core.types\n    return small.core.types._secret\n",
        "import small.core.types as t\nt._secret\n",
    ],
)
def test_a_private_name_of_another_room_is_named(tmp_path, planted):
    [finding] = found(tmp_path, engine__extra=planted)
    assert "uses small.core.types._secret, private to its room" in finding


def test_a_private_module_of_another_room_is_named(tmp_path):
    package = tmp_path / "small"
    found(tmp_path, engine__extra="from ..core._hidden import x\n")
    (package / "core" / "_hidden.py").write_text("x = 1\n")
    assert departures(read_house(package), RANK) == [
        "small.engine.extra:1 uses small.core._hidden.x, private to its room"
    ]


def test_a_new_folder_without_a_floor_is_named(tmp_path):
    assert found(tmp_path, attic__box="x = 1\n") == ["attic stands on no floor: give it one in FLOORS"]
    assert found(tmp_path, cellar="x = 1\n") == [
        "attic stands on no floor: give it one in FLOORS",
        "cellar stands on no floor: give it one in FLOORS",
    ]
