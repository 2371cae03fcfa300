#!/usr/bin/env bash
# Deploys an image to a stack beside the running revision, and moves the traffic to it in steps while it is healthy:
#   infra/roll-out.sh prod eventfeed@sha256:…
# On a failure all traffic goes back to the revision that served before, and the exit code is 1. The policies in
# infra/policy guard each step.
set -euo pipefail
make --silent --directory "$(dirname "$0")/.." policy
pack="$(dirname "$0")/policy/analyzer"
stack=$1 image=$2
# The pause between two checks, and their number: five minutes.
pause=${ROLL_OUT_PAUSE_SECONDS:-5} checks=60
steps="10 50 100"

up() { # WEIGHT of the newest revision, and the REVISION that gets the rest
  pulumi up --yes --skip-preview --stack "$stack" --config "eventfeed:image=$image" --config "eventfeed:newestWeight=$1" \
    --config "eventfeed:stableRevision=$2" --policy-pack "$pack"
}

output() {
  pulumi stack output "$1" --stack "$stack"
}

is_ready() { # ADDRESS
  curl --silent --show-error --fail --output /dev/null --max-time 10 "$1/health/ready"
}

health() { # the newest revision's: Healthy, Unhealthy or None
  az containerapp revision show --resource-group "$group" --name "${newest%%--*}" --revision "$newest" \
    --query properties.healthState --output tsv
}

wait_for() { # COMMAND …
  for _ in $(seq "$checks"); do
    if "$@"; then return 0; fi
    if [ "$(health)" = Unhealthy ]; then return 1; fi
    sleep "$pause"
  done
  return 1
}

serves() { # the gateway: with a small weight, one response says little about the newest revision
  for _ in $(seq 20); do
    is_ready "$url" || return 1
  done
}

is_healthy() {
  [ "$(health)" = Healthy ]
}

take_back() { # also when a command fails, or the job is cancelled
  trap - EXIT
  echo "The roll-out did not end well. All traffic goes back to $stable." >&2
  for _ in 1 2 3; do
    if up 0 "$stable"; then break; fi
    echo "The traffic could not be moved; see 'pulumi stack output revision' and try: pulumi up" >&2
    sleep "$pause"
  done
  echo "The log of the new revision: az containerapp logs show --resource-group $group --name eventfeed --revision $newest" >&2
  echo "Before the next 'pulumi up' by hand: pulumi config set image with the previous digest" >&2
  exit 1
}

group=$(output resourceGroup)
# A failure of these questions ends the script: an app that serves must not be taken for a new one.
app=$(az containerapp list --resource-group "$group" --query "[?name=='eventfeed'].name" --output tsv)
stable=""
if [ -n "$app" ]; then
  serving='sort_by([?properties.trafficWeight > `0`], &properties.trafficWeight)[-1].name'
  stable=$(az containerapp revision list --resource-group "$group" --name eventfeed --query "$serving" --output tsv)
fi
if [ -z "$stable" ]; then
  echo "Nothing serves yet: the first revision gets all traffic." >&2
  up 100 ""
  newest=$(output revision)
  wait_for is_healthy
  exit
fi

newest="NAME"
trap take_back EXIT
trap 'exit 1' INT TERM
up 0 "$stable"
newest=$(output revision)
if [ "$newest" != "$stable" ]; then
  wait_for is_healthy || take_back
  # The address of the newest revision alone. In production it is reachable only from the network.
  address=$(output newestUrl)
  if [ -n "$address" ]; then
    wait_for is_ready "$address" || take_back
  fi
  url=$(output url)
  for weight in $steps; do
    up "$weight" "$stable"
    { wait_for is_healthy && serves; } || take_back
  done
fi
up 100 ""
trap - EXIT

# The newest idle revision stays active, so that a rollback takes seconds.
idle='sort_by([?properties.active && properties.trafficWeight == `0`], &properties.createdTime)[:-1].name'
az containerapp revision list --resource-group "$group" --name "${newest%%--*}" --query "$idle" --output tsv |
  while read -r old; do
    az containerapp revision deactivate --resource-group "$group" --revision "$old"
  done
