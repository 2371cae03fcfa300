#!/usr/bin/env bash
# Builds the service's image in the registry of a stack, and prints the image by its digest:
#   infra/build-image.sh dev [--renew-base]
# The registry builds without a login at Docker Hub, which refuses many such pulls (toomanyrequests). So the base is
# imported into the registry once, and used from there by its digest.
set -euo pipefail
stack=$1 renew=${2:-}
base=python:3.11-slim-bookworm
commit=$(git rev-parse HEAD)
server=$(pulumi stack output registry --stack "$stack")
name=${server%%.*}

digest_of() {
  az acr repository show --name "$name" --image "$1" --query digest --output tsv
}

if [ "$renew" = --renew-base ] || ! digest_of "$base" > /dev/null 2>&1; then
  az acr import --name "$name" --source "docker.io/library/$base" --image "$base" --force
fi
az acr build --registry "$name" --image "eventfeed:$commit" --file service/Dockerfile \
  --build-arg "BASE=$server/${base%%:*}@$(digest_of "$base")" . >&2
echo "eventfeed@$(digest_of "eventfeed:$commit")"
