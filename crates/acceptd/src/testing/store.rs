//! The store as one node sees it: a dead node's changes never happen.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Day, Observation};
use crate::clock::Uptime;
use crate::limit::LimitChange;
use crate::store::memory::MemoryStore;
use crate::store::*;
use crate::testing::CrashAt;
use crate::testing::node::Node;
use crate::{
    Closure, DeliveryId, NodeId, Notification, NotificationId, OperationId, ProgressReport, Result, Store, Timestamp,
};

/// The store in memory, behind the life of a node. What only looks is answered also to a dead one.
pub(super) struct NodeStore {
    store: Arc<MemoryStore>,
    node: Arc<Node>,
}

impl NodeStore {
    pub(super) fn new(store: Arc<MemoryStore>, node: Arc<Node>) -> Self {
        Self { store, node }
    }

    /// Changes the store while the node lives, and notes it when something came of it.
    fn change<'a, T: Send + 'a>(
        &'a self,
        answer: Answer<'a, T>,
        is_change: impl Fn(&T) -> bool + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            self.node.alive().await;
            let answer = answer.await?;
            if is_change(&answer) {
                self.node.note_change();
            }
            Ok(answer)
        })
    }

    /// The consumer of a delivery comes to a point; returns only while the node lives.
    async fn pass(&self, delivery: DeliveryId, is_here: impl Fn(&CrashAt) -> bool + Send) {
        if let Ok(view) = self.store.delivery(delivery).await {
            self.node.pass(&view.delivery.consumer, is_here).await;
        }
        self.node.alive().await;
    }

    async fn settle_between(&self, settle: Settle) -> Result<Settled> {
        let delivery = settle.delivery;
        self.node.alive().await;
        let settled = self.store.settle(settle).await?;
        self.node.note_change();
        self.pass(delivery, |at| *at == CrashAt::Settled).await;
        Ok(settled)
    }

    async fn remember_between(&self, step: Step) -> Result<()> {
        let (delivery, name) = (step.delivery, step.name.clone());
        self.pass(delivery, |at| matches!(at, CrashAt::Step(step) if *step == name)).await;
        self.store.remember(step).await?;
        self.pass(delivery, |at| matches!(at, CrashAt::AfterStep(step) if *step == name)).await;
        Ok(())
    }
}

fn always<T>(_: &T) -> bool {
    true
}

fn never<T>(_: &T) -> bool {
    false
}

impl Store for NodeStore {
    fn accept(&self, accept: Accept) -> Answer<'_, Accepted> {
        self.change(self.store.accept(accept), always)
    }

    fn claim(&self, claim: Claim) -> Answer<'_, Claims> {
        self.change(self.store.claim(claim), |claims| !claims.claimed.is_empty())
    }

    fn settle(&self, settle: Settle) -> Answer<'_, Settled> {
        Box::pin(self.settle_between(settle))
    }

    fn extend(&self, delivery: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Answer<'_, ()> {
        self.change(self.store.extend(delivery, fence, lease, now), always)
    }

    fn report(&self, delivery: DeliveryId, fence: u64, progress: ProgressReport, now: Timestamp) -> Answer<'_, ()> {
        self.change(self.store.report(delivery, fence, progress, now), always)
    }

    fn remember(&self, step: Step) -> Answer<'_, ()> {
        Box::pin(self.remember_between(step))
    }

    fn steps(&self, delivery: DeliveryId) -> Answer<'_, Vec<(String, Vec<u8>)>> {
        self.store.steps(delivery)
    }

    fn cancel(&self, operation: OperationId, now: Timestamp) -> Answer<'_, Stopped> {
        self.change(self.store.cancel(operation, now), always)
    }

    fn retry(&self, what: DeadLetters, now: Timestamp) -> Answer<'_, Stopped> {
        self.change(self.store.retry(what, now), always)
    }

    fn discard(&self, delivery: DeliveryId, now: Timestamp) -> Answer<'_, Stopped> {
        self.change(self.store.discard(delivery, now), always)
    }

    fn pause(&self, what: Pausable, closure: Closure) -> Answer<'_, ()> {
        self.change(self.store.pause(what, closure), always)
    }

    fn resume(&self, what: Pausable, now: Timestamp) -> Answer<'_, bool> {
        self.change(self.store.resume(what, now), always)
    }

    fn change_limit(&self, limit: String, change: Option<LimitChange>) -> Answer<'_, LimitView> {
        self.change(self.store.change_limit(limit, change), always)
    }

    fn permit(&self, permit: Permit) -> Answer<'_, Permitted> {
        self.change(self.store.permit(permit), |permitted| matches!(permitted, Permitted::Held { .. }))
    }

    fn give_back(&self, hold: HoldId) -> Answer<'_, Vec<String>> {
        self.change(self.store.give_back(hold), always)
    }

    fn shift(&self, micros: i64, now: Timestamp) -> Answer<'_, ()> {
        self.change(self.store.shift(micros, now), always)
    }

    fn register(&self, register: Register) -> Answer<'_, Registered> {
        self.change(self.store.register(register), always)
    }

    fn heartbeat(&self, node: NodeId, now: Timestamp, uptime: Option<Uptime>) -> Answer<'_, Vec<(String, Closure)>> {
        self.change(self.store.heartbeat(node, now, uptime), never)
    }

    fn rescue(&self, me: NodeId, lease: Duration, now: Timestamp) -> Answer<'_, Vec<Rescued>> {
        self.change(self.store.rescue(me, lease, now), |rescued| !rescued.is_empty())
    }

    fn prune(&self, before: Timestamp, now: Timestamp, max: usize) -> Answer<'_, usize> {
        self.change(self.store.prune(before, now, max), never)
    }

    fn operation(&self, id: OperationId) -> Answer<'_, OperationView> {
        self.store.operation(id)
    }

    fn results(&self, id: OperationId) -> Answer<'_, Vec<ConsumerResult>> {
        self.store.results(id)
    }

    fn operations(&self, filter: OperationFilter, page: Page) -> Answer<'_, Listing<OperationView>> {
        self.store.operations(filter, page)
    }

    fn chain(&self, id: OperationId) -> Answer<'_, Chain> {
        self.store.chain(id)
    }

    fn items(&self, id: OperationId, after: Option<i64>, size: usize) -> Answer<'_, Listing<Item>> {
        self.store.items(id, after, size)
    }

    fn groups(&self, id: OperationId) -> Answer<'_, Vec<GroupCount>> {
        self.store.groups(id)
    }

    fn standing(&self, groups: Vec<(String, String)>, now: Timestamp) -> Answer<'_, Vec<Standing>> {
        self.store.standing(groups, now)
    }

    fn limits(&self, now: Timestamp) -> Answer<'_, Vec<LimitView>> {
        self.store.limits(now)
    }

    fn delivery(&self, id: DeliveryId) -> Answer<'_, DeliveryView> {
        self.store.delivery(id)
    }

    fn dead_letters(&self, page: Page) -> Answer<'_, Listing<DeadLetter>> {
        self.store.dead_letters(page)
    }

    fn notifications(&self, query: NotificationQuery) -> Answer<'_, Listing<Notification>> {
        self.store.notifications(query)
    }

    fn read(&self, id: NotificationId, now: Timestamp) -> Answer<'_, Notification> {
        self.change(self.store.read(id, now), always)
    }

    fn consumers(&self, now: Timestamp) -> Answer<'_, Vec<ConsumerView>> {
        self.store.consumers(now)
    }

    fn observe(&self, observations: Vec<Observation>, keep: Day) -> Answer<'_, ()> {
        self.change(self.store.observe(observations, keep), always)
    }

    fn observed(&self, since: Day) -> Answer<'_, Vec<Observation>> {
        self.store.observed(since)
    }

    fn health(&self) -> Health {
        self.store.health()
    }
}
