#!/usr/bin/env bash
# Runs the conformance suite on Microsoft's Linux emulator of Cosmos DB, in Docker, with a new key.
set -eu
cd "$(dirname "$0")/../.."
IMAGE=${IMAGE:-mcr.microsoft.com/cosmosdb/linux/azure-cosmos-emulator:vnext-latest}
folder=$(mktemp -d)
head -c 64 /dev/urandom | base64 -w 0 > "$folder/key"
chmod -R a+rX "$folder"
container=$(docker run --detach --publish 127.0.0.1:8081:8081 --publish 127.0.0.1:8080:8080 \
  --volume "$folder:/key:ro" "$IMAGE" --protocol http --key-file /key/key --enable-telemetry false)
trap 'docker rm --force "$container" > /dev/null; rm -r "$folder"' EXIT
for _ in $(seq 60); do
  curl --silent --fail http://127.0.0.1:8080/ready > /dev/null && break
  sleep 2
done
make .venv/.dev
COSMOS_TEST_URL=http://127.0.0.1:8081/ COSMOS_TEST_KEY=$(cat "$folder/key") \
  .venv/bin/python -m pytest -n 0 tests/conformance -k cosmos
