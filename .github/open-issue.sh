#!/usr/bin/env bash
# Opens an issue with a title and a text, unless one with this title is open:
#   GH_TOKEN=… bash .github/open-issue.sh "Title" "Text"
set -euo pipefail
title=$1 text=$2
open=$(gh issue list --state open --search "in:title \"$title\"" --json title --jq "map(select(.title == \"$title\")) | length")
if [ "$open" = 0 ]; then
  gh issue create --title "$title" --body "$text"
fi
