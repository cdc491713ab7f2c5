"""`streambg bench`: the product's own processes beside the raw client's loops, on one broker, in one run.

Nothing here is a model of the product: what is measured is `python -m consumers.scorer` and its kin, started as a
person starts them, on topics that they filled. The raw loops (raw.py) are what a person would write with
confluent-kafka alone. Figures of one run are ratios; figures of two runs are not compared.
"""
