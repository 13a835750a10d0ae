"""One file per benchmark: samples, flow, scores, figures; shared with results that others recorded.

Files with an underscore are their parts: `_judged` is what the judged ones share; of lm-eval's
tasks `_lm_eval_tasks` loads, configures and describes them, and `_lm_eval_scores` says what their
numbers mean.
"""
