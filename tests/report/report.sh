#!/bin/bash
# ladle report in a real browser: pages of a run and of a sweep load without anything from elsewhere, draw their charts
# in light and dark, and print. Usage: report.sh LADLE_PROGRAM SOURCE_DIRECTORY. Exit code 77: no chromium here.
ladle=$1
source=$2
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "SKIPPED: no chromium (Debian package chromium)"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

fail() {
    echo "FAILED: $1"
    failures=$((failures + 1))
}

# browse WORDS...: the browser without window, network or profile of the user
browse() {
    timeout 100 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
        --window-size=1280,1600 --proxy-server=127.0.0.1:9 "$@" 2>browser.log
}

# names as an enemy would choose them
hostile='sweep/runs/<img src=x onerror=document.title="broken">'
"$source/jobs/make_tiny_encoder.py" encoder "$source/data/sample/train.tsv" || exit 1
"$ladle" prepare --data.task sample --data.source "$source/data/sample" --model.path encoder --data.dir data >log || exit 1
run() {
    timeout 120 "$ladle" train --model.path encoder --data.dir data --data.task sample --train.batch 32 --adapter.size 4 \
        --run.dir "$1" --adapter.kind "$2" --run.seed "$3" --train.epochs 2 --optim.lr 0.02 --eval.select split:0.2 \
        >log 2>&1 || { cat log; fail "train $1"; }
}
run "$hostile" adamix 0
run sweep/runs/b adamix 1
run sweep/runs/c houlsby 0
run sweep/runs/d houlsby 1
"$ladle" report sweep --output sweep.html >log || fail "the report of a sweep"
"$ladle" report "$hostile" --output run.html >log || fail "the report of a run"
"$ladle" report data >log 2>&1
[ $? -eq 3 ] || fail "a directory without runs is not refused"
"$ladle" report sweep --output sweep.html/none >log 2>&1
[ $? -eq 74 ] || fail "a page that cannot be written is not an error"

for page in sweep run; do
    grep -qE '<script|https?://|url\(|@import|<link|<img' $page.html && fail "$page.html asks for something from elsewhere"
    browse --dump-dom "file://$work/$page.html" >$page.dom || fail "$page.html does not load"
    grep -q '<title>broken' $page.dom && fail "$page.html runs a name as code"
    [ "$(grep -c '<svg' $page.dom)" -ge "$([ $page = run ] && echo 8 || echo 1)" ] || fail "$page.html lacks charts"
    browse --screenshot=light.png "file://$work/$page.html" || fail "$page.html is not drawn"
    browse --blink-settings=preferredColorScheme=0 --screenshot=dark.png "file://$work/$page.html" ||
        fail "$page.html is not drawn in the dark"
    # A blank page of this size has a few KB; the pages differ in their background.
    [ "$(stat -c %s light.png)" -gt 30000 ] || fail "the picture of $page.html is blank"
    cmp -s light.png dark.png && fail "$page.html is the same in light and dark"
    browse --print-to-pdf=$page.pdf "file://$work/$page.html" || fail "$page.html does not print"
    [ "$(stat -c %s $page.pdf)" -gt 10000 ] || fail "the print of $page.html is blank"
    [ -n "$LADLE_REPORT_PICTURES" ] && cp light.png "$LADLE_REPORT_PICTURES/$page-light.png" &&
        cp dark.png "$LADLE_REPORT_PICTURES/$page-dark.png" && cp $page.pdf $page.html "$LADLE_REPORT_PICTURES"
done
echo "$failures failures"
[ $failures -eq 0 ]
