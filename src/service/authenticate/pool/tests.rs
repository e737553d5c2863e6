use std::time::Duration;

use oauth2_actors::error::AskError;
use tokio::time::timeout;

use super::*;
use crate::protocol::client_auth::foreign_hash::{Imported, import};

/// The hash of "hunter2" with a cost of 4, and a hash that nobody can compute in a test.
const CHEAP: &str = "$2a$04$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";
const DEAR: &str = "$2a$13$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";

fn hash(text: &str) -> ForeignHash {
    match import(text, None) {
        Ok(Imported::Foreign(hash)) => hash,
        other => panic!("{other:?}"),
    }
}

fn begin(pool: &Pool, client: &str, number: u8, is_over_limit: bool, text: &str) -> Result<Verification, AskError> {
    let presented = Presented {
        key: [number; 32],
        client_id: &Arc::from(client),
        secret: "hunter2",
        is_over_limit,
    };
    pool.verify(&presented, || Some(hash(text)))
}

async fn ended(verification: Verification) -> Option<bool> {
    match verification {
        Verification::Known(known) => Some(known),
        Verification::Joined(mut outcome) | Verification::Began(mut outcome) => {
            let wait = outcome.wait_for(Option::is_some);
            timeout(Duration::from_secs(30), wait)
                .await
                .unwrap()
                .map_or(None, |found| *found)
        }
    }
}

#[tokio::test]
async fn a_secret_is_verified_once_and_remembered() {
    let pool = Pool::new(1);
    let first = begin(&pool, "ci", 1, false, CHEAP).unwrap();
    assert!(matches!(first, Verification::Began(_)));
    assert_eq!(ended(first).await, Some(true));
    assert!(matches!(
        begin(&pool, "ci", 1, false, CHEAP),
        Ok(Verification::Known(true))
    ));
    assert_eq!(pool.known(&[1; 32]), Some(true));
    pool.forget(&[1; 32]);
    assert_eq!(pool.known(&[1; 32]), None);
    assert!(matches!(
        begin(&pool, "ci", 1, false, CHEAP),
        Ok(Verification::Began(_))
    ));
}

#[tokio::test]
async fn one_client_cannot_fill_the_queue() {
    let pool = Pool::new(1);
    for number in 0..PER_CLIENT as u8 {
        assert!(matches!(
            begin(&pool, "ci", number, false, DEAR),
            Ok(Verification::Began(_))
        ));
    }
    assert!(matches!(
        begin(&pool, "ci", 0, false, DEAR),
        Ok(Verification::Joined(_))
    ));
    assert!(matches!(begin(&pool, "ci", 99, false, DEAR), Err(AskError::Full)));
    assert!(matches!(
        begin(&pool, "other", 100, false, DEAR),
        Ok(Verification::Began(_))
    ));
    assert!(
        matches!(begin(&pool, "other", 101, true, DEAR), Err(AskError::Full)),
        "one over the limit"
    );
    assert!(matches!(
        begin(&pool, "third", 102, true, DEAR),
        Ok(Verification::Began(_))
    ));
    assert_eq!(pool.len(), PER_CLIENT + 2);
}

#[tokio::test]
async fn attempts_over_the_limit_wait_for_all_others() {
    let pool = Pool::new(1);
    let dear = DEAR.replace("$13$", "$12$");
    let running = begin(&pool, "ci", 0, false, &dear).unwrap();
    let over: Vec<_> = (1..9)
        .map(|number| begin(&pool, &format!("flooded{number}"), number, true, &dear).unwrap())
        .collect();
    assert!(
        matches!(begin(&pool, "flooded", 9, true, &dear), Err(AskError::Full)),
        "they have half as many places"
    );
    let other = begin(&pool, "other", 10, false, CHEAP).unwrap();
    assert_eq!((ended(running).await, ended(other).await), (Some(false), Some(true)));
    // The thread may have begun with the first before it saw the other.
    let begun = (1..9).filter(|number| pool.known(&[*number; 32]).is_some()).count();
    assert!(begun <= 1, "{begun}");
    let first = over.into_iter().next().unwrap();
    assert_eq!(ended(first).await, Some(false), "it is verified nevertheless");
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let pool = Pool::new(1);
    let fill = |number: u8| begin(&pool, &format!("c{number}"), number, false, DEAR).is_ok();
    let begun = (0..100).filter(|number| fill(*number)).count();
    // The thread may have taken one from the queue meanwhile.
    assert!((QUEUE..=QUEUE + 2).contains(&begun), "{begun}");
}
