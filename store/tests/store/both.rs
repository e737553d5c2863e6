//! Schema, tokens, revocations, changes and keys, on every backend.

use futures_util::future::join_all;
use oauth2_store::LogPosition;
use oauth2_store::StoreError;
use oauth2_store::model::{Change, KeyAlgorithm, Revocation, RevocationTarget, TokenFormat, TokenRecord};

use crate::fixture::{Fixture, NOW, audit, client, issue, jti, key, revocations_since, token};

on_both!(
    concurrent_nodes_migrate_once,
    unknown_schema_is_rejected,
    unmigrated_database_is_rejected,
    batches_of_any_size_are_stored,
    duplicate_token_id_fails_the_whole_batch,
    client_tokens_are_listed_newest_first,
    tokens_are_found_in_bulk,
    revocations_round_trip,
    changes_are_reported_once,
    concurrent_nodes_create_one_key_per_algorithm,
    maintenance_purges_expired_rows,
);

async fn concurrent_nodes_migrate_once(kind: &str) {
    let f = Fixture::empty(kind).await;
    // Every session of the pooler has looked up the missing schema, and may have cached that.
    let versions = join_all((0..12).map(|_| f.store.schema_version())).await;
    assert!(versions.iter().all(|version| version == &Ok(None)), "{versions:?}");
    let nodes = (0..3).map(|_| async {
        let store = oauth2_store::Store::open(&f.options).await.unwrap();
        tokio::spawn(async move { store.migrate().await })
            .await
            .unwrap()
            .unwrap()
    });
    let mut steps = join_all(nodes).await;
    steps.sort_unstable();
    assert!(
        steps[..2] == [0, 0] && steps[2] > 0,
        "only one node migrates: {steps:?}"
    );
    assert_eq!(f.store.migrate().await.unwrap(), 0);
    assert_eq!(
        f.store.schema_version().await.unwrap(),
        Some(f.store.required_schema_version())
    );
    assert!(f.store.ping().await.unwrap() > 1_700_000_000_000);
    let pool = f.store.pool_use();
    assert!(pool.open >= 1 && pool.open <= pool.max, "{pool:?}");
}

async fn unknown_schema_is_rejected(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let newer = "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    f.execute(newer).await;
    for outcome in [
        f.store.migrate().await.map(|_| ()),
        f.store.schema_version().await.map(|_| ()),
    ] {
        let text = outcome.unwrap_err().to_string();
        assert!(
            text.contains("at version 99") && text.contains("run a newer binary"),
            "{text}"
        );
    }
    // What a later version only added is not missed.
    f.execute("UPDATE refinery_schema_history SET name = 'add_something' WHERE version = 99")
        .await;
    assert_eq!(f.store.migrate().await.unwrap(), 0);
    assert_eq!(
        f.store.schema_version().await.unwrap(),
        Some(f.store.required_schema_version())
    );
    f.execute("INSERT INTO refinery_schema_history VALUES (100, 'later', '2030-01-01T00:00:00Z', '1')")
        .await;
    assert!(matches!(f.store.migrate().await, Err(StoreError::Corrupt(_))));
    f.execute("DELETE FROM refinery_schema_history WHERE version >= 99")
        .await;
    f.execute("UPDATE refinery_schema_history SET checksum = '1'").await;
    assert!(matches!(f.store.migrate().await, Err(StoreError::Corrupt(_))));
}

async fn unmigrated_database_is_rejected(kind: &str) {
    let f = Fixture::empty(kind).await;
    assert!(matches!(f.store.client("a").await, Err(StoreError::Corrupt(_))));
    assert!(matches!(
        f.store.ledger_writer().commit(&issue(&[token("c", NOW, 60)])).await,
        Err(StoreError::Corrupt(_))
    ));
}

async fn batches_of_any_size_are_stored(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.maintain(NOW, 3600).await.unwrap();
    let mut writer = f.store.ledger_writer();
    writer.commit(&[]).await.unwrap();
    for size in [1, 2, 10, 100, 1000] {
        let mut batch: Vec<_> = (0..size).map(|i| token("ci", NOW, 60 + i)).collect();
        batch[0].format = TokenFormat::Opaque;
        batch[0].secret_hash = Some([9; 32]);
        writer.commit(&issue(&batch)).await.unwrap();
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
        assert!(
            f.store
                .token(last.jti, Some(last.expires_at + 1))
                .await
                .unwrap()
                .is_none()
        );
    }
    assert!(f.store.token(jti(NOW), None).await.unwrap().is_none());
}

async fn duplicate_token_id_fails_the_whole_batch(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    let (a, b) = (token("ci", NOW, 60), token("ci", NOW, 60));
    let outcome = writer.commit(&issue(&[a.clone(), b.clone(), a.clone()])).await;
    assert!(matches!(outcome, Err(StoreError::Conflict(_))), "{outcome:?}");
    assert!(
        f.store.token(a.jti, None).await.unwrap().is_none(),
        "nothing was written"
    );
    writer.commit(&issue(&[a.clone(), b])).await.unwrap();
    assert!(
        f.store.token(a.jti, None).await.unwrap().is_some(),
        "the writer still works"
    );
}

async fn client_tokens_are_listed_newest_first(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.maintain(NOW, 48 * 3600).await.unwrap();
    let mine: Vec<_> = (0..25)
        .map(|i| token("mine", NOW - 100 + i, 3600 + (i % 5) * 20_000))
        .collect();
    let other: Vec<_> = (0..25).map(|i| token("other", NOW - 100 + i, 3600)).collect();
    let expired = token("mine", NOW - 50, 10);
    let mut writer = f.store.ledger_writer();
    writer
        .commit(&issue(&[mine.clone(), other, vec![expired]].concat()))
        .await
        .unwrap();
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

async fn tokens_are_found_in_bulk(kind: &str) {
    let f = Fixture::migrated(kind).await;
    // Tokens of several partitions, and one in the default partition.
    f.store.maintain(NOW, 86_400).await.unwrap();
    let mut records: Vec<_> = (0..50).map(|n| token("ci", NOW, 60 + n * 1800)).collect();
    records.push(token("ci", NOW, 40 * 86_400));
    records[7].secret_hash = Some([7; 32]);
    f.store.ledger_writer().commit(&issue(&records)).await.unwrap();
    let mut wanted: Vec<_> = records.iter().map(|t| (t.jti, t.expires_at)).collect();
    // A duplicate, a wrong expiry and an unknown token.
    wanted.push(wanted[3]);
    wanted.extend([(wanted[4].0, wanted[5].1), (jti(NOW), NOW + 60)]);
    let mut found: Vec<_> = f.store.tokens_by_id(&wanted).await.unwrap();
    found.sort_by_key(|t| t.record.expires_at);
    let key_fields = |t: &TokenRecord| (t.jti, t.expires_at, t.client_id.clone(), t.secret_hash);
    let found: Vec<_> = found.iter().map(|t| key_fields(&t.record)).collect();
    assert_eq!(found, records.iter().map(key_fields).collect::<Vec<_>>());
    assert!(f.store.tokens_by_id(&[]).await.unwrap().is_empty());
}

async fn revocations_round_trip(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let (none, start) = revocations_since(&f.store, LogPosition::default()).await;
    assert!(none.is_empty());
    let cutoff_ms = NOW as u64 * 1000 + 7;
    let all: Vec<_> = [
        RevocationTarget::Token {
            jti: jti(NOW),
            expires_at: NOW + 60,
        },
        RevocationTarget::Client("ci".into()),
        RevocationTarget::User("jo".into()),
        RevocationTarget::Key("k4.pid.x".into()),
        RevocationTarget::Issuer,
    ]
    .into_iter()
    .map(|target| Revocation::new(target, cutoff_ms))
    .collect();
    for revocation in &all {
        f.store
            .revoke(revocation, cutoff_ms, &audit("token.revoke"))
            .await
            .unwrap();
    }
    for from in [LogPosition::default(), start] {
        let (found, next) = revocations_since(&f.store, from).await;
        assert_eq!(found, all);
        assert!(revocations_since(&f.store, next).await.0.len() <= all.len());
    }
    f.store
        .revoke(&all[0], cutoff_ms, &audit("token.revoke"))
        .await
        .expect("revoking again is not an error");
}

async fn changes_are_reported_once(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let start = f.store.changes_position().await.unwrap();
    f.store
        .create_client(&client("a"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    f.store
        .create_client(&client("b"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    f.store
        .update_client(&client("a"), NOW, &audit("client.update"))
        .await
        .unwrap();
    let cut = Revocation::new(RevocationTarget::Issuer, 1);
    f.store
        .revoke(&cut, NOW as u64 * 1000, &audit("revocation.cutoff"))
        .await
        .unwrap();
    f.store
        .ensure_keys(&[key("k1", KeyAlgorithm::EdDsa)], &audit("key.create"))
        .await
        .unwrap();
    let (found, next) = f.store.changes_since(start).await.unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    for change in [Change::Client("a".into()), Change::Client("b".into()), Change::Keys] {
        assert!(found.contains(&change));
    }
    f.store
        .delete_client("b", None, NOW as u64 * 1000, &audit("client.delete"))
        .await
        .unwrap();
    assert!(
        f.store
            .changes_since(next)
            .await
            .unwrap()
            .0
            .contains(&Change::Client("b".into()))
    );
}

async fn concurrent_nodes_create_one_key_per_algorithm(kind: &str) {
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
    let mut answers: Vec<_> = futures_util::future::join_all(tries)
        .await
        .into_iter()
        .map(|a| a.unwrap().unwrap())
        .collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "all nodes see the same keys");
    assert_eq!(answers[0].len(), 2);
    assert_eq!(f.store.keys().await.unwrap(), answers[0]);
    let more = f
        .store
        .ensure_keys(&[key("s", KeyAlgorithm::Es256)], &audit("key.create"))
        .await
        .unwrap();
    assert_eq!(more.len(), 3);
}

async fn maintenance_purges_expired_rows(kind: &str) {
    let f = Fixture::migrated(kind).await;
    // Expired for longer than the retention of one hour.
    let old: Vec<_> = (0..5200).map(|_| token("ci", NOW - 4000, 100)).collect();
    let live = token("ci", NOW, 60);
    let mut writer = f.store.ledger_writer();
    for part in old.chunks(1000) {
        writer.commit(&issue(part)).await.unwrap();
    }
    writer.commit(&issue(std::slice::from_ref(&live))).await.unwrap();
    let day = 24 * 3600;
    for (target, cutoff) in [
        (
            RevocationTarget::Token {
                jti: jti(NOW - 2 * day),
                expires_at: NOW - day,
            },
            NOW,
        ),
        (
            RevocationTarget::Token {
                jti: jti(NOW),
                expires_at: NOW + 60,
            },
            NOW,
        ),
        (RevocationTarget::Issuer, NOW - 32 * day),
        (RevocationTarget::Issuer, NOW - 30 * day),
    ] {
        let revocation = Revocation::new(target, cutoff as u64 * 1000);
        f.store
            .revoke(&revocation, NOW as u64 * 1000, &audit("token.revoke"))
            .await
            .unwrap();
    }
    assert_eq!(f.store.ledger_figures(NOW).await.unwrap().purge_rows_waiting, 5200);
    let done = f.store.maintain(NOW, 3600).await.unwrap();
    assert_eq!(done.tokens_deleted, 5200);
    assert_eq!(done.revocations_deleted, 2);
    assert_eq!(f.store.ledger_figures(NOW).await.unwrap().purge_rows_waiting, 0);
    assert_eq!(revocations_since(&f.store, LogPosition::default()).await.0.len(), 2);
    assert!(f.store.token(live.jti, None).await.unwrap().is_some());
    assert!(f.store.token(old[0].jti, None).await.unwrap().is_none());
    let again = f.store.maintain(NOW, 3600).await.unwrap();
    assert_eq!(
        (
            again.tokens_deleted,
            again.revocations_deleted,
            again.partitions_created
        ),
        (0, 0, 0)
    );
}
