"Packaging: everything comes from settings.ini, the one place for name, version and requirements."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]
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
