"""One file per benchmark: samples, flow, scores, figures; imports share the scores and figures.

Files with an underscore are parts: `_judged` is shared by the judged benchmarks; `_lm_eval_tasks`
loads, configures and describes lm-eval's tasks, `_lm_eval_scores` turns their values into scores
and figures.
"""
