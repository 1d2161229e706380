//! A crash while ended operations are removed takes nothing that is still needed, and removes nothing by half.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use acceptd_testkit::harness::config::Config;
use acceptd_testkit::harness::http::Client;
use acceptd_testkit::harness::ledger::Ledgers;
use acceptd_testkit::harness::receiver::Receivers;
use acceptd_testkit::harness::server::Site;
use acceptd_testkit::harness::{api, eventually};

const LIMIT: Duration = Duration::from_secs(20);

async fn accept(client: &mut Client, kind: &str, headers: &[(&str, &str)]) -> String {
    let answer = client.post(&format!("/v1/events/{kind}"), headers, b"{}").await.unwrap();
    assert_eq!(answer.status, 202);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_pruning_takes_nothing_that_is_needed() {
    let (site, ledgers) = (Site::new(), Arc::new(Ledgers::default()));
    let receivers = Receivers::start(ledgers, site.address(), 0).await;
    let keeping = Config { consumers: receivers.consumers(), retention: Some(("1h", "50ms")), ..Config::default() };
    let pruning = Config { retention: Some(("1ms", "50ms")), ..keeping.clone() };

    let server = site.start(&keeping, &[]).await.unwrap();
    let mut client = server.client();
    let later = accept(&mut client, "a.prompt", &[("acceptd-delay", "1h")]).await;
    for _ in 0..40 {
        accept(&mut client, "a.prompt", &[]).await;
    }
    let one_is_live = || async { (api::count_live(&mut server.client()).await == 1).then_some(()) };
    eventually("all but the delayed one end", LIMIT, one_is_live).await;
    let before: BTreeSet<_> = api::list(&mut client).await.into_iter().collect();
    server.kill().await;

    for _ in 0..3 {
        if let Ok(mut server) = site.start(&pruning, &[("ACCEPTD_CRASH_AT", "prune.before-commit:1")]).await {
            server.ended(LIMIT).await.expect("it crashes when it prunes");
        }
        let server = site.start(&keeping, &[]).await.unwrap();
        let after: BTreeSet<_> = api::list(&mut server.client()).await.into_iter().collect();
        assert_eq!(after, before, "what was not committed did not happen");
        for id in &after {
            let operation = api::operation(&mut server.client(), id).await;
            let whole = if *id == later { 1 } else { 3 };
            assert_eq!((operation.events.len(), operation.deliveries.len()), (whole, whole), "{operation:?}");
        }
        server.kill().await;
    }

    let server = site.start(&pruning, &[]).await.unwrap();
    let pruned = || async { Some(api::list(&mut server.client()).await).filter(|left| left.len() == 1) };
    assert_eq!(eventually("the ended ones go", LIMIT, pruned).await, [later]);
}
