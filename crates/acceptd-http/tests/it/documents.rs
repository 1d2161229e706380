//! The table of problems, its pages and its document say the same.

use std::collections::BTreeSet;
use std::path::Path;

use acceptd_http::{PROBLEMS, errors_markdown};

use crate::api::Api;

#[test]
fn the_document_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    if std::env::var_os("ACCEPTD_WRITE_DOCS").is_some() {
        std::fs::write(&path, errors_markdown()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == errors_markdown(), "write docs/errors.md anew: set ACCEPTD_WRITE_DOCS=1 and run this test");
}

#[tokio::test]
async fn every_problem_has_a_page() {
    let api = Api::start().await;
    let mut slugs = BTreeSet::new();
    for kind in PROBLEMS {
        assert!(slugs.insert(kind.slug), "{} is there twice", kind.slug);
        assert!((400..600).contains(&kind.status));
        let page = api.get(&format!("/problems/{}", kind.slug)).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/markdown; charset=utf-8"));
        assert!(std::str::from_utf8(&page.body).unwrap().contains(kind.title));
    }
}
