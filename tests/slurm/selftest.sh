#!/bin/bash
# ladle under a real Slurm of four nodes with fake GPUs on this machine (cluster.sh): launching, sweeps, and every way
# in which a job is interrupted. Each must end with the bytes of an undisturbed run outside Slurm.
# Usage: selftest.sh LADLE_PROGRAM REPOSITORY. Exit code 77: left out, for want of packages or permission or because of
# another cluster on this machine.
set -u
ladle=$1 root=$2
here=$root/tests/slurm
for program in slurmctld slurmd sbatch munged ip unshare; do
    command -v $program >/dev/null || { echo "SKIPPED: no $program here (packages slurm-wlm munge iproute2)"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "SKIPPED: a Slurm of several nodes on one machine needs root"; exit 77; }
probe=ladle-probe-$$
if ! why=$(ip netns add $probe 2>&1 && ip netns del $probe 2>&1 && unshare --uts --mount true 2>&1); then
    echo "SKIPPED: name spaces are not permitted here: $why"
    exit 77
fi
if ip link show ladle-br >/dev/null 2>&1; then
    echo "SKIPPED: the bridge ladle-br of another cluster is here (cluster.sh down DIRECTORY removes it)"
    exit 77
fi

work=$(mktemp -d)
cluster=$work/cluster
export SLURM_CONF=$cluster/slurm.conf
trap '"$here/cluster.sh" down "$cluster" >/dev/null 2>&1; rm -rf "$work"' EXIT
cd "$work" || exit 1
if ! "$here/cluster.sh" up "$cluster" 4 >up.log 2>&1; then
    echo "FAILED: the cluster did not come up"
    sed 's/^/  | /' up.log "$cluster"/*.log 2>/dev/null
    exit 1
fi

# More ranks than cores, one network; a shell with a program named ladle in PATH, as a user has it.
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_tcp_if_include=10.213.79.0/24 OMPI_MCA_oob_tcp_if_include=10.213.79.0/24
mkdir bin
ln -s "$ladle" bin/ladle
export PATH=$work/bin:$PATH LADLE_SLURM_DIR=$root/slurm
unset LADLE LADLE_LAUNCH LADLE_REQUEUE LADLE_RESTARTS

passed=0 failures=0 start=$SECONDS
# check NAME COMMAND...
check() {
    local name=$1 begin=$SECONDS
    shift
    if "$@" >log 2>&1; then
        passed=$((passed + 1))
        echo "ok     $name ($((SECONDS - begin)) s)"
    else
        failures=$((failures + 1))
        echo "FAILED $name ($((SECONDS - begin)) s)"
        sed 's/^/  | /' log | tail -n 40
    fi
}
# wait_until SECONDS WORDS...
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || { echo "timed out: $*"; return 1; }
        sleep 0.3
    done
}
ended() { [ -z "$(squeue -h -j "$1" 2>/dev/null)" ]; }
held() { [ -e "$1.held" ]; }
runs_on() { [ -n "$(squeue -h -t running -j "$1" -o %N)" ]; }
says() { grep -q -- "$2" "$1" || { echo "no \"$2\" in $1:"; cat "$1"; return 1; }; }
same() {
    local file
    for file in best.h5 soup.h5 results.json checkpoints/last; do
        cmp "$1/$file" "$2/$file" || return 1
    done
}
# submit NAME OPTIONS-OF-SBATCH... -- OPTIONS-OF-TRAIN...: slurm/train.sbatch into the run directory NAME; its number
submit() {
    local name=$1 options=()
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    sbatch --parsable --nodes=1 --ntasks-per-node=1 --time=10 --output="$name.out" "${options[@]}" \
        "$root/slurm/train.sbatch" "${train[@]}" --run.dir "$work/$name" "$@"
}
train=(--model.path "$work/model" --data.dir "$work/shards" --train.batch 64 --train.max_steps 120 --eval.every 4
    --checkpoint.every_steps 15)
grid=(--model.path "$work/model" --data.dir "$work/shards" --train.batch 16 --train.epochs 1 --optim.lr 1e-3,3e-3
    --run.seed 0..2)

undisturbed_runs() {
    local sample=$root/data/sample
    python3 "$root/jobs/make_tiny_encoder.py" model "$sample/train.tsv" "$sample/dev.tsv" &&
        ladle prepare --data.task sample --train-file "$sample/train.tsv" --validation-file "$sample/dev.tsv" \
            --model.path model --data.dir shards && ladle train "${train[@]}" --run.dir whole &&
        ladle sweep local "${grid[@]}"
}

# The interruptions take minutes of waiting, so they begin first and are looked at last. Each run is frozen after 20
# steps until its interruption comes.
begin_interruptions() {
    local hold="$here/hold.sh ladle"
    LADLE=$hold submit limit --nodelist=n0 --time=1 --signal=B:USR1@10 -- >limit.job &&
        LADLE=$hold submit requeued --nodelist=n1 -- >requeued.job &&
        LADLE=$hold submit crashed --exclude=n0,n1 -- >crashed.job && wait_until 60 held requeued &&
        scontrol requeue "$(cat requeued.job)" && wait_until 60 held crashed &&
        squeue -h -j "$(cat crashed.job)" -o %N >crashed.node && "$here/cluster.sh" crash "$cluster" "$(cat crashed.node)"
}
# finished_same NAME: the interrupted job went on by itself to the bytes of the whole run
finished_same() {
    wait_until 150 ended "$(cat "$1.job")"
    says "$1.out" "resumed at step" && same "$1" whole
}
time_limit() { finished_same limit && says limit.out "exit code 85"; }
crashed_node() {
    finished_same crashed
    local result=$?
    "$here/cluster.sh" boot "$cluster" "$(cat crashed.node)"
    return $result
}

wide_mpirun() {
    local job
    job=$(LADLE_LAUNCH=mpirun submit wide --nodes=4 --ntasks-per-node=4 --gres=gpu:8 --) && wait_until 120 ended "$job"
    same wide whole || { cat wide.out; return 1; }
    python3 -c 'import json; s = json.load(open("wide/manifest.json"))["starts"][-1]
assert s["ranks"] == 16 and len(s["hosts"]) == 4, s'
}
# Slurm starts wide jobs badly on few cores (a crash in MPI_Init): that outcome has its own count and is no failure.
launch_crashes=0 launches=0
started() { # NAME: 0 when the job's ranks came to ladle's own code
    launches=$((launches + 1))
    grep -q '^trainable\|samples, \|^ladle: ' "$1.out" && return 0
    launch_crashes=$((launch_crashes + 1))
    return 1
}
small_srun() {
    local job try
    for try in 1 2 3; do
        job=$(submit small-$try --nodes=2 --ntasks-per-node=1 --) && wait_until 120 ended "$job"
        started small-$try && break
    done
    same small-$try whole || { cat small-$try.out; return 1; }
}
wide_srun() {
    local job
    job=$(submit wide-srun --nodes=4 --ntasks-per-node=4 --time=1 --) && wait_until 120 ended "$job"
    started wide-srun || return 0
    same wide-srun whole || { cat wide-srun.out; return 1; }
}

same_sweep() {
    local soup
    [ "$(ls -d local/runs/*/ | wc -l)" -eq 6 ] || return 1
    for soup in local/runs/*/soup.h5; do
        cmp "$soup" "$1/${soup#local/}" || return 1
    done
}
first_id() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1] + "/sweep.json"))["runs"][0]["id"])' "$1"; }
# One task cannot write its run directory; the others go on, and a retry mends it.
array_sweep() {
    local id job
    id=$(first_id local)
    mkdir -p array/runs
    touch "array/runs/$id"
    ladle sweep array "${grid[@]}" --slurm --parallel 3 --ranks 1 --sbatch --time=5 >array.out || { cat array.out; return 1; }
    job=$(sed -n 's/^submitted job \([0-9]*\):.*/\1/p' array.out)
    wait_until 120 ended "$job"
    ladle sweep status array >status || return 1
    says status "1 failed, 5 finished" && says status "exit code 74 on n" || return 1
    rm "array/runs/$id"
    ladle sweep retry array --slurm --ranks 1 --sbatch --time=5 >array.out || { cat array.out; return 1; }
    job=$(sed -n 's/^submitted job \([0-9]*\):.*/\1/p' array.out)
    wait_until 60 ended "$job"
    ladle sweep status array >status && says status "6 runs: 6 finished" && same_sweep array &&
        says "array/logs/slurm-${job}_0.out" "job ${job}_0: ladle ended with exit code 0"
}
# A task is stopped, may not requeue itself, and the next array of the chain goes on.
chain() {
    local job
    LADLE_REQUEUE=no ladle sweep chain "${train[@]}" --run.seed 0 --slurm --chain 2 --ranks 1 \
        --launch "$here/hold.sh" --sbatch --time=5 >chain.out || { cat chain.out; return 1; }
    job=$(sed -n 's/^submitted job \([0-9]*\):.*/\1/p' chain.out | head -1)
    wait_until 60 held "chain/runs/$(first_id chain)" && scancel --signal=USR1 --batch "${job}_0"
    wait_until 60 ended "$((job + 1))"
    says "chain/logs/slurm-${job}_0.out" "not requeued (LADLE_REQUEUE=no)" &&
        same "chain/runs/$(first_id chain)" whole
}
# Whole nodes: the sweep runs inside one allocation, each run a step with processors of its own.
whole_nodes() {
    sbatch --wait --nodes=2 --exclusive --time=5 --output=nodes.out --wrap "ladle sweep nodes ${grid[*]} --ranks 2" ||
        { cat nodes.out nodes/logs/*.log; return 1; }
    says nodes.out "6 of 6 runs to go, 16 at once, 2 ranks each" && same_sweep nodes
}
# Stopped before its first step: nothing was gained, so it must not come back.
no_step_no_requeue() {
    local job
    printf '#!/bin/bash\ntouch loading\nexec sleep 60\n' >loading.sh
    chmod +x loading.sh
    job=$(LADLE=$work/loading.sh submit early --) && wait_until 30 test -e loading &&
        scancel --signal=USR1 --batch "$job" && wait_until 60 ended "$job"
    says early.out "exit code 138 (restart 0" && ! grep -q requeue early.out
}
capped_restarts() {
    local job
    job=$(LADLE_RESTARTS=0 LADLE="$here/hold.sh ladle" submit capped --) && wait_until 60 held capped &&
        scancel --signal=USR1 --batch "$job" && wait_until 60 ended "$job"
    says capped.out "exit code 85 (restart 0" && says capped.out "not requeued: it was restarted 0 times"
}
# The rules of launching: refused before any file is touched, with the fix.
# Either Open MPI itself or ladle notices that the ranks do not know each other.
launch_without_pmix() {
    srun --mpi=none --ntasks=2 --nodes=1 ladle train "${train[@]}" --run.dir none >none.out 2>&1
    local code=$?
    cat none.out
    [ $code -ne 0 ] && grep -q 'srun --mpi=pmix\|direct launched using "srun"' none.out && [ ! -e none ]
}
launch_of_a_single_job() {
    srun --mpi=pmix --ntasks=2 --nodes=1 ladle sweep status local >single.out 2>&1
    [ $? -eq 2 ] && says single.out "this job is one process"
}
launch_too_wide() {
    LADLE_LAUNCH=mpirun submit toowide --ntasks-per-node=2 -- --train.batch 4 >toowide.job
    wait_until 60 ended "$(cat toowide.job)"
    says toowide.out "exit code 2" && says toowide.out "fix: " && [ ! -e toowide ]
}
# The largest request Slurm can meet, so the fake GPUs are really counted.
gpu_requests() { srun --gres=gpu:8 --ntasks=1 true && ! sbatch --gres=gpu:9 --wrap true; }

check "undisturbed runs, without Slurm" undisturbed_runs
check "16 ranks on 4 nodes by mpirun in the allocation" wide_mpirun
check "interruptions begin: time limit, requeue, node crash" begin_interruptions
check "fake GPUs: eight per node, nine refused" gpu_requests
check "2 ranks on 2 nodes by srun" small_srun
check "array sweep of 2 x 3 runs, one fails and is retried" array_sweep
check "a chain of arrays where requeueing is forbidden" chain
check "a sweep inside an allocation of whole nodes" whole_nodes
check "no requeue when no step was made" no_step_no_requeue
check "a cap on restarts" capped_restarts
check "launch: srun without PMIx is refused" launch_without_pmix
check "launch: a job of one process started twice is refused" launch_of_a_single_job
check "launch: more ranks than leaves are refused" launch_too_wide
check "requeued by an administrator: goes on, same bytes" finished_same requeued
check "a node crashes: goes on elsewhere, same bytes" crashed_node
check "time limit: stops, requeues itself, same bytes" time_limit
check "16 ranks by srun: right bytes, or a launch crash" wide_srun
echo "launches by srun: $launches, of which crashed before ladle began: $launch_crashes"
echo "$passed passed, $failures failed, $((SECONDS - start)) s"
[ $failures -eq 0 ]
