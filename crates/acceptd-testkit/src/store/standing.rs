//! Looking at limits and batches: items, groups, what holds a group, where each limit stands.

use std::sync::Arc;

use acceptd::store::{Item, ItemState, Listing, Standing};
use acceptd::{ErrorKind, Limit, OperationId, Store};

use crate::factory::*;

/// The items of a batch come in the order of the request, each with what became of it, page by page.
pub async fn items_come_in_the_order_of_the_request(store: Arc<dyn Store>) {
    let mut batch = accept("a").id("0").data("{}").deliver_to("c");
    for number in ["1", "2", "3", "4"] {
        batch = batch.and("a").id(number).data("{}").deliver_to("c");
    }
    let id = batch.id_from(&*store).await;
    let attempts = claim_together(&*store, &[("c", 4)], at(1)).await.claimed;
    settle(&*store, &attempts[0], done_with("7"), at(2)).await;
    settle(&*store, &attempts[1], give_up(), at(2)).await;
    settle(&*store, &attempts[2], retry_at(at(90)), at(2)).await;
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let Listing { items: page, next } = store.items(id, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        items.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    let told: Vec<_> = items.iter().map(|item| (item.index, item.event.id().into_owned(), item.state())).collect();
    let expected = [
        (0, ItemState::Succeeded),
        (1, ItemState::Failed),
        (2, ItemState::Running),
        (3, ItemState::Running),
        (4, ItemState::Queued),
    ];
    assert_eq!(told, expected.map(|(index, state)| (index, index.to_string(), state)));
    assert!(items.iter().all(|item| item.event.draft.data.is_none()), "without their data");
    let [done, dead, failed] = [0, 1, 2].map(|at: usize| items[at].deliveries[0].clone());
    assert_eq!((done.result, done.failure), (Some(json("7")), None));
    assert_eq!((dead.result, dead.failure), (None, Some(failure("it is hopeless"))));
    assert_eq!(failed.failure, Some(failure("it broke")));
}

/// Events that nobody takes are items as well; emitted events are none.
pub async fn items_are_root_events(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").deliver_to("d").and("nobody").id_from(&*store).await;
    run(&*store, "c", done_emitting(vec![emit("b", "c", acceptd::Weight::Tracked)]), at(1)).await;
    let items = store.items(id, None, 9).await.unwrap();
    let deliveries: Vec<_> = items.items.iter().map(|item| item.deliveries.len()).collect();
    assert_eq!((deliveries, items.next), (vec![2, 0], None));
    let states: Vec<_> = items.items.iter().map(Item::state).collect();
    assert_eq!(states, [ItemState::Running, ItemState::Queued]);
    store.cancel(id, at(2)).await.unwrap();
    assert_eq!(store.items(id, None, 1).await.unwrap().items[0].state(), ItemState::Canceled);
}

/// What waits and runs of an operation is counted by consumer and group.
pub async fn groups_count_what_waits_and_runs(store: Arc<dyn Store>) {
    let one = Limit::new("one").concurrency(1).key("/k").unwrap();
    let c = held(serving("c", "a"), &[&one]);
    declare(&*store, &[&one], &[&c], START).await;
    let mut batch = accept("a").data("{\"k\":\"x\"}").taken_by(&c).deliver_to("d");
    for value in ["x", "x", "y"] {
        batch = batch.and("a").data(&format!("{{\"k\":{value:?}}}")).taken_by(&c);
    }
    let id = batch.id_from(&*store).await;
    put(&*store, &c, "u", "x", START).await;
    claim(&*store, "c", START).await;
    let counts = store.groups(id).await.unwrap();
    let counts: Vec<_> =
        counts.iter().map(|one| (&one.consumer[..], &one.group[..], one.waiting, one.running)).collect();
    assert_eq!(counts, [("c", "x", 2, 1), ("c", "y", 0, 1), ("d", "", 1, 0)]);
}

/// What holds a group is told with who holds it and until when, and how fast it can be worked off.
pub async fn what_holds_a_group_is_told(store: Arc<dyn Store>) {
    let (one, api) = (Limit::new("one").concurrency(1).key("/k").unwrap(), Limit::new("api").rate("10/s").unwrap());
    let c = held(serving("c", "a"), &[&one, &api]);
    declare(&*store, &[&one, &api], &[&c], START).await;
    let standing = async |group: &str, now| -> Standing {
        store.standing(vec![("c".to_owned(), group.to_owned())], now).await.unwrap().remove(0)
    };
    assert_eq!(standing("x", START).await.blocker, None);
    put(&*store, &c, "u", "x", START).await;
    put(&*store, &c, "u", "x", START).await;
    put(&*store, &c, "u", "x", START).await;
    let running = claim_remote(&*store, "c", 1, 60, START).await.remove(0);
    let held = standing("x", at(1)).await;
    let blocker = held.blocker.unwrap();
    assert_eq!((blocker.limit.name.as_str(), blocker.key.as_str(), blocker.until), ("one", "x", None));
    let holder = blocker.holder.unwrap();
    assert_eq!((holder.operation, holder.since, holder.consumer.as_str()), (running.delivery.operation, START, "c"));
    assert_eq!((held.waiting, held.bounds.len()), (2, 2));
    assert_eq!((held.bounds[0].per_second, held.bounds[0].waiting), (Some(10.0), 2));
    assert_eq!((held.bounds[1].slots, &held.bounds[1].key), (Some(1), &key("one", "x")));
    store.cancel(running.delivery.operation, at(2)).await.unwrap();
    assert_eq!(standing("x", at(2)).await.blocker.unwrap().until, Some(at(60)));
    store.pause(of_limit("api", None), pause(at(3), Some(at(90)))).await.unwrap();
    let blocker = standing("x", at(3)).await.blocker.unwrap();
    assert_eq!((blocker.limit.name.as_str(), blocker.until), ("api", Some(at(90))), "of several the last to open");
    assert!(blocker.pause.is_some() && blocker.holder.is_none());
    assert_eq!(standing("y", at(91)).await, Standing { blocker: None, ..standing("y", at(91)).await });
    assert_eq!(standing("x", at(91)).await.blocker, None, "nothing holds it any more");
}

/// A rate that holds a group says when the next start is.
pub async fn a_rate_says_when_the_next_start_is(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("1/10s").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    put(&*store, &c, "u", "", START).await;
    put(&*store, &c, "u", "", START).await;
    claim(&*store, "c", START).await;
    let standing = store.standing(vec![("c".to_owned(), String::new())], at(1)).await.unwrap().remove(0);
    let until = standing.blocker.unwrap().until.unwrap();
    assert!(until >= at(10) && until < at(11), "{until:?}");
    let view = store.limits(at(1)).await.unwrap().remove(0);
    assert_eq!((view.waiting, view.keys[0].waiting, view.keys[0].next_start), (1, 1, Some(until)));
}

/// Every declared limit is listed, with its consumers, what it holds, and the keys that most wait for.
pub async fn limits_are_listed_with_what_they_hold(store: Arc<dyn Store>) {
    let (one, idle) = (Limit::new("one").concurrency(1).key("/k").unwrap(), Limit::new("idle"));
    let (c, d) = (held(serving("c", "a"), &[&one]), held(serving("d", "a"), &[&one]));
    declare(&*store, &[&one, &idle], &[&c, &d], START).await;
    for value in ["x", "y", "y", "y", "z", "z"] {
        put(&*store, &c, "u", value, START).await;
    }
    put(&*store, &d, "u", "x", START).await;
    claim_together(&*store, &[("c", 9), ("d", 9)], START).await;
    let views = store.limits(at(1)).await.unwrap();
    let [idle, one] = &views[..] else { panic!("two limits: {views:?}") };
    assert_eq!((idle.limit.name.as_str(), idle.keys.len(), idle.consumers.len()), ("idle", 0, 0));
    assert_eq!((one.limit.name.as_str(), one.in_use, one.waiting), ("one", 3, 4));
    assert_eq!(one.consumers, ["c", "d"]);
    let keys: Vec<_> = one.keys.iter().map(|key| (&key.key[..], key.in_use, key.waiting)).collect();
    assert_eq!(keys, [("y", 1, 2), ("x", 1, 1), ("z", 1, 1)]);
    assert!(one.keys.iter().all(|key| key.holders.len() == 1 && key.holders[0].since == START));
}

/// At most twenty keys of a limit are listed, and all of them counted.
pub async fn the_busiest_keys_are_listed(store: Arc<dyn Store>) {
    let one = Limit::new("one").concurrency(1).key("/k").unwrap();
    let c = held(serving("c", "a"), &[&one]);
    declare(&*store, &[&one], &[&c], START).await;
    for number in 0..30 {
        for _ in 0..2 {
            put(&*store, &c, "u", &number.to_string(), START).await;
        }
    }
    put(&*store, &c, "u", "29", START).await;
    claim(&*store, "c", START).await;
    let view = store.limits(START).await.unwrap().remove(0);
    assert_eq!((view.keys.len(), view.in_use, view.waiting, view.keys[0].key.as_str()), (20, 30, 31, "29"));
}

/// Those that come before a delivery are those of its lane, and as many turns of the others.
pub async fn places_count_turns(store: Arc<dyn Store>) {
    let one = Limit::new("one").concurrency(1);
    let c = held(serving("c", "a"), &[&one]);
    declare(&*store, &[&one], &[&c], START).await;
    for _ in 0..50 {
        put(&*store, &c, "many", "", START).await;
    }
    let mine = [put(&*store, &c, "one", "", START).await, put(&*store, &c, "one", "", START).await];
    let ahead = async |id: OperationId| {
        let delivery = store.operation(id).await.unwrap().live[0].id;
        store.delivery(delivery).await.unwrap().ahead
    };
    assert_eq!((ahead(mine[0]).await, ahead(mine[1]).await), (1, 3));
}

/// There are no items and no groups of what does not exist.
pub async fn the_unknown_has_no_items(store: Arc<dyn Store>) {
    let id = OperationId::from_bytes([9; 16]);
    assert_eq!(store.items(id, None, 9).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.groups(id).await.unwrap_err().kind(), ErrorKind::NotFound);
}
