//! From which address a request comes, behind proxies too.
//!
//! Only a proxy that is trusted is believed what it says of its own caller, in `X-Forwarded-For` or `Forwarded` (RFC 7239):
//! from the right, the first hop that is not itself a trusted proxy is the client. What stands left of it anybody can have
//! written. Where a proxy sets one of the two headers and passes the other on as it came, the two differ, and neither is
//! believed.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use oauth2_actors::metrics::Label;
use strum::{IntoStaticStr, VariantArray};

/// Why a header that names the client's address was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Ignored {
    /// The peer is not a trusted proxy.
    Untrusted,
    /// A trusted proxy forwarded something that is not a list of addresses; the last hop before it counts.
    Malformed,
    /// `X-Forwarded-For` and `Forwarded` name different clients; the peer counts.
    Contradictory,
}

impl Label for Ignored {
    fn values() -> impl Iterator<Item = &'static str> {
        Self::VARIANTS.iter().map(Into::into)
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The client's address, and why what a header says of it did not count, if it did not.
pub fn of(request: &HttpRequest, trusted: &[IpNet]) -> (IpAddr, Option<Ignored>) {
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    resolve(peer, request.headers(), trusted)
}

fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> (IpAddr, Option<Ignored>) {
    let peer = peer.to_canonical();
    let lines = |name: &str| {
        headers
            .get_all(name)
            .map(|line| line.to_str().unwrap_or("?"))
            .collect::<Vec<_>>()
    };
    let (plain, rfc) = (lines("x-forwarded-for"), lines("forwarded"));
    if plain.is_empty() && rfc.is_empty() {
        return (peer, None);
    }
    if !is_trusted(peer, trusted) {
        return (peer, Some(Ignored::Untrusted));
    }
    let plain = (!plain.is_empty()).then(|| walk(peer, plain_hops(&plain.join(",")), trusted));
    let rfc = (!rfc.is_empty()).then(|| walk(peer, forwarded_hops(&rfc.join(",")), trusted));
    match (plain, rfc) {
        (Some(plain), Some(rfc)) if plain != rfc => (peer, Some(Ignored::Contradictory)),
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => (peer, None),
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// From the peer leftwards over trusted proxies. `None` is a hop that cannot be read.
fn walk(peer: IpAddr, hops: Vec<Option<IpAddr>>, trusted: &[IpNet]) -> (IpAddr, Option<Ignored>) {
    let mut at = peer;
    for hop in hops.into_iter().rev() {
        if !is_trusted(at, trusted) {
            break;
        }
        match hop {
            Some(address) => at = address,
            None => return (at, Some(Ignored::Malformed)),
        }
    }
    (at, None)
}

fn plain_hops(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(|hop| address(hop.trim())).collect()
}

/// The `for` of each element (RFC 7239 section 4), in order.
fn forwarded_hops(line: &str) -> Vec<Option<IpAddr>> {
    let Some(elements) = split_unquoted(line, ',') else {
        return vec![None];
    };
    elements
        .into_iter()
        .map(|element| {
            let mut found = None;
            for pair in split_unquoted(element, ';')? {
                let (name, value) = pair.trim().split_once('=')?;
                if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
                    return None;
                }
            }
            let value = found?;
            // An address needs no escape, so one with an escape is none.
            let value = value
                .strip_prefix('"')
                .map_or(Some(value), |rest| rest.strip_suffix('"'))?;
            address(value)
        })
        .collect()
}

/// Splits where the separator is not inside quotes; `None` when a quote is left open.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(&text[from..at]);
                from = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    (!quoted).then_some(parts)
}

/// An address, in brackets if it is one of IPv6 and has a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let found = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(found.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn address_of(peer: &str, headers: &[(&str, &str)]) -> (String, Option<Ignored>) {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8:1::/48"].map(|net| net.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let (address, ignored) = resolve(peer.parse().unwrap(), &map, &trusted);
        (address.to_string(), ignored)
    }

    #[test]
    fn the_right_most_hop_that_is_not_trusted_is_the_client() {
        let plain = "x-forwarded-for";
        for (peer, headers, expected) in [
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec![(plain, "198.51.100.7")], "198.51.100.7"),
            (
                "10.0.0.1",
                vec![(plain, "1.1.1.1, 198.51.100.7, 10.0.0.2")],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                vec![(plain, "1.1.1.1"), (plain, "198.51.100.7:4711")],
                "198.51.100.7",
            ),
            ("::ffff:10.0.0.1", vec![(plain, "::ffff:198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", vec![(plain, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("2001:db8:1::1", vec![(plain, "[2001:db8:2::9]:80")], "2001:db8:2::9"),
            (
                "10.0.0.1",
                vec![("forwarded", "for=1.1.1.1, For=\"[2001:db8:2::9]:80\";proto=https")],
                "2001:db8:2::9",
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "by=\"a,b;for=9\";for=198.51.100.7")],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=198.51.100.7"), (plain, "198.51.100.7")],
                "198.51.100.7",
            ),
        ] {
            assert_eq!(address_of(peer, &headers), (expected.to_owned(), None), "{headers:?}");
        }
    }

    #[test]
    fn what_cannot_be_believed_is_not() {
        let plain = "x-forwarded-for";
        for (peer, headers, expected, why) in [
            (
                "192.0.2.1",
                vec![(plain, "198.51.100.7")],
                "192.0.2.1",
                Ignored::Untrusted,
            ),
            (
                "192.0.2.1",
                vec![("forwarded", "for=198.51.100.7")],
                "192.0.2.1",
                Ignored::Untrusted,
            ),
            (
                "10.0.0.1",
                vec![(plain, "198.51.100.7, unknown")],
                "10.0.0.1",
                Ignored::Malformed,
            ),
            (
                "10.0.0.1",
                vec![(plain, "garbage, 10.0.0.2")],
                "10.0.0.2",
                Ignored::Malformed,
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=_hidden")],
                "10.0.0.1",
                Ignored::Malformed,
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=\"198.51.100.7")],
                "10.0.0.1",
                Ignored::Malformed,
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=1.1.1.1;for=2.2.2.2")],
                "10.0.0.1",
                Ignored::Malformed,
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "proto=https")],
                "10.0.0.1",
                Ignored::Malformed,
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=1.1.1.1"), (plain, "198.51.100.7")],
                "10.0.0.1",
                Ignored::Contradictory,
            ),
        ] {
            assert_eq!(
                address_of(peer, &headers),
                (expected.to_owned(), Some(why)),
                "{headers:?}"
            );
        }
    }

    proptest! {
        /// Whatever a client writes into the header, what its proxy appends decides.
        #[test]
        fn a_client_cannot_choose_its_address(written in "[ -~]{0,80}", forwarded in "[ -~]{0,80}") {
            let chain = format!("{written}, 198.51.100.7");
            prop_assert_eq!(address_of("10.0.0.1", &[("x-forwarded-for", &chain)]).0, "198.51.100.7");
            let both = address_of("10.0.0.1", &[("x-forwarded-for", &chain), ("forwarded", &forwarded)]).0;
            prop_assert!(both == "198.51.100.7" || both == "10.0.0.1", "{}", both);
            prop_assert_eq!(address_of("192.0.2.1", &[("x-forwarded-for", &written)]).0, "192.0.2.1");
        }
    }
}
