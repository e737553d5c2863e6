//! The requests that both issuers get for a client.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded::byte_serialize;

use super::http::{Http, Request, Response};
use super::issuer::Issuer;
use super::sample::SampledClient;

/// A response, or why there is none.
pub type Answer = Result<Response, String>;

/// A secret that no client has. It has the length of a generated one, so that no server rejects it by its form.
const WRONG_SECRET: &str = "migrate-check-sends-this-wrong-secret-on-purpose";
const UNKNOWN_CLIENT: &str = "migrate-check-unknown-client";
const UNKNOWN_GRANT: &str = "urn:example:migrate-check:unsupported";
const UNKNOWN_SCOPE: &str = "migrate-check-unknown-scope";

/// The answers of both issuers.
#[derive(Debug)]
pub struct Pair {
    /// The answer of the old issuer.
    pub old: Answer,
    /// The answer of the new issuer.
    pub new: Answer,
}

/// What was observed for a client.
#[derive(Debug)]
pub struct Observed {
    /// Token requests with `client_secret_basic`.
    pub basic: Pair,
    /// Token requests with `client_secret_post`.
    pub post: Pair,
    /// Requests that must fail, by name; empty for most clients.
    pub errors: Vec<(&'static str, Pair)>,
    /// Each issuer's introspection of its own token. `None`: it has no such endpoint, or issued none.
    pub introspection: Option<Pair>,
    /// The new issuer's introspection of the old issuer's token.
    pub old_at_new: Option<Answer>,
    /// The old issuer's introspection of the new issuer's token.
    pub new_at_old: Option<Answer>,
}

/// A request with an id that no client has, at both issuers.
pub async fn unknown_client(http: &impl Http, old: &Issuer, new: &Issuer) -> Pair {
    let parameters = [("grant_type", "client_credentials")];
    let authorization = basic(UNKNOWN_CLIENT, WRONG_SECRET);
    both(http, old, new, Some(&authorization), &parameters).await
}

/// All requests of a client.
pub async fn client(
    http: &impl Http,
    old: &Issuer,
    new: &Issuer,
    client: &SampledClient,
    with_errors: bool,
) -> Observed {
    let authorization = basic(&client.client_id, &client.secret);
    let wrong = basic(&client.client_id, WRONG_SECRET);
    let right = Some(&*authorization);
    let targets = [
        ("scope", &client.scope),
        ("audience", &client.audience),
        ("resource", &client.resource),
    ];
    let targets = targets
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let mut parameters = vec![("grant_type", "client_credentials")];
    parameters.extend(targets);
    let by_basic = both(http, old, new, right, &parameters).await;
    let mut in_body = parameters.clone();
    in_body.extend([("client_id", &*client.client_id), ("client_secret", &*client.secret)]);
    let by_post = both(http, old, new, None, &in_body).await;
    let mut errors = Vec::new();
    if with_errors {
        let mut of_other_grant = parameters.clone();
        of_other_grant[0].1 = UNKNOWN_GRANT;
        let mut of_other_scope: Vec<_> = parameters
            .iter()
            .copied()
            .filter(|(name, _)| *name != "scope")
            .collect();
        of_other_scope.push(("scope", UNKNOWN_SCOPE));
        errors = vec![
            ("wrong_secret", both(http, old, new, Some(&wrong), &parameters).await),
            ("unsupported_grant", both(http, old, new, right, &of_other_grant).await),
            ("invalid_scope", both(http, old, new, right, &of_other_scope).await),
        ];
    }
    let (of_old, of_new) = (
        token_of(&by_basic.old, &by_post.old),
        token_of(&by_basic.new, &by_post.new),
    );
    let inspect = |issuer: &Issuer, token: Option<&str>| {
        let request = issuer.introspection_endpoint.as_deref().zip(token);
        let request = request.map(|(url, token)| Request::post(url, Some(authorization.clone()), &[("token", token)]));
        async move {
            match request {
                Some(request) => Some(http.send(request).await),
                None => None,
            }
        }
    };
    let own = (inspect(old, of_old).await, inspect(new, of_new).await);
    let (old_at_new, new_at_old) = (inspect(new, of_old).await, inspect(old, of_new).await);
    Observed {
        introspection: match own {
            (Some(old), Some(new)) => Some(Pair { old, new }),
            _ => None,
        },
        old_at_new,
        new_at_old,
        basic: by_basic,
        post: by_post,
        errors,
    }
}

/// The token of the first answer that has one.
fn token_of<'a>(first: &'a Answer, second: &'a Answer) -> Option<&'a str> {
    [first, second]
        .into_iter()
        .find_map(|answer| answer.as_ref().ok()?.text("access_token"))
}

/// The same request at both token endpoints.
async fn both(
    http: &impl Http,
    old: &Issuer,
    new: &Issuer,
    authorization: Option<&str>,
    parameters: &[(&str, &str)],
) -> Pair {
    let request = |issuer: &Issuer| Request::post(&issuer.token_endpoint, authorization.map(str::to_owned), parameters);
    Pair {
        old: http.send(request(old)).await,
        new: http.send(request(new)).await,
    }
}

/// HTTP Basic as RFC 6749 section 2.3.1 has it: both parts are form-encoded.
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", STANDARD.encode(pair))
}
