#!/usr/bin/env python3
"""Two emulated hosts (network namespaces on one bridge): the same bytes as on one, and a cut link ends the job.

Usage: see harness.py. Left out, visibly, where namespaces are not permitted (root, CAP_NET_ADMIN, CAP_SYS_ADMIN).
"""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import harness

HOSTS = ["h0", "h1"]
TAG = f"ladle{os.getpid() % 10000}"
SUBNET = "10.213.78"  # not that of tests/slurm/cluster.sh

bench = harness.Bench()


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


def remove_hosts():
    for host in HOSTS:
        ip("link", "del", f"{TAG}{host}", check=False)
        ip("netns", "del", f"{TAG}-{host}", check=False)
    ip("link", "del", f"{TAG}br", check=False)


def make_hosts():
    ip("link", "add", f"{TAG}br", "type", "bridge")
    ip("addr", "add", f"{SUBNET}.1/24", "dev", f"{TAG}br")
    ip("link", "set", f"{TAG}br", "up")
    for number, host in enumerate(HOSTS):
        space = f"{TAG}-{host}"
        ip("netns", "add", space)
        ip("link", "add", f"{TAG}{host}", "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", f"{TAG}{host}", "master", f"{TAG}br", "up")
        ip("-n", space, "addr", "add", f"{SUBNET}.{10 + number}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")
    # mpirun starts its daemon on a host by `agent HOST COMMAND...`. Each host has a name of its own: Open MPI names its
    # shared memory after it.
    agent = bench.work / "agent"
    agent.write_text(f'#!/bin/sh\nhost=$1; shift\n'
                     f'exec ip netns exec {TAG}-$host unshare --uts sh -c "hostname $host; $*"\n')
    agent.chmod(0o755)
    probe = subprocess.run([str(agent), HOSTS[0], "hostname"], capture_output=True, text=True)
    if probe.stdout.strip() != HOSTS[0]:
        raise OSError(probe.stderr.strip())


def words(run):
    return ["train", "--model.path", "model", "--data.dir", "shards", "--run.dir", str(bench.work / run),
            "--train.max_steps", 150, "--train.batch", 16, "--optim.lr", "1e-2", "--checkpoint.every_steps", 5,
            "--run.watchdog_seconds", 4]


def start(run):
    network = f"{SUBNET}.0/24"
    launcher = [bench.options.mpirun, "--mca", "plm_rsh_agent", str(bench.work / "agent"), "--mca", "plm", "rsh", "--mca",
                "oob_tcp_if_include", network, "--mca", "btl_tcp_if_include", network, "--bind-to", "none", "--host",
                ",".join(f"{host}:2" for host in HOSTS), "-n", "4", "--wdir", str(bench.work)]
    forwarded = [part for name in bench.environment if name.startswith("OMPI_") for part in ("-x", name)]
    with open("log", "wb") as log:
        return subprocess.Popen([*launcher, *forwarded, bench.ladle, *map(str, words(run))], stdout=log,
                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                                env=bench.environment)


def same(run):
    wrong = harness.differing("whole", run)
    bench.expect(not wrong, f"{run}: {wrong} differ from the run on one host")


def cut_link():
    process = start("cut")
    harness.wait_until(lambda: process.poll() is not None or harness.announced(harness.log()) > 0, 60)
    ip("link", "set", f"{TAG}h1", "down")
    began = time.monotonic()
    bench.expect(bench.nothing_left(15), "a cut link: ranks are left after 15 s")
    print(f"a cut link: all ranks ended after {time.monotonic() - began:.1f} s", flush=True)
    bench.expect("no progress for 4 s after step" in harness.log(), "a cut link: the watchdog does not say why")
    # The launcher may wait for a daemon it cannot reach any more; its ranks are gone.
    harness.wait_until(lambda: process.poll() is not None, 5)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    else:
        bench.expect(process.returncode == 75, f"a cut link: exit code {process.returncode}")
    ip("link", "set", f"{TAG}h1", "up")
    code, text = bench.run(2, words("cut"))
    bench.expect(code == 0 and "resumed at step" in text, f"a cut link: exit code {code} after the resume")
    same("cut")


def run_cases():
    code, _ = bench.run(1, words("whole"))
    bench.expect(code == 0, f"the run on one host: exit code {code}")
    process = start("hosts")
    code = process.wait(120)
    bench.expect(code == 0, f"two hosts: exit code {code}")
    hosts = pathlib.Path("hosts/manifest.json")
    bench.expect(hosts.exists() and all(f'"{host}"' in hosts.read_text() for host in HOSTS), "the hosts are not two")
    same("hosts")
    cut_link()


missing = [program for program in ("ip", "unshare") if shutil.which(program) is None]
if missing:
    bench.skip(f"no {' and no '.join(missing)} here (packages iproute2, util-linux)")
    bench.finish()
bench.tiny_model()
bench.tiny_shards()
try:
    make_hosts()
except (OSError, subprocess.CalledProcessError) as error:
    remove_hosts()
    bench.skip(f"no hosts can be emulated here: {getattr(error, 'stderr', None) or error}")
    bench.finish()
try:
    run_cases()
finally:
    for pid in bench.processes():
        os.kill(pid, signal.SIGKILL)
    remove_hosts()
bench.finish()
