# Sourced by kill9, powercut and faults: makes the pinned Python environment and leaves its interpreter in $PY.
#
# Everything that is installed or built goes under interop/.cache, which git ignores; a second call costs
# nothing. The environment is made anew when requirements.txt changes.
RELIABILITY=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$RELIABILITY/../.." && pwd)
CACHE=${DUOLOG_CACHE:-$REPO/interop/.cache}
VENV=$CACHE/venv-reliability
PY=$VENV/bin/python
export PYTHONPATH=$RELIABILITY PYTHONDONTWRITEBYTECODE=1 DUOLOG_REPO=$REPO DUOLOG_CACHE=$CACHE

if ! cmp -s "$RELIABILITY/requirements.txt" "$VENV/requirements.txt"; then
  mkdir -p "$CACHE"
  (
    flock 9
    cmp -s "$RELIABILITY/requirements.txt" "$VENV/requirements.txt" && exit 0
    rm -rf "$VENV"
    python3 -m venv "$VENV"
    "$PY" -m pip install --quiet --disable-pip-version-check -r "$RELIABILITY/requirements.txt" >&2
    cp "$RELIABILITY/requirements.txt" "$VENV/requirements.txt"
  ) 9>"$CACHE/venv-reliability.lock"
fi
