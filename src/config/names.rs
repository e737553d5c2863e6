//! Lists of host names and origins, and the path prefix.

use url::Url;

/// Host names, separated by commas: `name`, `*.suffix`, or `*`; in lower case.
pub fn hosts(text: &str) -> Result<Vec<String>, String> {
    let host = |part: &str| {
        let name = part.trim().to_ascii_lowercase();
        let labels = name.strip_prefix("*.").unwrap_or(&name);
        let valid = !labels.is_empty()
            && labels.split('.').all(|label| !label.is_empty())
            && labels
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if valid || name == "*" {
            Ok(name)
        } else {
            Err("must be host names without port, separated by commas, such as oauth2, *.svc.cluster.local".to_owned())
        }
    };
    text.split(',').map(host).collect()
}

/// Origins, separated by commas, as browsers write them in the `Origin` header.
pub fn origins(text: &str) -> Result<Vec<String>, String> {
    let origin = |part: &str| {
        let part = part.trim();
        if part == "*" {
            return Err("must name each origin: any page could request tokens otherwise".to_owned());
        }
        let exact = |url: Url| match url.scheme() {
            "http" | "https" => url.origin().ascii_serialization() == part,
            // Of applications, such as `capacitor://localhost`.
            scheme => part == format!("{scheme}://{}", url.host_str().unwrap_or_default()),
        };
        if part.contains("://") && !part.contains('*') && Url::parse(part).is_ok_and(exact) {
            Ok(part.to_owned())
        } else {
            Err("must be origins separated by commas, as browsers send them, such as https://app.example".to_owned())
        }
    };
    text.split(',').map(origin).collect()
}

/// A path that begins with `/` and does not end with it.
pub fn path_prefix(text: &str) -> Result<String, String> {
    let segments = text.strip_prefix('/').unwrap_or_default();
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | ".." | ".well-known")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte))
    };
    if segments.split('/').all(plain) {
        Ok(text.to_owned())
    } else {
        Err("must be a path that begins with / and does not end with it, such as /auth".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_no_port() {
        let parsed = hosts("Oauth2, *.Svc.cluster.local,a_b-c").unwrap();
        assert_eq!(parsed, ["oauth2", "*.svc.cluster.local", "a_b-c"]);
        assert_eq!(hosts("*").unwrap(), ["*"]);
        for wrong in ["a:8081", "http://a", "", "a,,b", "a..b", "*a", "a.*", "*.", ".a"] {
            assert!(hosts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn origins_are_exact() {
        let parsed = origins("https://app.example, http://localhost:3000,capacitor://localhost").unwrap();
        assert_eq!(
            parsed,
            ["https://app.example", "http://localhost:3000", "capacitor://localhost"]
        );
        for wrong in [
            "*",
            "null",
            "https://app.example/",
            "https://app.example:443",
            "https://App.example",
            "app.example",
            "https://*.example",
            "https://a.example,",
            "https://user@a.example",
        ] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_a_path() {
        for right in ["/auth", "/a/b-c", "/a%20b"] {
            assert_eq!(path_prefix(right).unwrap(), right);
        }
        for wrong in [
            "",
            "/",
            "auth",
            "/auth/",
            "//auth",
            "/a/../b",
            "/a?b",
            "/a b",
            "/.well-known",
            "https://a/b",
        ] {
            assert!(path_prefix(wrong).is_err(), "{wrong}");
        }
    }
}
