#!/bin/bash
# Runs the kernel tests of the CUDA backend several times: all results must have the same bits. On the stand-in threads,
# blocks and streams come in another order each time. Usage: same_digest.sh TEST_KERNELS
expected=
for order in "forward 1" "reverse 1" "random 1" "random 2"; do
    read -r SIMT_ORDER SIMT_SEED <<<"$order"
    output=$(LADLE_TEST_BACKEND=cuda SIMT_ORDER=$SIMT_ORDER SIMT_SEED=$SIMT_SEED "$1" 2>&1)
    code=$?
    if [ $code -ne 0 ]; then
        echo "$output"
        exit $code
    fi
    digest=$(sed -n 's/.*digest of results: //p' <<<"$output")
    echo "order $order: $digest"
    if [ -z "$digest" ] || [ "${expected:=$digest}" != "$digest" ]; then
        echo "results differ from those of the first run"
        exit 1
    fi
done
