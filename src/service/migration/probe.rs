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

/// The observations for a client.
#[derive(Debug)]
pub struct Observed {
    /// Token requests with `client_secret_basic`.
    pub basic: Pair,
    /// Token requests with `client_secret_post`.
    pub post: Pair,
    /// A second request with the one method that both issuers accept. `None`: they accept both or neither.
    pub again: Option<Pair>,
    /// A request without a scope. `None` for most clients, and for a client whose requests never have one.
    pub without_scope: Option<Pair>,
    /// Requests that must fail, by name; empty for most clients.
    pub errors: Vec<(&'static str, Pair)>,
    /// The old issuer's introspection of its own token. `None`: it has no such endpoint, or issued none.
    pub old_own: Option<Answer>,
    /// The same for another of its tokens.
    pub old_own_again: Option<Answer>,
    /// The new issuer's introspection of its own token.
    pub new_own: Option<Answer>,
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
    let again = match (are_issued(&by_basic), are_issued(&by_post)) {
        (true, false) => Some(both(http, old, new, right, &parameters).await),
        (false, true) => Some(both(http, old, new, None, &in_body).await),
        _ => None,
    };
    let (mut errors, mut without_scope) = (Vec::new(), None);
    if with_errors {
        let of_no_scope: Vec<_> = parameters
            .iter()
            .copied()
            .filter(|(name, _)| *name != "scope")
            .collect();
        if of_no_scope.len() < parameters.len() && are_issued(&by_basic) {
            without_scope = Some(both(http, old, new, right, &of_no_scope).await);
        }
        let mut of_other_grant = parameters.clone();
        of_other_grant[0].1 = UNKNOWN_GRANT;
        let mut of_other_scope = of_no_scope;
        of_other_scope.push(("scope", UNKNOWN_SCOPE));
        errors = vec![
            ("wrong_secret", both(http, old, new, Some(&wrong), &parameters).await),
            ("unsupported_grant", both(http, old, new, right, &of_other_grant).await),
            ("invalid_scope", both(http, old, new, right, &of_other_scope).await),
        ];
    }
    let of_old = tokens_of([Some(&by_basic), Some(&by_post), again.as_ref()].map(|pair| pair.map(|pair| &pair.old)));
    let of_new = tokens_of([Some(&by_basic), Some(&by_post), None].map(|pair| pair.map(|pair| &pair.new)));
    let (old_token, new_token) = (of_old.first().copied(), of_new.first().copied());
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
    Observed {
        old_own: inspect(old, old_token).await,
        old_own_again: inspect(old, of_old.get(1).copied()).await,
        new_own: inspect(new, new_token).await,
        old_at_new: inspect(new, old_token).await,
        new_at_old: inspect(old, new_token).await,
        again,
        without_scope,
        basic: by_basic,
        post: by_post,
        errors,
    }
}

fn are_issued(pair: &Pair) -> bool {
    [&pair.old, &pair.new]
        .into_iter()
        .all(|answer| token_of(answer).is_some())
}

fn token_of(answer: &Answer) -> Option<&str> {
    answer.as_ref().ok()?.text("access_token")
}

fn tokens_of(answers: [Option<&Answer>; 3]) -> Vec<&str> {
    answers.into_iter().flatten().filter_map(token_of).collect()
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
