#!/usr/bin/env bash
# Deploys an image to a stack, waits until it is ready, and deactivates all idle revisions but the newest:
#   infra/roll-out.sh prod eventfeed@sha256:…
set -euo pipefail
stack=$1 image=$2

pulumi up --yes --stack "$stack" --config "eventfeed:image=$image"
url=$(pulumi stack output url --stack "$stack")
curl --silent --show-error --fail --max-time 10 --retry 30 --retry-delay 5 --retry-all-errors "$url/health/ready"

# The newest idle revision stays active, so that a rollback takes seconds.
group=$(pulumi stack output resourceGroup --stack "$stack")
revision=$(pulumi stack output revision --stack "$stack")
idle='[?properties.active && properties.trafficWeight == `0`]'
az containerapp revision list --resource-group "$group" --name "${revision%%--*}" \
  --query "sort_by($idle, &properties.createdTime)[:-1].name" --output tsv |
  while read -r old; do
    az containerapp revision deactivate --resource-group "$group" --revision "$old"
  done
