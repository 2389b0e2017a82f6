#!/usr/bin/env bash
# Installs cfcache, checks its digest, and purges the targets of the inputs (`INPUT_*`). The GitHub Action runs this
# script, and so does the GitLab component. Needs bash, curl, tar, awk and sha256sum or shasum. Exits with cfcache's
# exit code; 2 is a usage error, as in cfcache.
set -euo pipefail

# --- The runner -------------------------------------------------------------------------------------------------------

# Only GitHub's runner interprets workflow commands; elsewhere they would appear in the log, including the token's mask.
is_github=no
if [[ ${GITHUB_ACTIONS-} == true ]]; then is_github=yes; fi

# Converts a path for this shell: on Windows, the runner's paths start with a drive, which tar interprets as a host.
here_path() {
  if command -v cygpath >/dev/null; then cygpath --unix "$1"; else printf '%s' "$1"; fi
}

# Converts a path for the runner.
runner_path() {
  if command -v cygpath >/dev/null; then cygpath --windows "$1"; else printf '%s' "$1"; fi
}

# Escapes a value for a workflow command: https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
escaped() {
  local text=$1
  text=${text//'%'/%25}
  text=${text//$'\r'/%0D}
  text=${text//$'\n'/%0A}
  printf '%s' "$text"
}

# Shows an error or a notice.
tell() {
  if [[ $is_github == yes ]]; then
    echo "::$1 title=cfcache::$(escaped "$2")"
  else
    echo "$1: $2" >&2
  fi
}

fail() {
  tell error "$2"
  exit "$1"
}

notice() {
  tell notice "$1"
}

temporary=$(here_path "${RUNNER_TEMP:-${TMPDIR:-/tmp}}")
# Only this user can write there. The report is kept, and `work` is deleted.
kept=$(mktemp -d "$temporary/cfcache.XXXXXX") || fail 2 "cannot make a folder in $temporary"
work=$kept/work
mkdir "$work"
trap 'rm -rf "$work"; rmdir "$kept" 2>/dev/null || true' EXIT

# Ends a run that has nothing to purge, if this is allowed.
end_empty() {
  notice "$1"
  printf 'accepted=0\nfailed=0\nrequests=0\n' >>"${GITHUB_OUTPUT:-/dev/null}"
  exit 0
}

# Returns whether a value contains more than blanks.
given() {
  [[ $1 == *[![:space:]]* ]]
}

# Refuses an input that is neither true nor false.
check_switch() {
  case $2 in
    '' | true | false) ;;
    *) fail 2 "\`$1\` is \`$2\`; it takes true or false" ;;
  esac
}

# --- Inputs -----------------------------------------------------------------------------------------------------------

# Accepts a variable name that other actions use.
adopt() {
  local ours=$1 theirs=$2 instead=$3
  if ! given "${!ours-}" && given "${!theirs-}"; then
    notice "used $theirs from the environment; this action's equivalent is $instead"
    printf -v "$ours" '%s' "${!theirs}"
  fi
}

if ! given "${CLOUDFLARE_API_TOKEN-}"; then
  adopt INPUT_API_TOKEN CLOUDFLARE_TOKEN 'the input api-token'
fi
if ! given "${CLOUDFLARE_ZONE_ID-}"; then
  adopt INPUT_ZONE CLOUDFLARE_ZONE 'the input zone'
fi

token=${INPUT_API_TOKEN-}
given "$token" || token=${CLOUDFLARE_API_TOKEN-}
if given "$token" && [[ $is_github == yes ]]; then
  # The runner masks each line of a secret separately.
  while IFS= read -r line; do
    if given "$line"; then echo "::add-mask::$(escaped "$line")"; fi
  done <<<"$token"
fi

check_switch everything "${INPUT_EVERYTHING-}"
check_switch warm "${INPUT_WARM-}"
check_switch allow-empty "${INPUT_ALLOW_EMPTY-}"
check_switch setup-only "${INPUT_SETUP_ONLY-}"

# Sets `modes`: the names of the inputs with targets to purge.
find_modes() {
  modes=()
  if given "${INPUT_URLS-}"; then modes+=(urls); fi
  if given "${INPUT_URLS_FROM-}"; then modes+=(urls-from); fi
  if given "${INPUT_CHANGED-}"; then modes+=(changed); fi
  if given "${INPUT_TAGS-}"; then modes+=(tags); fi
  if given "${INPUT_HOSTS-}"; then modes+=(hosts); fi
  if given "${INPUT_PREFIXES-}"; then modes+=(prefixes); fi
  if [[ ${INPUT_EVERYTHING-} == true ]]; then modes+=(everything); fi
}

find_modes
if [[ ${INPUT_SETUP_ONLY-} == true ]]; then
  if ((${#modes[@]} > 0)); then fail 2 "setup-only purges nothing, and there is also ${modes[*]}; use two steps"; fi
else
  # An input takes precedence over variables that happen to be in the environment.
  if ((${#modes[@]} == 0)); then
    adopt INPUT_URLS PURGE_URLS 'the input urls'
    adopt INPUT_TAGS PURGE_TAGS 'the input tags'
    adopt INPUT_HOSTS PURGE_HOSTS 'the input hosts'
    adopt INPUT_PREFIXES PURGE_PREFIXES 'the input prefixes'
    find_modes
  fi
  if ((${#modes[@]} == 0)); then
    if [[ ${INPUT_ALLOW_EMPTY-} == true ]]; then
      end_empty 'there is nothing to purge, and allow-empty says that this is fine'
    fi
    fail 2 'nothing to purge: give one of urls, urls-from, changed, tags, hosts, prefixes or everything; if a list may be empty, say allow-empty: true'
  fi
  if ((${#modes[@]} > 1)); then fail 2 "only one of these can be purged in one step: ${modes[*]}"; fi
  if [[ ${modes[0]} == changed ]]; then
    given "${INPUT_STATE-}" || fail 2 'changed needs state, a file that is kept from run to run: it remembers what was deployed'
  else
    for name in site url state; do
      case $name in
        site) value=${INPUT_SITE-} ;;
        url) value=${INPUT_URL-} ;;
        *) value=${INPUT_STATE-} ;;
      esac
      if given "$value"; then fail 2 "\`$name\` is for \`changed\`, and this purges ${modes[0]}"; fi
    done
  fi
  given "$token" || fail 3 'no token: give the input api-token, or CLOUDFLARE_API_TOKEN in the environment'
fi

# --- The binary -------------------------------------------------------------------------------------------------------

# The names of possible archives, the preferred one first.
program=cfcache
case $(uname -s)-$(uname -m) in
  Linux-x86_64) targets=(x86_64-unknown-linux-musl x86_64-unknown-linux-gnu) ;;
  Linux-aarch64 | Linux-arm64) targets=(aarch64-unknown-linux-musl aarch64-unknown-linux-gnu) ;;
  Darwin-x86_64) targets=(x86_64-apple-darwin) ;;
  Darwin-arm64) targets=(aarch64-apple-darwin) ;;
  MINGW*-x86_64 | MSYS*-x86_64) targets=(x86_64-pc-windows-msvc) program=cfcache.exe ;;
  *) fail 2 "there is no cfcache for $(uname -s) on $(uname -m)" ;;
esac

digests=${CFCACHE_DIGESTS-}
if [[ -z $digests ]]; then
  digests=$(<"$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/digests.txt")
fi
digest='' archive='' target=''
for candidate in "${targets[@]}"; do
  while read -r sum file; do
    if [[ -z $digest && $file == cfcache-[0-9]*-$candidate.tar.gz ]]; then
      digest=$sum archive=$file target=$candidate
    fi
  done <<<"$digests"
done
[[ $digest =~ ^[0-9a-f]{64}$ ]] || fail 2 "no digest for ${targets[0]} is named here; use the tag of a release"

name=${archive%.tar.gz}
version=${name#cfcache-}
version=${version%"-$target"}
# The digest is part of the path, so that a cache never contains another binary than the checked one. Without a
# cache, a private folder is used, because others could write to a folder with a known name.
if [[ -n ${RUNNER_TOOL_CACHE-} ]]; then
  folder=$(here_path "$RUNNER_TOOL_CACHE")/cfcache/$version/$digest
elif [[ ${INPUT_SETUP_ONLY-} == true ]]; then
  folder=$kept/bin
else
  folder=$work/bin
fi

# Moves the unpacked binary into a folder. The last step is a rename, so that a file with the final name is always
# complete, even if this run is killed or another one runs concurrently.
install_in() {
  local new
  mkdir -p "$1" && new=$(mktemp -d "$1/.new.XXXXXX") || return 1
  if mv "$work/$name/$program" "$new/$program"; then
    # Another run may have installed it and be using it: Windows does not replace a running program.
    mv -f "$new/$program" "$1/$program" || [[ -x $1/$program ]] || return 1
    rm -rf "$new"
  else
    rm -rf "$new"
    return 1
  fi
}

if [[ ! -x $folder/$program ]]; then
  if command -v sha256sum >/dev/null; then
    check=(sha256sum)
  elif command -v shasum >/dev/null; then
    check=(shasum -a 256)
  else
    fail 2 'neither sha256sum nor shasum is here, so that no digest can be checked'
  fi
  releases=${INPUT_RELEASES:-https://github.com/cfcache/cfcache/releases/download}
  url=${releases%/}/v$version/$archive
  curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --max-time 300 --globoff \
    --output "$work/$archive" --url "$url" || fail 5 "cannot download $url"
  found=$("${check[@]}" <"$work/$archive")
  found=${found%% *}
  [[ $found == "$digest" ]] || fail 1 "$url has the digest $found, and not $digest; nothing of it was unpacked"
  tar -xzf "$work/$archive" -C "$work" "$name/$program" || fail 1 "$archive holds no $name/$program"
  if ! install_in "$folder"; then
    notice "cannot keep cfcache in $folder; the next step downloads it again"
    folder=$kept/bin
    install_in "$folder" || fail 1 "cannot put cfcache into $folder"
  fi
fi

if [[ ${INPUT_SETUP_ONLY-} == true ]]; then
  echo "cfcache $version is in $folder"
  if [[ -n ${GITHUB_PATH-} ]]; then
    printf '%s\n' "$(runner_path "$folder")" >>"$GITHUB_PATH"
    echo "it is on the PATH of the steps that follow"
  fi
  exit 0
fi

# --- The purge --------------------------------------------------------------------------------------------------------

mode=${modes[0]}
report=${INPUT_REPORT:-$kept/report.json}
arguments=(--json)
if given "${INPUT_ZONE-}"; then arguments+=(--zone="$INPUT_ZONE"); fi
if given "${INPUT_BASE_URL-}"; then arguments+=(--base-url="$INPUT_BASE_URL"); fi
case ${INPUT_VERIFY:-false} in
  false) ;;
  true) arguments+=(--verify) ;;
  *) arguments+=(--verify="$INPUT_VERIFY") ;;
esac
if given "${INPUT_VERIFY_URLS-}"; then
  printf '%s\n' "$INPUT_VERIFY_URLS" >"$work/verify"
  arguments+=(--verify-from="$work/verify")
fi
if given "${INPUT_AFTER-}"; then arguments+=(--after="$INPUT_AFTER"); fi
if [[ ${INPUT_WARM-} == true ]]; then arguments+=(--warm); fi

# Lists are read from standard input, so that file names cannot be misinterpreted.
entries=$work/entries
: >"$entries"
case $mode in
  everything) arguments+=(purge everything --yes) ;;
  changed)
    arguments+=(purge changed --state="$INPUT_STATE")
    if given "${INPUT_SITE-}"; then arguments+=(--site="$INPUT_SITE"); fi
    while IFS= read -r line; do
      if given "$line"; then arguments+=(--url="$line"); fi
    done <<<"${INPUT_URL-}"
    arguments+=(-- "$INPUT_CHANGED")
    ;;
  urls-from)
    [[ -f $INPUT_URLS_FROM && -r $INPUT_URLS_FROM ]] ||
      fail 2 "urls-from names \`$INPUT_URLS_FROM\`, which is no file that can be read"
    entries=$INPUT_URLS_FROM
    arguments+=(purge urls --from -)
    ;;
  *)
    case $mode in
      urls) list=$INPUT_URLS ;;
      tags) list=$INPUT_TAGS ;;
      hosts) list=$INPUT_HOSTS ;;
      *) list=$INPUT_PREFIXES ;;
    esac
    printf '%s\n' "$list" >"$entries"
    arguments+=(purge "$mode" --from -)
    ;;
esac

# A list can be empty without being blank: comments, or an empty JSON array. Lines end as in cfcache, including at a
# single carriage return.
if [[ ${INPUT_ALLOW_EMPTY-} == true && $mode != changed && $mode != everything ]]; then
  start=$(LC_ALL=C tr '\r' '\n' <"$entries" | LC_ALL=C awk '
    length(start) < 3 && !/^[ \t\v\f]*#/ { gsub(/[ \t\v\f]/, ""); start = start substr($0, 1, 3) }
    END { print start }') || fail 2 "cannot read the list of $mode"
  if [[ -z $start || $start == '[]' ]]; then
    end_empty "the list of $mode is empty, and allow-empty says that this is fine"
  fi
fi

# Output of cfcache must not be interpreted as commands, whatever a URL contains. The runner reads standard error and
# standard output in no defined order, so both are redirected to the stream on which commands are paused.
pause=stop-$RANDOM$RANDOM$RANDOM$RANDOM
if [[ $is_github == yes ]]; then echo "::stop-commands::$pause"; fi
code=0
CLOUDFLARE_API_TOKEN=$token "$folder/$program" "${arguments[@]}" <"$entries" 2>&1 >"$report" |
  tee "$work/log" || code=${PIPESTATUS[0]}
if [[ $is_github == yes ]]; then echo "::$pause::"; fi

# Returns a number on the top level of the report. It precedes the list of failures, in which quotes are escaped.
number() {
  local line pattern="\"$1\":([0-9]+)"
  IFS= read -r line <"$report" || true
  if [[ $line =~ $pattern ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}

accepted=$(number accepted) failed=$(number failed) invalid=$(number invalid) requests=$(number requests)
{
  echo "accepted=$accepted"
  echo "failed=$((failed + invalid))"
  echo "requests=$requests"
  echo "report=$(runner_path "$report")"
} >>"${GITHUB_OUTPUT:-/dev/null}"
{
  echo "| Purge | accepted | failed | invalid | requests | exit code |"
  echo "|---|---|---|---|---|---|"
  echo "| $mode | $accepted | $failed | $invalid | $requests | $code |"
} >>"${GITHUB_STEP_SUMMARY:-/dev/null}"

# Prints the first failures of the report, one per line. JSON escapes quotes within texts, so the text between fields
# cannot occur in them. Escapes other than those of `"` and `\` are shown unchanged.
failures() {
  awk -v limit="$1" '
    NR == 1 {
      sub(/"zones":\[.*/, "")
      count = split($0, parts, /\{"item":"/)
      for (i = 2; i <= count && i <= limit + 1; i++) {
        item = parts[i]
        sub(/","error":\{.*/, "", item)
        message = substr(parts[i], index(parts[i], "\"message\":\"") + 11)
        gsub(/\\\\/, "\001", message); gsub(/\\"/, "\002", message); sub(/".*/, "", message)
        line = item ": " message
        gsub(/\\\\/, "\001", line); gsub(/\\"/, "\002", line)
        gsub(/\001/, "\\", line); gsub(/\002/, "\"", line)
        print line
      }
    }' "$report"
}

if ((code != 0)); then
  # The runner shows ten annotations of a step, and the last one is needed below.
  while IFS= read -r failure; do
    if [[ -n $failure ]]; then tell error "$failure"; fi
  done < <(failures 9)
  # If nothing was started, there is no report, and the log contains the reason.
  if [[ ! -s $report ]]; then
    log=$(head -n 15 "$work/log")
    fail "$code" "${log#error: }"
  fi
  fail "$code" "$accepted accepted, $failed failed, $invalid invalid; cfcache ended with exit code $code, see its log"
fi
echo "$accepted accepted, in $requests requests"
