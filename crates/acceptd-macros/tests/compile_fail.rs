//! What must not compile, with the message that says what to do. `TRYBUILD=overwrite` writes the messages anew.

#[test]
fn messages() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
