//! Comparisons of what both issuers answered, as pure functions.

use super::issuer::Issuer;
use super::probe::{Observed, Pair};
use super::report::Difference;
use super::token::Token;

mod introspection;
mod metadata;
mod responses;
mod tokens;

/// What both issuers publish.
pub fn issuers(old: &Issuer, new: &Issuer) -> Vec<Difference> {
    metadata::compare(old, new)
}

/// A request with an id that no client has.
pub fn unknown_client(pair: &Pair) -> Vec<Difference> {
    responses::errors("unknown_client", pair)
}

/// The answers for a client.
pub fn client(observed: &Observed, old: &Issuer, new: &Issuer) -> Vec<Difference> {
    let mut found = responses::authentication(observed);
    // Both methods if both issuers accept them: a second token of each shows what differs from token to token.
    let basic = responses::both_issued(&observed.basic);
    let post = responses::both_issued(&observed.post);
    if let Some((first, second)) = basic.zip(post).or(basic.map(|it| (it, it))).or(post.map(|it| (it, it))) {
        let token = |response: &super::http::Response| response.text("access_token").map(Token::decode);
        found.extend(responses::issued(first.0, first.1));
        if let (Some(of_old), Some(of_new)) = (token(first.0), token(first.1)) {
            let again = (token(second.0), token(second.1));
            found.extend(tokens::compare((&of_old, old), (&of_new, new), again));
        }
    }
    for (name, pair) in &observed.errors {
        found.extend(responses::errors(name, pair));
    }
    found.extend(introspection::compare(observed));
    found
}

#[cfg(test)]
mod tests;
