#!/usr/bin/env bash
# Drives the console in a browser against the demo's real three-site mesh, then against a site that
# is cut off from the others. Screenshots stay in test-results/screens/.
set -euo pipefail
cd "$(dirname "$0")/.."
holm=$(cd ../.. && realpath "$HOLM")
chromium=${HOLM_CHROMIUM:-/usr/bin/chromium}
if [ ! -x "$chromium" ]; then
    echo "console stories skipped: no $chromium (apt-get install chromium, or set HOLM_CHROMIUM)"
    exit 0
fi
work=$(mktemp -d)
"$holm" demo --links "$work/links.json" --dir "$work/sites" >"$work/demo.log" 2>&1 &
demo=$!
finish() {
    kill -TERM "$demo" 2>/dev/null || true
    wait "$demo" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
for _ in $(seq 300); do
    [ -s "$work/links.json" ] && break
    kill -0 "$demo" 2>/dev/null || { cat "$work/demo.log"; exit 1; }
    sleep 0.2
done
export HOLM_CHROMIUM=$chromium
# Where the sites' folders are: a story stops one of them for a while.
export HOLM_DEMO_DIR=$work/sites
rm -f test-results/.session-*.json
HOLM_CONSOLE_URLS=$(cat "$work/links.json")
export HOLM_CONSOLE_URLS
npx playwright test --grep-invert "cut off"
# USR1 cuts tokyo off from the others.
kill -USR1 "$demo"
HOLM_CUT_OFF_URL=$(node -e 'console.log(JSON.parse(process.env.HOLM_CONSOLE_URLS).find((l) => l.site === "tokyo").login_url)')
export HOLM_CUT_OFF_URL
cp test-results/.session-tokyo.json test-results/.session-cut-off.json
npx playwright test --grep "cut off"
