//! The conformance suite on the store in memory.

use std::sync::Arc;

use acceptd::Store;
use acceptd::store::memory::MemoryStore;

use crate::suite::block_on;

fn run<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Store>) -> F) {
    block_on(case(Arc::new(MemoryStore::seeded(1))));
}

acceptd_testkit::store_suite!(run);
