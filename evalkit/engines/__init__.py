"""Engines answer requests; one file each (see `core.protocols.Engine`).

    vllm, transformers    load weights themselves
    openai                any server that speaks OpenAI's API
    anthropic, google     these vendors' own APIs
    recorded, fake        send nothing

Files with an underscore are their parts.  For every engine: `_drive` runs flows on engines,
`_cached` never sends the same request twice, `_order` puts long generations first.  `_keys`
makes cache keys; `_local` makes token ids, for engines with a tokenizer.  Log-likelihoods:
`_scoring` plans prompts for an engine with a prefix cache (vLLM), `_tree` plans packs for a model
that takes any attention mask (transformers).

Engines that send: `_remote` is the one policy (retries, what a server refuses, deadlines),
`_settings` and `_exchange` are what it shares with the vendors' files, `_batch` sends many requests
at once, `_pace` sets how fast, `_budget` holds the caps, `_errors` reads refusals, `_judge_models`
is what is known of models, `_wire` is the HTTP client, `_background` the thread.
"""
