#!/usr/bin/env bash
# The program of crates/acceptd/README.md and its three tests compile and pass as they are written there.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/acceptd-scaffold.XXXXXX")
trap 'rm -rf "$folder"' EXIT
python3 "$root/tests/scaffold/extract.py" "$root" "$folder"
cp "$root/Cargo.lock" "$folder/"
cd "$folder"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
printf 'scaffold: %s lines of program\n' "$(grep -c . src/main.rs)"
# As the README says: the catalog's test fails until its file was written.
if cargo test --quiet >first.log 2>&1; then
    echo "scaffold: the catalog's test passes without its file" >&2
    exit 1
fi
grep -q "2 passed; 1 failed" first.log || { cat first.log >&2; exit 1; }
if grep -q "^warning" first.log; then
    cat first.log >&2
    echo "scaffold: the program compiles with warnings" >&2
    exit 1
fi
ACCEPTD_UPDATE=1 cargo test --quiet
cargo test --quiet
cargo run --quiet -- catalog check catalog.json
cargo run --quiet -- catalog show
# An edge that nobody declared does not compile, and the message says what to add.
sed -i.bak 's/mut out: Emits<(CreateAlarm,)>/mut out: Emits<()>/' src/main.rs
if cargo check --quiet >undeclared.log 2>&1; then
    echo "scaffold: an undeclared emit compiles" >&2
    exit 1
fi
grep -q 'does not declare that it emits `CreateAlarm`' undeclared.log || { cat undeclared.log >&2; exit 1; }
mv src/main.rs.bak src/main.rs
# An edge less is a breaking change for CI.
sed -i.bak -e 's/mut out: Emits<(CreateAlarm,)>/_out: Emits<()>/' -e '/out.emit(CreateAlarm/d' src/main.rs
sed -i.bak2 's/^#\[event("alarm.create")\]/#[event("alarm.create")]\n#[allow(dead_code)]/' src/main.rs
if cargo run --quiet -- catalog check catalog.json >check.log 2>&1; then
    cat check.log >&2
    echo "scaffold: an edge went, and the check did not fail" >&2
    exit 1
fi
grep "alarm.create" check.log
