//! Compatibility of the schemas that Rust types give: enums in each of serde's representations, options, maps, trees.

#![allow(dead_code, reason = "the types are only looked at")]

use std::collections::BTreeMap;

use acceptd::catalog::compat::{Mode, Verdict, compare, worst};
use schemars::{JsonSchema, schema_for};

macro_rules! types {
    ($name:ident { $($body:tt)* }) => {
        mod $name {
            use super::*;

            #[derive(JsonSchema)]
            pub(super) enum Outer { Started(String), Stopped { code: u8 }, Lost, $($body)* }

            #[derive(JsonSchema)]
            #[schemars(tag = "kind")]
            pub(super) enum Inner { Started(Machine), Stopped { code: u8 }, Lost, $($body)* }

            #[derive(JsonSchema)]
            #[schemars(tag = "kind", content = "of")]
            pub(super) enum Beside { Started(Machine), Stopped { code: u8 }, Lost, $($body)* }

            /// With words for each, which is another schema than without.
            #[derive(JsonSchema)]
            pub(super) enum Plain {
                /// One.
                One,
                /// Two.
                Two,
                $($body)*
            }
        }
    };
}

types!(v1 {});
types!(v2 { More });

#[derive(JsonSchema)]
struct Machine {
    id: String,
    cores: Option<u32>,
    disks: Vec<Disk>,
    labels: BTreeMap<String, String>,
    parent: Option<Box<Machine>>,
}

#[derive(JsonSchema)]
struct Disk {
    bytes: u64,
}

#[derive(JsonSchema)]
#[schemars(rename = "Machine")]
struct Machine2 {
    id: String,
    cores: Option<u64>,
    disks: Vec<Disk2>,
    labels: BTreeMap<String, String>,
    parent: Option<Box<Machine2>>,
    zone: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename = "Disk")]
struct Disk2 {
    bytes: u64,
    kind: Option<v1::Plain>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Either {
    Text(String),
    Machine(Machine),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Either2 {
    Text(String),
    Number(u64),
    Machine(Machine2),
}

#[derive(JsonSchema)]
struct Flat {
    name: String,
    #[schemars(flatten)]
    disk: Disk,
    #[schemars(flatten)]
    what: v1::Inner,
}

#[derive(JsonSchema)]
#[schemars(rename = "Flat")]
struct Flat2 {
    name: String,
    #[schemars(flatten)]
    disk: Disk,
    zone: Option<String>,
    #[schemars(flatten)]
    what: v2::Inner,
}

fn verdicts<Old: JsonSchema, New: JsonSchema>() -> (Verdict, Verdict) {
    let (old, new) = (schema_for!(Old).to_value(), schema_for!(New).to_value());
    let of = |mode| worst(&compare(&old, &new, mode));
    (of(Mode::Backward), of(Mode::Forward))
}

const WIDER: (Verdict, Verdict) = (Verdict::Compatible, Verdict::Breaking);
const NARROWER: (Verdict, Verdict) = (Verdict::Breaking, Verdict::Compatible);

#[test]
fn one_more_variant_widens_every_representation() {
    assert_eq!(verdicts::<v1::Outer, v2::Outer>(), WIDER);
    assert_eq!(verdicts::<v1::Inner, v2::Inner>(), WIDER);
    assert_eq!(verdicts::<v1::Beside, v2::Beside>(), WIDER);
    assert_eq!(verdicts::<v1::Plain, v2::Plain>(), WIDER);
    assert_eq!(verdicts::<v2::Inner, v1::Inner>(), NARROWER);
    assert_eq!(verdicts::<v1::Plain, Option<v1::Plain>>(), WIDER);
    assert_eq!(verdicts::<Flat, Flat2>(), WIDER);
}

#[test]
fn optional_fields_break_nobody_and_wider_numbers_are_for_a_person() {
    // A tree whose nodes gained optional fields; an u32 that became an u64 may be too wide for who reads it.
    assert_eq!(verdicts::<Machine, Machine2>(), (Verdict::Compatible, Verdict::Unknown));
    assert_eq!(verdicts::<Disk, Disk2>(), (Verdict::Compatible, Verdict::Compatible));
    assert_eq!(verdicts::<Either, Either2>().0, Verdict::Compatible);
    assert_eq!(verdicts::<Either, Either2>().1, Verdict::Breaking);
    assert_eq!(verdicts::<Machine, Option<Machine>>(), WIDER);
    assert_eq!(verdicts::<Vec<Disk>, Vec<Disk2>>(), (Verdict::Compatible, Verdict::Compatible));
    assert_eq!(verdicts::<u8, u16>(), WIDER);
    assert_eq!(verdicts::<(String, u8), (String, u8, Option<u8>)>(), (Verdict::Breaking, Verdict::Breaking));
}
