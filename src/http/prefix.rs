//! The path prefix of the public listener, for a proxy that passes paths on as they came.

use actix_http::Request;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;

/// Removes `prefix` from the path of a request that has it. A path without it stays, for probes that bypass the proxy and for
/// well-known documents, which are at the root of a host (RFC 8414 section 3.1).
pub fn strip(request: &mut Request, prefix: &str) {
    if let Some(uri) = stripped(&request.head().uri, prefix) {
        request.head_mut().uri = uri;
    }
}

fn stripped(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    if !rest.starts_with('/') {
        return None;
    }
    let path = PathAndQuery::try_from(rest).ok()?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_are_removed() {
        let strip = |uri: &str| stripped(&uri.parse().unwrap(), "/a/b").map(|uri| uri.to_string());
        assert_eq!(strip("/a/b/oauth/token?x=/a/b").as_deref(), Some("/oauth/token?x=/a/b"));
        assert_eq!(strip("/a/b/a/b/").as_deref(), Some("/a/b/"));
        assert_eq!(
            strip("http://host:1/a/b/health").as_deref(),
            Some("http://host:1/health")
        );
        for path in ["/a/b", "/a/bc/x", "/A/b/x", "/x/a/b/", "/"] {
            assert_eq!(strip(path), None, "{path}");
        }
    }
}
