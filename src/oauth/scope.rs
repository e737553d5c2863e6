//! Scope (RFC 6749 section 3.3): what is granted is a subset of what the client may have.

use std::sync::Arc;

use super::error::{Code, Error};

/// Decides the granted scope: all that is allowed when nothing is asked for, else what is asked for, each token once.
pub fn grant(requested: Option<&str>, allowed: &Arc<str>) -> Result<Arc<str>, Error> {
    let Some(requested) = requested.filter(|requested| *requested != &**allowed) else {
        return Ok(Arc::clone(allowed));
    };
    let mut granted: Vec<&str> = Vec::new();
    for token in requested.split(' ') {
        if !is_scope_token(token) {
            return Err(Error::new(Code::InvalidScope, "scope is malformed"));
        }
        if !allowed.split(' ').any(|known| known == token) {
            return Err(Error::new(Code::InvalidScope, "the client may not have this scope"));
        }
        if !granted.contains(&token) {
            granted.push(token);
        }
    }
    Ok(granted.join(" ").into())
}

/// `scope-token` of RFC 6749 appendix A.4: printable ASCII without space, quote and backslash.
pub fn is_scope_token(token: &str) -> bool {
    !token.is_empty()
        && token
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn asking_for_nothing_grants_everything() {
        assert_eq!(&*grant(None, &"read write".into()).unwrap(), "read write");
    }

    #[test]
    fn malformed_or_foreign_scope_is_refused() {
        for bad in ["admin", "read  write", " read", "read\"", "réad", "read\twrite"] {
            assert_eq!(
                grant(Some(bad), &"read write".into()).unwrap_err().code,
                Code::InvalidScope,
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_granted_was_asked_for_and_allowed(
            allowed in prop::collection::vec("[a-d]", 0..4), asked in prop::collection::vec("[a-f]", 1..5),
        ) {
            let text = asked.join(" ");
            if let Ok(granted) = grant(Some(&text), &allowed.join(" ").into()) {
                for token in granted.split(' ') {
                    prop_assert!(asked.iter().any(|a| a == token));
                    prop_assert!(allowed.iter().any(|a| a == token));
                }
            } else {
                prop_assert!(asked.iter().any(|a| !allowed.contains(a)));
            }
        }
    }
}
