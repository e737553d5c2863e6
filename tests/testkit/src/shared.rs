//! Servers that all tests of this process share: one per store. They stop with the test process.

use std::process::{Child, Stdio};

use tokio::sync::OnceCell;

use crate::{Kind, Server, Setup};

/// Runs the server, and ends when it ends. When stdin closes, at the latest at the end of the test process, kills the server and
/// removes its directory.
const SCRIPT: &str = r#"exec 3<&0
"$0" </dev/null >stdout.log 2>stderr.log 3<&- & server=$!
(read -r _ <&3; kill -KILL $server 2>/dev/null; rm -rf "$PWD") &
wait $server"#;

#[derive(Debug)]
struct Shared {
    setup: Setup,
    /// The shell that runs [`SCRIPT`].
    _shell: Child,
}

impl Server {
    /// The shared server of a store. It has the default configuration and is never restarted. Tests that use it register clients
    /// with ids of their own, and change nothing that others see: no signing keys, no revocation of all tokens, no load.
    ///
    /// Each call returns a handle with its own HTTP client, so that connections do not outlive the runtime of a test.
    pub async fn shared(binary: &str, kind: Kind) -> Server {
        static SQLITE: OnceCell<Shared> = OnceCell::const_new();
        static POSTGRES: OnceCell<Shared> = OnceCell::const_new();
        let cell = match kind {
            Kind::Sqlite => &SQLITE,
            Kind::Postgres => &POSTGRES,
        };
        let shared = cell.get_or_init(|| start(binary, kind)).await;
        Server::new(shared.setup.clone())
    }
}

async fn start(binary: &str, kind: Kind) -> Shared {
    let setup = Setup::new(binary, kind).await;
    let mut shell = setup
        .script(SCRIPT)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh must be installed");
    let is_running = || match shell.try_wait().expect("wait for the shell") {
        None => Ok(()),
        Some(status) => Err(format!("exited with {status}")),
    };
    if let Err(error) = Server::new(setup.clone()).ready(is_running).await {
        let log = std::fs::read_to_string(setup.directory().join("stderr.log"));
        panic!(
            "the shared server is not ready: {error}; stderr: {}",
            log.unwrap_or_default()
        );
    }
    Shared { setup, _shell: shell }
}
