"""Pure functions from scores to numbers with their uncertainty (`core.figures.Measured`).

means          ─ of scores, shares, paired differences, their p; noise of whole runs
averages       ─ over tasks: a leaderboard's, a group's, a score against chance
decisions      ─ Holm, margins (non-inferiority), minimum detectable effects, several looks
strengths      ─ strengths of several models from games between pairs
resampling     ─ the best of several on one test set, and its score on another
length_control ─ alpaca_eval's length-controlled win rate, with an honest error
ppi            ─ a few human labels and many judge labels

What a method adds to a Measured is a small class of its own that holds it.  Undefined is None, and
`Measured.how` says why; randomness, where a method needs it, is a seed among the parameters.
Effects are in the unit of the values, shares and levels from 0 to 1.  scipy is imported inside
functions.

Import from the file that has it: a package that imported all would cost `report` and `gate` modules
they do not use.
"""
