"""Writes the program and the tests of crates/acceptd/README.md into a folder, as they stand there."""

import re
import sys
from pathlib import Path

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
text = (root / "crates/acceptd/README.md").read_text()
blocks = re.findall(r"^`([^`\n]+)`[^\n]*\n\n```\w+\n(.*?)^```$", text, re.M | re.S)
assert [name for name, _ in blocks] == ["Cargo.toml", "src/main.rs", "src/tests.rs"], blocks
for name, block in blocks:
    if name == "Cargo.toml":
        # The crates are not published yet: they are those of this checkout.
        block = block.replace('acceptd = "0.1"', f'acceptd = {{ path = "{root}/crates/acceptd" }}')
        block = block.replace('acceptd-http = "0.1"', f'acceptd-http = {{ path = "{root}/crates/acceptd-http" }}')
        block = block.replace('acceptd = { version = "0.1"', f'acceptd = {{ path = "{root}/crates/acceptd"')
        block += "\n[workspace]\n"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block)
