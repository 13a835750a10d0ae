"""From a `ModelSpec` to weights on disk that an engine can serve.  Read this file first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalkit.core import Json, PreparedModel
from evalkit.core.specs import ModelSpec
from evalkit.errors import MergeError, ModelError
from evalkit.models.base_check import Base, BaseCheck, check_base, check_base_unread
from evalkit.models.cache import (
    Progress,
    build_once,
    cache_folder,
    read_stamp,
    write_stamp,
)
from evalkit.models.checkpoint import (
    BASE_RECORD,
    FileHashes,
    check_checkpoint,
    check_mergeable,
    digest,
    fingerprint,
    generation_settings,
    read_adapter,
    read_json,
    weight_files,
    weights_digest,
)
from evalkit.models.gguf import convert, gguf_digest, gguf_fingerprint
from evalkit.models.merging import (
    MERGER,
    MergeJob,
    load_tokenizer,
    merge_into,
    merged_dtype,
    pickled_tensors,
    reloaded_probes,
)
from evalkit.models.recording import recorder, trained_probes
from evalkit.models.sources import (
    WeightsSource,
    check_named,
    here,
    is_absolute,
    is_local,
    local_path,
    resolve,
)
from evalkit.models.template import Template, choose_template

__all__ = [
    "base_of",
    "check",
    "merge",
    "outlook",
    "prepare",
    "prepare_base",
    "record_base",
    "recording_callback",
]

STAMP = "evalkit_merge.json"


@dataclass(frozen=True)
class _Place:
    """Where a preparation reads and writes."""

    root: Path
    workspace: Path
    hashes: FileHashes
    progress: Progress


@dataclass(frozen=True)
class _Ready:
    """A checkpoint on disk."""

    folder: Path
    fingerprint: str
    provenance: dict[str, Json] = field(default_factory=dict)


def prepare(
    name: str, spec: ModelSpec, root: Path, workspace: Path, progress: Progress
) -> PreparedModel:
    """Fetch, convert or merge model `name`; returns it with its fingerprint and provenance.

    `root`: relative paths start here (the suite's folder); derived checkpoints go under
    `workspace`/.evalkit/models, each built once.  `progress` is called at every slow step.
    Raises ModelError, MergeError, or StoreError when the workspace cannot be written.
    """
    place = _Place(root, workspace, FileHashes(workspace), progress)
    found, template = _look(name, spec, place)
    ready = _merged(found, place) if isinstance(found, _Merge) else found
    warnings = [*ready.provenance["warnings"], *template.warnings]
    return PreparedModel(
        name=name,
        role=spec.role,
        path=ready.folder,
        fingerprint=digest([ready.fingerprint, template.text]),
        chat_template=template.text,
        template_source=template.source,
        system_role=template.system_role,
        dated=template.dated,
        trust_remote_code=spec.trust_remote_code,
        provenance={**ready.provenance, "warnings": warnings},
        generation=generation_settings(ready.folder),
        chat_template_kwargs=spec.chat_template_kwargs,
        thinking=spec.thinking,
    )


def base_of(reference: str, root: Path) -> str:
    """The base that an adapter's files name: a hub repository, a package's file, or a path here.

    `root`: relative paths start here.  Raises ModelError where there is no adapter, or where its
    files name no base that can be found from this machine.
    """
    adapter = read_adapter(resolve(reference, None, root))
    names = [adapter.config.get("base_model_name_or_path"), adapter.record.get("reference")]
    named = [str(name) for name in names if name]
    for name in named:
        for start in (root, adapter.path, *adapter.path.parents):
            if "://" not in name and (place := local_path(name, start)).exists():
                return str(place.resolve())
        if not is_local(name) and not is_absolute(name):
            return name
    if not named:
        raise ModelError(
            f"adapter_config.json of {reference!r} names no base model; name it: --base MODEL, a "
            f"folder or a hub repository OWNER/NAME"
        )
    raise ModelError(
        f"adapter {reference!r} was trained on {named[0]!r}, a path that is not on this machine; "
        f"name the same model here: --base MODEL, a folder or a hub repository OWNER/NAME"
    )


def check(name: str, spec: ModelSpec, root: Path, workspace: Path, progress: Progress) -> None:
    """Raise what `prepare` would, as far as that is known without merging; likewise."""
    _look(name, spec, _Place(root, workspace, FileHashes(workspace), progress))


def outlook(spec: ModelSpec, root: Path, *, chats: bool) -> Iterator[tuple[str, str]]:
    """What will stop a run, as far as files on this machine tell it without weights being read.

    Nothing is downloaded, converted or merged.

    Args:
        spec: The model; it is loaded here.
        root: Relative paths start here.
        chats: It is sent conversations, so that it needs a chat template.

    Yields:
        A field of `spec`, and what is wrong with it.
    """
    found: dict[str, WeightsSource | None] = {}
    for name, reference, revision in (
        ("path", spec.path, spec.revision),
        ("base", spec.base, spec.base_revision),
        ("adapter", spec.adapter, spec.adapter_revision),
    ):
        if reference is None:
            continue
        try:
            found[name] = source = here(reference, revision, root)
            if source is not None and name == "adapter":
                adapter = read_adapter(source)
                found[name] = adapter.source
                check_mergeable(adapter)
                if spec.base is not None and "base" in found:
                    allow = spec.allow_different_base
                    check_base_unread(spec.base, found["base"], adapter, root, allow)
            elif source is not None and not source.is_gguf:
                check_checkpoint(source.path, reference)
        except MergeError as error:
            yield "base", str(error)
        except ModelError as error:
            yield name, str(error)
            return
    if chats and (lacking := _without_template(spec, found, root)):
        yield "chat_template", lacking


def _without_template(
    spec: ModelSpec, found: Mapping[str, WeightsSource | None], root: Path
) -> str:
    """What is wrong with the chat template; empty where nothing is, or where it is not here."""
    source = found.get("path") or found.get("base")
    if source is None or source.is_gguf or (spec.chat_template or "").startswith("fastchat:"):
        return ""
    adapter = found.get("adapter")
    beside = None if adapter is None else adapter.path
    try:
        template = choose_template(
            spec.chat_template,
            source.path,
            root,
            adapter=beside,
            options=spec.chat_template_kwargs,
        )
    except ModelError as error:
        return str(error)
    if template.text is not None:
        return ""
    return (
        f"{source.reference!r} has no chat template, and is to answer conversations; name one: "
        f"`chat_template: FILE.jinja`, or `chat_template: fastchat:NAME`"
    )


def _look(name: str, spec: ModelSpec, place: _Place) -> tuple[_Ready | _Merge, Template]:
    """The checkpoint, or what is to be merged, and the chat template."""
    for reference in (spec.path, spec.base, spec.adapter):
        if reference is not None:
            check_named(reference, place.root)
    if spec.adapter is None:
        ready = _plain(spec, place)
        return ready, _template(name, spec, ready.folder, place.root)
    merge_plan = _plan_merge(spec, place)
    job = merge_plan.job
    adapter = job.adapter.path
    return merge_plan, _template(name, spec, job.base.folder, place.root, adapter)


def _template(
    name: str, spec: ModelSpec, folder: Path, root: Path, adapter: Path | None = None
) -> Template:
    """The chat template of the checkpoint in `folder`, whose code is trusted or not needed."""
    _check_code(folder, name, spec)
    code = spec.trust_remote_code
    return choose_template(
        spec.chat_template,
        folder,
        root,
        code=code,
        adapter=adapter,
        options=spec.chat_template_kwargs,
    )


def prepare_base(reference: str, workspace: Path, progress: Progress | None = None) -> Path:
    """The checkpoint folder of `reference`, converted if need be; for training scripts.

    Relative paths start at the current folder.  Raises ModelError.
    """
    place = _Place(Path.cwd(), workspace, FileHashes(workspace), progress or _silent)
    return _base(ModelSpec(base=reference), place).folder


def record_base(
    adapter: Path, reference: str, workspace: Path, model: Any = None, tokenizer: Any = None
) -> None:
    """Record beside `adapter` the base it was just trained on, and what the trained model answers.

    `model`: the trained PEFT model in memory, with its `tokenizer`; None: PEFT loads the adapter
    from its files.  See `recording` for the record.  Raises ModelError when `reference` or the
    adapter cannot be found or is of a kind that cannot be merged, MergeError when it does not fit.
    """
    place = _Place(Path.cwd(), workspace, FileHashes(workspace), _silent)
    base = _base(ModelSpec(base=reference), place)
    if model is None:
        found = read_adapter(WeightsSource("folder", str(adapter), adapter))
        check_mergeable(found)
        adapter = found.path
        probes = reloaded_probes(MergeJob(base, found, "float32", code=False))
    else:
        probes = trained_probes(model, tokenizer or load_tokenizer(base.folder), "training")
    content = {"reference": reference, "digests": list(base.digests), "probes": probes}
    text = json.dumps(content, indent=2)
    (adapter / BASE_RECORD).write_text(text + "\n", encoding="utf-8")


def recording_callback(reference: str, workspace: Path) -> Any:
    """A `transformers.TrainerCallback` that calls `record_base` wherever an adapter is saved.

    `reference`: the base, as a suite names it.
    """

    def record(folder: Path, model: Any, tokenizer: Any) -> None:
        record_base(folder, reference, workspace, model, tokenizer)

    return recorder(record)


def _silent(_line: str) -> None:
    """No progress is shown."""


def _resolve(reference: str, revision: str | None, place: _Place, *, code: bool) -> WeightsSource:
    if "/" in reference and not (place.root / reference).exists() and "://" not in reference:
        place.progress(f"looking for {reference}")
    return resolve(reference, revision, place.root, code=code)


# --- A checkpoint without adapter -----------------------------------------------------------


def _plain(spec: ModelSpec, place: _Place) -> _Ready:
    if spec.path is None:
        raise ModelError("this model names no weights; expected `path`, or `base` with `adapter`")
    source = _resolve(spec.path, spec.revision, place, code=spec.trust_remote_code)
    folder, mark = _checkpoint(source, spec, place)
    provenance: dict[str, Json] = {"source": source.describe()}
    if source.is_gguf:
        provenance["source"] |= {"sha256": place.hashes.sha256(source.path)}
    return _Ready(folder, mark, provenance | {"warnings": list(source.warnings)})


def _checkpoint(source: WeightsSource, spec: ModelSpec, place: _Place) -> tuple[Path, str]:
    """Folder and fingerprint of a source, converted where it is a GGUF file."""
    if source.is_gguf:
        # A base keeps its own type: `dtype` is that of the saved merge.
        dtype = "auto" if spec.adapter or spec.path is None else spec.dtype
        folder = convert(source, dtype, place.workspace, place.hashes, place.progress)
        return folder, gguf_fingerprint(source, dtype, place.hashes)
    check_checkpoint(source.path, source.reference)
    for file in weight_files(source.path):
        if file.suffix != ".safetensors":
            pickled_tensors(file, source.reference, "meta")
    return source.path, fingerprint(source.path, place.hashes, code=spec.trust_remote_code)


def _check_code(folder: Path, name: str, spec: ModelSpec) -> None:
    """Raise ModelError for an unknown architecture, unless the suite trusts the model's code."""
    config = read_json(folder / "config.json")
    if spec.trust_remote_code or not config.get("auto_map"):
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if config.get("model_type") not in CONFIG_MAPPING_NAMES:
        raise ModelError(
            f"model {name!r} ({config.get('model_type')!r}) runs code that comes with it; read "
            "that code, then write `trust_remote_code: true` under it in the suite"
        )


# --- An adapter merged into its base --------------------------------------------------------


def _base(spec: ModelSpec, place: _Place) -> Base:
    source = _resolve(str(spec.base), spec.base_revision, place, code=spec.trust_remote_code)
    folder, mark = _checkpoint(source, spec, place)
    digests = [weights_digest(folder, place.hashes)]
    if source.is_gguf:
        digests.insert(0, gguf_digest(source, place.hashes))
    return Base(source, folder, tuple(digests), mark)


@dataclass(frozen=True)
class _Merge:
    """A planned merge, with its key."""

    job: MergeJob
    check: BaseCheck
    key: str


def _plan_merge(spec: ModelSpec, place: _Place) -> _Merge:
    if spec.base is None:
        raise ModelError(
            f"adapter {spec.adapter!r} has no base; write `base:` with the model it was trained on"
        )
    source = _resolve(str(spec.adapter), spec.adapter_revision, place, code=False)
    adapter = read_adapter(source)
    check_mergeable(adapter)
    base = _base(spec, place)
    check = check_base(base, adapter, place.root, spec.allow_different_base, place.hashes)
    dtype = merged_dtype(base, spec.dtype)
    key = digest(["merge", MERGER, base.fingerprint, adapter.fingerprint(place.hashes), dtype])
    return _Merge(MergeJob(base, adapter, dtype, spec.trust_remote_code), check, key)


def _merged(merge_plan: _Merge, place: _Place) -> _Ready:
    label = Path(merge_plan.job.adapter.source.reference).name
    folder = cache_folder(place.workspace, "merged", label, merge_plan.key)

    def build(out: Path) -> None:
        _write(out, merge_plan, place)

    build_once(folder, STAMP, merge_plan.key, build, place.hashes)
    stamp = read_stamp(folder, STAMP) or {}
    return _Ready(folder, merge_plan.key, _provenance(merge_plan, stamp.get("proof", {})))


def _write(out: Path, merge_plan: _Merge, place: _Place) -> None:
    job = merge_plan.job
    proof = merge_into(out, job, place.progress)
    stamp: dict[str, Json] = {
        "key": merge_plan.key,
        "base": job.base.source.describe() | {"fingerprint": job.base.fingerprint},
        "adapter": job.adapter.describe(),
        "proof": proof | _base_words(merge_plan.check),
    }
    write_stamp(out, STAMP, stamp, place.hashes)
    place.progress(f"merged {job.adapter.source.reference} and proved it")


def _base_words(check: BaseCheck) -> dict[str, Json]:
    unproved = {"base_unproved": check.unproved} if check.unproved else {}
    return {"base_check": check.text, "base_not_checked": check.not_checked, **unproved}


def _provenance(merge_plan: _Merge, proof: Mapping[str, Json]) -> dict[str, Json]:
    job, check = merge_plan.job, merge_plan.check
    adapter = job.adapter
    shown = {k: v for k, v in proof.items() if k != "warnings"}
    base: dict[str, Json] = job.base.source.describe() | {"fingerprint": job.base.fingerprint}
    if adapter.base_name:
        base["named_by_adapter"] = adapter.base_name
    return {
        "base": base,
        "adapter": adapter.describe(),
        "merge_proof": shown | _base_words(check),
        "warnings": [
            *check.warnings,
            *job.base.source.warnings,
            *adapter.source.warnings,
            *proof.get("warnings", ()),
        ],
    }


# --- By hand --------------------------------------------------------------------------------


def merge(
    base: str, adapter: str, out: Path, spec: ModelSpec, workspace: Path, progress: Progress
) -> dict[str, Json]:
    """Merge `adapter` into `base` as a plain transformers checkpoint in `out`; returns the proof.

    `spec` has the rest: revisions, dtype, allow_different_base, chat_template,
    trust_remote_code.  Relative paths start at the current folder.  The proof is
    `out`/evalkit_merge.json; its `warnings` are for the user.  Raises ModelError when `out` holds
    anything that an earlier merge by evalkit did not write, MergeError when the merge cannot be
    proved.
    """
    place = _Place(Path.cwd(), workspace, FileHashes(workspace), progress)
    out = out.expanduser().absolute()
    _check_out(out, place.hashes)
    wanted = spec.model_copy(update={"path": None, "base": base, "adapter": adapter})
    merge_plan = _plan_merge(wanted, place)
    _check_apart(out, merge_plan.job)
    job, check = merge_plan.job, merge_plan.check
    warned = [*([check.unproved] if check.unproved else []), *check.warnings]
    template = choose_template(
        spec.chat_template, job.base.folder, place.root, code=job.code, adapter=job.adapter.path
    ).text
    words = [_base_words(merge_plan.check), warned]
    key = digest([merge_plan.key, template if spec.chat_template else None, words])

    def build(folder: Path) -> None:
        _write(folder, replace(merge_plan, key=key), place)
        if spec.chat_template and template:
            (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        stamp = read_stamp(folder, STAMP) or {}
        proof = dict(stamp.get("proof", {}))
        proof["warnings"] = [*warned, *proof.get("warnings", ())]
        write_stamp(folder, STAMP, {**stamp, "proof": proof}, place.hashes)
        _check_out(out, place.hashes)

    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
    build_once(out, STAMP, key, build, place.hashes)
    (out.parent / f".{out.name}.lock").unlink(missing_ok=True)
    stamp = read_stamp(out, STAMP) or {}
    return dict(stamp.get("proof", {}))


def _check_out(out: Path, hashes: FileHashes) -> None:
    """Raise ModelError unless `out` holds only files of an earlier merge: others are the user's."""
    if out.is_file():
        raise ModelError(f"{str(out)!r} is a file; expected a new or empty folder to write to")
    entries = sorted(out.iterdir()) if out.is_dir() else []
    stamp = read_stamp(out, STAMP)
    if entries and stamp is None:
        raise ModelError(
            f"{str(out)!r} is not empty and no merge by evalkit; name a new folder "
            "(nothing was written)"
        )
    written = {STAMP: None} | dict((stamp or {}).get("files") or {})
    for entry in entries:
        ours = entry.name in written and entry.is_file()
        if not ours or written[entry.name] not in (None, hashes.sha256(entry)):
            raise ModelError(
                f"{str(out)!r} holds {entry.name!r}, which the earlier merge did not write like "
                "this; move it away, or name a new folder (nothing was written)"
            )


def _check_apart(out: Path, job: MergeJob) -> None:
    for folder in (job.base.folder, job.adapter.path):
        if out == folder or out.is_relative_to(folder) or folder.is_relative_to(out):
            raise ModelError(
                f"{str(out)!r} overlaps with {str(folder)!r}; a merge is never made in place: "
                "name another folder"
            )
