//! What holds for every store after every command, whatever it was.

use std::collections::{BTreeMap, BTreeSet};

use acceptd::delivery::State;
use acceptd::operation::Tally;
use acceptd::{Delivery, DeliveryId, OperationId, Status, Weight};

use super::side::{OperationPicture, Picture};
use super::{Command, Fence};
use crate::factory::MAX_ATTEMPTS;

/// What was seen before, for what may only grow.
#[derive(Debug, Default)]
pub struct Watch {
    fences: BTreeMap<DeliveryId, u64>,
    attempts: BTreeMap<DeliveryId, usize>,
    endings: BTreeMap<OperationId, usize>,
    ended: BTreeSet<OperationId>,
    operations: BTreeSet<OperationId>,
}

impl Watch {
    /// Checks a picture that was taken after a command.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check(&mut self, command: &Command, picture: &Picture) -> Result<(), String> {
        for operation in &picture.operations {
            let id = operation.chain.operation.id;
            let found = self.operation(operation, picture).and_then(|()| self.deliveries(command, operation));
            found.map_err(|what| format!("operation {id}: {what}\n{operation:#?}"))?;
        }
        let seen: BTreeSet<_> = picture.operations.iter().map(|one| one.chain.operation.id).collect();
        let is_pruned = matches!(command, Command::Prune { .. });
        holds(is_pruned || self.operations.is_subset(&seen), "only pruning removes operations")?;
        for gone in self.operations.difference(&seen) {
            holds(self.ended.contains(gone), "only ended operations are removed")?;
        }
        self.operations = seen;
        let mut live = 0;
        for operation in &picture.operations {
            live += operation.live.len() as u64 + u64::from(operation.chain.operation.unrouted);
        }
        holds(picture.health.backlog == live, "the backlog is what waits or runs")?;
        let dead = picture.operations.iter().flat_map(|one| &one.chain.deliveries);
        let dead = dead.filter(|delivery| delivery.state == State::Dead).count();
        holds(picture.dead_letters.len() == dead, "every dead letter is listed")
    }

    fn operation(&mut self, picture: &OperationPicture, all: &Picture) -> Result<(), String> {
        let operation = &picture.chain.operation;
        let deliveries = &picture.chain.deliveries;
        let of = |tracked: bool| deliveries.iter().filter(move |one| (one.weight == Weight::Tracked) == tracked);
        let roots = picture.chain.events.iter().filter(|event| event.depth == 0);
        let untaken = roots.filter(|root| deliveries.iter().all(|one| one.event != root.key)).count() as u32;
        let mut tracked = recount(of(true));
        let abandoned = untaken - operation.unrouted;
        tracked.total += abandoned;
        tracked.canceled += abandoned;
        holds(abandoned == 0 || operation.unrouted == 0, "a cancel takes all events that nobody took")?;
        holds(operation.tracked == tracked, "the tally of tracked deliveries is a recount")?;
        holds(operation.untracked == recount(of(false)), "the tally of untracked deliveries is a recount")?;
        let inbox = deliveries.iter().filter(|one| one.weight == Weight::Inbox && !one.state.has_ended());
        holds(operation.inbox_live as usize == inbox.count(), "the count of live inbox deliveries is a recount")?;
        let is_over = operation.unrouted == 0 && operation.deciding().live() == 0;
        holds(operation.ended.is_some() == is_over, "it has ended when nothing that decides is left")?;
        let expected = match operation.deciding() {
            Tally { dead: 1.., .. } => Status::Failed,
            Tally { canceled: 1.., .. } => Status::Canceled,
            _ => Status::Succeeded,
        };
        holds(operation.ended.is_none_or(|(status, _)| status == expected), "dead beats canceled beats done")?;
        self.notifications(picture, all)
    }

    fn notifications(&mut self, picture: &OperationPicture, all: &Picture) -> Result<(), String> {
        let operation = &picture.chain.operation;
        match operation.ended {
            Some(_) if self.ended.insert(operation.id) => *self.endings.entry(operation.id).or_default() += 1,
            None => drop(self.ended.remove(&operation.id)),
            Some(_) => {}
        }
        let endings = self.endings.get(&operation.id).copied().unwrap_or_default();
        let of_operation = all.notifications.iter().filter(|one| one.operation == operation.id);
        let automatic = of_operation.filter(|one| one.title != "a word").count();
        if operation.owner.is_none() {
            return holds(automatic == 0, "without an owner nobody is told");
        }
        let has_inbox = picture.chain.deliveries.iter().any(|one| one.weight == Weight::Inbox);
        holds(has_inbox || automatic == endings, "each ending gives one notification")?;
        holds(automatic <= endings, "no ending gives two notifications")?;
        let is_settled = operation.ended.is_none() || operation.inbox_live > 0;
        holds(is_settled || operation.told, "the owner of an ended operation has been told")
    }

    fn deliveries(&mut self, command: &Command, picture: &OperationPicture) -> Result<(), String> {
        for delivery in &picture.chain.deliveries {
            let of_delivery = picture.chain.attempts.iter().filter(|attempt| attempt.delivery == delivery.id);
            let records = of_delivery.count();
            let is_running = delivery.state == State::Running;
            holds(delivery.fence as usize == records + usize::from(is_running), "each claim leaves one record")?;
            holds(delivery.attempts <= MAX_ATTEMPTS, "no more attempts than allowed")?;
            let has_runner = delivery.node.is_some() || delivery.lease.is_some();
            holds(is_running == has_runner, "what runs, and only that, has a node or a lease")?;
            let fence = self.fences.insert(delivery.id, delivery.fence).unwrap_or_default();
            let may_grow = u64::from(matches!(command, Command::Claim { .. }));
            holds((fence..=fence + may_grow).contains(&delivery.fence), "only a claim raises a fence, by one")?;
            let before = self.attempts.insert(delivery.id, records).unwrap_or_default();
            holds((before..=before + 1).contains(&records), "records stay")?;
        }
        Ok(())
    }
}

/// Checks that an attempt with an old fence was refused: whatever else happened, a newer claim exists.
///
/// # Errors
/// The invariant that does not hold.
pub fn check_answer(command: &Command, answer: &str) -> Result<(), String> {
    let (Command::Settle { fence, .. }
    | Command::Extend { fence, .. }
    | Command::Report { fence, .. }
    | Command::Remember { fence, .. }
    | Command::Permit { fence, .. }) = command
    else {
        return Ok(());
    };
    // Nothing is answered when there was no attempt to speak of.
    let is_refused = ["StaleFence", "NotFound", ""].contains(&answer);
    holds(!matches!(fence, Fence::Old) || is_refused, "an old fence is refused")
}

fn recount<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> Tally {
    let mut tally = Tally::default();
    for delivery in deliveries {
        tally.total += 1;
        match delivery.state {
            State::Waiting | State::Running => {}
            State::Done => tally.done += 1,
            State::Dead => tally.dead += 1,
            State::Canceled => tally.canceled += 1,
        }
    }
    tally
}

/// An error that names what does not hold.
pub(super) fn holds(condition: bool, what: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(format!("this does not hold: {what}")) }
}
