//! The text of files of clients: errors name the file, the line and the field.

use oauth2_testkit::Kind;
use serde_json::json;

use super::{SECRET, applied, apply, counts, exists, rejected, shown, write};
use crate::cli::migrated;

on_both_stores!(
    errors_name_file_line_and_field,
    errors_repeat_no_name_that_may_be_a_secret,
    files_documents_and_directories_are_one_set
);

/// A file with one client, whose last line is number 5.
fn file(line: &str) -> String {
    format!("owner: x\nclients:\n  - client_id: a\n    client_secret: {SECRET}\n    {line}\n")
}

async fn errors_repeat_no_name_that_may_be_a_secret(kind: Kind) {
    let setup = migrated(kind).await;
    for (text, error) in [
        (
            format!("owner: x\n{SECRET}: 1\nclients: []\n"),
            "bad.yaml:2: unknown field `(name not shown)`",
        ),
        (
            format!("owner: x\nclients:\n  - {SECRET}: 1\n    {SECRET}: 2\n"),
            "bad.yaml:4: duplicate mapping key: (name not shown)",
        ),
        (
            file(&format!("{SECRET}: 1")),
            "clients[0]: unknown field, whose name is not shown",
        ),
    ] {
        let path = write(&setup, "bad.yaml", &text);
        let output = rejected(&setup, &["-f", &path]);
        assert!(output.contains(error), "{text}: {output}");
        assert!(!output.contains(SECRET), "{output}");
    }
}

async fn errors_name_file_line_and_field(kind: Kind) {
    let setup = migrated(kind).await;
    for (text, error) in [
        (file("scpoe: read"), "bad.yaml:5: clients[0]: unknown field `scpoe`"),
        (file("scope: 7"), "bad.yaml:5: clients[0]: scope must be a string"),
        (
            file("access_token_lifetime: soon"),
            "bad.yaml:5: clients[0]: access_token_lifetime must be an integer",
        ),
        (
            file("token_format: saml"),
            "bad.yaml:5: clients[0]: token_format must be",
        ),
        (
            file("rate_limits: {token: 5}"),
            "bad.yaml:5: clients[0]: rate_limits.token must be a string",
        ),
        (
            file("rate_limits: {tokn: 5/s}"),
            "bad.yaml:5: clients[0]: rate_limits must have members of",
        ),
        (file("scope: a: b"), "bad.yaml:5: "),
        (file("scope: [a"), "bad.yaml:"),
        (file("client_id: b"), "bad.yaml:5: "),
        (
            file("created_at: 7"),
            "bad.yaml:5: clients[0]: created_at is set by the server",
        ),
        (
            file("managed_by: y"),
            "bad.yaml:5: clients[0]: managed_by is the owner of the document",
        ),
        (
            file("secret_file: s"),
            "clients[0]: secret_file and a secret are both given",
        ),
        (
            file("signing_alg: ES256"),
            "bad.yaml:5: clients[0]: signing_alg requires token_format jwt",
        ),
        (
            "owner: x\nclients: [{scope: read}]\n".to_owned(),
            "bad.yaml:2: clients[0]: client_id is missing",
        ),
        ("owner: x\nclients:\n".to_owned(), "bad.yaml:2: "),
        ("owner: x\n".to_owned(), "missing field `clients`"),
        ("clients: []\n".to_owned(), "bad.yaml: owner is missing"),
        (
            "owner: ''\nclients: []\n".to_owned(),
            "bad.yaml: owner must be 1 to 128 bytes",
        ),
        ("owner: x\nclient: []\n".to_owned(), "bad.yaml:2: "),
        ("- client_id: a\n".to_owned(), "bad.yaml:1: "),
    ] {
        let path = write(&setup, "bad.yaml", &text);
        let output = rejected(&setup, &["-f", &path]);
        assert!(output.contains(error), "{text}: {output}");
        assert!(!output.contains(SECRET), "{output}");
    }
    for (text, error) in [
        (
            r#"{"owner": "x", "clients": [{"client_id": "a", "scpoe": ""}]}"#,
            "bad.json: clients[0]: unknown field `scpoe`",
        ),
        (
            r#"{"owner": "x", "clients": [{"client_id": "a", "client_id": "b"}]}"#,
            "bad.json:1: duplicate field `client_id`",
        ),
        ("{\"owner\": \"x\",\n\"clients\": [}", "bad.json:2: "),
        (
            r#"{"owner": "x", "clients": ["a-secret-in-the-wrong-place"]}"#,
            "bad.json:1: invalid type",
        ),
    ] {
        let path = write(&setup, "bad.json", text);
        let output = rejected(&setup, &["-f", &path]);
        assert!(output.contains(error), "{text}: {output}");
        assert!(!output.contains("a-secret-in-the-wrong-place"), "{output}");
    }
    let other = write(&setup, "clients.txt", "");
    assert!(
        apply(&setup, &["-f", &other])
            .stderr
            .contains("must have the extension yaml, yml or json")
    );
    let absent = apply(&setup, &["-f", "absent.yaml"]);
    assert!(
        absent.code == 2 && absent.stderr.contains("absent.yaml cannot be read"),
        "{}",
        absent.stderr
    );
    let path = write(&setup, "x.yaml", "owner: x\nclients: []\n");
    let output = rejected(&setup, &["-f", &path, "--owner", "y"]);
    assert!(output.contains(r#"owner "x" is not that of --owner, "y""#), "{output}");
    assert!(!exists(&setup, "a"));
}

async fn files_documents_and_directories_are_one_set(kind: Kind) {
    let setup = migrated(kind).await;
    let client = |id: &str| format!("{{client_id: '{id}', client_secret: {SECRET}}}");
    let two = format!(
        "owner: x\nclients: [{}]\n---\nowner: y\nclients:\n- {}\n- {}\n",
        client("a"),
        client("b"),
        client("team/"),
    );
    write(&setup, "set/10.yaml", &two);
    let member =
        json!({"owner": "x", "clients": [{"client_id": "c", "client_secret": SECRET, "client_name": "\u{1f600}"}]});
    write(
        &setup,
        "set/20.json",
        &member.to_string().replace('\u{1f600}', "\\ud83d\\ude00"),
    );
    write(&setup, "set/README.md", "not a file of clients");
    write(&setup, "set/.hidden.yaml", "owner: [");
    let directory = setup.directory().join("set");
    let stdin = format!("owner: x\nclients: [{}]\n", client("d"));
    let arguments = ["apply", "-f", directory.to_str().unwrap(), "-f", "-", "--json"];
    let output = setup.run_with_input(&arguments, &stdin);
    assert_eq!(output.code, 0, "{}", output.stderr);
    for (id, owner) in [("a", "x"), ("b", "y"), ("team/", "y"), ("c", "x"), ("d", "x")] {
        assert_eq!(shown(&setup, id)["managed_by"], owner, "{id}");
    }
    assert_eq!(shown(&setup, "c")["client_name"], "\u{1f600}");
    // Without stdin, d is in no file.
    let pruned = applied(&setup, &["-f", directory.to_str().unwrap(), "--prune"]);
    assert_eq!(counts(&pruned), [0, 0, 1, 4, 0]);

    write(&setup, "set/30.yaml", &two);
    let output = rejected(&setup, &["-f", directory.to_str().unwrap()]);
    let (first, again) = (
        "10.yaml:2: document 1, clients[0]",
        "30.yaml:2: document 1, clients[0]: client_id a occurs at ",
    );
    assert!(output.contains(first) && output.contains(again), "{output}");
    let empty = setup.directory().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let output = apply(&setup, &["-f", empty.to_str().unwrap(), "--prune"]);
    assert!(
        output.code == 2 && output.stderr.contains("has no file with the extension"),
        "{}",
        output.stderr
    );
    // Aliases must not multiply a small file without bound.
    let bomb = (1..12).fold("x0: &x0 [a]".to_owned(), |text, n| {
        format!("{text}, x{n}: &x{n} [{}]", vec![format!("*x{}", n - 1); 10].join(", "))
    });
    let bomb = format!("owner: x\nclients: [{{client_id: bomb, client_secret: {SECRET}, claims: {{{bomb}}}}}]\n");
    let bomb = write(&setup, "bomb.yaml", &bomb);
    assert_eq!(apply(&setup, &["-f", &bomb]).code, 2);
}
