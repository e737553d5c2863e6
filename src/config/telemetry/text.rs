//! Parsers of URLs and of lists of pairs.

use url::Url;

use crate::config::secret::Secret;

/// The URL of a collector.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let text = text.trim();
    match Url::parse(text) {
        // The scheme in lower case, and the rest as it is.
        Ok(url) if usable(&url) => Ok(format!("{}{}", url.scheme(), &text[url.scheme().len()..])),
        _ => Err(
            "must be an http or https URL without credentials and query, such as http://collector:4317; keys belong into \
             OTEL_EXPORTER_OTLP_HEADERS"
                .to_owned(),
        ),
    }
}

/// `name=value,name=value`; values are percent-encoded.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = || "must be pairs such as name=value, separated by commas, with percent-encoded values".to_owned();
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let name = name.trim();
        if name.is_empty() {
            return Err(wrong());
        }
        Ok((name.to_owned(), decoded(value.trim()).ok_or_else(wrong)?))
    };
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(pair)
        .collect()
}

/// Headers, in the same notation.
pub(super) fn headers(text: &str) -> Result<Vec<(String, Secret)>, String> {
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let is_value = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let header = |(name, value): (String, String)| {
        if is_name(&name) && is_value(&value) {
            Ok((name.to_ascii_lowercase(), Secret::new(value)))
        } else {
            Err("must be headers such as name=value, separated by commas, with percent-encoded values".to_owned())
        }
    };
    pairs(text)?.into_iter().map(header).collect()
}

fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_percent_decoded() {
        let parsed = pairs("a=1, b = x%20y%2Cz ,c=d=e,").unwrap();
        let expected = [("a", "1"), ("b", "x y,z"), ("c", "d=e")];
        assert!(parsed.iter().map(|(k, v)| (&**k, &**v)).eq(expected), "{parsed:?}");
        for wrong in ["a", "=1", "a=%2", "a=%zz", "a=%ff"] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_have_the_characters_of_headers() {
        let parsed = headers("Authorization=Bearer%20abc").unwrap();
        assert_eq!((&*parsed[0].0, parsed[0].1.expose()), ("authorization", "Bearer abc"));
        for wrong in ["a b=1", "a=x%0d%0ab: 1", "\u{e4}=1"] {
            assert!(headers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn collectors_are_http_urls_without_credentials() {
        assert!(endpoint("http://collector:4317").is_ok() && endpoint("https://h/v1/x").is_ok());
        for wrong in ["collector:4317", "grpc://h:1", "http://u:p@h", "http://", "unix:/x"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
