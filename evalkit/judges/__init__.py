"""One file per judge protocol: the questions it asks, the contract its reply must meet.

`pairwise_*` prefer one of two answers, `rating_*` rate one; `*_logprob` and `*_text` are evalkit's
own, read through token probabilities or the written reply, `pairwise_alpaca_eval` and
`rating_fastchat` ask as the originals do.  Files with an underscore are their parts: `_prompt`
quotes hostile text, `_pairs` and `_ratings` are what evalkit's own share, `_alpaca_*` and
`_fastchat*` read the originals' prompts and replies.
"""
