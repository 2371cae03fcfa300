#!/usr/bin/env bash
# Builds Pulumi's command line and its language host for Python into a folder: build.sh FOLDER.
# The modules and their sums are those of the go.mod and go.sum in cli/ and language_host/.
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
command -v go > /dev/null || { echo "Go is missing: install it (https://go.dev/dl) and run the command again" >&2; exit 2; }
SECONDS=0

# build NAME MODULE PACKAGE: the tool NAME of a module, with the version that its go.mod names
build() {
  version=$(go list -m -f '{{.Version}}' "$2")
  echo "building $1 ${version#v} …"
  go build -mod=readonly -trimpath -o "$folder/$1" \
    -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=${version#v}" "$2/$3"
}

cd "$source/language_host"
build pulumi-language-python github.com/pulumi/pulumi/sdk/v3 python/cmd/pulumi-language-python
cd "$source/cli"
build pulumi github.com/pulumi/pulumi/pkg/v3 cmd/pulumi
# The host starts the program with this script of the same release as the command line.
sdk=$(go list -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)
install -m 755 "$sdk/python/cmd/pulumi-language-python-exec" "$folder/"
touch "$folder/.built"
echo "built in $SECONDS s: $(du -ch "$folder"/pulumi* | tail -1 | cut -f1)"
