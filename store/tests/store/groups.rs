//! Groups of clients, on every backend.

use oauth2_store::StoreError;
use oauth2_store::model::{Change, Client, Group, GroupLimits, GroupUsage, Quotas};

use crate::fixture::{Fixture, NOW, audit, client, issue, token};

on_both!(
    limits_of_groups_round_trip_and_are_reported,
    usage_of_groups_is_added_up,
    groups_with_the_most_unexpired_tokens_are_found,
);

fn limits(day: u64) -> GroupLimits {
    GroupLimits {
        quotas: Quotas {
            day: Some(day),
            ..Quotas::default()
        },
        ..serde_json::from_str(r#"{"rate_limits": {"token": "100/s:200"}, "quota_mode": "observe"}"#).unwrap()
    }
}

async fn limits_of_groups_round_trip_and_are_reported(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let seen = f.store.changes_position().await.unwrap();
    let mut group = Group::new("acme", limits(5), NOW);
    let update = audit("group.update");
    let put = async |group: &Group, before: Option<&Group>| f.store.put_group(group, before, &update).await;
    put(&group, None).await.unwrap();
    let other = Group::new("Zeta", GroupLimits::default(), NOW);
    put(&other, None).await.unwrap();
    let first = std::mem::replace(&mut group, Group::new("acme", limits(7), NOW + 1));
    put(&group, Some(&first)).await.unwrap();
    for before in [None, Some(&first)] {
        let raced = put(&first, before).await;
        assert!(matches!(raced, Err(StoreError::Conflict(_))), "{raced:?}");
    }
    let raced = f.store.delete_group(&first, NOW, &update).await;
    assert!(matches!(raced, Err(StoreError::Conflict(_))), "{raced:?}");
    let zeta = other.clone();
    assert_eq!(f.store.groups().await.unwrap(), [other, group.clone()]);
    assert_eq!(f.store.group("acme").await.unwrap(), Some(group.clone()));
    assert_eq!(f.store.group("nobody").await.unwrap(), None);
    let (changes, seen) = f.store.changes_since(seen).await.unwrap();
    assert_eq!(changes, [Change::Groups]);

    let remove = audit("group.delete");
    assert!(f.store.delete_group(&zeta, NOW, &remove).await.unwrap());
    assert!(!f.store.delete_group(&zeta, NOW, &remove).await.unwrap());
    let raced = put(&zeta, Some(&zeta)).await;
    assert!(matches!(raced, Err(StoreError::Conflict(_))), "{raced:?}");
    assert_eq!(f.store.groups().await.unwrap(), [group]);
    let (changes, _) = f.store.changes_since(seen).await.unwrap();
    assert_eq!(changes, [Change::Groups]);
}

async fn usage_of_groups_is_added_up(kind: &str) {
    const DAY: i64 = 86_400;
    let f = Fixture::migrated(kind).await;
    let usage = |day, group: &str, tokens| GroupUsage {
        day,
        group: group.into(),
        tokens,
    };
    let add = async |usages: &[GroupUsage]| f.store.add_group_usage(usages).await.unwrap();
    add(&[usage(0, "b", 1), usage(0, "a", 2), usage(DAY, "a", 3)]).await;
    add(&[usage(0, "a", 10)]).await;
    let of_first_day = [usage(0, "a", 12), usage(0, "b", 1)];
    assert_eq!(f.store.group_usage(0..DAY, None).await.unwrap(), of_first_day);
    assert_eq!(
        f.store.group_usage(0..DAY, Some("b")).await.unwrap(),
        [usage(0, "b", 1)]
    );
    assert_eq!(f.store.purge_group_usage(DAY).await.unwrap(), 2);
    assert_eq!(
        f.store.group_usage(0..2 * DAY, None).await.unwrap(),
        [usage(DAY, "a", 3)]
    );
}

async fn groups_with_the_most_unexpired_tokens_are_found(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for (id, group) in [
        ("one", Some("acme")),
        ("two", Some("acme")),
        ("three", Some("beta")),
        ("four", None),
    ] {
        let client = Client {
            group: group.map(Into::into),
            ..client(id)
        };
        f.store
            .create_client(&client, 0, &audit("client.create"))
            .await
            .unwrap();
    }
    let tokens: Vec<_> = [("one", 1), ("two", 2), ("three", 2), ("four", 9)]
        .into_iter()
        .flat_map(|(id, count)| (0..count).map(move |_| token(id, NOW, 600)))
        .collect();
    f.store.ledger_writer().commit(&issue(&tokens)).await.unwrap();
    let top = f.store.top_groups(NOW, 10).await.unwrap();
    assert_eq!(top, [("acme".to_owned(), 3), ("beta".to_owned(), 2)]);
    assert_eq!(f.store.top_groups(NOW, 1).await.unwrap().len(), 1);
    let of_acme = f.store.top_clients(NOW, 10, Some("acme")).await.unwrap();
    assert_eq!(of_acme, [("two".to_owned(), 2), ("one".to_owned(), 1)]);
    assert_eq!(
        f.store.top_clients(NOW, 1, None).await.unwrap(),
        [("four".to_owned(), 9)]
    );
}
