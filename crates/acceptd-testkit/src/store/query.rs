//! Looking: views, filters, pages.

use std::sync::Arc;

use acceptd::store::{Listing, NotificationQuery, OperationFilter, Ordinal, Page};
use acceptd::{DeliveryId, ErrorKind, NotificationId, OperationId, Status, Store};

use crate::factory::*;

async fn found(store: &dyn Store, filter: OperationFilter) -> Vec<OperationId> {
    let mut ids = Vec::new();
    let mut page = Page { before: None, size: 2 };
    loop {
        let Listing { items, next } = store.operations(filter.clone(), page).await.unwrap();
        assert!(items.len() <= 2);
        ids.extend(items.iter().map(|view| view.operation.id));
        match next {
            Some(next) => page.before = Some(next),
            None => return ids,
        }
    }
}

/// Operations are listed newest first, page by page, each once.
pub async fn operations_are_listed_newest_first(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for second in 0..7 {
        ids.push(accept("a").now(at(second)).deliver_to("c").id_from(&*store).await);
    }
    ids.reverse();
    assert_eq!(found(&*store, OperationFilter::default()).await, ids);
    assert_eq!(store.operations(OperationFilter::default(), ALL).await.unwrap().next, None);
}

/// What is accepted while someone turns pages does not move the pages.
pub async fn new_operations_do_not_move_the_pages(store: Arc<dyn Store>) {
    let old = accept("a").deliver_to("c").id_from(&*store).await;
    accept("a").deliver_to("c").to(&*store).await;
    let first = store.operations(OperationFilter::default(), Page { before: None, size: 1 }).await.unwrap();
    accept("a").deliver_to("c").to(&*store).await;
    let page = Page { before: Some(first.items[0].ordinal()), size: 10 };
    let second = store.operations(OperationFilter::default(), page).await.unwrap();
    assert_eq!(second.items.iter().map(|view| view.operation.id).collect::<Vec<_>>(), [old]);
}

/// Filters narrow the list, alone and together.
pub async fn operations_are_filtered(store: Arc<dyn Store>) {
    let one = accept("a").owner("u").deliver_to("c").id_from(&*store).await;
    let two = accept("b").owner("u").deliver_to("d").id_from(&*store).await;
    let three = accept("a").owner("v").deliver_to("d").id_from(&*store).await;
    run(&*store, "c", done(), at(1)).await;
    claim_one(&*store, "d", at(1)).await;
    let kind = |kind: &str| OperationFilter { kind: Some(kind.into()), ..Default::default() };
    let owner = |owner: &str| OperationFilter { owner: Some(owner.into()), ..Default::default() };
    assert_eq!(found(&*store, kind("a")).await, [three, one]);
    assert_eq!(found(&*store, owner("u")).await, [two, one]);
    assert_eq!(found(&*store, OperationFilter { kind: Some("a".into()), ..owner("u") }).await, [one]);
    assert_eq!(found(&*store, owner("nobody")).await, []);
    let expected = [(Status::Succeeded, one), (Status::Running, two), (Status::Queued, three)];
    for (status, id) in expected {
        let filter = OperationFilter { status: Some(status), ..Default::default() };
        assert_eq!(found(&*store, filter).await, [id], "{status:?}");
    }
}

/// An operation is found by the given id of a root event, or by its key as text.
pub async fn operations_are_found_by_event_id(store: Arc<dyn Store>) {
    let given = accept("a").id("order-1").deliver_to("c").and("a").id("order-2").deliver_to("c").id_from(&*store).await;
    let keyed = accept("a").deliver_to("c").id_from(&*store).await;
    let key = store.chain(keyed).await.unwrap().events[0].key.to_string();
    let by = |id: &str| OperationFilter { event_id: Some(id.into()), ..Default::default() };
    assert_eq!(found(&*store, by("order-2")).await, [given]);
    assert_eq!(found(&*store, by(&key)).await, [keyed]);
    assert_eq!(found(&*store, by("order-3")).await, []);
}

/// An operation shows at most 100 of its live deliveries, oldest first.
pub async fn an_operation_shows_its_oldest_live_deliveries(store: Arc<dyn Store>) {
    let many = (0..149).fold(accept("a").deliver_to("c"), |accept, _| accept.and("a").deliver_to("c"));
    let id = many.id_from(&*store).await;
    run(&*store, "c", done(), START).await;
    let view = store.operation(id).await.unwrap();
    assert_eq!((view.live.len(), view.operation.tracked.live()), (100, 149));
    assert!(view.live.is_sorted_by_key(|delivery| delivery.id));
    assert_eq!(view.live[0].id, store.chain(id).await.unwrap().deliveries[1].id);
}

/// The chain is everything of an operation and nothing of others, oldest first.
pub async fn the_chain_is_everything_oldest_first(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").and("b").deliver_to("d").id_from(&*store).await;
    accept("x").deliver_to("c").now(at(1)).to(&*store).await;
    run(&*store, "d", retry_at(at(2)), at(1)).await;
    run(&*store, "c", done(), at(2)).await;
    run(&*store, "d", done(), at(3)).await;
    let chain = store.chain(id).await.unwrap();
    assert_eq!(chain.events.iter().map(|event| event.draft.kind.as_ref()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(chain.deliveries.iter().map(|one| one.consumer.as_str()).collect::<Vec<_>>(), ["c", "d"]);
    assert_eq!(chain.attempts.iter().map(|one| one.started).collect::<Vec<_>>(), [at(1), at(2), at(3)]);
    assert_eq!(chain.operation.ended, Some((Status::Succeeded, at(3))));
}

/// A waiting delivery knows how many stand before it in its lane.
pub async fn a_delivery_knows_how_many_are_ahead(store: Arc<dyn Store>) {
    let mut deliveries = Vec::new();
    for (priority, due) in [(0, 5), (0, 1), (9, 9), (0, 5), (-9, 0)] {
        let id = accept("a").owner("u").priority(priority).now(at(due)).deliver_to("c").id_from(&*store).await;
        deliveries.push(store.operation(id).await.unwrap().live[0].id);
    }
    accept("a").priority(100).deliver_to("other").to(&*store).await;
    for (delivery, ahead) in deliveries.iter().zip([2, 1, 0, 3, 4]) {
        let view = store.delivery(*delivery).await.unwrap();
        assert_eq!((view.ahead, view.owner.as_deref()), (ahead, Some("u")));
        assert_eq!(view.event.key, view.delivery.event);
    }
    claim_one(&*store, "c", at(9)).await;
    assert_eq!(store.delivery(deliveries[4]).await.unwrap().ahead, 3, "what runs is not ahead");
}

/// Dead letters are listed newest first with their event and last attempt.
pub async fn dead_letters_are_listed_newest_first(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for second in 1..=3 {
        ids.push(dead_letter(&*store, "c", at(second)).await.1);
    }
    let first = store.dead_letters(Page { before: None, size: 2 }).await.unwrap();
    assert_eq!(first.items.iter().map(|letter| letter.delivery.id).collect::<Vec<_>>(), [ids[2], ids[1]]);
    let newest = &first.items[0];
    assert_eq!(newest.event.key, newest.delivery.event);
    let attempt = newest.attempt.as_ref().unwrap();
    assert_eq!((attempt.ended, &attempt.failure), (at(3), &Some(failure("it is hopeless"))));
    let rest = store.dead_letters(Page { before: first.next, size: 2 }).await.unwrap();
    assert_eq!(rest.items.iter().map(|letter| letter.delivery.id).collect::<Vec<_>>(), [ids[0]]);
    assert_eq!(rest.next, None);
}

/// Notifications come newest first by page, or oldest first after a place, of one owner or of all.
pub async fn notifications_come_by_page_or_after_a_place(store: Arc<dyn Store>) {
    for (second, owner) in [(1, "u"), (2, "v"), (3, "u")] {
        accept("a").owner(owner).deliver_to("c").now(at(second)).to(&*store).await;
        run(&*store, "c", done(), at(second)).await;
    }
    let ask = |owner: Option<&str>, after, before, size| {
        let query = NotificationQuery { owner: owner.map(str::to_owned), after, page: Page { before, size } };
        store.notifications(query)
    };
    let times =
        |listing: &Listing<acceptd::Notification>| listing.items.iter().map(|one| one.created).collect::<Vec<_>>();
    let first = ask(None, None, None, 2).await.unwrap();
    assert_eq!(times(&first), [at(3), at(2)]);
    let rest = ask(None, None, first.next, 2).await.unwrap();
    assert_eq!((times(&rest), rest.next), (vec![at(1)], None));
    assert_eq!(times(&ask(Some("u"), None, None, 9).await.unwrap()), [at(3), at(1)]);
    let oldest = rest.items[0].ordinal();
    assert_eq!(times(&ask(None, Some(oldest), None, 9).await.unwrap()), [at(2), at(3)]);
    assert_eq!(times(&ask(None, Some(0), None, 1).await.unwrap()), [at(1)]);
    assert_eq!(times(&ask(Some("u"), Some(oldest), None, 9).await.unwrap()), [at(3)]);
}

/// A notification is marked as read once; the first time stays.
pub async fn a_notification_is_read_once(store: Arc<dyn Store>) {
    accept("a").owner("u").deliver_to("c").to(&*store).await;
    let id = run(&*store, "c", done(), at(1)).await.notified[0];
    assert_eq!(store.read(id, at(2)).await.unwrap().read, Some(at(2)));
    assert_eq!(store.read(id, at(3)).await.unwrap().read, Some(at(2)));
    let unknown = store.read(NotificationId::from_bytes([9; 16]), at(3)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

/// Every consumer that is registered, paused or waited for is listed with what it has.
pub async fn consumers_are_listed_with_what_they_have(store: Arc<dyn Store>) {
    serve(&*store, 1, &["registered"], START).await;
    store.pause("paused".into(), pause(at(1), None)).await.unwrap();
    accept("a").deliver_to("busy").now(at(2)).to(&*store).await;
    accept("a").deliver_to("busy").now(at(3)).to(&*store).await;
    accept("a").deliver_to("busy").now(at(4)).to(&*store).await;
    store.claim(claim_of("busy", 1, at(5))).await.unwrap();
    let mut views = store.consumers(at(5)).await.unwrap();
    views.sort_by(|one, other| one.name.cmp(&other.name));
    let rows: Vec<_> = views.iter().map(|view| (view.name.as_str(), view.waiting, view.running, view.oldest)).collect();
    assert_eq!(rows, [("busy", 2, 1, Some(at(3))), ("paused", 0, 0, None), ("registered", 0, 0, None)]);
    assert_eq!(views[1].closure, Some(pause(at(1), None)));
    assert_eq!(views[0].closure, None);
}

/// The health counts what waits or runs.
pub async fn health_counts_what_waits_or_runs(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").and("b").deliver_to("c").to(&*store).await;
    claim_one(&*store, "c", START).await;
    let health = store.health();
    assert!(health.writable && !health.full);
    assert_eq!(health.backlog, 2);
}

/// What does not exist is not found.
pub async fn the_unknown_is_not_found(store: Arc<dyn Store>) {
    let (operation, delivery) = (OperationId::from_bytes([9; 16]), DeliveryId::from_bytes([9; 16]));
    assert_eq!(store.operation(operation).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.results(operation).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.chain(operation).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.delivery(delivery).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.steps(delivery).await.unwrap(), []);
}

/// A consumer's dead letters are counted, and since when the oldest delivery could have run: its due time when that was
/// later. What is not due is no reason to hurry.
pub async fn consumers_know_their_dead_letters_and_how_long_they_are_behind(store: Arc<dyn Store>) {
    serve(&*store, 1, &["c", "d"], START).await;
    for second in [1, 2] {
        dead_letter(&*store, "c", at(second)).await;
    }
    accept("a").now(at(3)).due(at(1_000)).deliver_to("c").to(&*store).await;
    let view = async |name: &str, now| {
        let views = store.consumers(now).await.unwrap();
        views.into_iter().find(|view| view.name == name).unwrap()
    };
    let c = view("c", at(4)).await;
    assert_eq!((c.waiting, c.dead, c.oldest, c.ready_since), (1, 2, Some(at(3)), None));
    accept("a").now(at(5)).due(at(7)).deliver_to("c").to(&*store).await;
    accept("a").now(at(6)).deliver_to("c").to(&*store).await;
    assert_eq!(view("c", at(6)).await.ready_since, Some(at(6)));
    assert_eq!(view("c", at(9)).await.ready_since, Some(at(6)));
    run(&*store, "c", done(), at(9)).await;
    let c = view("c", at(10)).await;
    assert_eq!((c.waiting, c.ready_since), (2, Some(at(7))));
    assert_eq!((view("d", at(10)).await.dead, view("d", at(10)).await.ready_since), (0, None));
}

/// An accept names the root events that it stored, in the order of the request; none that were known before.
pub async fn an_accept_names_the_events_it_stored(store: Arc<dyn Store>) {
    let keys = async |id| store.chain(id).await.unwrap().events.into_iter().map(|event| event.key).collect::<Vec<_>>();
    let first = accept("a").id("one").deliver_to("c").to(&*store).await;
    assert_eq!(first.events, keys(first.operation.id).await);
    let second = accept("a").id("one").deliver_to("c").and("a").id("two").deliver_to("c").to(&*store).await;
    assert_eq!((second.events.len(), second.events), (1, keys(second.operation.id).await));
    let again = accept("a").id("two").deliver_to("c").to(&*store).await;
    assert_eq!((again.operation.id, again.events), (second.operation.id, Vec::new()));
}
