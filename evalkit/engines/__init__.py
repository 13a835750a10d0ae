"""Engines answer requests; one file each (see `core.Engine`).

    vllm, transformers    load weights themselves
    openai                asks a server; `recorded` and `fake` ask nobody

Files with an underscore are their parts.  Around every engine: `_drive` runs flows on engines,
`_cached` never asks twice, `_order` puts long generations first.  Text to token ids and keys:
`_rendering`, `_keys`, `_local`; without a tokenizer `_digest`; stop strings `_text`.
Log-likelihoods: `_scoring` and `_context_plan` plan prompts for vLLM (`_scoring_queue` hands them
out), `_tree` plans packs for transformers (`_tree_pass` computes them, `_padded` is the plain way
they are held against).  vLLM: `_vllm` speaks its API, `_vllm_host` loads once for base and
adapters, `_vllm_lora` checks adapters served unmerged.  HTTP: `_openai_wire` writes and reads
bodies, `_http` sends with retries and caps (`_budget`), `_background` is the thread they run on.
"""
