#!/usr/bin/env bash
# Deploys an image to a stack beside the running revision, and moves the traffic to it in steps while it is healthy:
#   infra/roll-out.sh prod eventfeed@sha256:…
# Each step lasts for ROLL_OUT_SOAK_SECONDS (300), during which health, gateway and errors are checked. On a failure all
# traffic goes back to the revision that served before, and the exit code is 1. The policies in infra/policy guard each step.
set -euo pipefail
make --silent --directory "$(dirname "$0")/.." policy
pack="$(dirname "$0")/policy/analyzer"
stack=$1 image=$2
# The pause between two checks, and their number: five minutes.
pause=${ROLL_OUT_PAUSE_SECONDS:-5} checks=60
steps="10 50 100" soak=${ROLL_OUT_SOAK_SECONDS:-300}
# The share of responses that may be errors of the server (%); fewer than so many errors are never a fault.
errors_max=1 errors_min=5

up() { # WEIGHT of the newest revision, and the REVISION that gets the rest
  pulumi up --yes --skip-preview --stack "$stack" --config "eventfeed:image=$image" --config "eventfeed:newestWeight=$1" \
    --config "eventfeed:stableRevision=$2" --policy-pack "$pack"
}

output() {
  pulumi stack output "$1" --stack "$stack"
}

is_ready() { # ADDRESS
  curl --silent --show-error --fail --output /dev/null --max-time 10 --retry 2 --retry-all-errors "$1/health/ready"
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

is_healthy() {
  [ "$(health)" = Healthy ]
}

responses() { # of the newest revision in the last ten minutes; a FILTER limits them
  az monitor metrics list --resource "$app" --metric Requests --aggregation Total --interval PT1M --offset 10m \
    --filter "revisionName eq '$newest'$1" --query 'sum(value[].timeseries[].data[].total)' --output tsv
}

errors() { # their share of the responses (%), rounded up; without an answer of Azure the command fails
  local all failed
  all=$(responses "") || return 1
  failed=$(responses " and statusCodeCategory eq '5xx'") || return 1
  awk -v all="$all" -v failed="$failed" -v least="$errors_min" \
    'BEGIN { share = all > 0 && failed >= least ? 100 * failed / all : 0; print int(share) + (share > int(share)) }'
}

has_errors() {
  local share
  share=$(errors) && [ "$share" -gt "$errors_max" ]
}

has_few_errors() {
  local share
  share=$(errors) && [ "$share" -le "$errors_max" ]
}

# A fault ends it at once; a question without an answer is repeated, and has one at the end. The gateway is requested
# throughout: with a small weight, one response says little about the newest revision.
soak() {
  local end=$((SECONDS + soak))
  while true; do
    if [ "$(health)" = Unhealthy ] || ! is_ready "$url" || has_errors; then return 1; fi
    if [ "$SECONDS" -ge "$end" ]; then break; fi
    sleep "$pause"
  done
  wait_for is_healthy && wait_for has_few_errors
}

# Also when a command fails. A job that is cancelled may be killed before: then run `pulumi cancel` and the roll-out again.
take_back() {
  trap - EXIT
  echo "The roll-out did not end well. All traffic goes back to $stable." >&2
  for _ in 1 2 3; do
    if up 0 "$stable"; then break; fi
    echo "The traffic could not be moved. If the state is locked: pulumi cancel --stack $stack --yes; then this script again" >&2
    sleep "$pause"
  done
  echo "The log of the new revision: az containerapp logs show --resource-group $group --name eventfeed --revision $newest" >&2
  echo "Before the next 'pulumi up' by hand, end the roll-out in the stack's file:" >&2
  echo "  pulumi config rm stableRevision --stack $stack && pulumi config rm newestWeight --stack $stack" >&2
  echo "  pulumi config set image PREVIOUS_DIGEST --stack $stack" >&2
  exit 1
}

revisions() { # QUERY
  az containerapp revision list --resource-group "$group" --name eventfeed --query "$1" --output tsv
}

group=$(output resourceGroup)
# A failure of these questions ends the script: an app that serves must not be taken for a new one.
app=$(az containerapp list --resource-group "$group" --query "[?name=='eventfeed'].id" --output tsv)
stable=""
if [ -n "$app" ]; then
  # The program labels the stable revision. The label stays when a roll-out is interrupted, with any share of the traffic.
  label="properties.configuration.ingress.traffic[?label=='stable'].revisionName"
  stable=$(az containerapp show --resource-group "$group" --name eventfeed --query "$label" --output tsv)
fi
if [ -n "$stable" ]; then
  # Somebody may have moved the traffic by hand since: Azure refuses traffic to a revision that is not active.
  active=$(revisions "[?name=='$stable' && properties.active].name")
  if [ -z "$active" ]; then
    echo "The label stable is at $stable, which is not active. The revision with the most traffic is kept instead." >&2
    stable=""
  fi
fi
if [ -n "$app" ] && [ -z "$stable" ]; then
  stable=$(revisions 'sort_by([?properties.trafficWeight > `0`], &properties.trafficWeight)[-1].name')
fi
if [ -n "$app" ] && [ -z "$stable" ]; then
  echo "No revision of the app gets traffic. Give it to one: az containerapp ingress traffic set --help" >&2
  exit 1
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
    { wait_for is_healthy && soak; } || take_back
  done
fi
up 100 ""
trap - EXIT
if [ "$newest" = "$stable" ]; then exit; fi

# The revision that served before stays active, so that a rollback takes seconds.
idle="[?properties.active && properties.trafficWeight == \`0\` && name != '$stable'].name"
revisions "$idle" |
  while read -r old; do
    az containerapp revision deactivate --resource-group "$group" --revision "$old" || echo "$old stays active" >&2
  done
