//! The catalog of a running engine: what its consumers declare, and what was seen.

use crate::Result;
use crate::catalog::{Catalog, CatalogConsumer, CatalogLimit, CatalogRetry, Day};
use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::limit::Policy;

impl Engine {
    /// Whether `{"items":[…]}` is a batch of events of this type.
    pub fn takes_batches(&self, kind: &str) -> bool {
        self.0.declared.get(kind).is_none_or(|declared| declared.batch)
    }

    /// Everything that is declared here, and what was seen in the last so many days, today among them.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn catalog(&self, days: u32) -> Result<Catalog> {
        self.store_observations().await?;
        let since = Day::of(self.now()).back(days.saturating_sub(1)).max(self.first_day());
        let seen = self.0.store.observed(since).await?;
        let (consumers, limits) = (self.catalog_consumers(), self.catalog_limits());
        Ok(Catalog::assemble(&self.0.declared, consumers, limits, Some((since, &seen))))
    }

    /// Everything that is declared here.
    pub fn declared(&self) -> Catalog {
        Catalog::declared(&self.0.declared, self.catalog_consumers(), self.catalog_limits())
    }

    fn catalog_consumers(&self) -> Vec<CatalogConsumer> {
        let served = self.0.served.values();
        served.map(|served| describe(served.consumer(), served.policy())).collect()
    }

    fn catalog_limits(&self) -> Vec<CatalogLimit> {
        self.0.limits.iter().filter(|limit| !limit.private).map(CatalogLimit::from).collect()
    }
}

/// A consumer as the catalog tells it.
pub(super) fn describe(consumer: &Consumer, policy: &Policy) -> CatalogConsumer {
    let (target, about) = (consumer.target.describe(), consumer.about.clone());
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    CatalogConsumer {
        name: consumer.name.clone(),
        description: about.description,
        team: about.team,
        place: about.place,
        on: consumer.on.clone(),
        emits: consumer.emits.clone(),
        undeclared: if consumer.lets_undeclared_pass { "record" } else { "refuse" }.to_owned(),
        notifies: about.notifies || target.kind == "inbox",
        target: target.kind.to_owned(),
        address: target.address,
        uses: about.uses,
        max_attempts: consumer.retry.max_attempts,
        retry: CatalogRetry {
            base_ms: millis(consumer.retry.base),
            max_ms: millis(consumer.retry.max),
            give_up_after_ms: millis(consumer.retry.give_up_after),
        },
        timeout_ms: millis(consumer.timeout),
        concurrency: consumer.concurrency,
        limits: policy.limits.iter().map(|used| used.limit.clone()).collect(),
        permits: about.permits,
        lock: consumer.lock.as_ref().map(ToString::to_string),
        ordered: policy.ordered,
        fair_by: policy.fair_by.as_ref().map_or_else(|| "owner".to_owned(), ToString::to_string),
    }
}
