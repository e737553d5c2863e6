//! Quotas, on every backend.

use oauth2_store::model::{LeaseRequest, Quotas, Usage, Window};

use crate::fixture::{Fixture, NOW};

on_both!(
    past_quota_windows_are_purged,
    quotas_are_leased_within_their_limits_and_returned,
    windows_that_began_in_the_future_are_replaced,
);

/// A window that was begun with a clock that was set back since.
async fn windows_that_began_in_the_future_are_replaced(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let now = (f.store.ping().await.unwrap() / 1000) as i64;
    let usage = |client: &str, start, used| Usage {
        client_id: client.to_owned(),
        window: Window::Hour,
        start,
        used,
    };
    let add = async |usage: Usage| f.store.add_quota_usage(&[usage]).await.unwrap();
    for client in ["a", "b"] {
        add(usage(client, now + 7200, 5)).await;
    }
    assert_eq!(add(usage("a", now - 60, 1)).await, [usage("a", now - 60, 1)]);
    assert_eq!(add(usage("a", now - 60, 1)).await, [usage("a", now - 60, 2)]);
    assert_eq!(
        add(usage("a", now - 3660, 1)).await,
        [usage("a", now - 60, 2)],
        "it has ended"
    );
    let request = LeaseRequest {
        client_id: "b".to_owned(),
        want: 1,
        starts: [now - 60; 3],
        quotas: Quotas {
            hour: Some(5),
            ..Quotas::default()
        },
    };
    let granted = &f.store.lease_quota(&[request]).await.unwrap()[0];
    assert_eq!(
        (granted.granted, granted.used, granted.starts),
        (1, [1; 3], [now - 60; 3])
    );
}

async fn past_quota_windows_are_purged(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let usage = |client: usize, window, start| Usage {
        client_id: format!("c{client}"),
        window,
        start,
        used: 1,
    };
    let old: Vec<_> = (0..6000).map(|n| usage(n, Window::Hour, 3600)).collect();
    for chunk in old.chunks(3000) {
        f.store.add_quota_usage(chunk).await.unwrap();
    }
    let now = usage(0, Window::Month, NOW);
    f.store.add_quota_usage(std::slice::from_ref(&now)).await.unwrap();
    assert_eq!(f.store.purge_quota_usage(7200).await.unwrap(), 6000);
    assert_eq!(f.store.quota_usage(None, 10).await.unwrap(), [now]);
}

async fn quotas_are_leased_within_their_limits_and_returned(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let quotas = Quotas {
        hour: Some(160),
        day: Some(100),
        month: None,
    };
    let request = |client: &str, want| LeaseRequest {
        client_id: client.to_owned(),
        want,
        starts: [7200, 0, 0],
        quotas,
    };
    let granted = async |client: &str, want| {
        let grants = f.store.lease_quota(&[request(client, want)]).await.unwrap();
        (grants[0].granted, grants[0].used)
    };
    assert_eq!(granted("a", 4).await, (4, [4; 3]));
    assert_eq!(
        granted("a", 1000).await,
        (6, [10; 3]),
        "a sixteenth of what is left of the day"
    );
    // Several at once, each by its own use.
    let grants = f.store.lease_quota(&[request("b", 2), request("a", 1)]).await.unwrap();
    assert_eq!(grants.iter().map(|grant| grant.granted).collect::<Vec<_>>(), [2, 1]);
    let mut used = 11;
    while granted("a", 1000).await.0 > 0 {
        used = f.store.quota_usage_by_client(&["a".to_owned()]).await.unwrap()[0].used;
        assert!(used <= 100);
    }
    assert_eq!(used, 100, "to the last");
    let back: Vec<_> = Window::ALL
        .iter()
        .zip([7200, 0, 0])
        .map(|(window, start)| Usage {
            client_id: "a".to_owned(),
            window: *window,
            start,
            used: 5,
        })
        .collect();
    f.store.return_quota(&back).await.unwrap();
    assert_eq!(granted("a", 1).await, (1, [96; 3]));
    // Several returns of one window at once.
    let twice = [back[1].clone(), back[1].clone()];
    f.store.return_quota(&twice).await.unwrap();
    let day = f.store.quota_usage_by_client(&["a".to_owned()]).await.unwrap();
    assert_eq!(day.iter().find(|usage| usage.window == Window::Day).unwrap().used, 86);
    // Of a window that has ended: nothing is granted, and nothing is taken back.
    f.store
        .add_quota_usage(&[Usage {
            start: 10_800,
            used: 0,
            ..back[0].clone()
        }])
        .await
        .unwrap();
    let late = f
        .store
        .lease_quota(&[request("a", 1), request("new", 1)])
        .await
        .unwrap();
    assert_eq!(
        (late[0].granted, late[0].starts),
        (0, [10_800, 0, 0]),
        "its clock is behind"
    );
    assert_eq!((late[1].granted, late[1].starts), (1, [7200, 0, 0]));
    f.store.return_quota(&back[..1]).await.unwrap();
    let hour = f.store.quota_usage_by_client(&["a".to_owned()]).await.unwrap();
    let hour = hour.iter().find(|usage| usage.window == Window::Hour).unwrap();
    assert_eq!((hour.start, hour.used), (10_800, 0));
}
