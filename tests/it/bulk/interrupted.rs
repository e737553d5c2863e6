//! Long jobs of the command line while others use the database: they wait, or say how far they came and how to go on.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use oauth2_testkit::postgres::connect;
use oauth2_testkit::{Condition, Credentials, DedicatedServer, Kind, Link, Output, Postgres, Setup, until};
use serde_json::{Value, json};

use super::{csv, import};
use crate::cli::{migrated, rejected};
use crate::start;

/// Longer than an administrative request waits for a lock.
const LOCKED: Duration = Duration::from_secs(6);

fn file(setup: &Setup, name: &str, text: &str) -> PathBuf {
    let path = setup.directory().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs a subcommand on a thread of its own.
fn spawn(setup: &Setup, arguments: &[&str]) -> tokio::task::JoinHandle<Output> {
    let mut command = setup.command(arguments);
    tokio::task::spawn_blocking(move || Output::of(&mut command))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_the_lock_of_another_process() {
    let server = start(Kind::Sqlite).await;
    let client = server.register(json!({"client_id": "ci", "scope": "read"})).await;
    let mut tokens = String::new();
    for _ in 0..20 {
        let _ = writeln!(tokens, "{}", server.token(&client).await);
    }
    let (clients, tokens) = (
        file(&server.setup, "clients.csv", &csv(3000)),
        file(&server.setup, "tokens", &tokens),
    );
    // Of another issuer, because a server that has not the new key would not sign.
    let mut other = start(Kind::Sqlite).await;
    other.process.kill();
    let mut setup = other.setup.clone();
    let current = std::fs::read_to_string(setup.directory().join("data/key_encryption_key")).unwrap();
    setup.set("OAUTH2_KEY_ENCRYPTION_KEY", format!("{}=", "A".repeat(43)));
    setup.set("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS", current.trim());
    let other_holder = setup.sqlite();
    other_holder.execute_batch("BEGIN IMMEDIATE").unwrap();

    let holder = server.setup.sqlite();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = Instant::now();
    let jobs = [
        spawn(
            &server.setup,
            &["client", "import", clients.to_str().unwrap(), "--json"],
        ),
        spawn(
            &server.setup,
            &["token", "revoke", "--file", tokens.to_str().unwrap(), "--json"],
        ),
        spawn(
            &server.setup,
            &["token", "issue", "--client", "ci", "--count", "2500", "--out", "issued"],
        ),
        spawn(&setup, &["key", "rewrap", "--json"]),
    ];
    tokio::time::sleep(LOCKED).await;
    for holder in [&holder, &other_holder] {
        holder.execute_batch("ROLLBACK").unwrap();
    }
    // The server writes meanwhile.
    let load = async {
        loop {
            server.request_token(&client, &[]).await;
        }
    };
    let all = futures_util::future::join_all(jobs);
    let outputs = tokio::select! {
        outputs = all => outputs,
        () = load => unreachable!(),
    };
    assert!(locked.elapsed() >= LOCKED);
    for output in outputs {
        let output = output.unwrap();
        assert_eq!(output.code, 0, "{} {}", output.stdout, output.stderr);
    }
    let issued = std::fs::read_to_string(server.setup.directory().join("issued")).unwrap();
    assert_eq!(issued.lines().count(), 2500);
    assert_eq!(
        import(&server.setup, &["--dry-run", "--format", "csv"], &csv(3000))["refused"],
        0
    );
    for token in std::fs::read_to_string(&tokens).unwrap().lines() {
        assert!(!server.is_active(&client, token).await);
    }
    assert!(server.is_active(&client, issued.lines().last().unwrap()).await);
}

/// The purge of a server, with a hundred thousand expired rows, runs next to an import and a bulk issuance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_succeed_during_a_purge_under_load() {
    let mut server = start(Kind::Sqlite).await;
    let client = server.register(json!({"client_id": "ci", "scope": "read"})).await;
    server.process.kill();
    server
        .setup
        .sql(
            "INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
             SELECT randomblob(16), 1000, 'ci', '', '', 0 FROM n",
        )
        .await;
    server.start_again().await;
    let clients = file(&server.setup, "clients.csv", &csv(3000));
    let jobs = [
        spawn(
            &server.setup,
            &["client", "import", clients.to_str().unwrap(), "--json"],
        ),
        spawn(
            &server.setup,
            &["token", "issue", "--client", "ci", "--count", "5000", "--out", "issued"],
        ),
    ];
    let load = async {
        loop {
            let requests = (0..8).map(|_| server.request_token(&client, &[]));
            futures_util::future::join_all(requests).await;
        }
    };
    let all = futures_util::future::join_all(jobs);
    let outputs = tokio::select! {
        outputs = all => outputs,
        () = load => unreachable!(),
    };
    for output in outputs {
        let output = output.unwrap();
        assert_eq!(output.code, 0, "{} {}", output.stdout, output.stderr);
    }
    is_purged(&server).await;
}

async fn is_purged(server: &DedicatedServer) {
    let sql = "SELECT count(*) FROM tokens WHERE expires_at = 1000";
    until(Duration::from_secs(30), "the purge ends", async || {
        server.setup.sqlite().query_row(sql, [], |row| row.get(0)) == Ok(0_i64)
    })
    .await;
}

/// A chunk in the middle fails, as on a full disk: written rows stay, and the same command continues.
#[tokio::test]
async fn failed_import_says_how_far_it_came() {
    let setup = migrated(Kind::Sqlite).await;
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON clients WHEN NEW.client_id = 'client-001500' BEGIN SELECT RAISE(ABORT, 'x'); END";
    setup.sql(fail).await;
    let output = setup.run_with_input(&["client", "import", "-", "--json", "--format", "csv"], &csv(2500));
    rejected(
        &output,
        2,
        &["1000 of 2500 rows were imported before", "run the command again"],
    );
    setup.sql("DROP TRIGGER fail").await;
    let counts = import(&setup, &["--format", "csv"], &csv(2500));
    let of = |name: &str| counts.get(name).and_then(Value::as_u64);
    assert_eq!((of("created"), of("unchanged")), (Some(1500), Some(1000)), "{counts}");
}

#[tokio::test]
async fn failed_revocation_says_how_far_it_came() {
    let setup = migrated(Kind::Sqlite).await;
    setup
        .sql("CREATE TRIGGER fail BEFORE INSERT ON revocations WHEN NEW.id > 1200 OR (SELECT count(*) FROM revocations) > 1200 BEGIN SELECT RAISE(ABORT, 'x'); END")
        .await;
    let mut ids = String::new();
    for _ in 0..1500 {
        let _ = writeln!(ids, "{}", uuid::Uuid::now_v7());
    }
    let ids = file(&setup, "ids", &ids);
    let command = ["token", "revoke", "--file", ids.to_str().unwrap(), "--json"];
    rejected(
        &setup.run(&command),
        2,
        &["1000 tokens were revoked before", "run the command again"],
    );
    setup.sql("DROP TRIGGER fail").await;
    assert_eq!(setup.json(&command)["revoked"], 1500);
}

/// The file of generated secrets names those of stored clients and no others, whatever ends the import.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_a_failed_chunk_are_not_in_the_file() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let setup = migrated(kind).await;
        let mut rows = String::new();
        for index in 0..2500 {
            let _ = writeln!(
                rows,
                "{}",
                json!({"client_id": format!("c{index:04}"), "scope": "read"})
            );
        }
        let path = file(&setup, "clients.jsonl", &rows);
        // The second of three chunks fails, for a reason that is no conflict and that the check of the rows does not find.
        let (fails, works) = match kind {
            Kind::Sqlite => (
                "CREATE TRIGGER fails BEFORE INSERT ON clients WHEN NEW.client_id = 'c1500' BEGIN SELECT abs(-9223372036854775807 - 1); END",
                "DROP TRIGGER fails",
            ),
            Kind::Postgres => (
                "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.client_id = 'c1500' THEN RAISE EXCEPTION 'fails' USING ERRCODE = '53100'; END IF; RETURN NEW; END $$;
                 CREATE TRIGGER fails BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION fails()",
                "DROP TRIGGER fails ON clients",
            ),
        };
        setup.sql(fails).await;
        let import = |secrets: &str| {
            setup.run(&[
                "client",
                "import",
                path.to_str().unwrap(),
                "--secrets-out",
                secrets,
                "--json",
            ])
        };
        let failed = import("first");
        assert_eq!(failed.code, 3, "{}", failed.stderr);
        assert!(
            failed.stderr.contains("1000 of 2500 rows were imported"),
            "{}",
            failed.stderr
        );
        let lines = |name: &str| {
            let text = std::fs::read_to_string(setup.directory().join(name)).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines("first").len(), 1000, "{kind:?}");
        setup.sql(works).await;
        let done = import("second");
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(lines("second").len(), 1500, "{kind:?}");
    }
}

/// The answer to the commit of a chunk is lost on its way: the chunk is stored, so its secrets stay in the file, and the import goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_a_chunk_whose_answer_was_lost_are_in_the_file() {
    let setup = migrated(Kind::Postgres).await;
    setup
        .sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON clients DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.client_id = 'c1500') EXECUTE FUNCTION slow()",
        )
        .await;
    let rows: Vec<_> = (0..2500)
        .map(|index| json!({"client_id": format!("c{index:04}"), "scope": "read"}).to_string())
        .collect();
    let path = file(&setup, "clients.jsonl", &rows.join("\n"));
    let url = setup.database_url().unwrap().to_owned();
    let port = Postgres::shared().port();
    let link = Link::to(port).await;
    let secrets = setup.directory().join("secrets");
    let far = setup.clone().with(
        "OAUTH2_DATABASE_URL",
        url.replace(&format!(":{port}/"), &format!(":{}/", link.port())),
    );
    let importing = spawn(
        &far,
        &[
            "client",
            "import",
            path.to_str().unwrap(),
            "--secrets-out",
            secrets.to_str().unwrap(),
        ],
    );
    let database = connect(&url).await;
    until(LOCKED * 5, "the chunk is committed slowly", async || {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        !database.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
    link.set(Condition::Cut);
    let is_stored = async || {
        let row = database.query_one("SELECT count(*) FROM clients", &[]).await.unwrap();
        row.get::<_, i64>(0) >= 2000
    };
    until(LOCKED, "the chunk is stored", is_stored).await;
    link.set(Condition::Delayed(Duration::ZERO));
    let output = importing.await.unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = std::fs::read_to_string(&secrets).unwrap();
    let of_second = lines.lines().filter(|line| line.starts_with("c1")).count();
    assert_eq!((lines.lines().count(), of_second), (2500, 1000));
    let server = DedicatedServer::start(setup).await;
    for id in ["c1500", "c2400"] {
        let (_, secret) = lines
            .lines()
            .filter_map(|line| line.split_once(','))
            .find(|(of, _)| *of == id)
            .unwrap();
        server.token(&Credentials::new(id, secret)).await;
    }
}

/// Nothing reads stderr, and its pipe is full: a subcommand does its work and ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_stderr_ends_no_subcommand() {
    let mut setup = migrated(Kind::Sqlite).await;
    // Each command warns of it.
    let exposed = file(&setup, "exposed", &"a".repeat(60));
    std::fs::set_permissions(&exposed, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    setup.set("OAUTH2_ADMIN_TOKEN_FILE", exposed.to_str().unwrap());
    let path = file(
        &setup,
        "clients.jsonl",
        &format!(
            "{}\n{}",
            json!({"client_id": "good", "client_secret": "0123456789abcdefghijklmnopqrstuvwxyz"}),
            // Each is an error of its own, and none of them waits for longer than one does.
            "nothing\n".repeat(20)
        ),
    );
    let import = ["client", "import", path.to_str().unwrap(), "--skip-refused"];
    for (arguments, code) in [
        (&["client", "list"][..], 0),
        (&["client", "show", "nobody"][..], 2),
        (&import[..], 2),
    ] {
        let (reader, writer) = full_pipe();
        let mut command = setup.command(arguments);
        command.stdout(std::process::Stdio::null()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let ended = async || child.try_wait().unwrap().is_some();
        until(
            Duration::from_secs(10),
            "the command does not wait for its reader",
            ended,
        )
        .await;
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
        drop(reader);
    }
    assert_eq!(setup.run(&["client", "show", "good"]).code, 0);
}

/// A pipe that takes nothing more until it is read.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Longer than a command waits for the reader of its stderr before it goes on.
const PAUSE: Duration = Duration::from_millis(1500);

/// A reader of stderr pauses for longer than a command waits for it, such as a person who reads a pager: the error comes nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reader_of_stderr_gets_the_error() {
    let setup = migrated(Kind::Sqlite).await;
    // Each error lists the known fields. All errors are longer than the page that is read first.
    let path = file(
        &setup,
        "clients.jsonl",
        &"{\"client_id\": \"a\", \"b\": 1}\n".repeat(20),
    );
    let (mut reader, writer) = full_pipe();
    let mut command = setup.command(&["client", "import", path.to_str().unwrap()]);
    command.stdout(std::process::Stdio::null()).stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let read = tokio::task::spawn_blocking(move || {
        std::thread::sleep(PAUSE);
        let (mut page, mut text) = ([0; 4096], String::new());
        reader.read_exact(&mut page).unwrap();
        std::thread::sleep(PAUSE / 4);
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let text = read.await.unwrap();
    let errors = text.trim_start_matches('x').len();
    assert!(errors > 2 * 4096, "{errors}");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(text.contains("line 1") && text.contains("error: "), "{text}");
}
