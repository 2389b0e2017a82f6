#!/usr/bin/env bash
# Installs cfcache, checked against the digest in this folder, and purges what the inputs (`INPUT_*`) name.
# Needs bash, curl, tar and sha256sum or shasum. Exits with cfcache's code; 2 is wrong usage, as it is there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# A value in a workflow command: https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
escaped() {
  local text=$1
  text=${text//'%'/%25}
  text=${text//$'\r'/%0D}
  text=${text//$'\n'/%0A}
  printf '%s' "$text"
}

fail() {
  echo "::error title=cfcache::$(escaped "$2")"
  exit "$1"
}

notice() {
  echo "::notice title=cfcache::$(escaped "$1")"
}

# The variable of an input; bash 3.2, which macOS has, cannot make capitals itself.
variable_of() {
  printf 'INPUT_%s' "$(tr '[:lower:]' '[:upper:]' <<<"$1")"
}

# Whether a value is more than blanks.
given() {
  [[ -n ${1//[[:space:]]/} ]]
}

is_true() {
  case ${2:-false} in
    true) return 0 ;;
    false) return 1 ;;
    *) fail 2 "\`$1\` is \`$2\`; it takes true or false" ;;
  esac
}

# --- Inputs -----------------------------------------------------------------------------------------------------------

# Names that other actions read from the environment.
adopt() {
  local ours=$1 theirs=$2 instead=$3
  if ! given "${!ours-}" && given "${!theirs-}"; then
    notice "took $theirs from the environment; $instead says the same here"
    printf -v "$ours" '%s' "${!theirs}"
  fi
}

if ! given "${CLOUDFLARE_API_TOKEN-}"; then
  adopt INPUT_API_TOKEN CLOUDFLARE_TOKEN 'the input api-token'
fi
if ! given "${CLOUDFLARE_ZONE_ID-}"; then
  adopt INPUT_ZONE CLOUDFLARE_ZONE 'the input zone'
fi
adopt INPUT_URLS PURGE_URLS 'the input urls'
adopt INPUT_TAGS PURGE_TAGS 'the input tags'
adopt INPUT_HOSTS PURGE_HOSTS 'the input hosts'
adopt INPUT_PREFIXES PURGE_PREFIXES 'the input prefixes'

token=${INPUT_API_TOKEN-}
given "$token" || token=${CLOUDFLARE_API_TOKEN-}
if given "$token"; then
  # The runner takes each line of a secret for one.
  while IFS= read -r line; do
    if given "$line"; then echo "::add-mask::$(escaped "$line")"; fi
  done <<<"$token"
fi

what=()
for name in urls tags hosts prefixes; do
  variable=$(variable_of "$name")
  if given "${!variable-}"; then what+=("$name"); fi
done
if given "${INPUT_URLS_FROM-}"; then what+=(urls-from); fi
if is_true everything "${INPUT_EVERYTHING-}"; then what+=(everything); fi

setup_only=no
if is_true setup-only "${INPUT_SETUP_ONLY-}"; then setup_only=yes; fi
if [[ $setup_only == no ]]; then
  if ((${#what[@]} == 0)); then
    if is_true allow-empty "${INPUT_ALLOW_EMPTY-}"; then
      notice 'there is nothing to purge, and allow-empty says that this is fine'
      printf 'accepted=0\nfailed=0\nrequests=0\n' >>"$GITHUB_OUTPUT"
      exit 0
    fi
    fail 2 'nothing to purge: give one of urls, urls-from, tags, hosts, prefixes or everything; if a list may be empty, say allow-empty: true'
  fi
  if ((${#what[@]} > 1)); then fail 2 "only one of these can be purged in one step: ${what[*]}"; fi
  given "$token" || fail 3 'no token: give the input api-token, or CLOUDFLARE_API_TOKEN in the environment'
fi

# --- The binary -------------------------------------------------------------------------------------------------------

case $(uname -s)-$(uname -m) in
  Linux-x86_64) target=x86_64-unknown-linux-gnu ;;
  Linux-aarch64 | Linux-arm64) target=aarch64-unknown-linux-gnu ;;
  Darwin-x86_64) target=x86_64-apple-darwin ;;
  Darwin-arm64) target=aarch64-apple-darwin ;;
  *) fail 2 "there is no cfcache for $(uname -s) on $(uname -m)" ;;
esac

digest='' archive=''
while read -r sum file; do
  if [[ $file == cfcache-*-$target.tar.gz ]]; then digest=$sum archive=$file; fi
done <"$here/digests.txt"
[[ $digest =~ ^[0-9a-f]{64}$ ]] || fail 2 "this commit of the action names no digest for $target; use the tag of a release"

name=${archive%.tar.gz}
version=${name#cfcache-}
version=${version%"-$target"}
# The digest is part of the place, so that a cache never holds another binary than the one that was checked.
folder=${RUNNER_TOOL_CACHE:-$RUNNER_TEMP}/cfcache/$version/$digest

if [[ ! -x $folder/cfcache ]]; then
  if command -v sha256sum >/dev/null; then check=(sha256sum); else check=(shasum -a 256); fi
  temporary=$(mktemp -d "$RUNNER_TEMP/cfcache.XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  url=${INPUT_RELEASES:-https://github.com/cfcache/cfcache/releases/download}/v$version/$archive
  curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --max-time 300 \
    --output "$temporary/$archive" "$url" || fail 5 "cannot download $url"
  found=$("${check[@]}" "$temporary/$archive")
  found=${found%% *}
  [[ $found == "$digest" ]] || fail 1 "$url has the digest $found, and not $digest; nothing of it was unpacked"
  tar -xzf "$temporary/$archive" -C "$temporary" "$name/cfcache"
  mkdir -p "$folder"
  # Moved last, so that what is there is whole.
  mv -f "$temporary/$name/cfcache" "$folder/cfcache"
fi

if [[ $setup_only == yes ]]; then
  echo "$folder" >>"$GITHUB_PATH"
  echo "cfcache $version is on the PATH of the steps that follow"
  exit 0
fi

# --- The purge --------------------------------------------------------------------------------------------------------

mode=${what[0]}
work=$(mktemp -d "$RUNNER_TEMP/cfcache.XXXXXX")
arguments=()
if given "${INPUT_ZONE-}"; then arguments+=(--zone="$INPUT_ZONE"); fi
if given "${INPUT_BASE_URL-}"; then arguments+=(--base-url="$INPUT_BASE_URL"); fi
case $mode in
  everything) arguments+=(purge everything --yes) ;;
  urls-from)
    [[ -f $INPUT_URLS_FROM ]] || fail 2 "urls-from names \`$INPUT_URLS_FROM\`, which is no file"
    if is_true allow-empty "${INPUT_ALLOW_EMPTY-}" && ! grep -q '[^[:space:]]' <"$INPUT_URLS_FROM"; then
      notice "\`$INPUT_URLS_FROM\` is empty, and allow-empty says that this is fine"
      printf 'accepted=0\nfailed=0\nrequests=0\n' >>"$GITHUB_OUTPUT"
      exit 0
    fi
    # Read from standard input, so that no name of a file is taken for anything else.
    cp -- "$INPUT_URLS_FROM" "$work/entries"
    arguments+=(purge urls --from -)
    ;;
  *)
    variable=$(variable_of "$mode")
    printf '%s\n' "${!variable}" >"$work/entries"
    arguments+=(purge "$mode" --from -)
    ;;
esac
[[ -e $work/entries ]] || : >"$work/entries"

# Nothing that cfcache prints is a command of ours, whatever a URL looks like.
pause=stop-$RANDOM$RANDOM$RANDOM$RANDOM
echo "::stop-commands::$pause"
code=0
CLOUDFLARE_API_TOKEN=$token "$folder/cfcache" "${arguments[@]}" --json <"$work/entries" >"$work/report.json" || code=$?
echo "::$pause::"

# A number of the report's own level: it comes before the list of failures, whose quotes are escaped.
number() {
  local report
  IFS= read -r report <"$work/report.json" || true
  if [[ $report =~ \"$1\":([0-9]+) ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}

accepted=$(number accepted) failed=$(number failed) invalid=$(number invalid) requests=$(number requests)
{
  echo "accepted=$accepted"
  echo "failed=$((failed + invalid))"
  echo "requests=$requests"
  echo "report=$work/report.json"
} >>"$GITHUB_OUTPUT"
{
  echo "| Purge | accepted | failed | invalid | requests | exit code |"
  echo "|---|---|---|---|---|---|"
  echo "| $mode | $accepted | $failed | $invalid | $requests | $code |"
} >>"$GITHUB_STEP_SUMMARY"

if ((code != 0)); then
  # The runner shows ten annotations of a step; one is the last.
  if command -v jq >/dev/null && [[ -s $work/report.json ]]; then
    while IFS= read -r failure; do
      echo "::error title=cfcache::$failure"
    done < <(jq -r '.failures[:9][] | "\(.item): \(.error.message)"
      | gsub("%"; "%25") | gsub("\r"; "%0D") | gsub("\n"; "%0A")' "$work/report.json")
  fi
  fail "$code" "$accepted accepted, $failed failed, $invalid invalid; cfcache ended with exit code $code, and its log says why"
fi
echo "$accepted accepted, in $requests requests"
