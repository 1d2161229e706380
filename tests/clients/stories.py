"""The stories of operations as Mermaid pictures, written by `acceptd story`."""

import json
import subprocess
import urllib.request

PATIENCE = 30


def written(stage, folder):
    """One of a chain that went well and one of a dead letter, as files by name."""
    names = {"story.chain": "client.first", "story.dead-letter": "client.refuse"}
    return {name: write(stage, kind, folder / f"{name}.mmd") for name, kind in names.items()}


def write(stage, kind, path):
    headers = {"Content-Type": "application/json", "Prefer": f"wait={PATIENCE}"}
    request = urllib.request.Request(f"{stage.base}/v1/events/{kind}", b'{"a": "x"}', headers)
    with urllib.request.urlopen(request, timeout=PATIENCE + 5) as answer:
        operation = json.load(answer)
    assert operation["done"], f"{kind} is {operation['status']} after {PATIENCE} s"
    command = [stage.binary, "--url", stage.base, "story", operation["id"], "-o", "mermaid"]
    path.write_bytes(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout)
    return path
