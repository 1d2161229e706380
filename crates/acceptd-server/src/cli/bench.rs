//! `acceptd bench`: measures this machine, see [`crate::bench`].

use crate::bench::BenchArgs;
use crate::exit::{Exit, Failure, Result};

pub(super) async fn run(args: BenchArgs) -> Result {
    crate::bench::run(args).await.map_err(|error| Failure::error(format!("{error:#}")))?;
    Ok(Exit::Ok)
}
