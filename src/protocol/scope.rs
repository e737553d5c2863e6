//! Scope (RFC 6749 section 3.3): the granted scope is a subset of the client's.

use std::sync::Arc;

use super::error::{ErrorCode, OAuthError};

/// The scope of a token: the requested scopes without duplicates, if all of them are registered for the client; without a requested
/// scope, all registered scopes. [`ErrorCode::InvalidScope`] if a scope is malformed or not registered.
pub fn granted(requested: Option<&str>, allowed: &Arc<str>) -> Result<Arc<str>, OAuthError> {
    let Some(requested) = requested.filter(|requested| *requested != &**allowed) else {
        return Ok(Arc::clone(allowed));
    };
    let mut granted: Vec<&str> = Vec::new();
    for token in requested.split(' ') {
        if !is_scope_token(token) {
            return Err(OAuthError::new(ErrorCode::InvalidScope, "scope is malformed"));
        }
        if !allowed.split(' ').any(|known| known == token) {
            return Err(OAuthError::new(
                ErrorCode::InvalidScope,
                "scope is not registered for this client",
            ));
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
    fn request_without_scope_gets_all_registered_scopes() {
        assert_eq!(&*granted(None, &"read write".into()).unwrap(), "read write");
    }

    #[test]
    fn malformed_or_unregistered_scopes_are_rejected() {
        for bad in ["admin", "read  write", " read", "read\"", "réad", "read\twrite"] {
            assert_eq!(
                granted(Some(bad), &"read write".into()).unwrap_err().code,
                ErrorCode::InvalidScope,
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn granted_scopes_were_requested_and_registered(
            allowed in prop::collection::vec("[a-d]", 0..4), requested in prop::collection::vec("[a-f]", 1..5),
        ) {
            let text = requested.join(" ");
            if let Ok(granted) = granted(Some(&text), &allowed.join(" ").into()) {
                for token in granted.split(' ') {
                    prop_assert!(requested.iter().any(|a| a == token));
                    prop_assert!(allowed.iter().any(|a| a == token));
                }
            } else {
                prop_assert!(requested.iter().any(|a| !allowed.contains(a)));
            }
        }
    }
}
