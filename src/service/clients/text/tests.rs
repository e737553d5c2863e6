use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::service::clients::import::{ExistingClients, ImportOptions, Outcome};
use crate::service::clients::registration::RegistrationDefaults;
use oauth2_store::model::{Ledger, TokenFormat};

const DEFAULTS: RegistrationDefaults = RegistrationDefaults {
    format: TokenFormat::Paseto,
    ledger: Ledger::Durable,
    has_shared_secret: true,
};

const PLAIN: ImportOptions = ImportOptions {
    generate_secrets: false,
    existing: ExistingClients::Update,
};
const GENERATE: ImportOptions = ImportOptions {
    generate_secrets: true,
    ..PLAIN
};

type Numbered = (u64, Result<ImportRow, RowError>);

fn records(text: &str, format: TextFormat) -> Result<Vec<Numbered>, RowError> {
    let mut reader = RowReader::new(text.as_bytes(), format).unwrap()?;
    let mut found = Vec::new();
    while let Some((lines, row)) = reader.read_next().unwrap() {
        found.push((lines.first, row));
    }
    Ok(found)
}

fn exported(client: &Client, format: TextFormat) -> String {
    let mut text = Vec::new();
    let mut writer = ClientWriter::new(&mut text, format).unwrap();
    writer.write(client, true).unwrap();
    writer.flush().unwrap();
    drop(writer);
    String::from_utf8(text).unwrap()
}

fn errors(text: &str, format: TextFormat) -> Vec<(u64, String)> {
    let found = records(text, format).unwrap().into_iter();
    found.filter_map(|(line, row)| Some((line, row.err()?))).collect()
}

#[test]
fn csv_dialects_of_common_systems_are_read() {
    let rows = "client_id,client_name,scope\nci,\"The \"\"CI\"\", ü\",read write\n\nnext,\"two\nlines\",\n";
    for text in [
        rows.to_owned(),
        format!("\u{feff}{rows}"),
        rows.replace('\n', "\r\n"),
        rows.trim_end().to_owned(),
    ] {
        let found = records(&text, TextFormat::Csv).unwrap();
        let ids: Vec<_> = found
            .iter()
            .map(|(line, row)| {
                (
                    *line,
                    row.as_ref().map(|row| row.client_id().to_owned()).unwrap_or_default(),
                )
            })
            .collect();
        assert_eq!(ids, [(2, "ci".to_owned()), (4, "next".to_owned())]);
    }
}

#[test]
fn csv_with_a_member_twice_in_a_field_is_rejected() {
    let hash = "ab".repeat(32);
    for (text, word) in [
        (
            r#"client_id,claims
a,"{""t"":1,""t"":2}"
"#
            .to_owned(),
            "claims must be a JSON object that has each member once",
        ),
        (
            format!(
                r#"client_id,client_secret_sha256,previous_secrets
a,{hash},"[{{""sha256"":""{hash}"",""expires_at"":1,""expires_at"":2}}]"
"#
            ),
            "previous_secrets must be a list of objects",
        ),
    ] {
        let found = errors(&text, TextFormat::Csv);
        assert!(
            matches!(&*found, [(2, error)] if error.contains(word)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn errors_name_the_line() {
    for (text, word) in [
        ("", "header is missing"),
        ("client_id,colour\n", "colour"),
        ("client_id,client_id\n", "twice"),
        ("scope\n", "client_id is missing"),
    ] {
        assert!(records(text, TextFormat::Csv).err().unwrap().contains(word), "{text}");
    }
    let text = format!(
        "client_id,access_token_lifetime,disabled,claims\na,x,,\nb,1,maybe,\nc,1,,[1]\nd,1\ne,1,,{}\nf,60,true,\"{{\"\"t\"\":1}}\"\ng,\"\n",
        "x".repeat(270_000)
    );
    let found = errors(&text, TextFormat::Csv);
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 8], "{found:?}");
    for ((_, why), word) in found.iter().zip([
        "access_token_lifetime",
        "disabled",
        "claims",
        "fields",
        "longer",
        "quote",
    ]) {
        assert!(why.contains(word), "{why} lacks {word}");
    }
    let found = errors(
        "{\"client_id\":\"a\"}\nnonsense\n[1]\n{\"client_id\":\"b\",\"color\":1}\n{}\n",
        TextFormat::JsonLines,
    );
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert!(
        found[2].1.contains("color") && found[3].1.contains("client_id"),
        "{found:?}"
    );
    let found = errors(
        "{\"client_id\":\"a\",\"scope\":\"x\",\"scope\":\"y\"}\nnonsense\n",
        TextFormat::JsonLines,
    );
    assert_eq!(found[0], (1, "the line has the member scope twice".to_owned()));
    assert_eq!(
        found[1],
        (2, "the line is not JSON: expected ident at column 2".to_owned())
    );
    let broken = [b"{\"client_id\":\"".as_slice(), b"\xff\"}\n"].concat();
    let mut reader = RowReader::new(&broken[..], TextFormat::JsonLines)
        .unwrap()
        .ok()
        .unwrap();
    let (_, row) = reader.read_next().unwrap().unwrap();
    assert!(row.err().unwrap().contains("UTF-8"));
}

#[test]
fn second_import_of_a_row_changes_nothing() {
    let row = ImportRow::parse(
        json!({"client_id": "ci", "scope": "a", "client_secret": "st".repeat(20)})
            .as_object()
            .unwrap()
            .clone(),
    )
    .ok()
    .unwrap();
    let Ok(Outcome::New(client, None)) = row.judge(None, DEFAULTS, 7, PLAIN) else {
        panic!("it is new")
    };
    assert!(matches!(
        row.judge(Some(&client), DEFAULTS, 9, PLAIN),
        Ok(Outcome::Unchanged)
    ));
    let other = ImportRow::parse(
        json!({"client_id": "ci", "client_secret": "ts".repeat(20)})
            .as_object()
            .unwrap()
            .clone(),
    )
    .ok()
    .unwrap();
    assert!(
        other
            .judge(Some(&client), DEFAULTS, 9, PLAIN)
            .err()
            .unwrap()
            .contains("differs")
    );
    let wider = ImportRow::parse(json!({"client_id": "ci", "scope": "a b"}).as_object().unwrap().clone())
        .ok()
        .unwrap();
    let Ok(Outcome::Changed(changed)) = wider.judge(Some(&client), DEFAULTS, 9, PLAIN) else {
        panic!("it changes")
    };
    assert_eq!(
        (&*changed.scope, changed.created_at, &changed.secrets),
        ("a b", 7, &client.secrets)
    );
    let bare = ImportRow::parse(json!({"client_id": "new"}).as_object().unwrap().clone())
        .ok()
        .unwrap();
    assert!(
        bare.judge(None, DEFAULTS, 7, PLAIN)
            .err()
            .unwrap()
            .contains("client_secret")
    );
    assert!(matches!(
        bare.judge(None, DEFAULTS, 7, GENERATE),
        Ok(Outcome::New(_, Some(_)))
    ));
}

#[test]
fn ambiguous_quotes_and_line_ends_are_rejected() {
    let inside = "a quote in a field that is not quoted";
    for (text, lines, word) in [
        ("a,5\" disk\nb,B\nc,C\nd,6\" disk\ne,E\n", vec![2, 5], inside),
        ("a,5\" by 6\" disk\nb,B\nc,C\nd,D\ne,E\n", vec![2], inside),
        ("a,\"5\" disk\nb,B\nc,\"C\"\nd,D\ne,E\n", vec![2], "closing quote"),
        ("a,A\rx,X\nb,B\nc,\"C\"\nd,D\ne,E\n", vec![2], "bare CR"),
    ] {
        let text = format!("client_id,client_name\n{text}");
        assert_eq!(records(&text, TextFormat::Csv).unwrap().len(), 5, "{text}");
        let found = errors(&text, TextFormat::Csv);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), lines, "{text}");
        assert!(
            found.iter().all(|(_, why)| why.contains(word)),
            "{found:?} lacks {word}"
        );
    }
    for (header, word) in [
        ("client_id,client_name\ra,A\rb,B\r", "bare CR"),
        ("client_id,5\" disk\na,A\n", inside),
        ("client_id,\"client_name\na,A\n", "not closed"),
    ] {
        let why = records(header, TextFormat::Csv).err().unwrap_or_default();
        assert!(why.contains(word), "{header}: {why}");
    }
}

#[test]
fn errors_name_the_field_and_not_its_value() {
    let text = "{\"client_id\":\"a\",\"scope\":5}
        {\"client_id\":\"a\",\"access_token_lifetime\":\"hush, expected hush\"}
        {\"client_id\":\"a\",\"quotas\":{\"day\":\"hush\"}}
        {\"client_id\":\"a\",\"audience\":\"hush\"}
        {\"client_id\":\"a\",\"grant_types\":[\"hush\",true]}
        {\"client_id\":[\"hush\"]}
        {\"client_id\":\"a\",\"disabled\":\"hush\"}\n";
    let found = errors(text, TextFormat::JsonLines);
    assert_eq!(found.len(), 7, "{found:?}");
    for ((_, why), begin) in found.iter().zip([
        "scope must be a string",
        "access_token_lifetime must be an integer",
        "quotas.day must be an integer",
        "audience must be",
        "grant_types[1] must be a string",
        "client_id must be a string",
        "disabled must be",
    ]) {
        assert!(why.starts_with(begin) && !why.contains("hush"), "{why}");
    }
    let text = "client_id,quota_hour,disabled\na,hush,\nb,,hush\n";
    let found = errors(text, TextFormat::Csv);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(_, why)| !why.contains("hush")), "{found:?}");
    // The first row of a text that has no header.
    let why = records(&format!("{},client_id\n", "hush".repeat(8)), TextFormat::Csv).err();
    assert!(why.is_some_and(|why| why.contains("column 1") && !why.contains("hush")));
}

proptest! {
    /// An export can be imported without a change, in either format.
    #[test]
    fn exports_can_be_imported(
        name in prop::option::of("[ -~äß\n\r\",]{1,30}"), scope in "([a-z]{1,5} ){0,3}[a-z]{1,5}", uris in prop::collection::hash_set("https://[a-z]{1,9}\\.example", 0..3),
        lifetime in prop::option::of(1..2_592_000_i64), claim in any::<String>(), quota in prop::option::of(1..1_000_000_i64), disabled in any::<bool>(),
    ) {
        let claim = claim.replace('\0', "");
        let name = name.filter(|name| !name.chars().any(char::is_control));
        let members = json!({
            "client_id": "ci", "client_name": name, "scope": scope, "audience": uris.iter().collect::<Vec<_>>(), "disabled": disabled,
            "access_token_lifetime": lifetime, "claims": {"c": claim}, "quotas": {"day": quota}, "rate_limits": {"token": "5/s:9"},
            "client_secret": "st".repeat(16),
        });
        let row = ImportRow::parse(members.as_object().unwrap().clone()).map_err(TestCaseError::fail)?;
        let Ok(Outcome::New(client, _)) = row.judge(None, DEFAULTS, 1_700_000_000, PLAIN) else { return Err(TestCaseError::reject("too large")) };
        for format in [TextFormat::JsonLines, TextFormat::Csv] {
            let text = exported(&client, format);
            let found = records(&text, format).map_err(TestCaseError::fail)?;
            prop_assert_eq!(found.len(), 1);
            let again = found[0].1.as_ref().map_err(|why| TestCaseError::fail(why.clone()))?;
            let Ok(Outcome::New(again, None)) = again.judge(None, DEFAULTS, 5, PLAIN) else { return Err(TestCaseError::fail("it is rejected")) };
            prop_assert_eq!(&*again, &*client);
        }
    }
}
