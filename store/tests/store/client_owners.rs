//! Clients by owner, and changes of exactly one version, on every backend.

use oauth2_store::StoreError;
use oauth2_store::model::Client;

use crate::fixture::{Fixture, NOW, audit, client};

on_both!(
    clients_of_an_owner_are_read_by_page,
    client_is_deleted_only_in_the_version_that_was_read,
);

const AT: u64 = NOW as u64 * 1000;

async fn clients_of_an_owner_are_read_by_page(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for (id, owner) in [("a", Some("x")), ("b", Some("y")), ("c", Some("x")), ("d", None)] {
        let client = Client {
            managed_by: owner.map(Into::into),
            ..client(id)
        };
        f.store
            .create_client(&client, AT, &audit("client.create"))
            .await
            .unwrap();
    }
    let ids = async |owner: &str, after: &str, limit| -> Vec<String> {
        let clients = f.store.clients_managed_by(owner, after, limit).await.unwrap();
        assert!(
            clients.iter().all(|client| client.secrets.len() == 2),
            "with their secrets"
        );
        clients.iter().map(|client| client.client_id.to_string()).collect()
    };
    assert_eq!(ids("x", "", 10).await, ["a", "c"]);
    assert_eq!(ids("x", "", 1).await, ["a"]);
    assert_eq!(ids("x", "a", 1).await, ["c"]);
    assert_eq!(ids("y", "", 10).await, ["b"]);
    assert!(ids("z", "", 10).await.is_empty());
}

async fn client_is_deleted_only_in_the_version_that_was_read(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let stored = client("ci");
    f.store
        .create_client(&stored, AT, &audit("client.create"))
        .await
        .unwrap();
    assert!(
        f.store
            .update_client(&stored, NOW, &audit("client.update"))
            .await
            .unwrap()
    );
    let delete = async |version| f.store.delete_client("ci", version, AT, &audit("client.delete")).await;
    assert!(matches!(delete(Some(1)).await, Err(StoreError::Conflict(_))));
    assert!(f.store.client("ci").await.unwrap().is_some());
    assert!(delete(Some(2)).await.unwrap().is_some());
    assert_eq!(delete(Some(2)).await.unwrap(), None, "there is no such client any more");
}
