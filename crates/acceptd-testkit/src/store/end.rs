//! Cancel, retry, discard: what people do to operations and dead letters.

use std::sync::Arc;

use acceptd::delivery::{Ending, State};
use acceptd::store::{DeadLetters, KEPT_OUTCOME, Verdict};
use acceptd::{DeliveryId, ErrorKind, OperationId, Status, Store, Weight};

use crate::factory::*;

/// A cancel ends every delivery that has not ended, of every weight, and names those that ran.
pub async fn a_cancel_ends_every_delivery(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").deliver_to("d").route("hook", Weight::Untracked).id_from(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let stopped = store.cancel(id, at(1)).await.unwrap();
    assert_eq!((stopped.running, stopped.woken.len()), (vec![attempt.delivery.id], 0));
    assert_eq!((stopped.operation.status(), stopped.operation.live.len()), (Status::Canceled, 0));
    assert!(claim(&*store, "d", at(2)).await.claimed.is_empty() && store.health().backlog == 0);
    let chain = store.chain(id).await.unwrap();
    assert!(chain.deliveries.iter().all(|delivery| delivery.state == State::Canceled));
    assert_eq!(chain.attempts.iter().map(|attempt| attempt.ending).collect::<Vec<_>>(), [Ending::Canceled]);
}

/// The attempt of a canceled delivery is told so, and changes nothing.
pub async fn a_canceled_attempt_is_told_so(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    store.cancel(id, at(1)).await.unwrap();
    let (delivery, fence) = (attempt.delivery.id, attempt.delivery.fence);
    assert_eq!(refusal(&*store, &attempt, done_with("1"), at(2)).await, ErrorKind::Canceled);
    assert_eq!(store.extend(delivery, fence, at(9), at(2)).await.unwrap_err().kind(), ErrorKind::Canceled);
    assert_eq!(store.report(delivery, fence, progress(1), at(2)).await.unwrap_err().kind(), ErrorKind::Canceled);
    assert_eq!((status(&*store, id).await, store.results(id).await.unwrap().len()), (Status::Canceled, 0));
}

/// An operation that has ended can't be canceled.
pub async fn an_ended_operation_is_not_canceled(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").route("hook", Weight::Untracked).id_from(&*store).await;
    run(&*store, "c", done(), at(1)).await;
    assert_eq!(store.cancel(id, at(2)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.operation(id).await.unwrap().live.len(), 1, "what is untracked goes on");
}

/// Canceling twice is a conflict.
pub async fn a_second_cancel_is_a_conflict(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    store.cancel(id, at(1)).await.unwrap();
    assert_eq!(store.cancel(id, at(2)).await.unwrap_err().kind(), ErrorKind::Conflict);
}

/// A cancel ends also events that nobody took: they are routed no more, and the operation is canceled.
pub async fn a_cancel_ends_events_that_nobody_took(store: Arc<dyn Store>) {
    let alone = accept("c").owner("u").id_from(&*store).await;
    let mixed = accept("c").and("b").deliver_to("d").id_from(&*store).await;
    run(&*store, "d", done(), at(1)).await;
    for id in [alone, mixed] {
        let stopped = store.cancel(id, at(1)).await.unwrap();
        assert_eq!((stopped.operation.status(), stopped.operation.operation.unrouted), (Status::Canceled, 0));
    }
    assert_eq!(told(&*store, "u").await, ["c was canceled"]);
    assert_eq!(serve(&*store, 1, &["c"], at(2)).await.routed, 0);
}

/// What does not exist can't be canceled, retried or discarded.
pub async fn the_unknown_is_not_found(store: Arc<dyn Store>) {
    let (operation, delivery) = (OperationId::from_bytes([9; 16]), DeliveryId::from_bytes([9; 16]));
    assert_eq!(store.cancel(operation, START).await.unwrap_err().kind(), ErrorKind::NotFound);
    let retries = [DeadLetters::Operation(operation), DeadLetters::Delivery(delivery)];
    for what in retries {
        assert_eq!(store.retry(what, START).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(store.discard(delivery, START).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A retried dead letter waits again with all its attempts, and its operation is open again.
pub async fn a_retry_opens_the_operation_again(store: Arc<dyn Store>) {
    let (operation, delivery) = dead_letter(&*store, "c", at(1)).await;
    let stopped = revive(&*store, delivery, at(2)).await;
    assert_eq!((stopped.operation.status(), stopped.woken), (Status::Running, vec!["c".to_owned()]));
    assert_eq!((stopped.operation.operation.ended, store.health().backlog), (None, 1));
    let attempt = claim_one(&*store, "c", at(2)).await;
    assert_eq!((attempt.delivery.attempts, attempt.delivery.fence), (1, 2), "the fence goes on rising");
    settle(&*store, &attempt, done(), at(3)).await;
    let view = store.operation(operation).await.unwrap();
    assert_eq!(view.operation.ended, Some((Status::Succeeded, at(3))));
    assert!(store.dead_letters(ALL).await.unwrap().items.is_empty());
}

/// All dead letters of an operation are retried together; the rest stays as it is.
pub async fn all_dead_letters_of_an_operation_are_retried(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").deliver_to("d").deliver_to("e").id_from(&*store).await;
    for (consumer, verdict) in [("c", give_up()), ("d", done()), ("e", give_up())] {
        run(&*store, consumer, verdict, at(1)).await;
    }
    let mut woken = store.retry(DeadLetters::Operation(id), at(2)).await.unwrap().woken;
    woken.sort();
    assert_eq!(woken, ["c", "e"]);
    assert!(claim(&*store, "d", at(2)).await.claimed.is_empty());
}

/// There is nothing to retry without a dead letter.
pub async fn a_retry_without_a_dead_letter_is_a_conflict(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let delivery = store.operation(id).await.unwrap().live[0].id;
    let retries = [DeadLetters::Operation(id), DeadLetters::Delivery(delivery)];
    for what in retries {
        assert_eq!(store.retry(what, at(1)).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

/// An outcome that was kept is a step of the next attempt once someone accepted it; a retry forgets that.
pub async fn an_accepted_outcome_is_a_step_of_the_next_attempt(store: Arc<dyn Store>) {
    let operation = accept("a").deliver_to("c").id_from(&*store).await;
    let refused = || Verdict::GiveUp { failure: failure("undeclared"), outcome: Some(json("{\"result\":1}")) };
    let delivery = run(&*store, "c", refused(), at(1)).await.delivery.id;
    assert_eq!(store.delivery(delivery).await.unwrap().outcome, Some(json("{\"result\":1}")));
    let stopped = store.retry(DeadLetters::Outcome(delivery), at(2)).await.unwrap();
    assert_eq!((stopped.operation.status(), stopped.woken), (Status::Running, vec!["c".to_owned()]));
    let kept = vec![(KEPT_OUTCOME.to_owned(), b"{\"result\":1}".to_vec())];
    assert_eq!(store.steps(delivery).await.unwrap(), kept);
    run(&*store, "c", refused(), at(3)).await;
    revive(&*store, delivery, at(4)).await;
    assert_eq!(store.steps(delivery).await.unwrap(), []);
    run(&*store, "c", done(), at(5)).await;
    assert_eq!(status(&*store, operation).await, Status::Succeeded);
}

/// Without an outcome that was kept, or without a dead letter, there is nothing to accept.
pub async fn only_a_kept_outcome_is_accepted(store: Arc<dyn Store>) {
    let (_, dead) = dead_letter(&*store, "c", at(1)).await;
    assert_eq!(store.retry(DeadLetters::Outcome(dead), at(2)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.delivery(dead).await.unwrap().outcome, None);
    accept("a").deliver_to("d").to(&*store).await;
    let fine = run(&*store, "d", done_with("1"), at(1)).await.delivery.id;
    assert_eq!(store.retry(DeadLetters::Outcome(fine), at(2)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.steps(fine).await.unwrap(), []);
    let unknown = DeliveryId::from_bytes([9; 16]);
    assert_eq!(store.retry(DeadLetters::Outcome(unknown), at(2)).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A discarded dead letter counts as canceled and can't be retried any more.
pub async fn a_discarded_dead_letter_counts_as_canceled(store: Arc<dyn Store>) {
    let (operation, delivery) = dead_letter(&*store, "c", at(1)).await;
    let stopped = store.discard(delivery, at(2)).await.unwrap();
    assert_eq!(stopped.operation.operation.ended, Some((Status::Canceled, at(2))));
    assert!(store.dead_letters(ALL).await.unwrap().items.is_empty());
    let again = store.retry(DeadLetters::Delivery(delivery), at(3)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(status(&*store, operation).await, Status::Canceled);
}

/// Only dead letters are discarded.
pub async fn only_dead_letters_are_discarded(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let id = attempt.delivery.id;
    assert_eq!(store.discard(id, at(1)).await.unwrap_err().kind(), ErrorKind::Conflict);
    settle(&*store, &attempt, done(), at(2)).await;
    assert_eq!(store.discard(id, at(3)).await.unwrap_err().kind(), ErrorKind::Conflict);
}
