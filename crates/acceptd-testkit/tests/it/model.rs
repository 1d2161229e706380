//! The property test of the stores. `ACCEPTD_MODEL_CASES` sets how many lists of commands are tried, and
//! `ACCEPTD_MODEL_SEED` (64 hexadecimal digits) repeats the lists of a run that failed.

use acceptd_testkit::model::{self, InMemory};
use acceptd_testkit::store::reopen::Reopen;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::store_postgres::Schema;
use crate::store_sqlite::File;
use crate::suite::block_on;

fn seed() -> [u8; 32] {
    let Ok(text) = std::env::var("ACCEPTD_MODEL_SEED") else { return rand::random() };
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("the seed is hexadecimal");
    std::array::from_fn(byte)
}

fn hold(cases: u32, mut check: impl FnMut(&[model::Command]) -> Result<(), String>) {
    let cases = std::env::var("ACCEPTD_MODEL_CASES").map_or(cases, |cases| cases.parse().expect("a number of cases"));
    let seed = seed();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let check = std::cell::RefCell::new(&mut check);
    let found = TestRunner::new_with_rng(config, rng)
        .run(&model::commands(60), |commands| (check.borrow_mut())(&commands).map_err(TestCaseError::fail));
    if let Err(failure) = found {
        let seed: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("ACCEPTD_MODEL_SEED={seed} ACCEPTD_MODEL_CASES={cases} finds this again:\n{failure}");
    }
}

#[test]
fn the_memory_store_keeps_every_invariant() {
    hold(256, |commands| {
        let memory = InMemory::default();
        block_on(model::run(&[&memory as &dyn Reopen], commands))
    });
}

#[test]
fn the_sqlite_store_does_what_the_memory_store_does() {
    hold(256, |commands| {
        let (memory, sqlite) = (InMemory::default(), File::quick());
        block_on(model::run(&[&memory as &dyn Reopen, &sqlite], commands))
    });
}

#[test]
fn the_postgres_store_does_what_the_memory_store_does() {
    if Schema::new().is_none() {
        return;
    }
    hold(48, |commands| {
        let (memory, postgres) = (InMemory::default(), Schema::new().expect("there was one before"));
        block_on(model::run(&[&memory as &dyn Reopen, &postgres], commands))
    });
}
