"""How large the simulated pipeline is: small, so that every event soon meets every fault."""

PARTITIONS = 2
PUBLISHERS = 2
SCORERS = 2  # of each color
