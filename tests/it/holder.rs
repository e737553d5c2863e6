//! Others that change the same rows at the same time.

use oauth2_testkit::Setup;

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

    /// Ends it.
    pub(crate) async fn commit(self) {
        match self {
            Holder::Sqlite(connection) => connection.execute_batch("COMMIT").unwrap(),
            Holder::Postgres(client) => client.batch_execute("COMMIT").await.unwrap(),
        }
    }
}
