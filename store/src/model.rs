//! Plain types shared by services, actor messages and database rows: no behaviour beyond parsing and printing themselves.
//!
//! Times are whole seconds since the Unix epoch (`i64`) unless the name ends in `_ms`.

pub mod audit;
pub mod capacity;
pub mod client;
pub mod cut_off;
pub mod decision;
pub mod group;
pub mod id_clock;
pub mod key;
pub mod key_verifier;
pub mod log;
pub mod page;
pub mod policy;
pub mod quota;
pub mod revocation;
pub mod secret;
pub mod succession;
pub mod token;
pub mod verify_only;

mod names;

pub use audit::{AuditEntry, AuditFilter, AuditPosition, AuditRow, Change};
pub use capacity::{Capacity, Standby};
pub use client::{Client, GrantType};
pub use cut_off::CutOff;
pub use decision::Decision;
pub use group::{GROUP_USAGE_DAYS, Group, GroupLimits, GroupUsage};
pub use id_clock::{Slew, StoreTime};
pub use key::{KeyAlgorithm, KeyRevocation, StoredKey};
pub use key_verifier::{KeyDocument, KeyVerifier, MAX_KEY_VERIFIERS};
pub use page::Page;
pub use policy::{Endpoint, Mode, Period, Policy, Quotas, Rate, RateLimits, StaticClaims};
pub use quota::{ExpiringTokens, LeaseGrant, LeaseRequest, MAX_EXPIRING_ROWS, Usage, Window};
pub use revocation::{Revocation, RevocationTarget};
pub use secret::{ClientSecret, ForeignHash, ReplacedHash, SecretHash, SecretVerifier};
pub use token::{Ledger, LedgerEntry, MAX_TOKEN_LIFETIME, SigningAlg, StoredToken, TokenFormat, TokenRecord, TokenTyp};
pub use verify_only::{KeySet, MAX_VERIFY_ONLY_KEYS, VerifyOnlyKey};
