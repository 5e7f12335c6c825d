"""A real SLURM on loopback: one node, a `gpu` gres, no accounting. Needs root and Debian's slurm-wlm and munge.

Everything it writes lies in one scratch folder, but for munge's key and socket and SLURM's two configuration files, which
must be in /etc/slurm: a job's own `srun` sees no environment that names another place.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

CONFIGURATION = Path("/etc/slurm")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol")

SLURM_CONF = """# by limelight's cluster tests, process {owner}
ClusterName=limelight
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
GresTypes=gpu
KillWait=5
MinJobAge=3600
SchedulerParameters=sched_interval=1,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=20000 State=UNKNOWN Gres=gpu:1
PartitionName=cpu Nodes=localhost Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=localhost MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no SLURM can be started here, or an empty string."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "not root: slurmd and munged cannot be started"
    if (CONFIGURATION / "slurm.conf").exists() and not _left_behind():
        return f"{CONFIGURATION}/slurm.conf exists: this machine has a SLURM of its own, which is left alone"
    return ""


def _left_behind() -> bool:
    """True if the configuration is of an earlier run that was killed before it could take it away."""
    text = (CONFIGURATION / "slurm.conf").read_text()
    owner = re.match(r"# by limelight's cluster tests, process (\d+)\n", text)
    return owner is not None and not psutil.pid_exists(int(owner.group(1)))


def _clear_away() -> None:
    """Stop the daemons that the configuration names and take it away."""
    if not (CONFIGURATION / "slurm.conf").exists():
        return
    for name in ("SlurmdPidFile", "SlurmctldPidFile"):
        pid_file = re.search(rf"^{name}=(.+)$", (CONFIGURATION / "slurm.conf").read_text(), re.MULTILINE)
        _stop(Path(pid_file.group(1)))
    for name in ("slurm.conf", "gres.conf"):
        (CONFIGURATION / name).unlink(missing_ok=True)


@contextlib.contextmanager
def one_node_slurm(folder: Path, cpus: int = 3) -> Iterator[None]:
    """Start munged, slurmctld and slurmd, and stop them after the block."""
    _clear_away()  # what a killed run left behind
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    own_munge = _start_munge()
    try:
        CONFIGURATION.mkdir(exist_ok=True)
        (CONFIGURATION / "gres.conf").write_text("NodeName=localhost Name=gpu File=/dev/null\n")
        (CONFIGURATION / "slurm.conf").write_text(SLURM_CONF.format(owner=os.getpid(), folder=folder, cpus=cpus))
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon], check=True, capture_output=True)
        _wait_until_idle(folder)
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        time.sleep(1)
        _clear_away()
        if own_munge:
            _stop(Path("/run/munge/munged.pid"))


def _start_munge() -> bool:
    """Start munged unless one runs already; True if this one is ours to stop."""
    pid = Path("/run/munge/munged.pid")
    if pid.exists():
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):  # of an earlier one, or just being written
            if psutil.Process(int(pid.read_text())).name() == "munged":
                return False
    key = Path("/etc/munge/munge.key")
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        key.write_bytes(os.urandom(1024))
    run = Path("/run/munge")
    run.mkdir(parents=True, exist_ok=True)
    for path in (key, key.parent, run, Path("/var/lib/munge"), Path("/var/log/munge")):
        if path.exists():
            shutil.chown(path, "munge", "munge")
    key.chmod(0o400)
    run.chmod(0o755)
    subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force"], check=True, capture_output=True)
    return True


def node_state() -> str:
    """The node's state in SLURM's words: idle, mixed, allocated, down..."""
    answer = subprocess.run(["sinfo", "-h", "--partition=cpu", "-o", "%T"], capture_output=True, text=True)
    return answer.stdout.strip()


def lose_node() -> None:
    """End all that SLURM runs on the node as a power cut would, and let the controller know at once."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in ("slurmd", "slurmstepd"):
            with contextlib.suppress(psutil.NoSuchProcess):
                for victim in (process, *process.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        victim.kill()
    subprocess.run(["scontrol", "update", "nodename=localhost", "state=down", "reason=lost"], check=True)


def return_node() -> None:
    """Start the node again."""
    subprocess.run(["slurmd"], check=True, capture_output=True)
    # it may have come back by itself: then this fails, and nothing is wrong
    subprocess.run(["scontrol", "update", "nodename=localhost", "state=resume"], capture_output=True)


def _wait_until_idle(folder: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if node_state() == "idle":
            return
        time.sleep(0.5)
    raise RuntimeError(f"the node never became idle:\n{(folder / 'slurmctld.log').read_text()[-2000:]}")


def _stop(pid_file: Path) -> None:
    """SIGTERM a daemon by its pid file and wait for its end; SIGKILL after 20 s."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text().strip())
    with contextlib.suppress(psutil.NoSuchProcess):
        if psutil.Process(pid).name() != pid_file.stem:
            return  # the number has long been another process's
    for signum, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        deadline = time.monotonic() + patience
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
