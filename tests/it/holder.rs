//! Others that change the same rows at the same time.

use std::time::Duration;

use oauth2_testkit::Setup;

/// Long enough that another process waits for the lock, and shorter than it does.
const BLOCKED: Duration = Duration::from_millis(300);

const PATIENCE: Duration = Duration::from_secs(30);

/// A transaction of another process.
pub(crate) enum Holder {
    Sqlite(Box<rusqlite::Connection>),
    Postgres(Box<oauth2_testkit::postgres::Client>),
}

impl Holder {
    /// Begins a transaction with a statement. On `SQLite` it has the write lock.
    pub(crate) async fn begin(setup: &Setup, statement: &str) -> Holder {
        if let Some(url) = setup.database_url() {
            let client = oauth2_testkit::postgres::connect(url).await;
            client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
            Holder::Postgres(Box::new(client))
        } else {
            let connection = setup.sqlite();
            connection
                .execute_batch(&format!("BEGIN IMMEDIATE; {statement}"))
                .unwrap();
            Holder::Sqlite(Box::new(connection))
        }
    }

    /// Ends it once another transaction waits for it.
    pub(crate) async fn commit_when_awaited(self) {
        match &self {
            // SQLite does not show which connections wait.
            Holder::Sqlite(_) => tokio::time::sleep(BLOCKED).await,
            Holder::Postgres(client) => {
                let sql =
                    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
                let is_awaited = async || !client.query(sql, &[]).await.unwrap().is_empty();
                oauth2_testkit::until(PATIENCE, "another transaction waits", is_awaited).await;
            }
        }
        self.commit().await;
    }

    /// Ends it.
    pub(crate) async fn commit(self) {
        match self {
            Holder::Sqlite(connection) => connection.execute_batch("COMMIT").unwrap(),
            Holder::Postgres(client) => client.batch_execute("COMMIT").await.unwrap(),
        }
    }
}
