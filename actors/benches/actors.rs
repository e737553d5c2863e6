//! Benchmarks of a mailbox round trip, a group commit, and the rate limiter.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use actix::{Actor, Arbiter, Context, Handler, System};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use oauth2_actors::rate_limiter::{FailureOptions, Limits};
use oauth2_actors::runtime::{Envelope, Policy, Request, Supervised, ThreadPlacement, supervise_on};
use oauth2_store::model::{Endpoint, LedgerEntry, TokenFormat, TokenRecord};
use oauth2_store::{Location, Pooler, Store, StoreOptions};
use oauth2_testkit::Postgres;
use uuid::Uuid;

const LATER: Duration = Duration::from_mins(1);

struct Echo;

impl Actor for Echo {
    type Context = Context<Self>;
}

struct Repeat(u64);

impl Request for Repeat {
    type Reply = u64;
}

impl Handler<Envelope<Repeat>> for Echo {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<Repeat>, _: &mut Context<Self>) {
        envelope.reply_with(|Repeat(value)| value);
    }
}

/// Sends `times` messages, `concurrent` of them in flight at once, and returns the time it took.
async fn ask(actor: &Supervised<Echo>, times: u64, concurrent: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..times.div_ceil(concurrent) {
        let deadline = Instant::now() + LATER;
        let pending = (0..concurrent).map(|n| actor.mailbox.ask(Repeat(n), deadline).unwrap());
        for reply in pending.collect::<Vec<_>>() {
            reply.await.unwrap();
        }
    }
    began.elapsed()
}

fn asks(c: &mut Criterion) {
    let mut group = c.benchmark_group("ask");
    for concurrent in [1, 64] {
        for thread in ["same_thread", "own_thread"] {
            group.bench_function(BenchmarkId::new(thread, concurrent), |b| {
                b.iter_custom(|times| {
                    System::new().block_on(async {
                        let (assigner, same_thread) = ThreadPlacement::assigned();
                        let placement = if thread == "own_thread" {
                            ThreadPlacement::Dedicated
                        } else {
                            same_thread
                        };
                        let actor = supervise_on(placement, "echo", Policy::default(), |_| Echo);
                        assigner.assign(Arbiter::current());
                        actor.running().await.unwrap();
                        ask(&actor, times, concurrent).await
                    })
                });
            });
        }
    }
    group.finish();
}

fn entries(count: usize) -> Vec<LedgerEntry> {
    let record = || TokenRecord {
        jti: Uuid::now_v7(),
        expires_at: 1_800_001_800,
        client_id: "billing".into(),
        scope: "read write".into(),
        audience: "https://api.example".into(),
        format: TokenFormat::Paseto,
        secret_hash: None,
    };
    std::iter::repeat_with(|| LedgerEntry::Issue(record()))
        .take(count)
        .collect()
}

/// Both stores at full durability: the group is on disk before the clock stops.
fn commits(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = Postgres::start(true);
    let directory = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("commit");
    for location in [
        Location::Postgres(runtime.block_on(server.database())),
        Location::Sqlite(directory.path().join("oauth2.db")),
    ] {
        let options = StoreOptions {
            location,
            max_connections: 4,
            ledger_writers: 1,
            min_connections: 0,
            connect_timeout: LATER,
            idle_timeout: LATER,
            min_lock_wait: Duration::ZERO,
            acquire_timeout: LATER,
            password_file: None,
            pooler: Pooler::None,
            listen_at: None,
            read_at: None,
        };
        let store = runtime.block_on(async {
            let store = Store::open(&options).await.unwrap();
            store.migrate().await.unwrap();
            store.maintain(1_800_000_000, 3600).await.unwrap();
            store
        });
        for count in [1, 10, 100, 1000] {
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(store.kind(), count), |b| {
                b.iter_custom(|times| {
                    runtime.block_on(async {
                        let mut writer = store.ledger_writer();
                        let mut took = Duration::ZERO;
                        for _ in 0..times {
                            let batch = entries(count);
                            let began = Instant::now();
                            writer.commit(&batch).await.unwrap();
                            took += began.elapsed();
                        }
                        took
                    })
                });
            });
        }
    }
    group.finish();
}

fn limiter(c: &mut Criterion) {
    let mut group = c.benchmark_group("limiter");
    let limits = Limits::new(FailureOptions {
        rate: "100/m".parse().unwrap(),
        max_keys: 1024 * 1024,
    });
    let (rate, one) = ("1000000000/s".parse().unwrap(), NonZeroU32::MIN);
    let mut n = 0_u32;
    group.bench_function("one_client", |b| {
        b.iter(|| limits.record_failure("billing", IpAddr::V4(Ipv4Addr::LOCALHOST)));
    });
    group.bench_function("new_address_each_time", |b| {
        b.iter(|| {
            n = n.wrapping_add(1);
            limits.record_failure("billing", IpAddr::V4(Ipv4Addr::from_bits(n)))
        });
    });
    group.bench_function("client_with_rate_limit", |b| {
        b.iter(|| limits.spend("billing", Endpoint::Token, rate, one));
    });
    group.finish();
}

criterion_group!(benches, asks, commits, limiter);
criterion_main!(benches);
