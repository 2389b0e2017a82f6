#!/bin/sh
# The whole idea in one command, on this machine alone: a site, a cache in front of it that behaves as Cloudflare's does,
# a deployment that visitors do not see, a purge of what it changed, and the proof that they see it now.
#
# It builds cfcache, or takes the one that CFCACHE names. README.md shows what it prints, and a test compares.
set -eu

# `replace` takes the place of the shell, so that what is started in the background is what is ended.
if [ -n "${CFCACHE-}" ]; then
  case $CFCACHE in
    /*) ;;
    */*) CFCACHE=$PWD/$CFCACHE ;;
  esac
  replace() { exec "$CFCACHE" "$@"; }
else
  top=$(cd "$(dirname "$0")/.." && pwd)
  cargo build --release --manifest-path "$top/Cargo.toml"
  replace() { exec cargo run --release --quiet --manifest-path "$top/Cargo.toml" -- "$@"; }
fi
cfcache() { (replace "$@"); }

# Prints a command, and runs it.
run() {
  printf '$ %s\n' "$1"
  eval "$1" 2>&1
}

folder=$(mktemp -d)
cd "$folder"
mkdir site
echo '<h1>Old</h1>' > site/index.html
echo 'body { color: navy }' > site/styles.css
# Nothing of whoever runs this has a say, and nothing of theirs is changed.
unset CLOUDFLARE_API_KEY CLOUDFLARE_EMAIL CFCACHE_PROFILE CFCACHE_CONFIG CFCACHE_PLAN
export XDG_STATE_HOME="$folder" XDG_CONFIG_HOME="$folder" NO_COLOR=1 NO_PROXY=127.0.0.1
export CLOUDFLARE_API_TOKEN=any-token-will-do CLOUDFLARE_ZONE_ID=023e105f4ecef8ad9ca31a8372d0c353

: > addresses
printf '%s\n' "\$ cfcache emulator --origin site --cache 'www.example.com/*' &"
replace emulator --listen 127.0.0.1:0 --edge-listen 127.0.0.1:0 --origin site --cache 'www.example.com/*' \
  > addresses 2> log &
emulator=$!
trap 'kill "$emulator" 2> /dev/null || :; wait "$emulator" || :; cd /; rm -rf "$folder"' EXIT
until grep -q '^edge on' addresses; do
  kill -0 "$emulator" 2> /dev/null || { cat log >&2; exit 1; }
  sleep 0.1
done
CLOUDFLARE_BASE_URL=$(sed -n 's/^listening on //p' addresses)
export CLOUDFLARE_BASE_URL
edge=$(sed -n 's,^edge on http://,,p' addresses)

printf '\n# The first deployment; then a visitor comes twice, and the second time the page is in the cache.\n'
run 'cfcache purge changed site --url https://www.example.com'
run "cfcache probe https://www.example.com/ --verify-connect $edge"
run "cfcache probe https://www.example.com/ --verify-connect $edge"

printf '\n# The page changes, and visitors still get the old one: HIT, with the ETag from before.\n'
run "echo '<h1>New</h1>' > site/index.html"
run "cfcache probe https://www.example.com/ --verify-connect $edge"

printf '\n# Purge what changed, and compare what visitors get now with the files, byte for byte.\n'
run "cfcache purge changed site --url https://www.example.com --verify --expect-files --verify-connect $edge"
run "cfcache probe https://www.example.com/ --verify-connect $edge"
