//! Comparisons of what both issuers answered, as pure functions.

use super::issuer::Issuer;
use super::probe::{Observed, Pair};
use super::report::Difference;
use super::token::Token;

mod introspection;
mod metadata;
mod responses;
mod side;
mod times;
mod tokens;

/// Compares what both issuers publish.
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
    // A second token of the old issuer shows what differs from token to token.
    let issued = [Some(&observed.basic), Some(&observed.post), observed.again.as_ref()];
    let mut issued = issued.into_iter().flatten().filter_map(responses::both_issued);
    if let Some(first) = issued.next() {
        found.extend(responses::issued(first.0, first.1));
        if let (Some(of_old), Some(of_new)) = (first.0.text("access_token"), first.1.text("access_token")) {
            let again = issued.next().and_then(|(response, _)| response.text("access_token"));
            found.extend(tokens::compare(
                (of_old, old, first.0.received_at),
                (of_new, new, first.1.received_at),
                again.map(Token::decode).as_ref(),
            ));
        }
    }
    found.extend(responses::not_issued(observed));
    if let Some(pair) = &observed.without_scope {
        found.extend(responses::without_scope(pair));
    }
    for (name, pair) in &observed.errors {
        found.extend(responses::errors(name, pair));
    }
    found.extend(introspection::compare(observed, old, new));
    found
}

#[cfg(test)]
mod tests;
