"""One file per benchmark: samples, questions, scoring rule, metrics.

Files with an underscore are their parts.  `_judged` is what the judged ones share; scores and
figures that recorded results share with live ones are in `_alpaca_scores`, `_alpaca_extra` (length
control), `_mt_bench_scores`, `_lm_eval_scores` and `_leaderboard`; `_mt_bench_data` reads files.
lm-eval's tasks: `_lm_eval_tasks` and `_lm_eval_config` load them, `_lm_eval_prompts` (and
`_lm_eval_2023`) build what they ask, `_lm_eval_requests` carries it to engines and back,
`_lm_eval_describe` says what identifies them, `_lm_eval_tools` tames what their code uses, and
`_lm_eval_lm` is lm-eval's own evaluator on our engines, the oracle of the tests.
"""
