//! The catalog beside a file that is checked in.

use acceptd::testing::{assert_catalog, catalog_json, check_catalog};
use acceptd::{Acceptd, Consumer};

use super::shop::{Printer, shop};

#[test]
fn the_declared_catalog_is_the_one_that_is_checked_in() {
    assert_catalog!(shop(&Printer::default()), "tests/it/testing/catalog.json");
}

#[tokio::test(start_paused = true)]
async fn it_is_the_same_within_a_test_of_the_program() {
    assert_catalog!(shop(&Printer::default()), "tests/it/testing/catalog.json");
}

#[test]
#[should_panic(expected = "+      \"name\": \"audit\",")]
fn a_new_consumer_is_seen() {
    let audited = |app: Acceptd| shop(&Printer::default())(app).consumer(Consumer::inbox("audit", "invoice.ready"));
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("catalog.json");
    std::fs::write(&copy, include_str!("catalog.json")).unwrap();
    assert_catalog!(audited, &copy);
}

#[test]
#[should_panic(expected = "run the test with ACCEPTD_UPDATE=1 to write it")]
fn a_missing_file_says_how_to_write_it() {
    check_catalog(&catalog_json(|app| app), "no/such/catalog.json");
}
