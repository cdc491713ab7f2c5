#!/usr/bin/env bash
# Brings a version of the registry to production: over history first, then by the plan of pipeline.yaml.
#
#     examples/cicd/promote.sh fraud:8
#
# Exit code of whatever stopped it: 0 it is live, 10 it is worse (replay or rollout), 11 nobody knows yet, 12 a person
# has to decide, 14 it does not keep the contract; docs/continuous-deployment.md has them all.
set -euo pipefail

model=${1:?usage: promote.sh NAME:VERSION}
reports=${REPORTS:-reports}
mkdir -p "$reports"

streambg ci validate "$model" --last "${LAST:-24h}" --dir "$reports/replays" \
  --junit "$reports/validate.xml" --summary "$reports/summary.md"
streambg ci deploy "$model" --wait --timeout "${TIMEOUT:-6h}" --output junit >"$reports/deploy.xml"
