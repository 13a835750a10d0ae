"""From runs to figures and contests: what one command says of a figure, every command says.

    resolve   who is meant: `MODEL`, `RUN:MODEL`, `BENCHMARK[/TASK][/METRIC]`
    guard     settings that differ, and whether that is allowed
    figures   records to figures and paired comparisons, averages over tasks included
    contests  the only maker of contests: comparisons within their family, with cautions
    cautions  what speaks against a run's figures; how its judges did
    ranking   the order of several models
    gate      pass, regression, inconclusive or incomplete, and pinned baselines
    claim     whether runs support a sentence (`claim_grammar`)
    history   the steps of a training
    evidence  from a printed figure back to records and files
    power     what a suite can detect

Import from the file that has what you need: the package itself imports nothing.
"""

from __future__ import annotations
