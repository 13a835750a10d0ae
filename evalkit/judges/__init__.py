"""One file per judge protocol: what it requests, how its reply is read.

`pairwise_*` prefer one of two answers, `rating_*` rate one; `*_logprob` and `*_text` are evalkit's
own, read through token probabilities or the written reply, `pairwise_alpaca_eval` and
`rating_fastchat` use the originals' prompts and parsers.  `_prompt` is what they share.
"""
