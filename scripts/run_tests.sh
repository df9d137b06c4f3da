# SPDX-License-Identifier: Apache-2.0
# Sourced by ./check: runs the unit tests and the end-to-end tests of a build.
#
# A test that fails once fails the run. The tests that failed run a second time, alone, only to report each of them as "flaky"
# (it passed the second time) or as "failed" (it failed again). Reports are collected in the array `summary`.

python=/usr/bin/python3
second_run="the run has failed; the failed tests run once more, alone, to tell the flaky ones apart"

# unit BUILD: unit tests and corpora.
unit() {
  # Timeouts are multiplied by four: CI machines are shared.
  local options=(-C "$1" --no-rebuild --timeout-multiplier 4 --print-errorlogs --quiet) names again
  meson test "${options[@]}" --suite unit --suite fuzz && return
  mapfile -t names < <(failed_units "$1")
  if [ ${#names[@]} -gt 0 ]; then
    printf '    %s: %s\n' "$second_run" "${names[*]}"
    meson test "${options[@]}" --num-processes 1 "${names[@]}" || true
    mapfile -t again < <(failed_units "$1")
    report "unit test" names again
  fi
  return 1
}

# e2e BUILD: the built programs against real peers. $kind is the argument of ./check.
e2e() {
  local options=(-q -o "cache_dir=$PWD/$1/pytest-cache" tests/e2e) names again
  [ "${kind:-}" = nightly ] || options+=(-m "not nightly")
  # The last release is built without sanitizers. With them services have no users of their own, and could not open each other's files.
  # Scripts of the web pages run in a browser, without our programs.
  [ "$1" = build ] || options+=(--ignore=tests/e2e/test_skew.py --ignore=tests/e2e/test_player.py --ignore=tests/e2e/test_terminal.py)
  export CTELEPORT_BUILD="$PWD/$1"
  # Tests wait for most of their time. With five workers, the two cores of a CI machine are busy.
  $python -m pytest -n 5 --dist loadfile --durations=15 "${options[@]}" && return
  mapfile -t names < <(failed_e2e "$1")
  if [ ${#names[@]} -gt 0 ]; then
    printf '    %s\n' "$second_run"
    $python -m pytest --last-failed "${options[@]}" || true
    mapfile -t again < <(failed_e2e "$1")
    report "end to end" names again
  fi
  return 1
}

# failed_units BUILD: the names of the unit tests that failed in the last run, one a line.
failed_units() {
  $python -c 'import json, sys
for line in open(sys.argv[1] + "/meson-logs/testlog.json"):
    test = json.loads(line)
    if test["result"] not in ("OK", "SKIP"):
        print(test["name"].split(" / ")[-1])' "$1"
}

# failed_e2e BUILD: the end-to-end tests that failed when they ran last, one a line.
failed_e2e() {
  $python -c 'import json, pathlib, sys
failed = pathlib.Path(sys.argv[1], "pytest-cache/v/cache/lastfailed")
print(*sorted(json.loads(failed.read_text())) if failed.exists() else (), sep="\n", end="")' "$1"
}

# report KIND FIRST AGAIN: adds a line to summary for each name in the array FIRST; it is flaky unless it is in the array AGAIN.
report() {
  local -n first=$2 second=$3
  local name
  for name in "${first[@]}"; do
    if [[ " ${second[*]} " == *" $name "* ]]; then
      summary+=("$1 $name: failed")
    else
      summary+=("$1 $name: flaky: failed once, passed alone")
    fi
  done
}
