"""One file per judge protocol: its requests, and how it reads replies.

`pairwise_*` prefer one of two answers, `rating_*` rate one.  `*_logprob` and `*_text` are evalkit's
own: they read token probabilities, or the written reply.  `pairwise_alpaca_eval` and
`rating_fastchat` use the original prompts and parsers.  `_prompt` is shared.
"""
