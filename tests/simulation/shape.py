"""How large the simulated pipeline is: small, so that every event soon meets every fault."""

PARTITIONS = 2
PUBLISHERS = 2
SCORERS = 2  # of each color
# So few that walks of some hundred events reach the limit (P20); a batch has seven rows at the most.
WAITING_ROWS = 15
