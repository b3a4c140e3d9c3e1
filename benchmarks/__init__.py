"""`python -m benchmarks`: what the gateway costs, beside a floor that does nothing but pass bytes on.

Read `rounds.py` for what is measured and in which order, `goals.py` for what it is held against. Ratios to
the floor count: they hold on other machines, absolute figures do not.
"""
