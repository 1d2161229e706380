//! The recorder behind `/metrics`.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::exit::{Failure, Result};

/// Upper bounds of the histograms of `*_seconds`: from a fast commit to a slow target.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

/// How often what was recorded is folded together, so that memory stays small when nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of the process and starts its upkeep.
pub(crate) fn install() -> Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
    let handle = builder.and_then(PrometheusBuilder::install_recorder).map_err(Failure::error)?;
    metrics::gauge!("acceptd_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
