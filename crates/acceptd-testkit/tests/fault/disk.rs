//! A disk that is full, read-only or damaged: acceptd refuses in words, and loses nothing that it promised.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acceptd_testkit::harness::config::{Config, Consumer};
use acceptd_testkit::harness::http::{Answer, Client};
use acceptd_testkit::harness::server::Site;
use acceptd_testkit::harness::{api, eventually};
use axum::routing::post;
use tempfile::TempDir;
use tokio::sync::Semaphore;

const LIMIT: Duration = Duration::from_secs(20);
/// Attempts that run while the disk fills.
const RUNNING: usize = 20;

/// Operations that wait for a consumer: all that counts here is that they are kept.
fn config() -> Config {
    Config { events: vec!["kept"], ..Config::default() }
}

/// A file system of 8 MiB in memory.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None, loudly, where mounting is not allowed; CI must be a place where it is.
    fn mount() -> Option<Self> {
        let folder = TempDir::with_prefix("acceptd-disk.").unwrap();
        if mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], folder.path()) {
            return Some(Self(folder));
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI can't mount a tmpfs: run it as root");
        println!("SKIPPED SKIPPED SKIPPED: a tmpfs can't be mounted here (not root?), nothing was tested");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Fills it to the last byte.
    fn fill(&self) -> PathBuf {
        let path = self.path("ballast");
        let mut ballast = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount").args(arguments).arg(at).status().is_ok_and(|status| status.success())
}

/// A consumer whose attempts all end when the gate is opened, and not before.
async fn gated(gate: &Arc<Semaphore>, arrived: &Arc<AtomicUsize>) -> Consumer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (gate, arrived) = (Arc::clone(gate), Arc::clone(arrived));
    let work = move || {
        let (gate, arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
        async move {
            arrived.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
        }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/gated", post(work))).await });
    Consumer::new("gated", "gated", address).timeout("1m")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_the_disk_is_full_is_stored_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let config = Config { consumers: vec![gated(&gate, &arrived).await], ..config() };
    let site = Site::new().database_at(disk.path("acceptd.db"));
    let server = site.start(&config, &[]).await.unwrap();
    let mut client = server.client();
    for _ in 0..RUNNING {
        assert_eq!(client.post("/v1/events/gated", &[], b"{}").await.unwrap().status, 202);
    }
    let all_run = || async { (arrived.load(Ordering::SeqCst) == RUNNING).then_some(()) };
    eventually("all run", LIMIT, all_run).await;
    let ballast = disk.fill();
    while accept(&mut client).await.status == 202 {
        disk.fill();
    }
    gate.add_permits(RUNNING);
    let all_ended = || async { (gate.available_permits() == 0).then_some(()) };
    eventually("all have ended for their target", LIMIT, all_ended).await;
    assert_eq!(accept(&mut client).await.status, 503, "it is still full");
    std::fs::remove_file(ballast).unwrap();
    let gated = "/v1/operations?type=gated&status=succeeded&pageSize=200";
    let all_done = || async {
        let page = server.client().get(gated).await.unwrap().json();
        (page["items"].as_array().unwrap().len() == RUNNING).then_some(())
    };
    eventually("all ends are stored", LIMIT, all_done).await;
    assert_eq!(arrived.load(Ordering::SeqCst), RUNNING, "nothing ran twice for it");
}

async fn accept(client: &mut Client) -> Answer {
    let data = format!("{:?}", "x".repeat(2_000));
    client.post("/v1/events/kept", &[], data.as_bytes()).await.expect("every request is answered")
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_until_there_is_space() {
    let Some(disk) = SmallDisk::mount() else { return };
    let site = Site::new().database_at(disk.path("acceptd.db"));
    let server = site.start(&config(), &[]).await.unwrap();
    let mut client = server.client();
    let mut promised = Vec::new();
    for _ in 0..20 {
        promised.push(id(&accept(&mut client).await));
    }
    let ballast = disk.fill();
    let refusal = loop {
        match accept(&mut client).await {
            answer if answer.status == 202 => promised.push(id(&answer)),
            answer => break answer,
        }
        // What the store had reserved is still there to be used.
        disk.fill();
    };
    assert_eq!((refusal.status, refusal.problem()), (503, "storage-full".to_owned()));
    assert!(refusal.header("retry-after").is_some(), "a refusal says when to come back");
    for id in &promised {
        assert_eq!(client.get(&format!("/v1/operations/{id}")).await.unwrap().status, 200, "reading goes on");
    }
    assert_eq!(accept(&mut client).await.status, 503);
    assert_eq!(client.get("/livez").await.unwrap().status, 200, "it lives");

    std::fs::remove_file(ballast).unwrap();
    let accepts = || async { Some(accept(&mut server.client()).await).filter(|answer| answer.status == 202) };
    promised.push(id(&eventually("it accepts again without a restart", LIMIT, accepts).await));
    let same = |mut listed: Vec<String>, mut promised: Vec<String>| {
        listed.sort();
        promised.sort();
        assert_eq!(listed, promised, "what was promised is there, and nothing else");
    };
    same(api::list(&mut client).await, promised.clone());
    server.kill().await;
    let server = site.start(&config(), &[]).await.unwrap();
    same(api::list(&mut server.client()).await, promised);
}

/// Starts a server that must not start, and checks how it says so.
async fn is_refused(case: &str, site: &Site) {
    let ended = site.start(&config(), &[]).await.expect_err(case);
    let stderr = ended.stderr.trim();
    assert_eq!(ended.status.code(), Some(1), "{case}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{case}: one sentence: {stderr}");
    assert!(!stderr.contains("panicked"), "{case}: {stderr}");
    let place = site.database().parent().unwrap().to_str().unwrap();
    assert!(stderr.contains(place), "{case}: {stderr:?} says where");
    println!("disk: {case}: {stderr}");
}

/// A file with some operations in it, as a server leaves it that ended well.
async fn filled_site() -> Site {
    let site = Site::new();
    let mut server = site.start(&config(), &[]).await.unwrap();
    for _ in 0..50 {
        id(&accept(&mut server.client()).await);
    }
    server.signal("TERM");
    assert!(server.ended(LIMIT).await.expect("it ends").status.success());
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_store_is_refused() {
    let site = Site::new();
    let noise: Vec<u8> = (0..100_000).map(|_| rand::random()).collect();
    std::fs::write(site.database(), &noise).unwrap();
    is_refused("random bytes", &site).await;
    assert_eq!(std::fs::read(site.database()).unwrap(), noise, "a file that is not ours stays as it is");

    let site = Site::new();
    std::fs::create_dir(site.database()).unwrap();
    is_refused("a folder", &site).await;

    let site = Site::new();
    let site = site.database_at(PathBuf::from("no/such/folder/acceptd.db"));
    is_refused("a folder that does not exist", &site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused() {
    let site = filled_site().await;
    let file = std::fs::OpenOptions::new().write(true).open(site.database()).unwrap();
    // The first page, after the file's header: it lists all tables.
    file.write_all_at(&[0xa5; 3_900], 100).unwrap();
    is_refused("a flipped page", &site).await;

    let site = filled_site().await;
    let file = std::fs::OpenOptions::new().write(true).open(site.database()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    is_refused("half a file", &site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_file_is_refused() {
    let site = Site::new();
    let server = site.start(&config(), &[]).await.unwrap();
    is_refused("a second server", &site.beside()).await;
    id(&accept(&mut server.client()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_refused() {
    let Some(disk) = SmallDisk::mount() else { return };
    let site = Site::new().database_at(disk.path("acceptd.db"));
    let server = site.start(&config(), &[]).await.unwrap();
    let promised = id(&accept(&mut server.client()).await);
    server.kill().await;
    assert!(mount(&["-o", "remount,ro"], disk.0.path()), "a tmpfs can be made read-only");
    is_refused("a read-only disk", &site).await;
    let empty = Site::new().database_at(disk.path("new.db"));
    is_refused("a new file on a read-only disk", &empty).await;
    assert!(mount(&["-o", "remount,rw"], disk.0.path()), "a tmpfs can be made writable");
    let server = site.start(&config(), &[]).await.unwrap();
    assert_eq!(api::list(&mut server.client()).await, [promised], "nothing was lost");
}
