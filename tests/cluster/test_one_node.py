"""A killed run leaves its configuration in /etc/slurm: the next one takes it away, a site's own is never touched."""

import subprocess
import sys
from pathlib import Path

import one_node
import pytest


def test_what_a_killed_run_left_is_taken_away_and_a_sites_own_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_node, "CONFIGURATION", tmp_path)
    monkeypatch.setattr(one_node, "PROGRAMS", ())
    monkeypatch.setattr(one_node.os, "geteuid", lambda: 0)
    configuration = tmp_path / "slurm.conf"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    configuration.write_text(one_node.SLURM_CONF.format(owner=dead.pid, folder=tmp_path, cpus=1))
    # a daemon's number that has since been given to somebody else
    (tmp_path / "slurmd.pid").write_text(f"{one_node.os.getpid()}\n")
    assert one_node.missing() == ""
    one_node._clear_away()
    assert not configuration.exists()

    configuration.write_text(one_node.SLURM_CONF.format(owner=one_node.os.getpid(), folder=tmp_path, cpus=1))
    assert "left alone" in one_node.missing(), "another run is under way"
    configuration.write_text("ClusterName=site\n")
    assert "left alone" in one_node.missing()
