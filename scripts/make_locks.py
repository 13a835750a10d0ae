"""Writes the hashes of what `requirements/*.txt` pin, as the package index states them.

    pip install uv && .venv/bin/python scripts/make_locks.py

Each pin keeps its name and version and gets a hash for every file that pip may take: wheels for
Linux on x86_64 and aarch64 with Python 3.11 to 3.13, and the source where one of these has no
wheel.  Files are not downloaded.  Versions are changed by hand, then this is run again.

`torch==X+cpu` is not on the package index: requirements/torch-cpu.txt has the hashes of the wheels
that were looked at, and is not written here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename

LOCKS = Path(__file__).parent.parent / "requirements"
PYTHONS = (11, 12, 13)
MACHINES = ("x86_64", "aarch64")
_PIN = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: \\\n +--hash=\S+)*")


_NEWER = {"every-eval-ever": "; python_version >= '3.12'"}
"""Packages that state a newer Python than they need here: the resolver goes by what they state."""


def main() -> None:
    """Rewrite every lock whose pins are on the index."""
    for lock in ("cpu.txt", "gpu.txt", "dev.txt"):
        path = LOCKS / lock
        text = path.read_text()
        found = _files(
            f"{pin['name']}=={pin['version']}{_NEWER.get(pin['name'], '')}"
            for pin in _PIN.finditer(text)
        )

        def hashed(pin: re.Match[str], found: dict[str, Any] = found) -> str:
            lines = sorted(_hashes(found[canonicalize_name(pin["name"])]))
            return " \\\n    ".join([f"{pin['name']}=={pin['version']}", *lines])

        path.write_text(_PIN.sub(hashed, text))
        print(f"{path}: {text.count('==')} pins")


def _files(pins: Iterable[str]) -> dict[str, Any]:
    """What the index says of each pin, by name, in PEP 751's form."""
    with tempfile.TemporaryDirectory() as folder:
        given, lock = Path(folder, "pins.txt"), Path(folder, "pylock.toml")
        given.write_text("\n".join(pins))
        command = ["uv", "pip", "compile", "--quiet", "--no-deps", "--universal"]
        command += [
            "--python-version",
            f"3.{PYTHONS[0]}.7",
            "--format",
            "pylock.toml",
            "-o",
            str(lock),
        ]
        try:
            subprocess.run([*command, given], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        except FileNotFoundError:
            sys.exit("make_locks: needs uv, which reads the index: pip install uv")
        packages = tomllib.loads(lock.read_text())["packages"]
    return {package["name"]: package for package in packages}


def _hashes(package: dict[str, Any]) -> Iterator[str]:
    wheels = {wheel["url"].rsplit("/", 1)[-1]: wheel for wheel in package.get("wheels", ())}
    places = set(product(PYTHONS, MACHINES))
    missing = set(places)
    for name, wheel in wheels.items():
        fits = {place for tag in parse_wheel_filename(name)[3] for place in _places(tag)} & places
        missing -= fits
        if fits:
            yield f"--hash=sha256:{wheel['hashes']['sha256']}"
    if missing and "sdist" in package:
        yield f"--hash=sha256:{package['sdist']['hashes']['sha256']}"


def _places(tag: Tag) -> Iterator[tuple[int, str]]:
    """Pythons and machines that may take a wheel of this tag."""
    version = re.fullmatch(r"(?:py|cp)3(\d*)", tag.interpreter)
    linux = re.fullmatch(r"(?:any|(?:many)?linux.*?_(x86_64|aarch64))", tag.platform)
    if version is None or linux is None:
        return
    least = int(version[1] or 0)
    is_exact = tag.interpreter.startswith("cp") and tag.abi not in ("abi3", "none")
    for python, machine in product(PYTHONS, MACHINES):
        if (python == least if is_exact else python >= least) and linux[1] in (None, machine):
            yield python, machine


if __name__ == "__main__":
    main()
