//! Measures the SQLite store: `store_bench DIRECTORY [BACKLOG] [PAYLOAD_BYTES]`.
//!
//! Accepts with 32 and 256 callers, a backlog of many deliveries, draining by claims of 256, opening the file again.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use acceptd::event::{NewEvent, Route, Weight};
use acceptd::store::sqlite::{Options, SqliteStore};
use acceptd::store::{Accept, Claim, Settle, Store, Verdict};
use acceptd::{Clock, Data, Draft, NodeId, SystemClock};

fn accept(payload: usize, count: usize) -> Accept {
    let now = SystemClock.now();
    let draft = Draft::new("ec2.start").data(Data::new("application/json", vec![b'7'; payload]));
    let routes = vec![Route { consumer: "start-ec2".into(), weight: Weight::Tracked }];
    let event = NewEvent { draft, routes };
    Accept {
        events: vec![event; count],
        owner: None,
        due: now,
        priority: 0,
        idempotency: None,
        backlog_max: u64::MAX,
        now,
    }
}

async fn accepts(store: &SqliteStore, callers: usize, total: usize, payload: usize) {
    let left = Arc::new(AtomicUsize::new(total));
    let started = Instant::now();
    let mut running = Vec::new();
    for _ in 0..callers {
        let (store, left) = (store.clone(), Arc::clone(&left));
        running.push(tokio::spawn(async move {
            while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                store.accept(accept(payload, 1)).await.unwrap();
            }
        }));
    }
    for one in running {
        one.await.unwrap();
    }
    report(&format!("accept, {callers} callers"), total, started);
}

async fn drain(store: &SqliteStore, total: usize, claimers: usize) {
    let started = Instant::now();
    let left = Arc::new(AtomicUsize::new(total));
    let mut running = Vec::new();
    for _ in 0..claimers {
        let (store, left) = (store.clone(), Arc::clone(&left));
        running.push(tokio::spawn(async move {
            let node = NodeId::from_bytes([7; 16]);
            while left.load(Relaxed) > 0 {
                let claim =
                    Claim { consumer: "start-ec2".into(), max: 256, node, max_attempts: 8, now: SystemClock.now() };
                let claims = store.claim(claim).await.unwrap();
                if claims.claimed.is_empty() {
                    return;
                }
                let count = claims.claimed.len();
                let verdict = Verdict::Done { result: None, emit: Vec::new(), notify: None, progress: None };
                let now = SystemClock.now();
                let settles = claims.claimed.into_iter().map(|one| {
                    let (delivery, fence) = (one.delivery.id, one.delivery.fence);
                    store.settle(Settle { delivery, fence, verdict: verdict.clone(), now })
                });
                for settled in futures_util::future::join_all(settles).await {
                    settled.unwrap();
                }
                let _ = left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(count)));
            }
        }));
    }
    for one in running {
        one.await.unwrap();
    }
    report(&format!("drain, {claimers} claimers of 256"), total, started);
}

fn report(what: &str, count: usize, started: Instant) {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let (seconds, ticks) = (started.elapsed().as_secs_f64(), writer_ticks());
    let used = ticks.saturating_sub(SEEN.swap(ticks, Relaxed)) as f64 * 10_000.0 / count as f64;
    let rate = count as f64 / seconds;
    println!("{what}: {rate:.0}/s ({count} in {seconds:.2} s), writer {used:.1} us each, {} MB", resident());
}

/// Processor time of the writer thread so far, in hundredths of a second.
fn writer_ticks() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    let ticks = |stat: String| {
        let fields: Vec<usize> = stat.split(' ').filter_map(|field| field.parse().ok()).collect();
        stat.contains("(acceptd-store)").then(|| fields.get(10..12).map_or(0, |used| used.iter().sum()))
    };
    stats.filter_map(ticks).sum()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1_024
}

fn option(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap();
    let backlog: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let payload: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100);
    let path = std::path::Path::new(&directory).join("bench.db");
    let defaults = Options::default();
    let options = Options {
        page_size: option("PAGE", defaults.page_size),
        cache_kib: option("CACHE", defaults.cache_kib),
        checkpoint_pages: option("CHECKPOINT", defaults.checkpoint_pages),
        batch_max: option("BATCH", 1_024) as usize,
        ..defaults
    };
    let store = SqliteStore::open_with(&path, options.clone()).unwrap();
    accepts(&store, 1, 500, payload).await;
    accepts(&store, 32, 60_000, payload).await;
    accepts(&store, 256, 200_000, payload).await;
    drain(&store, 260_500, 4).await;
    let started = Instant::now();
    for _ in 0..backlog / 100 {
        store.accept(accept(payload, 100)).await.unwrap();
    }
    report("fill, operations of 100 events", backlog, started);
    accepts(&store, 256, 100_000, payload).await;
    let started = Instant::now();
    drop(store);
    println!("close: {:?}", started.elapsed());
    let started = Instant::now();
    let store = SqliteStore::open_with(&path, options).unwrap();
    println!("open with {} waiting: {:?}, {} MB", store.health().backlog, started.elapsed(), resident());
    drain(&store, 100_000, 1).await;
    drain(&store, 100_000, 4).await;
    let started = Instant::now();
    let consumers = store.consumers(SystemClock.now()).await.unwrap();
    println!("consumers: {:?} ({} waiting)", started.elapsed(), consumers.first().map_or(0, |one| one.waiting));
    println!("{} MB of file", std::fs::metadata(&path).unwrap().len() / 1_000_000);
}
