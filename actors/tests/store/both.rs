//! What holds on either store.

use oauth2_actors::error::StoreError;
use oauth2_actors::model::{Change, KeyAlgorithm, Revocation, RevocationTarget, TokenFormat};
use oauth2_actors::store::LogPosition;

use crate::fixture::{Fixture, NOW, audit, client, jti, key, token};

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("postgres").await })+ }
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("sqlite").await })+ }
    };
}

on_both!(
    migrates_once,
    refuses_an_unknown_schema,
    unmigrated_is_unusable,
    batches_of_every_size,
    a_duplicate_sinks_its_batch,
    tokens_of_a_client,
    a_client_and_its_life,
    names_are_taken_once,
    an_old_version_conflicts,
    secrets_overlap,
    clients_by_page,
    revocations_come_back,
    changes_once_each,
    one_key_of_a_kind,
    purges_what_expired,
);

async fn migrates_once(kind: &str) {
    let f = Fixture::empty(kind).await;
    assert_eq!(f.store.schema_version().await.unwrap(), None);
    let (a, b) = (f.store.clone(), oauth2_actors::store::Store::open(&f.options).await.unwrap());
    let (a, b) = tokio::join!(tokio::spawn(async move { a.migrate().await }), tokio::spawn(async move { b.migrate().await }));
    let steps = a.unwrap().unwrap() + b.unwrap().unwrap();
    assert_eq!(steps as i64, f.store.wanted_schema_version(), "of two at once, one migrates");
    assert_eq!(f.store.migrate().await.unwrap(), 0);
    assert_eq!(f.store.schema_version().await.unwrap(), Some(f.store.wanted_schema_version()));
    assert!(f.store.ping().await.unwrap() > 1_700_000_000_000);
    let pool = f.store.pool_use();
    assert!(pool.open >= 1 && pool.open <= pool.max, "{pool:?}");
}

async fn history(f: &Fixture, sql: &str) {
    if f.store.kind() == "postgres" {
        crate::support::postgres::connect(f.url()).await.batch_execute(sql).await.unwrap();
    } else {
        rusqlite::Connection::open(f.path()).unwrap().execute_batch(sql).unwrap();
    }
}

async fn refuses_an_unknown_schema(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let newer = "INSERT INTO refinery_schema_history VALUES (7, 'later', '2030-01-01T00:00:00Z', '1')";
    history(&f, newer).await;
    for refused in [f.store.migrate().await.map(|_| ()), f.store.schema_version().await.map(|_| ())] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("at version 7") && text.contains("run a newer binary"), "{text}");
    }
    history(&f, "DELETE FROM refinery_schema_history WHERE version = 7").await;
    history(&f, "UPDATE refinery_schema_history SET checksum = '1'").await;
    assert!(matches!(f.store.migrate().await, Err(StoreError::Corrupt(_))));
}

async fn unmigrated_is_unusable(kind: &str) {
    let f = Fixture::empty(kind).await;
    assert!(matches!(f.store.client("a").await, Err(StoreError::Corrupt(_))));
    assert!(matches!(f.store.ledger_writer().commit(&[token("c", NOW, 60)]).await, Err(StoreError::Corrupt(_))));
}

async fn batches_of_every_size(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.maintain(NOW, 3600).await.unwrap();
    let mut writer = f.store.ledger_writer();
    writer.commit(&[]).await.unwrap();
    for size in [1, 2, 10, 100, 1000] {
        let mut batch: Vec<_> = (0..size).map(|i| token("ci", NOW, 60 + i)).collect();
        batch[0].format = TokenFormat::Opaque;
        batch[0].secret_hash = Some([9; 32]);
        writer.commit(&batch).await.unwrap();
        for expires_at in [Some(NOW + 60), None] {
            let found = f.store.token(batch[0].jti, expires_at).await.unwrap().unwrap();
            assert_eq!(found.record.secret_hash, Some([9; 32]));
            assert_eq!(found.record.format, TokenFormat::Opaque);
            assert_eq!(found.record.expires_at, NOW + 60);
            assert_eq!(&*found.record.scope, "read write");
            assert_eq!(&*found.record.audience, "https://api.example");
            assert_eq!(found.user_id, None);
        }
        let last = batch.last().unwrap();
        assert!(f.store.token(last.jti, Some(last.expires_at)).await.unwrap().is_some());
        assert!(f.store.token(last.jti, Some(last.expires_at + 1)).await.unwrap().is_none());
    }
    assert!(f.store.token(jti(NOW), None).await.unwrap().is_none());
}

async fn a_duplicate_sinks_its_batch(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    let (a, b) = (token("ci", NOW, 60), token("ci", NOW, 60));
    let refused = writer.commit(&[a.clone(), b.clone(), a.clone()]).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert!(f.store.token(a.jti, None).await.unwrap().is_none(), "nothing of it was written");
    writer.commit(&[a.clone(), b]).await.unwrap();
    assert!(f.store.token(a.jti, None).await.unwrap().is_some(), "the writer goes on");
}

async fn tokens_of_a_client(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.maintain(NOW, 48 * 3600).await.unwrap();
    let mine: Vec<_> = (0..25).map(|i| token("mine", NOW - 100 + i, 3600 + (i % 5) * 20_000)).collect();
    let other: Vec<_> = (0..25).map(|i| token("other", NOW - 100 + i, 3600)).collect();
    let expired = token("mine", NOW - 50, 10);
    let mut writer = f.store.ledger_writer();
    writer.commit(&[mine.clone(), other, vec![expired]].concat()).await.unwrap();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = f.store.list_tokens("mine", NOW, cursor, 10).await.unwrap();
        assert!(page.items.len() <= 10);
        seen.extend(page.items.iter().map(|t| t.record.jti));
        let Some(next) = page.next else { break };
        cursor = Some(next.parse().unwrap());
    }
    let newest_first: Vec<_> = mine.iter().rev().map(|t| t.jti).collect();
    assert_eq!(seen, newest_first);
}

async fn a_client_and_its_life(kind: &str) {
    let f = Fixture::migrated(kind).await;
    assert_eq!(f.store.client("ci").await.unwrap(), None);
    let mut made = client("ci");
    f.store.create_client(&made, &audit("client.create")).await.unwrap();
    assert_eq!(f.store.client("ci").await.unwrap(), Some(made.clone()));

    made.disabled = true;
    made.client_name = None;
    made.token_format = None;
    made.signing_alg = None;
    made.token_ledger = None;
    made.access_token_lifetime = None;
    made.audience = vec![];
    assert!(f.store.update_client(&made, NOW + 1, &audit("client.update")).await.unwrap());
    made.version = 2;
    assert_eq!(f.store.client("ci").await.unwrap(), Some(made.clone()));
    assert!(!f.store.update_client(&client("nobody"), NOW, &audit("client.update")).await.unwrap());

    let at = NOW as u64 * 1000;
    assert!(f.store.delete_client("ci", at, &audit("client.delete")).await.unwrap());
    assert!(!f.store.delete_client("ci", at, &audit("client.delete")).await.unwrap());
    assert_eq!(f.store.client("ci").await.unwrap(), None);
    let (log, _) = f.store.revocations_since(LogPosition::default()).await.unwrap();
    assert_eq!(log, [Revocation { target: RevocationTarget::Client("ci".into()), cutoff_ms: at }]);
    f.store.create_client(&client("ci"), &audit("client.create")).await.unwrap();
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().secrets.len(), 2, "no secret outlived the first one");
}

async fn names_are_taken_once(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.create_client(&client("ci"), &audit("client.create")).await.unwrap();
    let again = f.store.create_client(&client("ci"), &audit("client.create")).await;
    assert!(matches!(&again, Err(StoreError::Conflict(text)) if text.contains("ci exists")), "{again:?}");
    let (changes, _) = f.store.changes_since(LogPosition::default()).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().secrets.len(), 2);
}

async fn an_old_version_conflicts(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.create_client(&client("ci"), &audit("client.create")).await.unwrap();
    let tries = (0..8).map(|_| {
        let store = f.store.clone();
        tokio::spawn(async move { store.update_client(&client("ci"), NOW, &audit("client.update")).await })
    });
    let (mut done, mut refused) = (0, 0);
    for answer in futures_util::future::join_all(tries).await {
        match answer.unwrap() {
            Ok(true) => done += 1,
            Err(StoreError::Conflict(_)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, refused), (1, 7));
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().version, 2);
}

async fn secrets_overlap(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.create_client(&client("ci"), &audit("client.create")).await.unwrap();
    let rotate = audit("client.rotate_secret");
    assert!(!f.store.rotate_secret("nobody", &[3; 32], NOW + 100, NOW, &rotate).await.unwrap());
    assert!(f.store.rotate_secret("ci", &[3; 32], NOW + 100, NOW, &rotate).await.unwrap());
    let secrets = |c: oauth2_actors::model::Client| -> Vec<_> {
        c.secrets.iter().map(|s| (s.hash[0], s.expires_at.map(|e| e - NOW))).collect()
    };
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(found, [(3, None), (2, Some(100)), (1, Some(60))]);
    assert!(f.store.rotate_secret("ci", &[4; 32], NOW + 300, NOW + 60, &rotate).await.unwrap());
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(found, [(4, None), (3, Some(300)), (2, Some(100))]);

    let tries = (10..18u8).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move {
            store.rotate_secret("ci", &[n; 32], NOW + 400, NOW + 100, &audit("client.rotate_secret")).await
        })
    });
    for answer in futures_util::future::join_all(tries).await {
        assert!(answer.unwrap().unwrap());
    }
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(found.iter().filter(|s| s.1.is_none()).count(), 1, "one secret is the current one: {found:?}");
    assert!(found[0].1.is_none(), "{found:?}");
}

async fn clients_by_page(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for id in ["b", "B", "a-1", "a", "ä", "c"] {
        f.store.create_client(&client(id), &audit("client.create")).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = f.store.list_clients(cursor.as_deref(), 2).await.unwrap();
        seen.extend(page.items.iter().map(|c| c.client_id.to_string()));
        assert!(page.items.iter().all(|c| c.secrets.len() == 2));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["B", "a", "a-1", "b", "c", "ä"]);
}

async fn revocations_come_back(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let (none, start) = f.store.revocations_since(LogPosition::default()).await.unwrap();
    assert!(none.is_empty());
    let cutoff_ms = NOW as u64 * 1000 + 7;
    let all: Vec<_> = [
        RevocationTarget::Token { jti: jti(NOW), expires_at: NOW + 60 },
        RevocationTarget::Client("ci".into()),
        RevocationTarget::User("jo".into()),
        RevocationTarget::Key("k4.pid.x".into()),
        RevocationTarget::Issuer,
    ]
    .into_iter()
    .map(|target| Revocation { target, cutoff_ms })
    .collect();
    for revocation in &all {
        f.store.revoke(revocation, cutoff_ms, &audit("token.revoke")).await.unwrap();
    }
    for from in [LogPosition::default(), start] {
        let (found, next) = f.store.revocations_since(from).await.unwrap();
        // A cut-off's own expiry is not part of it; a token's is.
        assert_eq!(found, all);
        assert!(f.store.revocations_since(next).await.unwrap().0.len() <= all.len());
    }
    f.store.revoke(&all[0], cutoff_ms, &audit("token.revoke")).await.expect("revoking again is no error");
}

async fn changes_once_each(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let start = f.store.changes_position().await.unwrap();
    f.store.create_client(&client("a"), &audit("client.create")).await.unwrap();
    f.store.create_client(&client("b"), &audit("client.create")).await.unwrap();
    f.store.update_client(&client("a"), NOW, &audit("client.update")).await.unwrap();
    let cut = Revocation { target: RevocationTarget::Issuer, cutoff_ms: 1 };
    f.store.revoke(&cut, NOW as u64 * 1000, &audit("revocation.cutoff")).await.unwrap();
    f.store.ensure_keys(&[key("k1", KeyAlgorithm::EdDsa)], &audit("key.create")).await.unwrap();
    let (found, next) = f.store.changes_since(start).await.unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    for change in [Change::Client("a".into()), Change::Client("b".into()), Change::Keys] {
        assert!(found.contains(&change));
    }
    f.store.delete_client("b", NOW as u64 * 1000, &audit("client.delete")).await.unwrap();
    assert!(f.store.changes_since(next).await.unwrap().0.contains(&Change::Client("b".into())));
}

async fn one_key_of_a_kind(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let tries = (0..8).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move {
            let candidates = [
                key(&format!("p{n}"), KeyAlgorithm::PasetoV4Public),
                key(&format!("e{n}"), KeyAlgorithm::EdDsa),
            ];
            store.ensure_keys(&candidates, &audit("key.create")).await
        })
    });
    let mut answers: Vec<_> =
        futures_util::future::join_all(tries).await.into_iter().map(|a| a.unwrap().unwrap()).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "all nodes see the same keys");
    assert_eq!(answers[0].len(), 2);
    assert_eq!(f.store.keys().await.unwrap(), answers[0]);
    let more = f.store.ensure_keys(&[key("s", KeyAlgorithm::Es256)], &audit("key.create")).await.unwrap();
    assert_eq!(more.len(), 3);
}

async fn purges_what_expired(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let old: Vec<_> = (0..5200).map(|_| token("ci", NOW - 200, 100)).collect();
    let live = token("ci", NOW, 60);
    let mut writer = f.store.ledger_writer();
    for part in old.chunks(1000) {
        writer.commit(part).await.unwrap();
    }
    writer.commit(std::slice::from_ref(&live)).await.unwrap();
    let day = 24 * 3600;
    for (target, cutoff) in [
        (RevocationTarget::Token { jti: jti(NOW - 2 * day), expires_at: NOW - day }, NOW),
        (RevocationTarget::Token { jti: jti(NOW), expires_at: NOW + 60 }, NOW),
        (RevocationTarget::Issuer, NOW - 32 * day),
        (RevocationTarget::Issuer, NOW - 30 * day),
    ] {
        let revocation = Revocation { target, cutoff_ms: cutoff as u64 * 1000 };
        f.store.revoke(&revocation, NOW as u64 * 1000, &audit("token.revoke")).await.unwrap();
    }
    let done = f.store.maintain(NOW, 3600).await.unwrap();
    assert_eq!(done.tokens_deleted, 5200);
    assert_eq!(done.revocations_deleted, 2);
    assert_eq!(f.store.revocations_since(LogPosition::default()).await.unwrap().0.len(), 2);
    assert!(f.store.token(live.jti, None).await.unwrap().is_some());
    assert!(f.store.token(old[0].jti, None).await.unwrap().is_none());
    let again = f.store.maintain(NOW, 3600).await.unwrap();
    assert_eq!((again.tokens_deleted, again.revocations_deleted, again.partitions_created), (0, 0, 0));
}
