//! Accepting within the transaction of a program that shares the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acceptd::engine::Monitor;
use acceptd::store::postgres::{PostgresStore, accept_in_schema};
use acceptd::store::{Accept, DeadLetters, Page};
use acceptd::{
    Acceptd, Done, Draft, Engine, ErrorKind, Event, EventDeclaration, Failure, OperationId, Outcome, State, Status,
    Store as _, Submission,
};
use acceptd_testkit::servers::postgres::Postgres;
use acceptd_testkit::servers::{Server, available};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::suite::block_on;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
struct Placed {
    order: i32,
}

impl Event for Placed {
    const TYPE: &'static str = "order.placed";
}

/// How often each order was delivered.
type Ledger = Arc<Mutex<BTreeMap<i32, u32>>>;

async fn ship(placed: Placed, State(ledger): State<Ledger>) -> Outcome {
    *ledger.lock().unwrap().entry(placed.order).or_default() += 1;
    Done::new()
}

/// A database with a schema for acceptd, and the table of a shop in it.
struct Shop {
    server: &'static Postgres,
    url: String,
    schema: String,
    ledger: Ledger,
}

impl Shop {
    fn new() -> Option<Self> {
        available(Server::Postgres).then(|| {
            let server = Postgres::careless();
            let url = server.fresh();
            let (_, schema) = url.split_once("schema=").unwrap();
            let shop = Self { server, schema: schema.to_owned(), url: url.clone(), ledger: Ledger::default() };
            shop.server.sql(&format!("CREATE TABLE orders_{} (id integer PRIMARY KEY)", shop.schema));
            shop
        })
    }

    fn node(&self) -> Acceptd {
        let schema = json!({"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]});
        let event = EventDeclaration { schema: Some(schema), ..EventDeclaration::default() };
        Acceptd::new(Arc::new(PostgresStore::open(&self.url).unwrap()))
            .event("order.placed", event)
            .state(Arc::clone(&self.ledger))
            .consumer(acceptd::Consumer::new("ship", ship))
    }

    async fn start(&self) -> Engine {
        self.node().start().await.unwrap()
    }

    /// A connection of the shop's own.
    async fn connect(&self) -> Client {
        connect(&self.server.url("postgres")).await
    }

    /// A call of the function with these arguments.
    fn call(&self, arguments: &str) -> String {
        format!("SELECT {}.accept({arguments})", self.schema)
    }

    fn place(&self, order: i32) -> String {
        format!("INSERT INTO orders_{} VALUES ({order})", self.schema)
    }

    fn orders(&self) -> String {
        self.server.sql(&format!("SELECT count(*) FROM orders_{}", self.schema))
    }

    fn deliveries(&self) -> BTreeMap<i32, u32> {
        self.ledger.lock().unwrap().clone()
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn id_of(client: &impl tokio_postgres::GenericClient, sql: &str) -> OperationId {
    let id: Uuid = client.query_one(sql, &[]).await.unwrap().get(0);
    id.into()
}

/// What the database says against a call: the SQLSTATE, the message and the hint.
async fn refusal(client: &Client, sql: &str) -> (String, String, String) {
    let error = client.query_one(sql, &[]).await.unwrap_err();
    let said = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
    (said.code().code().to_owned(), said.message().to_owned(), said.hint().unwrap_or_default().to_owned())
}

async fn end(engine: &Engine, id: OperationId) -> Monitor {
    let monitor = engine.wait_for_end(id, PATIENCE).await.unwrap();
    assert!(monitor.status.is_done(), "{monitor:?}");
    monitor
}

fn typed(order: i32) -> Submission {
    Submission::of(&Placed { order }).unwrap()
}

#[test]
fn it_is_committed_with_the_rows_of_the_caller() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let mut client = shop.connect().await;
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute(&shop.place(1)).await.unwrap();
        let call = shop.call(r#"'order.placed', '{"order":1}', owner => 'user-42', priority => 7"#);
        let id = id_of(&transaction, &call).await;
        // Nobody else sees it before the commit.
        assert_eq!(engine.monitor(id).await.unwrap_err().kind(), ErrorKind::NotFound);
        transaction.commit().await.unwrap();
        // From the commit on it is there, taken or not.
        let monitor = engine.monitor(id).await.unwrap();
        assert_eq!((monitor.operation.owner.as_deref(), monitor.operation.priority), (Some("user-42"), 7));
        let monitor = end(&engine, id).await;
        assert_eq!((monitor.status, monitor.operation.kind.as_str()), (Status::Succeeded, "order.placed"));
        assert_eq!((shop.orders().as_str(), shop.deliveries()), ("1", [(1, 1)].into()));
        let chain = engine.store().chain(id).await.unwrap();
        assert_eq!((chain.events.len(), chain.deliveries.len(), chain.attempts.len()), (1, 1, 1));
        assert_eq!(chain.events[0].draft.data.as_ref().unwrap().bytes, br#"{"order": 1}"#[..]);
        let items = engine.store().items(id, None, 10).await.unwrap();
        assert_eq!(items.items.len(), 1);
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn a_rollback_leaves_nothing() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let mut client = shop.connect().await;
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute(&shop.place(1)).await.unwrap();
        let call = shop.call(r#"'order.placed', '{"order":1}', idempotency_key => 'k', id => 'e'"#);
        let gone = id_of(&transaction, &call).await;
        transaction.rollback().await.unwrap();
        // The same again is new: neither the key nor the event's id was used.
        let id = id_of(&client, &call).await;
        assert_ne!(id, gone);
        end(&engine, id).await;
        assert_eq!(engine.monitor(gone).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!((shop.orders().as_str(), shop.deliveries()), ("0", [(1, 1)].into()));
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn a_transaction_that_stays_open_keeps_nobody_from_anything() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let (mut slow, other) = (shop.connect().await, shop.connect().await);
        let open = slow.transaction().await.unwrap();
        let held = id_of(&open, &shop.call(r#"'order.placed', '{"order":0}', idempotency_key => 'slow'"#)).await;
        let (began, mut order) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(5) {
            order += 2;
            let sql = shop.call(&format!(r#"'order.placed', '{{"order":{order}}}', idempotency_key => 'k{order}'"#));
            let ids = [id_of(&other, &sql).await, engine.accept(typed(order + 1)).await.unwrap().operation.id];
            for id in ids {
                let monitor = engine.wait_for_end(id, Duration::from_secs(2)).await.unwrap();
                assert_eq!(monitor.status, Status::Succeeded, "while another transaction was open");
            }
        }
        // Housekeeping goes on as well.
        engine.store().prune(engine.now(), engine.now(), 1_000).await.unwrap();
        assert!(!shop.deliveries().contains_key(&0), "it was delivered before its commit");
        open.commit().await.unwrap();
        assert_eq!(end(&engine, held).await.status, Status::Succeeded);
        assert_eq!(shop.deliveries().len() as i32, order + 1);
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn the_same_key_gives_the_same_operation() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let client = shop.connect().await;
        let call = shop.call(r#"'order.placed', '{"order":1}', idempotency_key => 'one'"#);
        let first = id_of(&client, &call).await;
        assert_eq!(id_of(&client, &call).await, first, "before it is taken");
        end(&engine, first).await;
        assert_eq!(id_of(&client, &call).await, first, "after its end");
        let other = shop.call(r#"'order.placed', '{"order":2}', idempotency_key => 'one'"#);
        let (code, message, _) = refusal(&client, &other).await;
        assert_eq!(code, "23505");
        assert_eq!(message, "the idempotency key \"one\" was used before with another request");
        // Who uses it at the same time waits for the other's commit.
        let mut early = shop.connect().await;
        let transaction = early.transaction().await.unwrap();
        let call = shop.call(r#"'order.placed', '{"order":3}', idempotency_key => 'two'"#);
        let second = id_of(&transaction, &call).await;
        let (late, committed) = tokio::join!(id_of(&client, &call), async {
            until_waiting(&shop).await;
            transaction.commit().await
        });
        committed.unwrap();
        assert_eq!(late, second);
        // The event's own id works likewise, whoever accepted it first.
        let mut submission = typed(4);
        submission.events[0].id = Some("order-4".to_owned());
        let over_http = engine.accept(submission).await.unwrap().operation.id;
        let call = shop.call(r#"'order.placed', '{"order":4}', id => 'order-4'"#);
        assert_eq!(id_of(&client, &call).await, over_http);
        end(&engine, second).await;
        end(&engine, over_http).await;
        assert_eq!(shop.deliveries(), [(1, 1), (3, 1), (4, 1)].into());
        engine.shut_down(PATIENCE).await;
    });
}

/// Returns when a call waits for another transaction.
async fn until_waiting(shop: &Shop) {
    let watcher = shop.connect().await;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}.accept%' \
         AND pid <> pg_backend_pid()",
        shop.schema
    );
    while watcher.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_stored() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let client = shop.connect().await;
        let (code, message, hint) = refusal(&client, &shop.call("'order.place'")).await;
        assert_eq!(code, "22023");
        assert_eq!(message, "no consumer takes and nothing declares the event type \"order.place\"");
        assert_eq!(hint, "Known types that are most like it: order.placed");
        let long = "x".repeat(256);
        for (arguments, words) in [
            ("NULL".to_owned(), "the type must have"),
            ("'order placed'".to_owned(), "the type must have"),
            (format!("'{long}'"), "the type must have"),
            ("'order.placed', priority => 101".to_owned(), "the priority 101 is not from -100 to 100"),
            ("'order.placed', priority => NULL".to_owned(), "the priority NULL is not"),
            ("'order.placed', owner => ''".to_owned(), "an owner has 1 to 255"),
            (format!("'order.placed', owner => '{long}'"), "an owner has 1 to 255"),
            (format!("'order.placed', idempotency_key => '{long}'"), "an idempotency key has 1 to 255"),
            ("'order.placed', id => ''".to_owned(), "the event's id must have"),
            ("'order.placed', source => NULL".to_owned(), "the event's source must be"),
            ("'order.placed', delay => '-1 s'".to_owned(), "the delay -00:00:01 is below 0"),
            ("'order.placed', delay => '1 s', at => now()".to_owned(), "give either a delay or an instant"),
            ("'order.placed', at => 'infinity'".to_owned(), "the due time infinity is not"),
            ("'order.placed', extensions => '[]'".to_owned(), "the extensions must be"),
            (r#"'order.placed', extensions => '{"A":""}'"#.to_owned(), "an extension has a name"),
            ("'order.placed', jsonb_build_array(repeat('x', 1048576))".to_owned(), "the data has 1048580 bytes"),
        ] {
            let (code, message, _) = refusal(&client, &shop.call(&arguments)).await;
            assert!(message.starts_with(words), "{arguments:.60}: {message}");
            assert_eq!(code, "22023", "{arguments:.60}");
        }
        let count = format!("SELECT count(*) FROM {}.submitted", shop.schema);
        assert_eq!(shop.server.sql(&count), "0");
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn data_that_does_not_fit_becomes_a_dead_letter() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let client = shop.connect().await;
        let id = id_of(&client, &shop.call(r#"'order.placed', '{"order":"one"}', owner => 'user-42'"#)).await;
        let monitor = end(&engine, id).await;
        assert_eq!(monitor.status, Status::Failed);
        let failure = monitor.failure.unwrap();
        assert_eq!(failure.code, "invalid-data");
        assert!(failure.message.contains("/order"), "{failure:?}");
        let letters = engine.store().dead_letters(Page { before: None, size: 10 }).await.unwrap().items;
        let [letter] = &letters[..] else { panic!("{letters:?}") };
        let said = |letter: &acceptd::store::DeadLetter| letter.attempt.as_ref()?.failure.clone();
        assert_eq!(said(letter), Some(Failure::new("invalid-data", &failure.message)));
        assert_eq!((letter.delivery.operation, shop.deliveries()), (id, BTreeMap::new()));
        let query = acceptd::store::NotificationQuery {
            owner: Some("user-42".to_owned()),
            after: None,
            page: Page { before: None, size: 10 },
        };
        assert_eq!(engine.store().notifications(query).await.unwrap().items.len(), 1, "its owner is told");
        // A person may still discard it.
        engine.store().discard(letter.delivery.id, engine.now()).await.unwrap();
        let nested = format!("('{}1{}')::jsonb", "[".repeat(200), "]".repeat(200));
        let deep = id_of(&client, &shop.call(&format!("'order.placed', {nested}"))).await;
        let failure = end(&engine, deep).await.failure.unwrap();
        assert!(failure.message.contains("128 levels"), "{failure:?}");
        // The next one goes its way.
        let id = id_of(&client, &shop.call(r#"'order.placed', '{"order":2}'"#)).await;
        assert_eq!(end(&engine, id).await.status, Status::Succeeded);
        // The gauge is set after the commit that the end was seen by; who writes next finds it set.
        engine.store().resume("ship".into(), engine.now()).await.unwrap();
        assert_eq!(engine.store().health().backlog, 0, "nothing is counted that does not wait");
        let retried = engine.store().retry(DeadLetters::Operation(deep), engine.now()).await.unwrap();
        assert_eq!(retried.woken, ["ship"], "whoever retries it wants it delivered as it is");
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn a_plain_role_needs_the_one_function_only() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let (schema, role) = (&shop.schema, format!("app_{}", shop.schema));
        shop.server.sql(&format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}"));
        let client = connect(&shop.server.url("postgres").replace("postgres@", &format!("{role}@"))).await;
        let call = shop.call(r#"'order.placed', '{"order":1}', idempotency_key => 'k', delay => '1 ms'"#);
        assert_eq!(refusal(&client, &call).await.0, "42501", "nobody has it without being given it");
        shop.server.sql(&format!("GRANT EXECUTE ON FUNCTION {schema}.accept TO {role}"));
        // Whatever the caller puts in front of it, the function finds its own tables.
        client
            .batch_execute("CREATE TEMP TABLE submitted (x integer); CREATE TEMP TABLE types (name text)")
            .await
            .unwrap();
        client.batch_execute("SET search_path TO pg_temp").await.unwrap();
        let id = id_of(&client, &call).await;
        assert_eq!(end(&engine, id).await.status, Status::Succeeded);
        for forbidden in [
            format!("SELECT count(*) FROM {schema}.submitted"),
            format!("SELECT count(*) FROM {schema}.operations"),
            format!("SELECT {schema}.next_ordinal()"),
        ] {
            assert_eq!(refusal(&client, &forbidden).await.0, "42501", "{forbidden}");
        }
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn what_no_node_takes_waits_and_can_be_canceled() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let store = PostgresStore::open(&shop.url).unwrap();
        let engine = Acceptd::new(Arc::new(store)).start().await.unwrap();
        let client = shop.connect().await;
        // Before any node said which types there are, each is taken.
        let calls = [
            shop.call(r#"'order.placed', '{"order":1}'"#),
            shop.call(r#"'order.placed', '{"order":2}', idempotency_key => 'k'"#),
        ];
        let (kept, canceled) = (id_of(&client, &calls[0]).await, id_of(&client, &calls[1]).await);
        for id in [kept, canceled] {
            let monitor = engine.monitor(id).await.unwrap();
            assert_eq!((monitor.status, monitor.operation.kind.as_str()), (Status::Queued, "order.placed"));
            assert!(engine.store().results(id).await.unwrap().is_empty());
            assert!(engine.store().items(id, None, 10).await.unwrap().items.is_empty());
            assert_eq!(engine.store().chain(id).await.unwrap().operation.id, id);
        }
        engine.store().cancel(canceled, engine.now()).await.unwrap();
        assert_eq!(engine.monitor(canceled).await.unwrap().status, Status::Canceled);
        assert_eq!(id_of(&client, &calls[1]).await, canceled, "its key is used");
        let consumer = shop.start().await;
        assert_eq!(end(&consumer, kept).await.status, Status::Succeeded);
        assert_eq!(shop.deliveries(), [(1, 1)].into());
        engine.shut_down(PATIENCE).await;
        consumer.shut_down(PATIENCE).await;
    });
}

#[test]
fn from_rust_by_a_transaction_of_its_driver() {
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let engine = shop.start().await;
        let mut client = shop.connect().await;
        let due = engine.now() + Duration::from_millis(300);
        let submission = Submission { due: Some(due), priority: -3, ..typed(1).owner("user-42") };
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute(&shop.place(1)).await.unwrap();
        let id = accept_in_schema(&transaction, &shop.schema, &submission).await.unwrap();
        transaction.commit().await.unwrap();
        let monitor = end(&engine, id).await;
        assert_eq!((monitor.status, monitor.operation.priority), (Status::Succeeded, -3));
        let chain = engine.store().chain(id).await.unwrap();
        assert!(chain.attempts[0].started >= due, "{:?} before {due:?}", chain.attempts[0].started);
        assert_eq!(chain.deliveries[0].due, due);
        let transaction = client.transaction().await.unwrap();
        let unknown = Submission { events: vec![Draft::new("order.place")], ..Submission::default() };
        let error = accept_in_schema(&transaction, &shop.schema, &unknown).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().ends_with("(Known types that are most like it: order.placed)"), "{error}");
        transaction.rollback().await.unwrap();
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn what_lies_between_the_rows_of_a_large_operation_is_not_its_own() {
    const MANY: usize = 30_000;
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let store = PostgresStore::open(&shop.url).unwrap();
        let engine = shop.start().await;
        let now = engine.now();
        let accept = Accept {
            events: (0..MANY).map(|_| Draft::new("large.one").into()).collect(),
            owner: None,
            due: now,
            priority: 0,
            idempotency: None,
            backlog_max: u64::MAX,
            now,
        };
        let large = store.accept(accept).await.unwrap().operation.id;
        // The first ordinal that its accept left free, as a call in the same millisecond may have got it.
        let free = (large.ordinal() >> 15 << 15) + 28_672;
        let schema = &shop.schema;
        let id = shop.server.sql(&format!(
            "INSERT INTO {schema}.submitted (ordinal, operation, kind, data, priority, created, source) \
             VALUES ({free}, {schema}.id_of({free}), 'order.placed', '{{\"order\":1}}', 0, 0, '/shop') \
             RETURNING operation"
        ));
        let small: OperationId = id.parse().unwrap();
        assert_eq!(small.ordinal(), free);
        assert_eq!(end(&engine, small).await.status, Status::Succeeded);
        assert_eq!(store.chain(large).await.unwrap().events.len(), MANY);
        let page = store.items(large, Some(free - 1), 1).await.unwrap();
        assert_eq!(page.items[0].event.operation, large);
        // It goes without taking the other's event along.
        store.cancel(large, engine.now()).await.unwrap();
        let keep = format!("UPDATE {schema}.operations SET closed = NULL WHERE ordinal = {free}");
        shop.server.sql(&keep);
        let later = engine.now() + Duration::from_secs(1);
        assert_eq!(store.prune(later, later, 1_000).await.unwrap(), 1);
        assert_eq!(store.chain(small).await.unwrap().events.len(), 1);
        engine.shut_down(PATIENCE).await;
    });
}

#[test]
fn sixteen_callers_and_two_nodes_deliver_each_once() {
    const CALLERS: i32 = 16;
    const EACH: i32 = 40;
    let Some(shop) = Shop::new() else { return };
    block_on(async {
        let nodes = [shop.start().await, shop.start().await];
        let calls = (0..CALLERS).map(|caller| {
            let shop = &shop;
            async move {
                let mut client = shop.connect().await;
                let mut ids = Vec::new();
                for order in (caller * EACH..).take(EACH as usize) {
                    let call = shop.call(&format!(r#"'order.placed', '{{"order":{order}}}'"#));
                    let transaction = client.transaction().await.unwrap();
                    transaction.batch_execute(&shop.place(order)).await.unwrap();
                    let id = id_of(&transaction, &call).await;
                    // Every fifth changes its mind.
                    match order % 5 {
                        0 => transaction.rollback().await.unwrap(),
                        _ => {
                            transaction.commit().await.unwrap();
                            ids.push(id);
                        }
                    }
                }
                ids
            }
        });
        let ids = futures_util::future::join_all(calls).await.concat();
        for id in &ids {
            assert_eq!(end(&nodes[0], *id).await.status, Status::Succeeded);
        }
        let expected: BTreeMap<i32, u32> =
            (0..CALLERS * EACH).filter(|order| order % 5 != 0).map(|order| (order, 1)).collect();
        assert_eq!(shop.deliveries(), expected);
        assert_eq!(shop.orders(), expected.len().to_string());
        let count = |table: &str| shop.server.sql(&format!("SELECT count(*) FROM {}.{table}", shop.schema));
        assert_eq!((count("submitted").as_str(), count("operations")), ("0", expected.len().to_string()));
        for node in nodes {
            node.shut_down(PATIENCE).await;
        }
    });
}
