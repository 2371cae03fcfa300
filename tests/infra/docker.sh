#!/usr/bin/env bash
# Builds the image with Docker, starts it on a read-only root, waits until it is healthy, and expects exit code 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
docker build --file service/Dockerfile --tag eventfeed:docker .
container=$(docker run --detach --read-only --cap-drop ALL --security-opt no-new-privileges \
  --tmpfs /store:uid=10001 --env EVENTFEED_STORE=sqlite:////store/log.db \
  --env EVENTFEED_PUBLIC_URL=https://events.example.no \
  --env EVENTFEED_MASKINPORTEN_ISSUER=https://maskinporten.example.no/ --env EVENTFEED_MASKINPORTEN_AUDIENCES=events \
  --env EVENTFEED_PLATFORM_URL=https://platform.example.no \
  --env EVENTFEED_PLATFORM_ORGS_URL=https://platform.example.no/orgs.json eventfeed:docker)
trap 'docker logs "$container"; docker rm --force "$container" > /dev/null' EXIT
for _ in $(seq 60); do
  health=$(docker inspect --format '{{.State.Health.Status}}' "$container")
  [ "$health" = starting ] || break
  sleep 1
done
docker stop --time 30 "$container" > /dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
echo "health: $health, exit code: $code, size: $(docker image inspect --format '{{.Size}}' eventfeed:docker)"
[ "$health $code" = 'healthy 0' ]
