"""The catalog's formats, read by programs that others wrote: of a catalog that holds what is hard to write, and of the
examples'. Each format is exported by the command line from the JSON that is kept in the repository."""

import json
import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree
from pathlib import Path

import jsonschema

import drawing

REPOSITORY = Path(__file__).parents[2]
CATALOGS = {
    "sample": REPOSITORY / "crates/acceptd/tests/catalog/catalog.json",
    "ec2": REPOSITORY / "examples/ec2/catalog.json",
    "uploads": REPOSITORY / "examples/uploads/catalog.json",
}
FORMATS = {
    "mermaid": "catalog.mmd",
    "dot": "catalog.dot",
    "svg": "catalog.svg",
    "asyncapi": "asyncapi.json",
    "markdown": "markdown",
    "eventcatalog": "eventcatalog",
    "backstage": "backstage",
}
SVG = "{http://www.w3.org/2000/svg}"
PATIENCE = 120


def run(command, **options):
    """Runs a program; what it says is why it failed."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)
    said = f"{ended.stdout}\n{ended.stderr}".strip()
    assert ended.returncode == 0, f"{command[0]} ended with {ended.returncode}: {said[-280:]}"
    return ended.stdout


def export(binary, catalog, folder):
    """Writes a catalog in every format."""
    for name, path in FORMATS.items():
        run([binary, "catalog", "export", "--from", catalog, "--format", name, "--out", folder / path])


def svg_is_readable(folder, catalog):
    root = xml.etree.ElementTree.parse(folder / "catalog.svg").getroot()
    assert root.get("role") == "img" and root.get("viewBox"), root.attrib
    assert len(root.find(f"{SVG}title").text) > 0 and len(root.find(f"{SVG}desc").text) > 0
    words = {text.text for text in root.iter(f"{SVG}text")}
    for event in catalog["events"]:
        # A long name is cut, and is whole where it is pointed at.
        assert event["type"][:40] in " ".join(words), event["type"]
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)), ids


def dot_lays_out(folder, catalog):
    drawn = xml.etree.ElementTree.fromstring(run(["dot", "-Tsvg", folder / "catalog.dot"]).encode())
    groups = [group.get("class") for group in drawn.iter(f"{SVG}g")]
    written = (folder / "catalog.dot").read_text()
    assert groups.count("edge") == written.count(" -> n"), groups.count("edge")
    assert groups.count("node") == written.count("[label=") - written.count("-> n", 0) + unlabeled(written), groups
    words = {text.text for text in drawn.iter(f"{SVG}text")}
    for event in catalog["events"]:
        assert event["type"] in words, event["type"]


def unlabeled(written):
    """How many arrows have no label: `[label=` counts nodes and the other arrows."""
    return sum("->" in line and "[label=" not in line for line in written.splitlines())


def examples_fit(folder, catalog):
    document = json.loads((folder / "asyncapi.json").read_text())
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    validated = 0
    for name, message in document["components"]["messages"].items():
        for example in message.get("examples", []):
            # References are pointers from the root of the document.
            schema = {**document, "$ref": message["payload"]["$ref"]}
            jsonschema.Draft7Validator(schema).validate(example["payload"])
            refused = jsonschema.Draft7Validator(schema).is_valid({"id": 5, "lines": "none"})
            assert not refused, f"{name} allows anything"
            validated += 1
    declared = [event for event in catalog["events"] if (event["schema"] or {}).get("examples")]
    assert validated == len(declared), validated


def linter_passes(folder, packages):
    linter = Path(packages) / "node_modules/.bin/eventcatalog-linter"
    run([linter, folder / "eventcatalog"])
    # It looks at references: without an event that a service names it does not pass.
    event = next((folder / "eventcatalog/events").iterdir())
    shutil.rmtree(event)
    said = subprocess.run([linter, folder / "eventcatalog"], capture_output=True, text=True, timeout=PATIENCE)
    assert said.returncode == 1, f"the linter misses nothing without {event.name}"


def tools(check, skip, folders, catalogs):
    """Programs that need no Node."""
    for name, folder in folders.items():
        check(f"catalog.{name}.svg", lambda: svg_is_readable(folder, catalogs[name]))
        check(f"catalog.{name}.examples", lambda: examples_fit(folder, catalogs[name]))
        if shutil.which("dot"):
            check(f"catalog.{name}.dot", lambda: dot_lays_out(folder, catalogs[name]))
        else:
            skip(f"catalog.{name}.dot", "graphviz")


def checks(check, skip, node_client, packages):
    """All of them. `skip` says what is not checked for want of a program, which is a failure in CI."""
    binary = os.environ["ACCEPTD_BIN"]
    catalogs = {name: json.loads(path.read_text()) for name, path in CATALOGS.items()}
    with tempfile.TemporaryDirectory(prefix="acceptd-catalog-") as place:
        folders = {name: Path(place) / name for name in CATALOGS}
        for name, path in CATALOGS.items():
            folders[name].mkdir()
            export(binary, path, folders[name])
        tools(check, skip, folders, catalogs)
        if not packages:
            return skip("catalog.node", "node or npm")
        node_client("catalog.mjs", packages, place)
        for name, folder in folders.items():
            check(f"catalog.{name}.eventcatalog", lambda: linter_passes(folder, packages))
        if not drawing.chromium():
            return skip("catalog.mermaid", "chromium")
        drawing.checks(check, packages, {f"catalog.{name}.mermaid": it / "catalog.mmd" for name, it in folders.items()})
