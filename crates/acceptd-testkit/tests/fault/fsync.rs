//! Killing a process proves nothing about the disk: what it wrote lives on in the kernel. So here the system calls are
//! watched: no 202 without an fsync before it, and an fsync that fails stops the server instead of being tried again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use acceptd_testkit::harness::api;
use acceptd_testkit::harness::config::Config;
use acceptd_testkit::harness::http::Client;
use acceptd_testkit::harness::server::Site;

const LIMIT: Duration = Duration::from_secs(20);
const ACCEPTS: usize = 50;

/// False, loudly, where strace is missing or not allowed; CI must be a place where it is.
fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    let can = traced.is_ok_and(|status| status.success());
    assert!(can || std::env::var("CI").as_deref() != Ok("true"), "CI can't run strace");
    if !can {
        println!("SKIPPED SKIPPED SKIPPED: strace does not work here, nothing was tested");
    }
    can
}

fn config() -> Config {
    Config { events: vec!["kept"], ..Config::default() }
}

async fn accept(client: &mut Client) -> std::io::Result<Option<String>> {
    let answer = client.post("/v1/events/kept", &[], b"{}").await?;
    match answer.status {
        202 => Ok(Some(answer.json()["id"].as_str().unwrap().to_owned())),
        503 => Ok(None),
        status => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
    }
}

fn syncs(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains("sync") && line.ends_with("= 0")).count()
}

/// How many accepts, sent one after the other so that none shares a commit, were answered without an fsync.
async fn answered_unsynced(environment: &[(&str, &str)]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("syncs");
    let site = Site::new().under(&["strace", "-D", "-f", "-e", "trace=fsync,fdatasync", "-o", log.to_str().unwrap()]);
    let server = site.start(&config(), environment).await.unwrap();
    let (mut client, mut unsynced) = (server.client(), 0);
    for _ in 0..ACCEPTS {
        let before = syncs(&log);
        assert!(accept(&mut client).await.unwrap().is_some());
        // strace writes a call down before it lets the caller go on.
        unsynced += usize::from(syncs(&log) == before);
    }
    server.kill().await;
    unsynced
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accept_is_synced_before_its_answer() {
    if !can_trace() {
        return;
    }
    assert_eq!(answered_unsynced(&[]).await, 0, "a promise before its fsync");
    // The same without fsync: the test must see it.
    let planted = answered_unsynced(&[("ACCEPTD_PLANTED", "commit-without-fsync")]).await;
    // A checkpoint or a start may sync by chance while one is under way.
    assert!(planted > ACCEPTS / 2, "commit-without-fsync was not caught: this test proves nothing");
    println!("fsync: {ACCEPTS} accepts, each synced before its answer; planted: {planted} caught that were not");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_fsync_that_fails_stops_the_server() {
    if !can_trace() {
        return;
    }
    for nth in [15, 22, 40] {
        let fault = format!("inject=fsync,fdatasync:error=EIO:when={nth}");
        let site = Site::new().under(&["strace", "-D", "-f", "-e", &fault, "-o", "/dev/null"]);
        let mut server = site.start(&config(), &[]).await.unwrap();
        let (mut client, mut promised) = (server.client(), Vec::new());
        while let Ok(Some(id)) = accept(&mut client).await {
            promised.push(id);
            assert!(promised.len() < 1_000, "the fault came, and the server did not notice");
        }
        let ended = server.ended(LIMIT).await.expect("it does not go on with a disk that lies");
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        println!(
            "fsync: number {nth} failed after {} accepts: {}",
            promised.len(),
            ended.stderr.lines().last().unwrap()
        );

        let site = site.under(&[]);
        let server = site.start(&config(), &[]).await.unwrap();
        let listed = api::list(&mut server.client()).await;
        assert!(promised.iter().all(|id| listed.contains(id)), "what was promised before is there");
        assert!(listed.len() <= promised.len() + 1, "and at most the one whose answer was lost");
        server.kill().await;
    }
}
