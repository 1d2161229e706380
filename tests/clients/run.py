"""Starts acceptd and a consumer, lets every foreign client at them, and counts.

Every check prints `ok NAME` or `FAIL NAME: WHY`; the last line is `N passed, N failed`. Exit code 1 when one failed.
Started by run.sh, which sets ACCEPTD_BIN and NODE_PACKAGES (empty when there is no Node).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import azure_poller
import cloud_events
import drawing
import formats
import stories
import telemetry
from servers import Stage

HERE = Path(__file__).parent
NODE_CLIENTS = ("core_lro.mjs", "eventsource.mjs")
NODE_PATIENCE = 120

passed = failed = 0


def report(line):
    """Counts and prints one line of a verdict."""
    global passed, failed
    passed += line.startswith("ok ")
    failed += line.startswith("FAIL ")
    print(line, flush=True)


def check(name, body):
    """Runs one check; what it raises is why it failed."""
    try:
        body()
    except Exception as error:
        report(f"FAIL {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    else:
        report(f"ok {name}")


def skip(name, missing):
    """What is not checked for want of a program; in CI it has to be there."""
    if os.environ.get("CI") == "true":
        report(f"FAIL {name}: {missing} is not here, and in CI it has to be")
    else:
        print(f"SKIPPED: {name}: {missing} is not installed here")


def node_client(script, packages, base):
    """A client for Node prints its own verdicts in the same form."""
    command = ["node", HERE / script, packages, base]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=NODE_PATIENCE)
    except subprocess.TimeoutExpired:
        return report(f"FAIL {script}: not done after {NODE_PATIENCE} s")
    verdicts = [line for line in ended.stdout.splitlines() if line.startswith(("ok ", "FAIL "))]
    for line in verdicts:
        report(line)
    if ended.returncode != 0 or not verdicts:
        report(f"FAIL {script}: ended with {ended.returncode}: {' '.join(ended.stderr.split())[:300]}")


def main():
    packages = os.environ.get("NODE_PACKAGES")
    with tempfile.TemporaryDirectory(prefix="acceptd-stories-") as place, Stage(os.environ["ACCEPTD_BIN"]) as stage:
        azure_poller.checks(check, stage)
        cloud_events.checks(check, stage)
        telemetry.checks(check, stage)
        if packages and drawing.chromium():
            drawing.checks(check, packages, stories.written(stage, Path(place)))
        else:
            skip("story.mermaid", "node, npm or chromium")
        for script in NODE_CLIENTS:
            if packages:
                node_client(script, packages, stage.base)
            else:
                skip(script, "node or npm")
        if failed:
            stage.tell()
    formats.checks(check, skip, node_client, packages)
    ended()


def ended():
    """Counts all verdicts and ends the process."""
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
