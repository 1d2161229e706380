//! The recorder behind `/metrics`.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::exit::{Failure, Result};

/// Upper bounds of the histograms of `*_seconds`: from a fast commit to a slow target.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

/// Those of `*_commands`: from one to the most that one transaction holds.
const COMMANDS: [f64; 8] = [1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 512.0, 1_024.0];

/// How often what was recorded is folded together, so that memory stays small when nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of the process and starts its upkeep, before anything is put together that records.
pub(crate) fn install() -> Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
    let builder = builder.and_then(|it| it.set_buckets_for_metric(Matcher::Suffix("_commands".to_owned()), &COMMANDS));
    let handle = builder.and_then(PrometheusBuilder::install_recorder).map_err(Failure::error)?;
    acceptd::telemetry::describe_metrics();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
