//! The ceiling: the rate that an actix-web handler reaches on this machine when it does only the indispensable work. It is the
//! baseline of the benchmark.
//!
//! Three routes accept the form of the token endpoint and return a response of the same size. `/bare` parses the form. `/mint`
//! also builds the claims and signs them, as any issuer of signed tokens must. `/verify` also verifies the token in the form.
//! It shares no code with the server, so that changes to the server do not change the baseline.

use std::io::Write;
use std::process::ExitCode;

use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};
use ceiling::token::Issuer;
use clap::Parser;
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the fastest possible token endpoint, as a baseline for benchmarks.
#[derive(Parser)]
struct Flags {
    /// Listen on this port of loopback; 0 selects a free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Start this many worker threads [default: one per core].
    #[arg(long)]
    workers: Option<usize>,
}

#[derive(Deserialize)]
struct TokenForm {
    #[expect(dead_code, reason = "parsing it is part of the measured work")]
    grant_type: Option<String>,
    scope: Option<String>,
    token: Option<String>,
}

struct State {
    issuer: Issuer,
    /// The response of routes that do not sign.
    fixed: web::Bytes,
}

type Ceiling = web::Data<State>;

fn json_response(body: impl Into<web::Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body.into())
}

async fn bare(state: Ceiling, _form: web::Form<TokenForm>) -> HttpResponse {
    json_response(state.fixed.clone())
}

async fn mint(state: Ceiling, form: web::Form<TokenForm>) -> HttpResponse {
    let scope = form.0.scope.as_deref().unwrap_or("read write");
    match state.issuer.mint(scope) {
        Some(token) => json_response(token_body(&token, scope)),
        None => HttpResponse::InternalServerError().finish(),
    }
}

async fn verify(state: Ceiling, form: web::Form<TokenForm>) -> HttpResponse {
    match form.token.as_deref().and_then(|token| state.issuer.verify(token)) {
        Some(()) => json_response(state.fixed.clone()),
        None => HttpResponse::Unauthorized().finish(),
    }
}

fn token_body(token: &str, scope: &str) -> String {
    format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":1800,"scope":"{scope}"}}"#)
}

async fn run(flags: Flags) -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", flags.port))?;
    let port = listener.local_addr()?.port();
    let issuer = Issuer::new(&format!("http://127.0.0.1:{port}"));
    let issuer = issuer.ok_or_else(|| std::io::Error::other("key generation failed"))?;
    let sample = issuer
        .mint("read write")
        .ok_or_else(|| std::io::Error::other("signing failed"))?;
    let state = web::Data::new(State {
        fixed: token_body(&sample, "read write").into(),
        issuer,
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .route("/bare", web::post().to(bare))
            .route("/mint", web::post().to(mint))
            .route("/verify", web::post().to(verify))
    });
    let workers = match flags.workers {
        Some(workers) => workers,
        None => std::thread::available_parallelism()?.get(),
    };
    let server = server.workers(workers).listen(listener)?.run();
    writeln!(std::io::stdout(), "ready {port}")?;
    server.await
}

fn main() -> ExitCode {
    match actix_web::rt::System::new().block_on(run(Flags::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
