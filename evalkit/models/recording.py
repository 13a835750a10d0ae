"""Recorded beside an adapter where it is trained, so that a later merge is proved end to end.

PEFT's files do not say which weights an adapter was trained on, and loading them does not always
give the trained model back.  So training writes `evalkit_base.json` (`checkpoint.BASE_RECORD`):

    {"reference": "...", "digests": ["weights:<sha256>"],
     "probes": {"ids": [[...], ...], "trained": [[...], ...], "base": [[...], ...],
                "dtype": "bfloat16", "quantized": false, "from": "training"}}

`trained` and `base` are natural log-probabilities of each next token of `ids` under the model with
and without the adapter; `base` is absent where the initialisation changed the base, since PEFT
cannot switch that off.  `from` is `reload` where the adapter was loaded from its files again, which
shows that a later merge equals that reload, not that the reload equals the training.

Tolerance: in float32 log-probabilities of one model agree to 1e-4 between machines; 1e-3 is
allowed at the worst token.  In 16 bits single logits move by up to 1.3, so there the mean over all
tokens is compared: 0.05, or a tenth of the adapter's effect.  A base that was quantised for the
training is another model than the one merged into: the difference is told, and no error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evalkit.core import Json
from evalkit.errors import MergeError
from evalkit.models.checkpoint import Adapter

__all__ = ["PROBES", "check_recorded", "recorder", "trained_probes"]

PROBES = (
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "Q: A train travels 60 km in 45 minutes. What is its speed in km/h?\nA: Let's think",
    "def fibonacci(n):\n    ",
    "Explique en une phrase pourquoi le ciel est bleu.",
    "The committee met on Tuesday. It did not agree, because",
)
"""Texts that every proof is made on."""
_CHANGING = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that change the base."""
_EXACT = 1e-3
_MEAN, _OF_EFFECT = 0.05, 0.1


def trained_probes(model: Any, tokenizer: Any, origin: str) -> dict[str, Json]:
    """The `probes` of a record, of a PEFT model in memory; `origin`: `training` or `reload`."""
    ids = [list(tokenizer(text)["input_ids"]) for text in PROBES]
    ids = [i for i in ids if len(i) > 1]
    config = model.peft_config[model.active_adapter]
    found: dict[str, Json] = {
        "ids": ids,
        "trained": _logprobs(model, ids),
        "dtype": str(model.dtype).removeprefix("torch."),
        "quantized": getattr(model.config, "quantization_config", None) is not None,
        "from": origin,
    }
    if not str(getattr(config, "init_lora_weights", True)).startswith(_CHANGING):
        with model.disable_adapter():
            found["base"] = _logprobs(model, ids)
    return found


def _logprobs(model: Any, ids: Sequence[Sequence[int]]) -> list[list[float]]:
    """Of each next token, natural, in float32."""
    import torch

    training = model.training
    model.eval()
    found = []
    with torch.inference_mode():
        for probe in ids:
            given = torch.tensor([list(probe)], device=model.device)
            scores = torch.log_softmax(model(input_ids=given).logits[0, :-1].float(), dim=-1)
            found.append(scores.gather(1, given[0, 1:, None])[:, 0].cpu().tolist())
    model.train(training)
    return found


def check_recorded(model: Any, adapter: Adapter) -> dict[str, Json]:
    """Numbers of the end-to-end proof of the merged `model` (float32), or why there is none.

    Raises MergeError where the model is not the one that was recorded.
    """
    probes = adapter.record.get("probes")
    if not probes:
        return {
            "not_proved": "that the base is the one trained on, and that PEFT loads what was "
            "trained: nothing was recorded at training (`evalkit adapter record`)"
        }
    now = [x for row in _logprobs(model, probes["ids"]) for x in row]
    then = [x for row in probes["trained"] for x in row]
    off = [abs(a - b) for a, b in zip(now, then, strict=True)]
    exact = probes["dtype"] == "float32"
    error = max(off) if exact else sum(off) / len(off)
    allowed = _EXACT if exact else max(_MEAN, _OF_EFFECT * _effect(probes))
    kind = "largest" if exact else "mean"
    if error > allowed and not probes["quantized"]:
        raise MergeError(
            f"the merged model is not the one recorded at training: log-probabilities of probe "
            f"tokens differ by {error:.2g} ({kind}), expected at most {allowed:.2g}: the base or "
            f"the adapter's files are others, or PEFT does not load what was trained"
        )
    found: dict[str, Json] = {
        f"{kind}_logprob_difference_from_recorded": error,
        "recorded_from": probes["from"],
        "recorded_in": "a quantised base" if probes["quantized"] else probes["dtype"],
    }
    if probes["from"] != "training":
        found["not_proved"] = "that PEFT loads what was trained: recorded from a reload"
    return found


def _effect(probes: dict[str, Json]) -> float:
    """Mean change of the probes' log-probabilities by the adapter; 0 where it is not recorded."""
    rows = zip(probes["trained"], probes.get("base") or (), strict=False)
    changes = [abs(a - b) for one, other in rows for a, b in zip(one, other, strict=True)]
    return sum(changes) / len(changes) if changes else 0.0


def recorder(record: Callable[[Path, Any, Any], None]) -> Any:
    """A `transformers.TrainerCallback` that calls `record(folder, model, tokenizer)`.

    After each checkpoint was saved, with its folder, and at the end with the output folder.
    """
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):  # type: ignore[misc]
        """Records beside every saved adapter what it was trained on and answers."""

        def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            """A checkpoint was written."""
            self._record(Path(args.output_dir) / f"checkpoint-{state.global_step}", given)

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            """Training is over; the adapter is saved into the output folder by then or after."""
            self._record(Path(args.output_dir), given)

        def _record(self, folder: Path, given: dict[str, Any]) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            record(folder, given["model"], given.get("processing_class"))

    return Recorder()
