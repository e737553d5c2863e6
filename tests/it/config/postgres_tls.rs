//! Connections to a Postgres with certificates of a private authority.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oauth2_testkit::authority::{Authority, IssuedCertificate};
use oauth2_testkit::postgres::connect;
use oauth2_testkit::{DedicatedServer, Kind, Postgres, Server, Setup};
use serde_json::json;

use crate::BINARY;
use crate::cli::{rejected, stdout_of};

/// A Postgres with a certificate, and a place for files.
struct Secured {
    postgres: Postgres,
    authority: Authority,
    files: tempfile::TempDir,
}

impl Secured {
    fn new(make: impl FnOnce(&Authority) -> IssuedCertificate, access: &str) -> Secured {
        let (mut postgres, authority) = (Postgres::start(false), Authority::new("the tests' authority"));
        let own = make(&authority);
        for (name, text) in [
            ("server.crt", &own.certificate),
            ("server.key", &own.key),
            ("root.crt", &authority.certificate),
        ] {
            postgres.write_file(name, text);
        }
        postgres.reconfigure("ssl = on\nssl_ca_file = 'root.crt'", access);
        let secured = Secured {
            postgres,
            authority,
            files: tempfile::tempdir().unwrap(),
        };
        secured.file("ca.pem", &secured.authority.certificate);
        secured
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// A server's environment whose URL has these parameters; `{}` in them is the place of files.
    async fn setup(&self, parameters: &str) -> Setup {
        let setup = Setup::on_postgres(BINARY, &self.postgres).await;
        let url = format!(
            "{}?{}",
            setup.database_url().unwrap(),
            parameters.replace("{}", &self.files.path().display().to_string())
        );
        setup.with("OAUTH2_DATABASE_URL", url)
    }

    async fn refuses(&self, parameters: &str, words: &[&str]) {
        let setup = self.setup(parameters).await;
        for arguments in [&["migrate"][..], &["client", "list"], &["serve"]] {
            let output = setup.run(arguments);
            rejected(&output, 3, words);
        }
        let doctor = setup.run(&["doctor"]).stdout;
        assert!(words.iter().all(|word| doctor.contains(word)), "{doctor}");
    }

    async fn works(&self, parameters: &str, how: &str) {
        let setup = self.setup(parameters).await;
        stdout_of(&setup, &["migrate"]);
        setup.json(&["client", "create", "--id", "ci", "--json"]);
        let doctor = setup.run(&["doctor"]).stdout;
        assert!(doctor.contains(how), "{doctor}");
    }
}

const FULL: &str = "sslmode=verify-full&sslrootcert={}/ca.pem";

#[tokio::test(flavor = "multi_thread")]
async fn sslmode_determines_encryption_and_verification() {
    // `database()` of the kit connects in the clear, so both ways are open here.
    let secured = Secured::new(|authority| authority.issue(&["127.0.0.1", "localhost"]), "");
    secured.works("sslmode=disable", "no TLS (sslmode=disable)").await;
    secured.works("sslmode=prefer", "TLS if the server supports it").await;
    secured.works("", "sslmode=prefer").await;
    secured.works("sslmode=require", "unverified").await;
    secured
        .works(
            "sslmode=require&sslrootcert={}/ca.pem",
            "certificate authority verified",
        )
        .await;
    secured
        .works(
            "sslmode=verify-ca&sslrootcert={}/ca.pem",
            "certificate authority verified",
        )
        .await;
    secured.works(FULL, "host name verified").await;
    // What they really are, by the server's own word.
    let count = async |parameters: &str| {
        let setup = secured.setup(parameters).await;
        stdout_of(&setup, &["migrate"]);
        let server = DedicatedServer::start(setup).await;
        let client = server.register(json!({})).await;
        server.token(&client).await;
        let url = server
            .setup
            .database_url()
            .unwrap()
            .split('?')
            .next()
            .unwrap()
            .to_owned();
        let beside = connect(&url).await;
        let sql =
            "SELECT count(*) FILTER (WHERE s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
            WHERE a.application_name = 'oauth2_server' AND a.datname = current_database()";
        let row = beside.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let (tls, all) = count(FULL).await;
    assert!(tls == all && all > 1, "{tls} of {all}");
    let (tls, all) = count("sslmode=prefer").await;
    assert!(tls == all && all > 1, "{tls} of {all}");
    assert_eq!(count("sslmode=disable").await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_certificate_is_rejected_with_its_reason() {
    let secured = Secured::new(|authority| authority.issue(&["127.0.0.1"]), "");
    let other = Authority::new("somebody else");
    secured.file("other.pem", &other.certificate);
    secured
        .refuses(
            "sslmode=verify-full&sslrootcert={}/other.pem",
            &["authority", "sslrootcert", "127.0.0.1"],
        )
        .await;
    secured
        .refuses("sslmode=verify-ca&sslrootcert={}/other.pem", &["authority"])
        .await;
    secured
        .refuses("sslmode=require&sslrootcert={}/other.pem", &["authority"])
        .await;
    secured
        .refuses(
            "sslmode=verify-full&sslrootcert={}/nowhere.pem",
            &["nowhere.pem", "cannot be read"],
        )
        .await;
    secured.file("empty.pem", "");
    secured
        .refuses(
            "sslmode=verify-full&sslrootcert={}/empty.pem",
            &["empty.pem", "no certificate"],
        )
        .await;
    // What the system trusts is not the tests' authority.
    secured.refuses("sslrootcert=system", &["authority", "127.0.0.1"]).await;

    let elsewhere = Secured::new(|authority| authority.issue(&["db.example"]), "");
    elsewhere.refuses(FULL, &["another host name", "127.0.0.1"]).await;
    elsewhere
        .works(
            "sslmode=verify-ca&sslrootcert={}/ca.pem",
            "certificate authority verified",
        )
        .await;
    let expired = Secured::new(|authority| authority.issue_expired(&["127.0.0.1"]), "");
    expired.refuses(FULL, &["has expired"]).await;
    expired
        .refuses("sslmode=verify-ca&sslrootcert={}/ca.pem", &["has expired"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn required_tls_is_never_downgraded() {
    let plain = Postgres::start(false);
    let secured = Secured {
        postgres: plain,
        authority: Authority::new("a"),
        files: tempfile::tempdir().unwrap(),
    };
    secured.file("ca.pem", &secured.authority.certificate);
    for parameters in ["sslmode=require", "sslmode=verify-ca&sslrootcert={}/ca.pem", FULL] {
        secured
            .refuses(parameters, &["does not support TLS", "requires it"])
            .await;
    }
    secured.works("sslmode=prefer", "sslmode=prefer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificate_is_presented_and_verified() {
    let mut secured = Secured::new(|authority| authority.issue(&["127.0.0.1"]), "");
    let own = secured.authority.issue(&["postgres"]);
    let stranger = Authority::new("somebody else").issue(&["postgres"]);
    for (name, issued) in [("own", &own), ("stranger", &stranger)] {
        secured.file(&format!("{name}.crt"), &issued.certificate);
        secured.file(&format!("{name}.key"), &issued.key);
    }
    let with = |name: &str| format!("{FULL}&sslcert={{}}/{name}.crt&sslkey={{}}/{name}.key");
    // Databases are made beforehand: from then on nobody gets in without a certificate.
    let (good, none, foreign) = (
        secured.setup(&with("own")).await,
        secured.setup(FULL).await,
        secured.setup(&with("stranger")).await,
    );
    secured.postgres.reconfigure(
        "",
        "hostssl all all 127.0.0.1/32 cert\nhostnossl all all 127.0.0.1/32 reject",
    );
    stdout_of(&good, &["migrate"]);
    rejected(&none.run(&["migrate"]), 3, &["certificate"]);
    rejected(&foreign.run(&["migrate"]), 3, &["certificate", "sslcert"]);
    let key = secured.files.path().join("own.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    rejected(&good.run(&["migrate"]), 3, &["own.key", "chmod 600"]);
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&key, "no key").unwrap();
    rejected(&good.run(&["migrate"]), 3, &["own.key", "private key"]);
}

/// The certificate is renewed by another authority, and the file of authorities with it: connections that are opened from
/// then on use what is there.
#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificates_need_no_restart() {
    let mut secured = Secured::new(|authority| authority.issue(&["127.0.0.1"]), "");
    let setup = secured.setup(FULL).await;
    stdout_of(&setup, &["migrate"]);
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({})).await;
    let next = Authority::new("the next authority");
    let renewed = next.issue(&["127.0.0.1"]);
    secured.postgres.write_file("server.crt", &renewed.certificate);
    secured.postgres.write_file("server.key", &renewed.key);
    secured.postgres.reconfigure("", "");
    until_it_fails(&server, &client).await;
    secured.file("ca.pem", &next.certificate);
    until_it_works(&server, &client).await;
}

async fn until_it_fails(server: &Server, client: &oauth2_testkit::Credentials) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.request_token(client, &[]).await.status().is_success() {
        assert!(
            Instant::now() < deadline,
            "it goes on without a server that it may believe"
        );
    }
}

async fn until_it_works(server: &DedicatedServer, client: &oauth2_testkit::Credentials) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !server.request_token(client, &[]).await.status().is_success() {
        assert!(
            Instant::now() < deadline,
            "it does not come back: {}",
            server.process.stderr()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_password_file_is_read_again() {
    let mut postgres = Postgres::start(false);
    postgres.reconfigure("", "host all keeper 127.0.0.1/32 scram-sha-256");
    let admin = connect(&postgres.url("postgres")).await;
    admin
        .batch_execute("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 'first'")
        .await
        .unwrap();
    let setup = Setup::on_postgres(BINARY, &postgres).await;
    let url = setup.database_url().unwrap().replace("postgres@", "keeper@");
    let file = setup.directory().join("password");
    let write = |password: &str| std::fs::write(Path::new(&file), format!("{password}\n")).unwrap();
    write("wrong");
    let setup = setup
        .with("OAUTH2_DATABASE_URL", url)
        .with("OAUTH2_DATABASE_PASSWORD_FILE", file.display().to_string());
    let wrong = setup.run(&["migrate"]);
    rejected(&wrong, 3, &["password", &file.display().to_string()]);
    assert!(
        !wrong.stderr.contains("password in the database URL"),
        "{}",
        wrong.stderr
    );
    write("first");
    stdout_of(&setup, &["migrate"]);
    let mut server = DedicatedServer::start(setup).await;
    let client = server.register(json!({})).await;
    // The server's side changes first, and every connection is ended.
    admin
        .batch_execute("ALTER ROLE keeper PASSWORD 'second'")
        .await
        .unwrap();
    admin
        .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper'")
        .await
        .unwrap();
    until_it_fails(&server, &client).await;
    write("second");
    until_it_works(&server, &client).await;
    std::fs::remove_file(&file).unwrap();
    rejected(
        &server.setup.run(&["client", "list"]),
        3,
        &["password", "cannot be read"],
    );
    assert!(!server.process.complete_log().await.contains("second"));
}

/// Of two servers the one that takes writes is used, whichever it is.
#[tokio::test(flavor = "multi_thread")]
async fn writable_host_is_selected() {
    let (mut first, mut second) = (Postgres::start(false), Postgres::start(false));
    let name = first.database().await.rsplit_once('/').unwrap().1.to_owned();
    connect(&second.url("postgres"))
        .await
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/{name}?target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let read_only = |yes: bool| format!("default_transaction_read_only = {}", if yes { "on" } else { "off" });
    first.reconfigure(&read_only(true), "");
    let setup = Setup::on_postgres(BINARY, &second)
        .await
        .with("OAUTH2_DATABASE_URL", url);
    stdout_of(&setup, &["migrate"]);
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({})).await;
    server.token(&client).await;
    let tables = async |postgres: &Postgres| {
        let sql = "SELECT count(*) FROM pg_tables WHERE tablename = 'clients'";
        connect(&postgres.url(&name))
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    assert_eq!((tables(&first).await, tables(&second).await), (0, 1));
    // The first takes writes now, with the same schema and keys; the second goes. Nothing is restarted.
    first.reconfigure(&read_only(false), "");
    tokio::task::block_in_place(|| first.restore_into(&first.url(&name), &second.dump(&second.url(&name))));
    second.stop();
    let began = Instant::now();
    until_it_works(&server, &client).await;
    // Promised within 3 s of the new primary.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(matches!(server.setup.kind, Kind::Postgres));
}
