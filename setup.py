"Packaging: everything comes from settings.ini, the one place for name, version and requirements."
import sys
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]
needed = tuple(map(int, settings["min_python"].split(".")))
if sys.version_info < needed:  # before pip meets the pinned packages, which say it in their own words
    sys.exit(
        f"futures-algo needs Python {settings['min_python']} or newer, and this is {sys.version.split()[0]}: "
        "make the environment with a newer one (python3.12 -m venv .venv; on Windows py -3.12 -m venv .venv)"
    )
requirements = lambda key: settings.get(key, "").split()
extras = {name: requirements(f"{name}_requirements") for name in ("dev", "bench", "cluster")}

setup(
    name=settings["lib_name"].replace("_", "-"),
    version=settings["version"],
    description=settings["description"],
    author=settings["author"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    url=settings["git_url"],
    packages=find_packages(include=["futures_algo", "futures_algo.*"]),
    package_data={"futures_algo": ["py.typed", "*/data/*", "*/assets/*", "*/*.json"]},
    python_requires=f">={settings['min_python']}",
    install_requires=requirements("requirements"),
    extras_require=extras,
    entry_points={"console_scripts": settings["console_scripts"].split()},
)
