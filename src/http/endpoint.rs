//! How endpoints are declared: each once, by [`endpoints!`](crate::http::endpoint::endpoints).

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use strum::{IntoStaticStr, VariantArray};

/// The listener of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// For clients and verifiers.
    Public,
    /// For operators and monitoring.
    Management,
    /// Both.
    Both,
}

impl Listener {
    /// Whether an endpoint of this listener is served on `listener`.
    pub fn includes(self, listener: Self) -> bool {
        self == Self::Both || self == listener
    }
}

/// A group of endpoints whose responses have the same security headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// JSON for programs: nothing is rendered by a browser.
    Api,
}

impl Surface {
    /// Appends the security headers.
    pub fn append_headers(self, headers: &mut HeaderMap) {
        match self {
            Self::Api => {
                headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                headers.insert(
                    header::CONTENT_SECURITY_POLICY,
                    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
                );
                headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
                headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            }
        }
    }
}

/// A group of endpoints whose errors are counted together: `endpoint` in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Group {
    /// Issues tokens.
    Token,
    /// Introspects tokens, one by one and in batches.
    Introspection,
    /// Revokes tokens.
    Revocation,
    /// Metadata and public keys.
    Metadata,
    /// The admin API.
    Admin,
    /// Health, readiness, metrics, the API document.
    Ops,
    /// Requests that match no endpoint of their listener.
    Other,
}

impl Group {
    /// Every group, in the order of declaration.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whose scripts may use an endpoint from a page of another origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origins {
    /// Nobody's.
    None,
    /// Those of configured origins.
    Configured,
    /// Anybody's.
    Any,
}

/// The parts that a request to an endpoint of the admin API may have besides its path. Others are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// Query parameters.
    Query,
    /// A body.
    Body,
    /// Both.
    QueryAndBody,
}

impl Takes {
    /// Whether it may have query parameters.
    pub fn query(self) -> bool {
        matches!(self, Self::Query | Self::QueryAndBody)
    }

    /// Whether it may have a body.
    pub fn body(self) -> bool {
        matches!(self, Self::Body | Self::QueryAndBody)
    }
}

/// A URL and a method.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// `GET` (which includes `HEAD`), `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: &'static str,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Where it is served.
    pub listener: Listener,
    /// The headers of its responses.
    pub surface: Surface,
    /// Which scripts may use it.
    pub origins: Origins,
    /// What its errors are counted as.
    pub group: Group,
    /// What its requests may have; enforced by the admin API.
    pub takes: Takes,
}

impl Endpoint {
    /// The methods that it takes, for the `Allow` header.
    pub fn allowed_methods(&self) -> &'static [&'static str] {
        match self.method {
            "GET" => &["GET", "HEAD"],
            "POST" => &["POST"],
            "PUT" => &["PUT"],
            "PATCH" => &["PATCH"],
            _ => &["DELETE"],
        }
    }

    /// Whether a path is this endpoint's.
    pub fn matches(&self, path: &str) -> bool {
        if !self.path.contains('{') {
            return self.path == path;
        }
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(w), Some(g)) if matches_segment(w, g) => {}
                _ => return false,
            }
        }
    }
}

/// Whether a segment matches one such as `clients`, `{client_id}` or `tokens:revoke-all`.
fn matches_segment(wanted: &str, given: &str) -> bool {
    wanted == given || (wanted.starts_with('{') && !given.is_empty())
}

/// Declares the endpoints of a module: their table (`ENDPOINTS`), their routes (`configure`) and their part of the API document
/// (`Api`).
///
/// `endpoints! { surface: Api, scope: "", group: Token, Public: POST "/oauth/token" => token::post, origins: Configured; }`: `scope` is the prefix
/// under which the module's routes are mounted. Without `origins`, no script of another origin may use the endpoint. `group` is that
/// of all endpoints of the module, or of one. Without `takes`, an endpoint of the admin API has neither query parameters nor a body.
macro_rules! endpoints {
    (
        surface: $surface:ident, scope: $scope:literal, group: $group:ident,
        $($listener:ident: $method:ident $path:literal => $($handler:ident)::+ $(, origins: $origins:ident)? $(, group: $own:ident)?
            $(, takes: $takes:ident)?;)+
    ) => {
        /// The endpoints of this module.
        pub const ENDPOINTS: &[$crate::http::endpoint::Endpoint] = &[
            $($crate::http::endpoint::Endpoint {
                method: stringify!($method),
                path: $path,
                listener: $crate::http::endpoint::Listener::$listener,
                surface: $crate::http::endpoint::Surface::$surface,
                origins: $crate::http::endpoint::origins!($($origins)?),
                group: $crate::http::endpoint::group!($group $($own)?),
                takes: $crate::http::endpoint::takes!($($takes)?),
            }),+
        ];

        /// Mounts the endpoints that a listener serves.
        pub fn configure(
            config: &mut actix_web::web::ServiceConfig,
            listener: $crate::http::endpoint::Listener,
        ) {
            $(if $crate::http::endpoint::Listener::$listener.includes(listener) {
                let path = $path.strip_prefix($scope).unwrap_or($path);
                let route = $crate::http::endpoint::route(stringify!($method));
                config.route(path, route.to($($handler)::+));
            })+
        }

        /// The endpoints of this module in the API document.
        #[derive(Debug, utoipa::OpenApi)]
        #[openapi(paths($($($handler)::+),+))]
        pub struct Api;
    };
}
pub(crate) use endpoints;

/// The origins of an endpoint, or the default.
macro_rules! origins {
    () => {
        $crate::http::endpoint::Origins::None
    };
    ($origins:ident) => {
        $crate::http::endpoint::Origins::$origins
    };
}
pub(crate) use origins;

/// The group of an endpoint: that of its module, or its own.
macro_rules! group {
    ($module:ident) => {
        $crate::http::endpoint::Group::$module
    };
    ($module:ident $own:ident) => {
        $crate::http::endpoint::Group::$own
    };
}
pub(crate) use group;

/// The parts of the requests of an endpoint, or the default.
macro_rules! takes {
    () => {
        $crate::http::endpoint::Takes::Nothing
    };
    ($takes:ident) => {
        $crate::http::endpoint::Takes::$takes
    };
}
pub(crate) use takes;

/// A route of this method. `GET` includes `HEAD`.
pub fn route(method: &str) -> actix_web::Route {
    use actix_web::{guard, web};
    match method {
        "GET" => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
        "POST" => web::post(),
        "PUT" => web::put(),
        "PATCH" => web::patch(),
        _ => web::delete(),
    }
}
