"""Is the candidate good enough? Paired, always-valid arithmetic over counts (docs/design.md, section 8). Pure.

All of it is about one number for each event: the difference d in [-1, 1], positive where the candidate did better, as
a share of the metric's range. `grid` keeps differences as exact counts; `eprocess` turns counts into evidence, `bounds`
into an interval, `detector` watches for a change; `kinds` makes differences; `verdict` decides.
"""
