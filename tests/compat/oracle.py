"""Checks the verdicts of cases.json against jsoncompat, which nobody here wrote.

Backward is asked as: does the new schema read what the closed old one wrote; forward as: does the old schema read what
the closed new one writes. Where the two differ the case has a reason in its field `oracle`, and only there; a verdict
`unknown` is nobody's to check. Every case prints `ok NAME`, `SKIPPED NAME: WHY` or `FAIL NAME: WHY`. Exit code 1 when one failed.
"""

import copy
import json
import sys
from pathlib import Path

import jsoncompat

CASES = Path(__file__).parent / "cases.json"


def closed(schema):
    """The schema as a writer keeps it: it emits the properties that it declares and no others."""
    schema = copy.deepcopy(schema)
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" in node:
                node.setdefault("additionalProperties", False)
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return schema


def said(case, direction):
    """What jsoncompat says of a case, or why it says nothing."""
    old, new = case["old"], case["new"]
    if direction == "backward":
        old, role = closed(old), "deserializer"
    else:
        new, role = closed(new), "serializer"
    try:
        fits = jsoncompat.check_compat(json.dumps(old), json.dumps(new), role)
    except Exception as error:  # what it can't decide, it raises
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ("compatible" if fits else "breaking"), None


def main():
    counts = {"ok": 0, "SKIPPED": 0, "FAIL": 0}
    for case in json.loads(CASES.read_text()):
        for direction in ("backward", "forward"):
            verdict, reason = case[direction], case.get("oracle", {}).get(direction)
            found, trouble = said(case, direction)
            name = f"{case['name']}, {direction}"
            if verdict == "unknown":
                word, why = "SKIPPED", f"unknown here, {found or trouble} there"
            elif found == verdict:
                word, why = ("FAIL", "it has a reason to differ, and does not") if reason else ("ok", None)
            elif reason:
                word, why = "SKIPPED", reason
            else:
                word, why = "FAIL", f"{verdict} here, {found or trouble} there"
            counts[word] += 1
            print(f"{word} {name}" + (f": {why}" if why else ""))
    print(f"{counts['ok']} agree, {counts['SKIPPED']} skipped, {counts['FAIL']} failed")
    # A file that lost its cases must not pass.
    sys.exit(1 if counts["FAIL"] or counts["ok"] < 120 else 0)


if __name__ == "__main__":
    main()
