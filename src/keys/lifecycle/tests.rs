//! Properties of the lifecycle under random sequences of rotations, revocations and waits.

use oauth2_store::model::succession::{Succession, succession};
use proptest::prelude::*;

use super::*;

const ALGORITHM: KeyAlgorithm = KeyAlgorithm::EdDsa;

const STALENESS: Duration = Duration::from_secs(5);

/// A model of the stored keys and the tokens that were signed with them.
struct World {
    now_ms: i64,
    timing: KeyTiming,
    keys: Vec<StoredKey>,
    created: u32,
    max_lifetime: i64,
    /// Key id, expiry (Unix milliseconds), and whether the token is revoked.
    tokens: Vec<(String, i64, bool)>,
    /// Keys that may sign before every verifier knows them: first keys, and replacements of revoked keys.
    signs_immediately: Vec<String>,
}

#[derive(Debug, Clone)]
enum Event {
    Wait(i64),
    Rotate,
    Issue {
        lifetime: i64,
    },
    ApplyDueSteps,
    /// Index of the key, modulo the number of keys.
    Revoke(usize),
}

impl World {
    fn new(timing: KeyTiming) -> Self {
        let mut world = Self {
            now_ms: 1_000_000,
            timing,
            keys: Vec::new(),
            created: 0,
            max_lifetime: 1,
            tokens: Vec::new(),
            signs_immediately: Vec::new(),
        };
        world.apply_due_steps();
        world
    }

    fn key(&mut self, signs_from_ms: i64) -> StoredKey {
        self.created += 1;
        StoredKey {
            kid: format!("k{:03}", self.created),
            algorithm: ALGORITHM,
            public_key: Vec::new(),
            wrapped_private_key: String::new(),
            created_at: self.now_ms,
            signs_from_ms,
            token_lifetime: self.max_lifetime,
            when_seen: false,
        }
    }

    fn add(&mut self, key: StoredKey) {
        if key.signs_from_ms < self.now_ms + self.timing.publication().as_millis() as i64 {
            self.signs_immediately.push(key.kid.clone());
        }
        self.keys.push(key);
        self.keys
            .sort_by_key(|key| (key.signs_from_ms, key.created_at, key.kid.clone()));
    }

    fn apply_due_steps(&mut self) {
        let keys = self.keys.clone();
        for step in due_steps(&keys, &[ALGORITHM], self.now_ms, &self.timing) {
            match step {
                Step::Publish { signs_from_ms, .. } => {
                    let key = self.key(signs_from_ms);
                    self.add(key);
                }
                Step::Remove(key) => {
                    let is_active =
                        |(kid, exp, revoked): &(String, i64, bool)| *kid == key.kid && *exp > self.now_ms && !revoked;
                    assert!(!self.tokens.iter().any(is_active), "{} has active tokens", key.kid);
                    self.keys.retain(|other| other.kid != key.kid);
                }
            }
        }
    }

    fn signer(&self) -> &StoredKey {
        let states = key_states(&self.keys, self.now_ms, &self.timing);
        let mut signing = states.iter().filter(|state| state.phase == Phase::Signing);
        let signer = signing.next().expect("a key signs").key;
        assert!(signing.next().is_none(), "only one key signs");
        signer
    }

    fn issue(&mut self, lifetime: i64) {
        if lifetime > self.max_lifetime {
            // The store raises it before the client with this lifetime can request a token.
            self.max_lifetime = lifetime;
            for key in &mut self.keys {
                key.token_lifetime = key.token_lifetime.max(lifetime);
            }
        }
        let signer = self.signer();
        let published = signer.created_at + self.timing.publication().as_millis() as i64;
        let is_known = published <= self.now_ms || self.signs_immediately.contains(&signer.kid);
        assert!(is_known, "{} signs before every verifier knows it", signer.kid);
        self.tokens
            .push((signer.kid.clone(), self.now_ms + lifetime * 1000, false));
    }

    fn revoke(&mut self, index: usize) {
        let kid = self.keys[index % self.keys.len()].kid.clone();
        let replacement = self.key(self.now_ms);
        let keys = self.keys.clone();
        let revoked = keys.iter().find(|key| key.kid == kid).expect("the key exists");
        self.keys.retain(|key| key.kid != kid);
        match succession(&keys.iter(), revoked, self.now_ms) {
            Succession::None => {}
            Succession::Activate(next) => {
                let next = next.to_owned();
                self.signs_immediately.push(next.clone());
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

    fn check_invariants(&self) {
        self.signer();
        for (kid, exp, revoked) in &self.tokens {
            let is_published = self.keys.iter().any(|key| key.kid == *kid);
            assert!(
                is_published || *revoked || *exp <= self.now_ms,
                "a token of {kid} cannot be verified"
            );
            assert!(!(is_published && *revoked), "{kid} is revoked and published");
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..200_000_i64).prop_map(Event::Wait),
        2 => Just(Event::Rotate),
        4 => (1..100_i64).prop_map(|lifetime| Event::Issue { lifetime }),
        3 => Just(Event::ApplyDueSteps),
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
        let timing = KeyTiming {
            max_age: Duration::from_secs(max_age),
            skew: Duration::from_secs(skew),
            staleness: STALENESS,
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
                Event::ApplyDueSteps => world.apply_due_steps(),
                Event::Revoke(index) => world.revoke(index),
            }
            world.check_invariants();
        }
    }
}

fn key(kid: &str, signs_from_ms: i64) -> StoredKey {
    StoredKey {
        kid: kid.to_owned(),
        algorithm: ALGORITHM,
        public_key: Vec::new(),
        wrapped_private_key: String::new(),
        created_at: 0,
        signs_from_ms,
        token_lifetime: 10,
        when_seen: false,
    }
}

const TIMING: KeyTiming = KeyTiming {
    max_age: Duration::from_secs(4),
    skew: Duration::from_secs(1),
    staleness: STALENESS,
    rotation: Some(Duration::from_secs(100)),
};

#[test]
fn a_key_is_published_then_signs_then_retires() {
    let keys = [key("a", 0), key("b", 50_000)];
    let phases = |now| {
        key_states(&keys, now, &TIMING)
            .iter()
            .map(|state| state.phase)
            .collect::<Vec<_>>()
    };
    assert_eq!(phases(49_999), [Phase::Signing, Phase::Published]);
    assert_eq!(phases(50_000), [Phase::Retired, Phase::Signing]);
    // 10 s token lifetime, 1 s skew, 5 s staleness.
    let kept_until_ms = 50_000 + 10_000 + 1000 + 5000;
    assert_eq!(key_states(&keys, 50_000, &TIMING)[0].kept_until_ms, Some(kept_until_ms));
    assert_eq!(due_steps(&keys, &[ALGORITHM], kept_until_ms, &TIMING), []);
    assert_eq!(
        due_steps(&keys, &[ALGORITHM], kept_until_ms + 1, &TIMING),
        [Step::Remove(&keys[0])]
    );
}

#[test]
fn the_next_key_is_published_before_the_rotation_interval_ends() {
    let keys = [key("a", 0)];
    assert_eq!(due_steps(&keys, &[ALGORITHM], 94_999, &TIMING), []);
    let publish = Step::Publish {
        algorithm: ALGORITHM,
        after_ms: 0,
        signs_from_ms: 100_000,
    };
    assert_eq!(due_steps(&keys, &[ALGORITHM], 95_000, &TIMING), [publish]);
    let manual = KeyTiming {
        rotation: None,
        ..TIMING
    };
    assert_eq!(due_steps(&keys, &[ALGORITHM], i64::MAX / 2, &manual), []);
    assert_eq!(
        due_steps(&keys, &[], 95_000, &TIMING),
        [],
        "no client uses the algorithm"
    );
}

#[test]
fn removals_come_before_new_keys() {
    let keys = [key("a", 0), key("b", 1000)];
    let publish = Step::Publish {
        algorithm: ALGORITHM,
        after_ms: 1000,
        signs_from_ms: 205_000,
    };
    assert_eq!(
        due_steps(&keys, &[ALGORITHM], 200_000, &TIMING),
        [Step::Remove(&keys[0]), publish]
    );
}

#[test]
fn a_rotation_that_needs_too_many_keys_is_detected() {
    // 63 keys of 100 s each, minus 5 s publication and 6 s grace.
    assert!(
        !TIMING.exceeds_key_limit(Duration::from_secs(6288)) && TIMING.exceeds_key_limit(Duration::from_secs(6289))
    );
    let manual = KeyTiming {
        rotation: None,
        ..TIMING
    };
    assert!(!manual.exceeds_key_limit(Duration::from_secs(1_000_000)));
}
