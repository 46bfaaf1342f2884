#!/bin/bash
# A throw-away Slurm of several "nodes" on this one machine, for tests: a controller and one slurmd per node, each in
# network, UTS and mount namespaces of its own, joined by a bridge. Nothing outside its directory is touched.
# Usage: cluster.sh up DIRECTORY [NODES] | down DIRECTORY | crash DIRECTORY NODE | boot DIRECTORY NODE
# Needs root, slurm-wlm, munge and iproute2. Nodes are n0, n1, ...; afterwards use SLURM_CONF=DIRECTORY/slurm.conf.
set -euo pipefail

verb=$1 directory=$2
readonly cpus=16 gpus=8 port=17900 subnet=10.213.79 tag=ladle

# gone PROCESS: no longer running; a zombie that nobody waits for counts as gone
gone() { [ ! -e "/proc/$1/stat" ] || [ "$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null)" = Z ]; }

# wait_until SECONDS WORDS...: until the command succeeds
wait_until() {
    local tries=$(($1 * 5))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.2
    done
}

write_config() {
    local nodes=$1 i
    mkdir -p "$directory"/{state,spool,dev}
    {
        # cred_expire is also how long a requeued job waits. config_overrides: nodes may claim more processors than
        # there are. TmpFS per node: the PMIx plugin makes one directory per step in it, and nodes must not share it.
        cat <<END
ClusterName=ladle
SlurmctldHost=$(hostname -s)($subnet.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$directory/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool/%n
TmpFS=$directory/tmp/%n
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.%n.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$directory/finished_jobs.txt
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
MpiDefault=pmix
JobRequeue=1
KillWait=5
SlurmdTimeout=10
SlurmctldTimeout=10
ReturnToService=2
MessageTimeout=30
GresTypes=gpu
END
        for ((i = 0; i < nodes; i++)); do
            echo "NodeName=n$i NodeAddr=$subnet.$((10 + i)) NodeHostname=n$i Port=$((port + 1)) CPUs=$cpus" \
                "RealMemory=4096 Gres=gpu:$gpus State=UNKNOWN"
        done
        echo "PartitionName=main Nodes=ALL Default=YES State=UP MaxTime=600 DefaultTime=10"
    } >"$directory/slurm.conf"
    # Slurm wants character devices; these are clones of /dev/null that nothing opens.
    for ((i = 0; i < gpus; i++)); do
        mknod "$directory/dev/gpu$i" c 1 3
    done
    echo "AutoDetect=off
NodeName=n[0-$((nodes - 1))] Name=gpu File=$directory/dev/gpu[0-$((gpus - 1))]" >"$directory/gres.conf"
    echo "CgroupPlugin=cgroup/v1" >"$directory/cgroup.conf"
}

start_network() {
    local nodes=$1 i
    ip link add $tag-br type bridge
    ip addr add $subnet.1/24 dev $tag-br
    ip link set $tag-br up
    for ((i = 0; i < nodes; i++)); do
        ip netns add $tag-n$i
        ip link add $tag-v$i type veth peer name eth0 netns $tag-n$i
        ip link set $tag-v$i master $tag-br up
        ip -n $tag-n$i addr add $subnet.$((10 + i))/24 dev eth0
        ip -n $tag-n$i link set eth0 up
        ip -n $tag-n$i link set lo up
    done
}

start_munge() {
    head -c 128 /dev/urandom >"$directory/munge.key"
    chmod 600 "$directory/munge.key"
    munged --force --key-file="$directory/munge.key" --socket="$directory/munge.sock" \
        --pid-file="$directory/munged.pid" --log-file="$directory/munged.log" --seed-file="$directory/munged.seed" \
        2>"$directory/munged.err"
}

# Own host name and /dev/shm: Open MPI names its shared memory after the host, and two nodes of one name would meet.
start_node() {
    mkdir -p "$directory/spool/$1" "$directory/tmp/$1"
    ip netns exec "$tag-$1" unshare --uts --mount sh -c "hostname $1; mount -t tmpfs -o mode=1777 none /dev/shm
        exec env SLURM_CONF='$directory/slurm.conf' slurmd -N $1"
}

# Every process in the node's UTS name space is killed, as by a power cut.
crash_node() {
    local slurmd space process
    slurmd=$(cat "$directory/slurmd.$1.pid") || return 0
    space=$(readlink "/proc/$slurmd/ns/uts") || return 0
    [ "$space" != "$(readlink /proc/self/ns/uts)" ] || return 0
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/ns/uts" 2>/dev/null)" != "$space" ] || kill -KILL "${process#/proc/}" 2>/dev/null || true
    done
    rm -f "$directory/slurmd.$1.pid"
}

all_idle() { [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = "$1" ]; }

up() {
    local nodes=$1 i
    [ ! -e "$directory/slurm.conf" ] || { echo "$directory holds a cluster already" >&2; return 1; }
    write_config "$nodes"
    start_munge
    start_network "$nodes"
    export SLURM_CONF=$directory/slurm.conf
    slurmctld -c
    for ((i = 0; i < nodes; i++)); do
        start_node n$i
    done
    wait_until 30 all_idle "$nodes" || { sinfo -N -l >&2; return 1; }
}

down() {
    local file process space
    for file in "$directory"/slurmd.*.pid; do
        [ -e "$file" ] || continue
        file=${file##*/slurmd.}
        crash_node "${file%.pid}"
    done
    for file in slurmctld munged; do
        process=$(cat "$directory/$file.pid" 2>/dev/null) || continue
        kill "$process" 2>/dev/null || continue
        wait_until 5 gone "$process" || kill -KILL "$process" 2>/dev/null || true
    done
    for space in $(ip netns list 2>/dev/null | sed -n "s/^\($tag-n[0-9]*\).*/\1/p"); do
        ip link del "$tag-v${space#"$tag-n"}" 2>/dev/null || true
        ip netns del "$space" || true
    done
    ip link del $tag-br 2>/dev/null || true
    rm -rf "$directory"
}

case $verb in
    up) up "${3:-4}" ;;
    down) down ;;
    crash) crash_node "$3" ;;
    boot) start_node "$3" ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
esac
