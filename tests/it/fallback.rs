//! Fallback introspection: opaque tokens of the issuer that the server replaces.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::web::{Data, Form};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Server, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::setup;

mod answers;

on_both_stores!(
    opaque_tokens_of_the_previous_issuer_are_active,
    tokens_of_this_server_are_never_sent,
    revoked_tokens_stay_revoked,
);

const LATER: &str = "2099-12-31";

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs() as i64
}

/// The introspection endpoint of another issuer.
#[derive(Clone, Default)]
struct OldIssuer {
    /// The response for each token; others are inactive.
    tokens: Arc<Mutex<HashMap<String, Value>>>,
    /// Every token that was asked about, with the credentials.
    asked: Arc<Mutex<Vec<(String, String)>>>,
    /// The status of its responses; 0: 200.
    status: Arc<AtomicU16>,
    /// The header of its responses.
    cache_control: Arc<Mutex<Option<&'static str>>>,
    in_flight: Arc<AtomicUsize>,
    most_in_flight: Arc<AtomicUsize>,
    delay_ms: Arc<AtomicUsize>,
    port: u16,
}

impl OldIssuer {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let issuer = Self {
            port: listener.local_addr().unwrap().port(),
            ..Self::default()
        };
        let data = Data::new(issuer.clone());
        std::thread::spawn(move || {
            let app = move || {
                let route = actix_web::web::post().to(introspect);
                App::new().app_data(data.clone()).route("/introspect", route)
            };
            let run = async {
                let server = HttpServer::new(app)
                    .workers(1)
                    .disable_signals()
                    .listen(listener)
                    .unwrap();
                server.run().await
            };
            actix_web::rt::System::new().block_on(run)
        });
        issuer
    }

    fn knows(&self, token: &str, response: Value) {
        self.tokens.lock().unwrap().insert(token.to_owned(), response);
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(token, _)| token.clone()).collect()
    }

    fn configured(&self, setup: Setup) -> Setup {
        setup
            .with(
                "OAUTH2_FALLBACK_INTROSPECTION_URL",
                format!("http://127.0.0.1:{}/introspect", self.port),
            )
            .with("OAUTH2_FALLBACK_INTROSPECTION_CLIENT_ID", "new server")
            .with("OAUTH2_FALLBACK_INTROSPECTION_CLIENT_SECRET", "p:w%")
            .with("OAUTH2_FALLBACK_INTROSPECTION_UNTIL", LATER)
    }
}

async fn introspect(
    issuer: Data<OldIssuer>,
    request: HttpRequest,
    form: Form<HashMap<String, String>>,
) -> HttpResponse {
    let in_flight = issuer.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
    issuer.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
    let delay = issuer.delay_ms.load(Ordering::SeqCst) as u64;
    actix_web::rt::time::sleep(std::time::Duration::from_millis(delay)).await;
    issuer.in_flight.fetch_sub(1, Ordering::SeqCst);
    let header = request.headers().get("authorization").unwrap().to_str().unwrap();
    let basic = STANDARD.decode(header.strip_prefix("Basic ").unwrap()).unwrap();
    let token = form["token"].clone();
    let entry = (token.clone(), String::from_utf8(basic).unwrap());
    issuer.asked.lock().unwrap().push(entry);
    match issuer.status.load(Ordering::SeqCst) {
        0 => {
            let known = issuer.tokens.lock().unwrap().get(&token).cloned();
            let mut response = HttpResponse::Ok();
            if let Some(cache_control) = *issuer.cache_control.lock().unwrap() {
                response.insert_header(("cache-control", cache_control));
            }
            assert!(request.headers().contains_key("fallback-introspection"));
            response.json(known.unwrap_or_else(|| json!({"active": false})))
        }
        status => HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).finish(),
    }
}

fn active(client: &str) -> Value {
    json!({
        "active": true, "client_id": client, "sub": "user", "aud": ["https://api.example"], "iss": "https://old.example/", "exp": now() + 600,
        "iat": now() - 5, "nbf": now() - 5, "scope": "read", "token_type": "Bearer", "token_use": "access_token", "ext": {"role": "admin"},
        "username": "user", "obfuscated_subject": "x",
    })
}

async fn started(store: Kind, old: &OldIssuer) -> (DedicatedServer, Credentials) {
    let server = DedicatedServer::start(old.configured(setup(store).await)).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    (server, client)
}

async fn status_of(server: &Server, client: &Credentials, path: &str, token: &str) -> StatusCode {
    let response = server.post(client, path, &[("token", token)]).await;
    let status = response.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        assert!(response.headers().contains_key("retry-after"));
    }
    status
}

async fn opaque_tokens_of_the_previous_issuer_are_active(store: Kind) {
    let old = OldIssuer::start();
    let (server, client) = started(store, &old).await;
    let api = server
        .register(json!({"introspection_audiences": ["https://api.example"]}))
        .await;
    let stranger = server.register(json!({})).await;
    let response = active("ci");
    old.knows("ory_at_abc.def", response.clone());
    let expected = json!({
        "active": true, "client_id": "ci", "sub": "user", "aud": "https://api.example", "iss": "https://old.example/", "exp": response["exp"],
        "iat": response["iat"], "nbf": response["nbf"], "scope": "read", "token_type": "Bearer",
    });
    for caller in [&client, &api] {
        assert_eq!(
            server.introspect(caller, "ory_at_abc.def").await,
            expected,
            "known members only"
        );
    }
    assert!(!server.is_active(&stranger, "ory_at_abc.def").await);
    let asked = old.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [("ory_at_abc.def".to_owned(), "new+server:p%3Aw%25".to_owned())],
        "once, then from the cache"
    );

    // Of a client that is not registered here, or disabled; without what is needed; expired.
    old.knows("unknown-client", active("nobody"));
    let without = |name: &str| {
        let mut response = active("ci");
        response.as_object_mut().unwrap().remove(name);
        response
    };
    old.knows("no-client", without("client_id"));
    old.knows("no-end", without("exp"));
    let with = |name: &str, value: Value| {
        let mut response = active("ci");
        response[name] = value;
        response
    };
    old.knows("expired", with("exp", json!(now() - 1)));
    old.knows("refresh", with("token_use", json!("refresh_token")));
    old.knows("bound", with("cnf", json!({"x5t#S256": "x"})));
    for token in [
        "unknown-client",
        "no-client",
        "no-end",
        "expired",
        "refresh",
        "bound",
        "nothing",
    ] {
        assert_eq!(
            server.introspect(&client, token).await,
            json!({"active": false}),
            "{token}"
        );
    }
    let own = server.token(&client).await;
    let tokens: Vec<String> = (0..100).map(|number| format!("unknown-{number}")).collect();
    let tokens = [&["ory_at_abc.def".to_owned(), own][..], &tokens].concat();
    old.delay_ms.store(20, Ordering::SeqCst);
    let answers = server.introspect_batch(&client, &tokens).await;
    assert_eq!((&answers[0], &answers[1]["active"]), (&expected, &json!(true)));
    assert_eq!(
        answers
            .as_array()
            .unwrap()
            .iter()
            .filter(|answer| answer["active"] == true)
            .count(),
        2
    );
    let most = old.most_in_flight.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most}");
    let counted = server
        .metric(
            "oauth2_server_fallback_introspections_total",
            &[("outcome", "inactive")],
        )
        .await;
    assert!(counted >= Some(100.0), "{counted:?}");

    let disabled = server
        .admin(Method::PATCH, "/clients/ci")
        .json(&json!({"disabled": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(disabled.status(), StatusCode::OK);
    assert!(!server.is_active(&api, "ory_at_abc.def").await);
}

async fn tokens_of_this_server_are_never_sent(store: Kind) {
    let old = OldIssuer::start();
    let (server, client) = started(store, &old).await;
    for format in ["paseto", "jwt", "opaque"] {
        let owner = server.register(json!({"token_format": format, "scope": "read"})).await;
        let token = server.token(&owner).await;
        assert!(server.is_active(&owner, &token).await);
        let mut changed = token.clone();
        changed.pop();
        for token in [&token, &changed, &format!("{token}A")] {
            assert!(!server.is_active(&client, token).await);
        }
    }
    // JWTs of every issuer are verified by their keys.
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL29sZCJ9.c2ln";
    for token in [jwt, "with space", "ä", &"x".repeat(5000)] {
        assert!(!server.is_active(&client, token).await);
    }
    assert_eq!(old.asked(), Vec::<String>::new());
}

async fn revoked_tokens_stay_revoked(store: Kind) {
    let old = OldIssuer::start();
    let (mut server, client) = started(store, &old).await;
    let other = server.register(json!({"client_id": "other"})).await;
    old.knows("mine", active("ci"));
    server.revoke(&other, "mine").await;
    assert!(
        server.is_active(&client, "mine").await,
        "another client cannot revoke it"
    );
    server.revoke(&client, "mine").await;
    assert!(!server.is_active(&client, "mine").await);
    super::keys::restart(&mut server).await;
    assert!(
        !server.is_active(&client, "mine").await,
        "although the previous issuer says otherwise"
    );
    assert!(old.asked().len() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fallback_ends_at_its_date() {
    let old = OldIssuer::start();
    let until = time::OffsetDateTime::from_unix_timestamp(now() + 12).unwrap();
    let until = until.format(&time::format_description::well_known::Rfc3339).unwrap();
    let setup = old
        .configured(setup(Kind::Sqlite).await)
        .with("OAUTH2_FALLBACK_INTROSPECTION_UNTIL", until);
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    old.knows("opaque", active("ci"));
    assert!(server.is_active(&client, "opaque").await);
    super::keys::until("the date", async || !server.is_active(&client, "opaque").await).await;
    let asked = old.asked().len();
    assert!(!server.is_active(&client, "another").await);
    assert_eq!(old.asked().len(), asked);
    let doctor = server.setup.run(&["doctor"]);
    assert!(
        doctor.stdout.contains("remove OAUTH2_FALLBACK_INTROSPECTION_URL"),
        "{}",
        doctor.stdout
    );
    let checked = server.setup.run(&["config", "check"]);
    let warning = "OAUTH2_FALLBACK_INTROSPECTION_UNTIL is in the past";
    assert!(
        checked.code == 0 && checked.stderr.contains(warning),
        "{}",
        checked.stderr
    );
    let strict = server.setup.run(&["--strict", "config", "check"]);
    assert!(strict.code == 2 && strict.stderr.contains(warning), "{}", strict.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fallback_is_configured_whole_and_diagnosed() {
    let old = OldIssuer::start();
    let good = old.configured(setup(Kind::Sqlite).await);
    assert_eq!(good.run(&["migrate"]).code, 0);
    let doctor = good.run(&["doctor"]).stdout;
    let line = doctor
        .lines()
        .find(|line| line.starts_with("fallback introspection"))
        .unwrap()
        .to_owned();
    assert!(
        line.contains(" ok ") && line.contains("is asked until 2100-01-01T00:00:00Z"),
        "{line}"
    );
    old.status.store(401, Ordering::SeqCst);
    let doctor = good.run(&["doctor"]).stdout;
    assert!(
        doctor.contains("status 401: check OAUTH2_FALLBACK_INTROSPECTION_CLIENT_ID"),
        "{doctor}"
    );
    let variable = |name: &str| format!("OAUTH2_FALLBACK_INTROSPECTION_{name}");
    for missing in ["CLIENT_ID", "CLIENT_SECRET", "UNTIL"] {
        let mut setup = good.clone();
        setup.unset(&variable(missing));
        let output = setup.run(&["config", "check"]);
        let expected = format!("requires {}", variable(missing));
        assert!(
            output.code == 2 && output.stderr.contains(&expected),
            "{}",
            output.stderr
        );
    }
    let own = |host: &str, port: u16| format!("http://{host}:{port}/oauth/introspect");
    let good = good.with("OAUTH2_ISSUER", "https://issuer.example");
    for (name, value, reason) in [
        ("UNTIL", "soon", "must be a date"),
        ("UNTIL", "2027-13-01", "must be a date"),
        ("URL", "ftp://old", "must be an http or https URL"),
        ("URL", "https://user:pw@old/", "without credentials"),
        ("URL", &own("127.0.0.1", good.public), "is a listener of this server"),
        (
            "URL",
            &own("localhost", good.management),
            "is a listener of this server",
        ),
        ("URL", "https://issuer.example/old", "has the host of OAUTH2_ISSUER"),
        ("TIMEOUT", "0", "more than 0"),
        ("TIMEOUT", "1", "at most 0.9"),
        ("MAX_IN_FLIGHT", "0", "from 1 to 1000"),
    ] {
        let output = good.clone().with(&variable(name), value).run(&["config", "check"]);
        let expected = format!("{} {reason}", variable(name));
        let is_named = output.stderr.contains(&variable(name)) && output.stderr.contains(reason);
        assert!(
            output.code == 2 && is_named && !output.stderr.contains("pw@"),
            "{expected}: {}",
            output.stderr
        );
    }
}
