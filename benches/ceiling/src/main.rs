//! The ceiling: what an actix-web handler can reach on this machine when it does only what cannot be left out.
//!
//! Three routes take the form of the token endpoint and give an answer of the same size. `/bare` parses the form. `/mint`
//! also builds the claims and signs them, as any issuer of signed tokens must. `/verify` also checks the token in the form.
//! Nothing is taken from the server, so that a change there does not move what it is measured against.

use std::io::Write;
use std::process::ExitCode;

use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};
use ceiling::token::Issuer;
use clap::Parser;
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The fastest token endpoint that this machine can run.
#[derive(Parser)]
struct Flags {
    /// Port to listen on, on loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Worker threads.
    #[arg(long)]
    workers: Option<usize>,
}

#[derive(Deserialize)]
struct TokenForm {
    #[expect(dead_code, reason = "parsing it is the work")]
    grant_type: Option<String>,
    scope: Option<String>,
    token: Option<String>,
}

struct State {
    issuer: Issuer,
    fixed: web::Bytes,
}

type Ceiling = web::Data<State>;

fn answer(body: impl Into<web::Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body.into())
}

async fn bare(state: Ceiling, _form: web::Form<TokenForm>) -> HttpResponse {
    answer(state.fixed.clone())
}

async fn mint(state: Ceiling, form: web::Form<TokenForm>) -> HttpResponse {
    let scope = form.0.scope.as_deref().unwrap_or("read write");
    match state.issuer.mint(scope) {
        Some(token) => answer(response(&token, scope)),
        None => HttpResponse::InternalServerError().finish(),
    }
}

async fn verify(state: Ceiling, form: web::Form<TokenForm>) -> HttpResponse {
    match form.token.as_deref().and_then(|token| state.issuer.verify(token)) {
        Some(()) => answer(state.fixed.clone()),
        None => HttpResponse::Unauthorized().finish(),
    }
}

fn response(token: &str, scope: &str) -> String {
    format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":1800,"scope":"{scope}"}}"#)
}

async fn run(flags: Flags) -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", flags.port))?;
    let port = listener.local_addr()?.port();
    let issuer = Issuer::new(&format!("http://127.0.0.1:{port}"));
    let issuer = issuer.ok_or_else(|| std::io::Error::other("no key could be made"))?;
    let sample = issuer
        .mint("read write")
        .ok_or_else(|| std::io::Error::other("signing failed"))?;
    let state = web::Data::new(State {
        fixed: response(&sample, "read write").into(),
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
