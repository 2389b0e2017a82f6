#!/bin/sh
# Shows a whole deployment on this machine: serves a folder of files through an emulated Cloudflare cache, changes a page,
# shows that visitors still get the old one, purges what changed, and verifies that visitors get the new page.
#
# It builds cfcache, or uses the binary that CFCACHE names. README.md shows its output, and a test compares the two.
set -eu

# `replace` replaces the shell process, so that killing the background job ends the program itself.
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

# Prints a command and runs it.
run() {
  printf '$ %s\n' "$1"
  eval "$1" 2>&1
}

folder=$(mktemp -d)
cd "$folder"
mkdir site
echo '<h1>Old</h1>' > site/index.html
echo 'body { color: navy }' > site/styles.css
# Do not use or change the settings and the state of the user who runs this.
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

printf '\n# The first deployment. The first request of a visitor is a MISS, the second one is a HIT.\n'
run 'cfcache purge changed site --url https://www.example.com'
run "cfcache probe https://www.example.com/ --verify-connect $edge"
run "cfcache probe https://www.example.com/ --verify-connect $edge"

printf '\n# The page changes, but visitors still get the old one: a HIT with the old ETag.\n'
run "echo '<h1>New</h1>' > site/index.html"
run "cfcache probe https://www.example.com/ --verify-connect $edge"

printf '\n# Purge what changed, and compare what visitors get with the files, byte for byte.\n'
run "cfcache purge changed site --url https://www.example.com --verify --expect-files --verify-connect $edge"
run "cfcache probe https://www.example.com/ --verify-connect $edge"
