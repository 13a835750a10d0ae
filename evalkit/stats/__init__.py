"""Pure functions from scores to numbers with their uncertainty (`core.figures.Measured`).

means          ─ of scores, shares, paired differences, their p; noise of whole runs
averages       ─ over tasks: a leaderboard's, a group's, a score against chance
decisions      ─ Holm, margins (non-inferiority), minimum detectable effects, several looks
strengths      ─ strengths of several models from games between pairs
resampling     ─ best of several models: its score corrected for the selection
length_control ─ alpaca_eval's length-controlled win rate, with a bootstrap error
agreement      ─ of a judge with people or itself, beyond chance too; of repeated ratings
ppi            ─ a few human labels and many judge labels

A method with more results than a Measured has a small class that holds one.  Undefined is None, and
`Measured.how` says why; random methods take a seed.  Effects are in the unit of the values; shares
and levels are 0 to 1.  scipy is imported inside functions.

Import from the modules: the package itself imports none, so that commands load only what they use.
"""
