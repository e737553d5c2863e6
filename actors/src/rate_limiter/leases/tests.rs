#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn leases() -> Leases {
    let leases = Leases::new(&IssuerKey::new([1; 32], None), CountNodes::by(|| 3), Arc::default());
    leases.set_down(false);
    leases
}

fn take(leases: &Leases, rate: &str, cost: u32) -> Taken {
    let cost = NonZeroU32::new(cost).unwrap();
    leases.take("ci", Endpoint::Token, rate.parse().unwrap(), cost)
}

fn ask(leases: &Leases, rate: &str, cost: u32) -> Bucket {
    match take(leases, rate, cost) {
        Taken::Ask(bucket) => bucket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lease_is_a_tenth_of_a_second_and_of_the_burst_at_most() {
    for (rate, size) in [
        ("1000/s", 100),
        ("1000/s:50", 5),
        ("100/m", 1),
        ("1/h", 1),
        ("600000/m", 1000),
    ] {
        assert_eq!(lease_size(rate.parse().unwrap()), size, "{rate}");
    }
}

#[test]
fn what_was_leased_is_spent_without_asking() {
    let leases = leases();
    let bucket = ask(&leases, "100/s", 1);
    assert_eq!(bucket.want, 10);
    let grant = Grant {
        granted: 10,
        remaining: 90,
        wait: Duration::ZERO,
        full_at: 7,
        refill: Duration::from_millis(100),
    };
    leases.keep(bucket.key, &grant, 9);
    for left in (0..9).rev() {
        let Taken::Spent(spent) = take(&leases, "100/s", 1) else {
            panic!("{left}");
        };
        assert_eq!((spent.remaining, spent.wait), (90 + left, None));
    }
    assert_eq!(ask(&leases, "100/s", 1).full_at, 7, "Redis gets what is known");
    assert_eq!(ask(&leases, "100/s", 500).cost.get(), 100, "more than the bucket holds");
    assert_ne!(
        ask(&leases, "200/s", 1).names,
        bucket.names,
        "another rate is another bucket"
    );
}

/// The steps of a change of the key encryption key: nodes of two steps that follow each other have a name in common.
#[test]
fn a_bucket_has_a_name_by_each_key() {
    let steps = [
        ([1; 32], None),
        ([1; 32], Some([2; 32])),
        ([2; 32], Some([1; 32])),
        ([2; 32], None),
    ];
    let names = steps.map(|(current, previous)| {
        let leases = Leases::new(&IssuerKey::new(current, previous), CountNodes::by(|| 3), Arc::default());
        leases.set_down(false);
        ask(&leases, "100/s", 1).names
    });
    assert_eq!(names[1], [names[0][0].clone(), names[3][0].clone()]);
    assert_eq!(names[2], [names[3][0].clone(), names[0][0].clone()]);
}

#[test]
fn the_next_lease_is_asked_for_when_half_is_spent() {
    let leases = leases();
    let bucket = ask(&leases, "200/s", 1);
    let grant = Grant {
        granted: 20,
        remaining: 180,
        wait: Duration::ZERO,
        full_at: 7,
        refill: Duration::from_millis(100),
    };
    leases.keep(bucket.key, &grant, 20);
    let asked = (0..20).filter(|_| matches!(take(&leases, "200/s", 1), Taken::Low(..)));
    assert_eq!(asked.count(), 1, "once");
    leases.keep(bucket.key, &grant, 20);
    assert!(!matches!(take(&leases, "200/s", 1), Taken::Low(..)));
}

#[test]
fn an_empty_bucket_is_not_asked_again_at_once() {
    let leases = leases();
    let grant = Grant {
        granted: 0,
        remaining: 0,
        wait: Duration::from_secs(5),
        full_at: 7,
        refill: Duration::from_mins(1),
    };
    leases.keep(ask(&leases, "1/m", 1).key, &grant, 0);
    let Taken::Spent(Spent { wait: Some(wait), .. }) = take(&leases, "1/m", 1) else {
        panic!("it was asked");
    };
    assert!(
        wait > Duration::from_secs(4),
        "{wait:?}: until the bucket holds one again"
    );
}
