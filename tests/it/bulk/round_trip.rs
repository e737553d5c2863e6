//! Export and import keep everything that a client has, and what an import does to clients that exist.

use std::time::Duration;

use oauth2_testkit::postgres::connect;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{SECRET, import};
use crate::cli::migrated;
use crate::start;

on_both_stores!(
    round_trip_keeps_every_column_and_every_secret,
    existing_clients_are_skipped_or_overwritten,
    http_import_skips_or_overwrites_existing_clients,
);

const OTHER_SECRET: &str = "another-secret-of-a-client-that-was-moved";

fn other(kind: Kind) -> Kind {
    match kind {
        Kind::Sqlite => Kind::Postgres,
        Kind::Postgres => Kind::Sqlite,
    }
}

fn export(setup: &Setup, format: &str) -> String {
    let output = setup.run(&["client", "export", "--format", format, "--with-secret-hashes"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.stdout
}

/// The number of distinct values of each column of the table of clients.
async fn distinct_values(setup: &Setup) -> Vec<(String, i64)> {
    let count = |column: &str| format!("SELECT count(DISTINCT coalesce(CAST({column} AS text), 'null')) FROM clients");
    let mut found = Vec::new();
    match setup.database_url() {
        None => {
            let database = setup.sqlite();
            let mut columns = database
                .prepare("SELECT name FROM pragma_table_info('clients')")
                .unwrap();
            let columns = columns.query_map([], |row| row.get::<_, String>(0)).unwrap();
            for column in columns.map(Result::unwrap) {
                let values = database.query_row(&count(&column), [], |row| row.get(0)).unwrap();
                found.push((column, values));
            }
        }
        Some(url) => {
            let database = connect(url).await;
            let columns = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'clients'";
            for row in database.query(columns, &[]).await.unwrap() {
                let column: String = row.get(0);
                let values = database.query_one(&count(&column), &[]).await.unwrap().get(0);
                found.push((column, values));
            }
        }
    }
    found
}

/// Clients that have every field, in different values.
fn clients() -> [Value; 5] {
    let long: Vec<String> = (0..64)
        .map(|n| format!("https://{n}.example/{}", "a".repeat(490)))
        .collect();
    [
        json!({
            "client_id": "everything", "client_name": "=The \"CI\", ü [1]", "grant_types": ["client_credentials"], "scope": "write read",
            "token_format": "jwt", "signing_alg": "ES256", "token_typ": "JWT", "audience": ["urn:b", "https://a.example"],
            "introspection_audiences": ["https://r.example", "https://a.example"], "token_ledger": "stateless",
            "access_token_lifetime": 60, "rate_limits": {"token": "5/s:9", "introspection": "6/m", "revocation": "7/h"},
            "rate_limit_mode": "observe", "quotas": {"hour": 5, "day": 7, "month": 9}, "quota_mode": "observe", "reuse_percent": 50, "group": "acme",
            "claims": {"zz": 1.5, "a": {"id": 10, "b": [null, true, "x, \"y\""]}, "mm": -7, "f": [1e16, 1.0, -0.0, 1e-7, 1e300, 18_000_000_000_000_000_000.0]},
        }),
        json!({"client_id": "disabled", "managed_by": "payments", "disabled": true, "grant_types": [], "quotas": {"month": 1}, "created_at": 1_600_000_000}),
        json!({"client_id": "long", "audience": long, "introspection_audiences": long}),
        json!({"client_id": "opaque", "token_format": "opaque", "rate_limits": {"revocation": "1/s"}}),
        json!({"client_id": "plain"}),
    ]
}

async fn round_trip_keeps_every_column_and_every_secret(kind: Kind) {
    let source = migrated(kind).await;
    let clients = clients();
    for client in &clients {
        let mut client = client.clone();
        client["client_secret"] = SECRET.into();
        import(&source, &["--format", "jsonl"], &format!("{client}\n"));
    }
    // A second secret, and a third one, in overlaps of different length.
    let rotate = |id: &str, overlap: &str| {
        let rotated = source.json(&["client", "rotate-secret", id, "--overlap", overlap, "--json"]);
        Credentials::of(&rotated)
    };
    let rotated = [
        rotate("everything", "3000"),
        rotate("plain", "3600"),
        rotate("plain", "1800"),
    ];

    for (column, values) in distinct_values(&source).await {
        let is_written_by_the_store = ["client_id", "version", "updated_at"].contains(&&*column);
        assert!(
            values > 1 || is_written_by_the_store,
            "every client of this test has the same {column}: give one of them another value"
        );
    }

    for format in ["jsonl", "csv"] {
        let exported = export(&source, format);
        let target = migrated(other(kind)).await;
        assert_eq!(
            import(&target, &["--format", format], &exported)["created"],
            clients.len()
        );
        for again in ["jsonl", "csv"] {
            assert_eq!(export(&target, again), export(&source, again), "{format}");
        }
        for arguments in [&[][..], &["--overwrite"]] {
            let arguments = [&["--format", format], arguments].concat();
            assert_eq!(import(&target, &arguments, &exported)["unchanged"], clients.len());
        }
        // And back, over the later changes.
        let changes = [
            "client",
            "update",
            "everything",
            "--scope",
            "x",
            "--claim",
            "new=1",
            "--reset",
            "quotas",
        ];
        for arguments in [
            &changes[..],
            &["client", "rotate-secret", "everything", "--overlap", "0"],
            &[
                "client",
                "update",
                "plain",
                "--name",
                "Plain",
                "--lifetime",
                "5",
                "--quota",
                "day=3",
            ],
        ] {
            assert_eq!(target.run(arguments).code, 0);
        }
        let result = import(&target, &["--format", format, "--overwrite"], &exported);
        assert_eq!(
            (&result["updated"], &result["unchanged"]),
            (&json!(2), &json!(clients.len() - 2))
        );
        assert_eq!(export(&target, format), exported);
    }

    let server = start(other(kind)).await;
    let exported = export(&source, "csv");
    let request = server
        .admin(Method::POST, "/clients:import")
        .header("content-type", "text/csv");
    let response = request.body(exported).send().await.unwrap();
    let body = body_of(response).await;
    assert_eq!(body["created"], clients.len(), "{body}");
    let given = ["everything", "opaque", "plain"].map(|id| Credentials::new(id, SECRET));
    for client in given.iter().chain(&rotated) {
        server.token(client).await;
    }
}

async fn existing_clients_are_skipped_or_overwritten(kind: Kind) {
    let source = migrated(kind).await;
    let server = start(kind).await;
    for (setup, secret, scope) in [(&source, SECRET, "new"), (&server.setup, OTHER_SECRET, "old")] {
        let row = json!({"client_id": "both", "client_secret": secret, "scope": scope});
        import(setup, &["--format", "jsonl"], &format!("{row}\n"));
    }
    import(
        &source,
        &["--format", "jsonl"],
        &format!("{}\n", json!({"client_id": "fresh", "client_secret": SECRET})),
    );
    import(
        &server.setup,
        &["--format", "jsonl"],
        &format!("{}\n", json!({"client_id": "own", "client_secret": SECRET})),
    );
    let exported = export(&source, "jsonl");
    let run = |arguments: &[&str]| {
        let arguments = [&["client", "import", "-", "--format", "jsonl"], arguments].concat();
        server.setup.run_with_input(&arguments, &exported)
    };

    let refused = run(&[]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("overwrite") && refused.stderr.contains("skip-existing"),
        "{}",
        refused.stderr
    );
    let both = run(&["--skip-existing", "--overwrite"]);
    assert!(
        both.code == 2 && both.stderr.contains("--skip-existing"),
        "{}",
        both.stderr
    );

    let before = server.setup.json(&["client", "show", "both", "--json"]);
    let skipped = run(&["--skip-existing"]);
    assert_eq!(
        (skipped.code, skipped.stdout.trim()),
        (0, "1 clients created, 0 updated, 0 unchanged, 1 skipped, 0 rejected")
    );
    assert_eq!(server.setup.json(&["client", "show", "both", "--json"]), before);

    let dry = run(&["--overwrite", "--dry-run"]);
    assert_eq!(dry.code, 0);
    assert_eq!(server.setup.json(&["client", "show", "both", "--json"]), before);
    let overwritten = run(&["--overwrite"]);
    assert_eq!(
        overwritten.stdout.trim(),
        "0 clients created, 1 updated, 1 unchanged, 0 skipped, 0 rejected"
    );
    let kept = |text: &str| {
        text.lines()
            .filter(|line| line.contains("\"both\""))
            .collect::<String>()
    };
    assert_eq!(kept(&export(&server.setup, "jsonl")), kept(&exported));
    let status = async |secret| {
        server
            .request_token(&Credentials::new("both", secret), &[])
            .await
            .status()
    };
    until(Duration::from_secs(20), "the server knows the secret", async || {
        status(SECRET).await == StatusCode::OK
    })
    .await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    assert_eq!(status(OTHER_SECRET).await, StatusCode::UNAUTHORIZED);
    server.token(&Credentials::new("own", SECRET)).await;

    let audit = || {
        let arguments = ["audit", "list", "--kind", "client.import", "--client", "both", "--json"];
        server.setup.json(&arguments)["items"].as_array().unwrap().clone()
    };
    let mut rows = audit();
    // On Postgres, rows appear when the transactions of other tests that began before them have ended.
    while rows.len() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "{rows:?}");
        rows = audit();
    }
    let changes = rows.iter().map(|row| &row["detail"]["changes"]);
    let overwrites: Vec<&Value> = changes.filter(|changes| changes["scope"]["new"] == "new").collect();
    assert_eq!(overwrites.len(), 1, "{rows:?}");
    let secrets = &overwrites[0]["secrets"];
    assert_ne!(secrets["old"][0]["id"], secrets["new"][0]["id"], "{rows:?}");
    assert_eq!(rows.len(), 2, "a skipped client has no row: {rows:?}");
}

async fn http_import_skips_or_overwrites_existing_clients(kind: Kind) {
    let server = start(kind).await;
    let post = async |query: &str, row: Value| {
        let request = server.admin(Method::POST, &format!("/clients:import{query}"));
        let request = request.header("content-type", "application/x-ndjson");
        let response = request.body(format!("{row}\n")).send().await.unwrap();
        (response.status(), body_of(response).await)
    };
    let counts = |body: &Value| ["created", "updated", "unchanged", "skipped"].map(|name| body[name].as_u64().unwrap());
    let row = |secret: &str| json!({"client_id": "both", "client_secret": secret, "client_name": "Both"});
    let first =
        json!({"client_id": "both", "client_secret": OTHER_SECRET, "scope": "a", "disabled": true, "claims": {"a": 1}});
    assert_eq!(counts(&post("", first).await.1), [1, 0, 0, 0]);
    let (status, body) = post("", row(SECRET)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        body["error_description"].as_str().unwrap().contains("overwrite"),
        "{body}"
    );
    let (status, body) = post("?skip_existing=true&overwrite=true", row(SECRET)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        body["error_description"].as_str().unwrap().contains("skip_existing"),
        "{body}"
    );
    assert_eq!(counts(&post("?skip_existing=true", row(SECRET)).await.1), [0, 0, 0, 1]);
    assert_eq!(
        counts(&post("?overwrite=true&dry_run=true", row(SECRET)).await.1),
        [0, 1, 0, 0]
    );
    assert_eq!(counts(&post("?overwrite=true", row(SECRET)).await.1), [0, 1, 0, 0]);
    assert_eq!(counts(&post("?overwrite=true", row(SECRET)).await.1), [0, 0, 1, 0]);
    let shown = body_of(server.admin(Method::GET, "/clients/both").send().await.unwrap()).await;
    assert_eq!(
        (
            &shown["scope"],
            &shown["claims"],
            &shown["client_name"],
            &shown["disabled"]
        ),
        (&json!(""), &json!({}), &json!("Both"), &json!(true)),
        "what the row leaves out gets the default, but a disabled client stays disabled"
    );
    // Without a secret, an existing client keeps those it has.
    let enabled = json!({"client_id": "both", "disabled": false});
    assert_eq!(counts(&post("?overwrite=true", enabled).await.1), [0, 1, 0, 0]);
    server.token(&Credentials::new("both", SECRET)).await;
    let old = server.request_token(&Credentials::new("both", OTHER_SECRET), &[]).await;
    assert_eq!(old.status(), StatusCode::UNAUTHORIZED);
}
