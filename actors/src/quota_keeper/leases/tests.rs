#![allow(clippy::unwrap_used, reason = "tests")]

use oauth2_store::model::Window;

use super::*;

/// The first hour of a month.
const NOW: i64 = 1_796_083_200;

const QUOTAS: Quotas = Quotas {
    hour: None,
    day: Some(100),
    month: None,
};

/// A store with the counts of one client, and what is asked of it.
#[derive(Default)]
struct Store {
    used: u64,
}

impl Store {
    /// Answers everything that is asked now. Returns how much each request wanted.
    fn answer(&mut self, leases: &QuotaLeases) -> Vec<u64> {
        let requests = leases.requests(10);
        let grant = |request: &LeaseRequest| {
            let granted = request.granted(&[self.used; 3]);
            self.used += granted;
            LeaseGrant {
                granted,
                used: [self.used; 3],
                starts: request.starts,
            }
        };
        let grants: Vec<_> = requests.iter().map(grant).collect();
        leases.apply(&requests, Some(&grants));
        requests.iter().map(|request| request.want).collect()
    }
}

async fn reserve(leases: &QuotaLeases, store: &mut Store, now: i64) -> Result<LeasedToken, QuotaError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut reserving = std::pin::pin!(leases.reserve("ci", &QUOTAS, now, deadline));
    loop {
        tokio::select! {
            biased;
            reserved = &mut reserving => return reserved,
            () = leases.are_wanted() => drop(store.answer(leases)),
        }
    }
}

#[tokio::test]
async fn a_quota_is_given_out_whole_and_not_overrun() {
    let (leases, mut store) = (QuotaLeases::default(), Store::default());
    let mut issued = 0;
    let exceeded = loop {
        match reserve(&leases, &mut store, NOW).await {
            Ok(token) => token.keep(),
            Err(error) => break error,
        }
        issued += 1;
        assert!(store.used <= 100 && issued <= 100);
    };
    assert_eq!((issued, store.used, leases.left("ci")), (100, 100, 0));
    let QuotaError::Exceeded { usage, resets_at } = exceeded else {
        panic!("{exceeded:?}");
    };
    assert_eq!((usage[1].used, resets_at), (100, NOW + 86_400));
}

#[tokio::test]
async fn a_token_that_is_not_issued_is_issued_to_another() {
    let (leases, mut store) = (QuotaLeases::default(), Store::default());
    for _ in 0..50 {
        drop(reserve(&leases, &mut store, NOW).await.unwrap());
    }
    assert_eq!((store.used, leases.left("ci")), (1, 1));
    assert_eq!(reserve(&leases, &mut store, NOW).await.unwrap().usage[1].used, 1);
}

#[tokio::test]
async fn what_is_left_of_a_lease_goes_back() {
    let (leases, mut store) = (QuotaLeases::default(), Store::default());
    while leases.left("ci") < 2 {
        reserve(&leases, &mut store, NOW).await.unwrap().keep();
    }
    let left = leases.left("ci");
    assert_eq!(leases.take_returns(false, NOW), [], "it is in use");
    let returned = leases.take_returns(true, NOW);
    let all = Window::ALL.iter().map(|window| (*window, left)).collect::<Vec<_>>();
    assert_eq!(
        returned
            .iter()
            .map(|usage| (usage.window, usage.used))
            .collect::<Vec<_>>(),
        all
    );
    leases.put_back(returned.clone());
    assert_eq!(leases.take_returns(true, NOW), returned, "until the store has taken it");
}

#[tokio::test]
async fn a_lease_ends_with_its_hour() {
    let (leases, mut store) = (QuotaLeases::default(), Store::default());
    while leases.left("ci") < 2 {
        reserve(&leases, &mut store, NOW).await.unwrap().keep();
    }
    let (left, used) = (leases.left("ci"), store.used);
    let before = reserve(&leases, &mut store, NOW + 3599).await.unwrap();
    reserve(&leases, &mut store, NOW + 3600).await.unwrap().keep();
    let returned = leases.take_returns(false, NOW);
    assert!(returned.iter().all(|usage| usage.used == left - 1), "{returned:?}");
    let new = store.used - used;
    assert!(new >= 1, "a new lease");
    drop(before);
    assert_eq!(
        leases.left("ci"),
        new - 1,
        "a token of the last hour is none of this one"
    );
}

#[tokio::test]
async fn requests_fail_at_once_while_the_store_does() {
    let leases = QuotaLeases::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    let failing = async {
        leases.are_wanted().await;
        leases.apply(&leases.requests(10), None);
    };
    let (reserved, ()) = tokio::join!(leases.reserve("ci", &QUOTAS, NOW, deadline), failing);
    assert_eq!(reserved.unwrap_err(), QuotaError::Unknown);
}

#[tokio::test]
async fn all_who_wait_are_served_by_one_request() {
    let (leases, mut store) = (QuotaLeases::default(), Store::default());
    let deadline = Instant::now() + Duration::from_secs(20);
    let six = (0..6).map(|_| leases.reserve("ci", &QUOTAS, NOW, deadline));
    let serve = async {
        leases.are_wanted().await;
        store.answer(&leases)
    };
    let (tokens, wanted) = tokio::join!(futures_util::future::join_all(six), serve);
    assert!(tokens.iter().all(Result::is_ok));
    assert_eq!(wanted, [6]);
}

#[tokio::test]
async fn leases_of_a_clock_that_was_ahead_are_returned() {
    let (leases, mut store) = (QuotaLeases::default(), Store::default());
    let ahead = NOW + 31 * 24 * 3600;
    reserve(&leases, &mut store, ahead).await.unwrap().keep();
    let token = reserve(&leases, &mut store, NOW).await.unwrap();
    let day = token.usage[Window::Day as usize];
    assert_eq!((day.began_at, day.ends_at), (NOW, NOW + 24 * 3600));
    token.keep();
}
