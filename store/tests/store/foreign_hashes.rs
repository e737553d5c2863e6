//! Hashes of secrets that another product made, on every backend.

use oauth2_store::model::{Change, Client, ClientSecret, ForeignHash, ReplacedHash, SecretVerifier};

use crate::fixture::{Fixture, NOW, all_clients, audit, client};

on_both!(
    hashes_of_other_products_round_trip,
    foreign_hash_is_replaced_once,
    clients_with_foreign_hashes_are_listed,
);

const AT: u64 = NOW as u64 * 1000;

fn foreign(byte: u8, expires_at: Option<i64>) -> ClientSecret {
    let verifier = SecretVerifier::Foreign(Box::new(ForeignHash {
        id: [byte; 32],
        text: format!("$2b$12$of the secret {byte}").into(),
    }));
    ClientSecret { verifier, expires_at }
}

fn replaced(hash: u8, id: u8, expires_at: Option<i64>) -> ClientSecret {
    let (hash, id) = ([hash; 32], [id; 32]);
    let verifier = SecretVerifier::Replaced(Box::new(ReplacedHash { hash, id }));
    ClientSecret { verifier, expires_at }
}

fn with(id: &str, secrets: impl Into<Box<[ClientSecret]>>) -> Client {
    Client {
        secrets: secrets.into(),
        ..client(id)
    }
}

async fn hashes_of_other_products_round_trip(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let secrets = [
        foreign(1, None),
        replaced(2, 3, Some(NOW + 5)),
        ClientSecret::fast([4; 32], Some(NOW + 9)),
    ];
    let created = with("created", secrets.clone());
    f.store
        .create_client(&created, AT, &audit("client.create"))
        .await
        .unwrap();
    let written = with("written", secrets);
    f.store
        .write_clients(&[(written.clone(), audit("client.import"))], &[], &[], AT)
        .await
        .unwrap();
    assert_eq!(f.store.client("created").await.unwrap(), Some(created.clone()));
    assert_eq!(
        f.store.load_clients("", 9).await.unwrap(),
        [created.clone(), written.clone()]
    );
    assert_eq!(all_clients(&f.store).await, [created, written.clone()]);

    let overwritten = Client {
        secrets: [foreign(7, None)].into(),
        ..written
    };
    f.store
        .write_clients(&[], &[], &[(overwritten.clone(), audit("client.import"))], AT)
        .await
        .unwrap();
    let stored = f.store.client("written").await.unwrap().unwrap();
    assert_eq!(stored.secrets, overwritten.secrets);
}

async fn foreign_hash_is_replaced_once(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let client = with("ci", [foreign(1, None), foreign(2, Some(NOW + 60))]);
    f.store
        .create_client(&client, AT, &audit("client.create"))
        .await
        .unwrap();
    let from = f.store.changes_position().await.unwrap();
    let entry = audit("client.secret_upgrade");
    let replace = async |id: u8, hash: u8| {
        f.store
            .replace_foreign_hash("ci", &[id; 32], &[hash; 32], NOW, &entry)
            .await
            .unwrap()
    };
    let (one, other) = tokio::join!(replace(2, 9), replace(2, 9));
    assert!(one != other, "one of them is first");
    assert!(!replace(9, 8).await, "a fast hash is not replaced");
    assert!(!replace(5, 8).await, "there is no such hash");
    let stored = f.store.client("ci").await.unwrap().unwrap();
    let expected = [foreign(1, None), replaced(9, 2, Some(NOW + 60))];
    assert_eq!(
        (&*stored.secrets, stored.version),
        (&expected[..], 1),
        "the version stays"
    );
    let (changes, _) = f.store.changes_since(from).await.unwrap();
    assert_eq!(changes, [Change::Client("ci".to_owned())]);
    let rows = f.audit_rows("client.secret_upgrade", 1).await;
    assert_eq!(rows.len(), 1);
    // A deleted client has no secrets.
    f.store
        .delete_client("ci", None, AT, &audit("client.delete"))
        .await
        .unwrap();
    assert!(!replace(1, 8).await);
}

async fn clients_with_foreign_hashes_are_listed(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for client in [
        with("a1", [foreign(1, None)]),
        with("a2", [ClientSecret::fast([2; 32], None), foreign(2, Some(NOW + 5))]),
        with("a3", [replaced(3, 3, None)]),
        with("a4", [ClientSecret::fast([4; 32], None), foreign(4, Some(NOW))]),
        with("b1", [foreign(5, None)]),
    ] {
        f.store
            .create_client(&client, AT, &audit("client.create"))
            .await
            .unwrap();
    }
    let listed = async |prefix: &str, cursor: Option<&str>, limit| {
        let page = f
            .store
            .list_clients_with_foreign_hashes(prefix, cursor, limit, NOW)
            .await
            .unwrap();
        let ids: Vec<_> = page.items.iter().map(|client| client.client_id.to_string()).collect();
        (ids, page.next)
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(listed("", None, 10).await, (ids(&["a1", "a2", "b1"]), None));
    assert_eq!(listed("a", None, 1).await, (ids(&["a1"]), Some("a1".to_owned())));
    assert_eq!(listed("a", Some("a1"), 1).await, (ids(&["a2"]), None));
}
