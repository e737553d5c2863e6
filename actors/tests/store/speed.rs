//! Rows a second through one ledger writer, with fsync. Not a test of anything: `cargo test --test store -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use oauth2_actors::store::{Location, Store};

use crate::fixture::{NOW, options, token};
use oauth2_testkit::postgres::Postgres;

#[tokio::test]
#[ignore = "a measurement"]
async fn rows_per_second() {
    let server = Postgres::start(true);
    let directory = tempfile::tempdir().unwrap();
    for location in [
        Location::Postgres(server.database().await),
        Location::Sqlite(directory.path().join("oauth2.db")),
    ] {
        let store = Store::open(&options(location)).await.unwrap();
        store.migrate().await.unwrap();
        store.maintain(NOW, 3600).await.unwrap();
        let mut writer = store.ledger_writer();
        for size in [1usize, 10, 100, 1000] {
            let (mut rows, mut spent) = (0usize, Duration::ZERO);
            while spent < Duration::from_secs(3) {
                let batch: Vec<_> = (0..size).map(|_| token("ci", NOW, 1800)).collect();
                let begun = Instant::now();
                writer.commit(&batch).await.unwrap();
                spent += begun.elapsed();
                rows += size;
            }
            println!(
                "{:>8} batch {size:>4}: {:>8.0} rows/s",
                store.kind(),
                rows as f64 / spent.as_secs_f64()
            );
        }
    }
}
