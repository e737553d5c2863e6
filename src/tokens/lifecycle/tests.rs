//! Whatever happens to keys, in whatever order: what a verifier relies on holds.

use oauth2_actors::model::KeyRevocation;
use oauth2_actors::model::succession::{Succession, succession};
use proptest::prelude::*;

use super::*;

const ALGORITHM: KeyAlgorithm = KeyAlgorithm::EdDsa;

/// A store of keys, the nodes before it, and what they have signed.
struct World {
    now_ms: i64,
    timing: Timing,
    keys: Vec<StoredKey>,
    made: u32,
    longest_life: i64,
    /// Key, expiry, and whether it was revoked.
    tokens: Vec<(String, i64, bool)>,
    /// Keys that signed although nobody may have known them: first of their kind, or in an emergency.
    unannounced: Vec<String>,
}

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    Wait(i64),
    Rotate,
    Issue {
        lifetime: i64,
    },
    Upkeep,
    /// A key by its place.
    Revoke(usize),
}

impl World {
    fn new(timing: Timing) -> Self {
        let mut world = Self {
            now_ms: 1_000_000,
            timing,
            keys: Vec::new(),
            made: 0,
            longest_life: 1,
            tokens: Vec::new(),
            unannounced: Vec::new(),
        };
        world.upkeep();
        world
    }

    fn key(&mut self, signs_from_ms: i64) -> StoredKey {
        self.made += 1;
        StoredKey {
            kid: format!("k{:03}", self.made),
            algorithm: ALGORITHM,
            public_key: Vec::new(),
            sealed_private_key: String::new(),
            created_at: self.now_ms,
            signs_from_ms,
            token_lifetime: self.longest_life,
        }
    }

    fn add(&mut self, key: StoredKey) {
        if key.signs_from_ms < self.now_ms + self.timing.publication().as_millis() as i64 {
            self.unannounced.push(key.kid.clone());
        }
        self.keys.push(key);
        self.keys
            .sort_by_key(|key| (key.signs_from_ms, key.created_at, key.kid.clone()));
    }

    fn upkeep(&mut self) {
        let keys = self.keys.clone();
        for step in steps(&keys, &[ALGORITHM], self.now_ms, &self.timing) {
            match step {
                Step::Make { signs_from_ms, .. } => {
                    let key = self.key(signs_from_ms);
                    self.add(key);
                }
                Step::Remove(key) => {
                    let alive =
                        |(kid, exp, revoked): &(String, i64, bool)| *kid == key.kid && *exp > self.now_ms && !revoked;
                    assert!(!self.tokens.iter().any(alive), "{} still has tokens", key.kid);
                    self.keys.retain(|other| other.kid != key.kid);
                }
            }
        }
    }

    fn signer(&self) -> &StoredKey {
        let standings = standings(&self.keys, self.now_ms, &self.timing);
        let mut signing = standings.iter().filter(|standing| standing.phase == Phase::Signing);
        let signer = signing.next().expect("somebody signs").key;
        assert!(signing.next().is_none(), "one signs");
        signer
    }

    fn issue(&mut self, lifetime: i64) {
        if lifetime > self.longest_life {
            // As the store does it, before the client that lives by it can ask.
            self.longest_life = lifetime;
            for key in &mut self.keys {
                key.token_lifetime = key.token_lifetime.max(lifetime);
            }
        }
        let signer = self.signer();
        let published = signer.created_at + self.timing.publication().as_millis() as i64;
        let announced = published <= self.now_ms || self.unannounced.contains(&signer.kid);
        assert!(announced, "{} signs before verifiers may know it", signer.kid);
        self.tokens
            .push((signer.kid.clone(), self.now_ms + lifetime * 1000, false));
    }

    fn revoke(&mut self, place: usize) {
        let kid = self.keys[place % self.keys.len()].kid.clone();
        let replacement = self.key(self.now_ms);
        let revocation = KeyRevocation {
            kid: kid.clone(),
            now_ms: self.now_ms as u64,
            replacement: replacement.clone(),
        };
        let next = succession(&self.keys, &revocation).expect("it is there");
        self.keys.retain(|key| key.kid != kid);
        match next {
            Succession::None => {}
            Succession::Promote(next) => {
                self.unannounced.push(next.clone());
                for key in &mut self.keys {
                    if key.kid == next {
                        key.signs_from_ms = self.now_ms;
                    }
                }
                self.keys
                    .sort_by_key(|key| (key.signs_from_ms, key.created_at, key.kid.clone()));
            }
            Succession::Replace => self.add(replacement),
        }
        for (signer, _, revoked) in &mut self.tokens {
            *revoked |= *signer == kid;
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        self.signer();
        for (kid, exp, revoked) in &self.tokens {
            let known = self.keys.iter().any(|key| key.kid == *kid);
            assert!(
                known || *revoked || *exp <= self.now_ms,
                "a token of {kid} cannot be verified"
            );
            assert!(!(known && *revoked), "{kid} is revoked and published");
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..200_000_i64).prop_map(Event::Wait),
        2 => Just(Event::Rotate),
        4 => (1..100_i64).prop_map(|lifetime| Event::Issue { lifetime }),
        3 => Just(Event::Upkeep),
        1 => any::<usize>().prop_map(Event::Revoke),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_token_can_be_verified_until_it_expires(
        max_age in 0..30_u64, skew in 0..5_u64, rotation in prop::option::of(40..400_u64),
        events in prop::collection::vec(event(), 1..120),
    ) {
        let timing = Timing {
            max_age: Duration::from_secs(max_age),
            skew: Duration::from_secs(skew),
            rotation: rotation.map(Duration::from_secs),
        };
        let mut world = World::new(timing);
        for event in events {
            match event {
                Event::Wait(ms) => world.now_ms += ms,
                Event::Rotate => {
                    let key = world.key(world.now_ms + world.timing.publication().as_millis() as i64);
                    world.add(key);
                }
                Event::Issue { lifetime } => world.issue(lifetime),
                Event::Upkeep => world.upkeep(),
                Event::Revoke(place) => world.revoke(place),
            }
            world.check();
        }
    }
}

fn key(kid: &str, signs_from_ms: i64) -> StoredKey {
    StoredKey {
        kid: kid.to_owned(),
        algorithm: ALGORITHM,
        public_key: Vec::new(),
        sealed_private_key: String::new(),
        created_at: 0,
        signs_from_ms,
        token_lifetime: 10,
    }
}

const TIMING: Timing = Timing {
    max_age: Duration::from_secs(4),
    skew: Duration::from_secs(1),
    rotation: Some(Duration::from_secs(100)),
};

#[test]
fn a_key_goes_through_its_phases() {
    let keys = [key("a", 0), key("b", 50_000)];
    let phases = |now| {
        standings(&keys, now, &TIMING)
            .iter()
            .map(|standing| standing.phase)
            .collect::<Vec<_>>()
    };
    assert_eq!(phases(49_999), [Phase::Signing, Phase::Published]);
    assert_eq!(phases(50_000), [Phase::Retired, Phase::Signing]);
    // 10 s that its last token lives, 1 s of skew, 5 s that a node may be without news.
    let kept = 50_000 + 10_000 + 1000 + 5000;
    assert_eq!(standings(&keys, 50_000, &TIMING)[0].kept_until_ms, Some(kept));
    assert_eq!(steps(&keys, &[ALGORITHM], kept, &TIMING), []);
    assert_eq!(steps(&keys, &[ALGORITHM], kept + 1, &TIMING), [Step::Remove(&keys[0])]);
}

#[test]
fn an_old_signer_is_followed_in_time() {
    let keys = [key("a", 0)];
    assert_eq!(steps(&keys, &[ALGORITHM], 94_999, &TIMING), []);
    let make = Step::Make {
        algorithm: ALGORITHM,
        after_ms: 0,
        signs_from_ms: 100_000,
    };
    assert_eq!(steps(&keys, &[ALGORITHM], 95_000, &TIMING), [make]);
    let never = Timing {
        rotation: None,
        ..TIMING
    };
    assert_eq!(steps(&keys, &[ALGORITHM], i64::MAX / 2, &never), []);
    assert_eq!(steps(&keys, &[], 95_000, &TIMING), [], "nobody signs with it");
}

#[test]
fn what_goes_makes_room_for_what_comes() {
    let keys = [key("a", 0), key("b", 1000)];
    let make = Step::Make {
        algorithm: ALGORITHM,
        after_ms: 1000,
        signs_from_ms: 205_000,
    };
    assert_eq!(
        steps(&keys, &[ALGORITHM], 200_000, &TIMING),
        [Step::Remove(&keys[0]), make]
    );
}

#[test]
fn a_rotation_that_cannot_be_kept_up_is_known() {
    // 63 keys of 100 s each, less 5 s of publication and 6 s of grace.
    assert!(!TIMING.crowds(Duration::from_secs(6288)) && TIMING.crowds(Duration::from_secs(6289)));
    let never = Timing {
        rotation: None,
        ..TIMING
    };
    assert!(!never.crowds(Duration::from_secs(1_000_000)));
}
