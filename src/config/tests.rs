use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use oauth2_store::Location;

const KEK: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const PREVIOUS_KEK: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn resolved(environment: &[(&str, &str)], file: Option<&str>) -> Result<Config, Vec<String>> {
    let environment: BTreeMap<_, _> = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let read_secret = |path: &Path| match path.to_str() {
        Some("/work-dir/token") => Ok(format!("{TOKEN}\n")),
        Some("/abs/kek") => Ok(format!("{KEK}\r\n")),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let input = Input {
        environment,
        file: file.map(|text| (PathBuf::from("o.toml"), text.to_owned())),
        directory: PathBuf::from("/work-dir"),
        parallelism: 3,
        read_secret: &read_secret,
        exposure: &|path| (path == Path::new("/work-dir/token")).then(|| "is readable by every user".to_owned()),
    };
    resolve(&input).map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
}

fn errors(environment: &[(&str, &str)], file: Option<&str>) -> Vec<String> {
    resolved(environment, file).expect_err("the configuration should be rejected")
}

#[test]
fn exposed_files_of_secrets_cause_warnings() {
    let warnings = |environment, file| resolved(environment, file).unwrap().warnings;
    let of_token = "OAUTH2_ADMIN_TOKEN_FILE: /work-dir/token is readable by every user";
    assert_eq!(warnings(&[("OAUTH2_ADMIN_TOKEN_FILE", "token")], None), [of_token]);
    let password = [
        ("OAUTH2_DATABASE_PASSWORD_FILE", "token"),
        (
            "OAUTH2_DATABASE_URL",
            "postgres://u@h/d?sslmode=require&sslcert=c&sslkey=%2Fwork-dir%2Ftoken",
        ),
        ("OAUTH2_KEY_ENCRYPTION_KEY_FILE", "/abs/kek"),
    ];
    let expected = [
        "OAUTH2_DATABASE_URL (sslkey): /work-dir/token is readable by every user",
        "OAUTH2_DATABASE_PASSWORD_FILE: /work-dir/token is readable by every user",
    ];
    assert_eq!(warnings(&password, None), expected);
}

#[test]
fn defaults_apply_to_keys_that_are_not_set() {
    let config = resolved(&[("PATH", "/bin"), ("OAUTH", "x")], None).unwrap();
    assert_eq!(config.server.listener.authority(), "127.0.0.1:8080");
    assert_eq!(config.management.authority(), "127.0.0.1:8081");
    assert_eq!(config.server.workers, 3);
    assert_eq!(config.server.drain_delay, Duration::from_secs(1));
    assert_eq!(config.issuer, "http://127.0.0.1:8080");
    assert_eq!(config.tokens.access_token_lifetime, 1800);
    assert_eq!(
        config.database.sqlite_path(),
        Some(Path::new("/work-dir/data/oauth2.db"))
    );
    assert_eq!(config.database.options().acquire_timeout, Duration::from_millis(250));
    assert!(config.warnings.is_empty());
    assert_eq!(config.entries.len(), TABLE.keys().count());
    let printed = |path| {
        let entry = config.entries.iter().find(|entry| entry.key.path == path).unwrap();
        (entry.value.as_deref(), entry.origin.kind())
    };
    assert_eq!(printed("issuer"), (Some("http://127.0.0.1:8080"), "default"));
    assert_eq!(printed("server.workers"), (Some("3"), "default"));
    assert_eq!(printed("log.level"), (Some("info"), "default"));
    assert_eq!(printed("limits.token"), (None, "default"));
}

#[test]
fn every_key_has_names_of_its_own() {
    let names = TABLE.keys().flat_map(|key| [key.env, key.path]);
    let distinct: BTreeSet<_> = names.collect();
    assert_eq!(distinct.len(), 2 * TABLE.keys().count());
}

#[test]
fn key_encryption_keys_are_set_in_the_keys_section() {
    let file = format!("[keys]\nencryption_key_file = \"/abs/kek\"\nencryption_key_previous = \"{PREVIOUS_KEK}\"\n");
    let secrets = resolved(&[], Some(&file)).unwrap().secrets;
    assert!(secrets.key_encryption_key.is_some() && secrets.previous_key_encryption_key.is_some());
    let same = errors(
        &[("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS", KEK)],
        Some("[keys]\nencryption_key_file = \"/abs/kek\"\n"),
    );
    assert!(
        same[0].contains("must differ from OAUTH2_KEY_ENCRYPTION_KEY"),
        "{same:?}"
    );
    let other_section = errors(&[], Some(&format!("[key]\nencryption_key = \"{KEK}\"\n")));
    assert!(
        other_section[0].contains("did you mean keys.encryption_key?"),
        "{other_section:?}"
    );
}

#[test]
fn environment_overrides_file() {
    let file = "issuer = \"https://id.example/\"\n[server]\nport = 9_000\ndrain_delay = 0.25\n[tokens]\nformat = \"jwt\"\n[keys]\n";
    let config = resolved(&[("OAUTH2_TOKENS_FORMAT", "opaque")], Some(file)).unwrap();
    assert_eq!(config.server.listener.port, 9000);
    assert_eq!(config.server.drain_delay, Duration::from_millis(250));
    assert_eq!(config.tokens.format.as_str(), "opaque");
    assert_eq!(config.issuer, "https://id.example/");
    let origin = |path: &str| {
        config
            .entries
            .iter()
            .find(|entry| entry.key.path == path)
            .unwrap()
            .origin
            .to_string()
    };
    assert_eq!(origin("server.port"), "o.toml:3");
    assert_eq!(origin("tokens.format"), "environment OAUTH2_TOKENS_FORMAT");
    assert_eq!(origin("tokens.ledger"), "default");
}

#[test]
fn valid_values_are_accepted() {
    let valid: &[(&str, &str)] = &[
        ("OAUTH2_SERVER_DRAIN_DELAY", "0"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "500ms"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "1s"),
        ("OAUTH2_SERVER_HOST", "::1"),
        ("OAUTH2_SERVER_HOST", "[::1]"),
        ("OAUTH2_SERVER_HOST", "localhost"),
        ("OAUTH2_MANAGEMENT_HOST", "0.0.0.0"),
        ("OAUTH2_ISSUER", "https://id.example/tenant"),
        ("OAUTH2_ISSUER", "http://localhost:8080"),
        ("OAUTH2_DATABASE_URL", "sqlite:///var/lib/oauth2.db"),
        ("OAUTH2_DATABASE_POOLER", "transaction"),
        ("OAUTH2_LOG_LEVEL", "info,oauth2_server=debug"),
        ("OAUTH2_LOG_FORMAT", "human"),
        ("OAUTH2_ACCESS_TOKEN_EXPIRATION", "2592000"),
        ("OAUTH2_ADMIN_TOKEN", TOKEN),
        ("OAUTH2_ADMIN_TOKEN_FILE", "token"),
        ("OAUTH2_KEY_ENCRYPTION_KEY", KEK),
        ("OAUTH2_KEY_ENCRYPTION_KEY_FILE", "/abs/kek"),
    ];
    for pair in valid {
        if let Err(errors) = resolved(&[*pair], None) {
            panic!("{pair:?}: {errors:?}");
        }
    }
}

/// Compose files and shells pass a variable that is not set as an empty one.
#[test]
fn empty_variable_counts_as_unset() {
    for key in [
        "OAUTH2_SERVER_PORT",
        "OAUTH2_ISSUER",
        "OAUTH2_JWT_SECRET_FILE",
        "OAUTH2_ADMIN_TOKEN",
    ] {
        assert!(resolved(&[(key, "")], None).is_ok(), "{key}");
    }
}

#[test]
fn issuer_is_kept_byte_for_byte() {
    for issuer in ["https://id.example/", "https://id.example/a/", "https://id.example"] {
        assert_eq!(resolved(&[("OAUTH2_ISSUER", issuer)], None).unwrap().issuer, issuer);
    }
}

#[test]
fn invalid_values_are_rejected_by_key_name() {
    let invalid: &[(&str, &str)] = &[
        ("OAUTH2_SERVER_HOST", "example.com"),
        ("OAUTH2_SERVER_PORT", "0"),
        ("OAUTH2_SERVER_PORT", "65536"),
        ("OAUTH2_SERVER_WORKERS", "0"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "-1"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "inf"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "NaN"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "1m"),
        ("OAUTH2_MANAGEMENT_PORT", "8080"),
        ("OAUTH2_DATABASE_URL", "mysql://x"),
        ("OAUTH2_DATABASE_URL", "sqlite://"),
        ("OAUTH2_DATABASE_URL", "sqlite://:memory:"),
        ("OAUTH2_DATABASE_MIN_CONNECTIONS", "11"),
        ("OAUTH2_DATABASE_CONNECT_TIMEOUT", "0"),
        ("OAUTH2_DATABASE_POOLER", "session"),
        ("OAUTH2_ISSUER", "http://id.example"),
        ("OAUTH2_ISSUER", "https:id.example"),
        ("OAUTH2_ISSUER", "https://id.example?x=1"),
        ("OAUTH2_ISSUER", "https://id.example#"),
        ("OAUTH2_ISSUER", "https://u:p@id.example"),
        ("OAUTH2_ISSUER", " https://id.example"),
        ("OAUTH2_TOKENS_FORMAT", "saml"),
        ("OAUTH2_TOKENS_LEDGER", "Durable"),
        ("OAUTH2_ACCESS_TOKEN_EXPIRATION", "2592001"),
        ("OAUTH2_ACCESS_TOKEN_EXPIRATION", "0"),
        ("OAUTH2_REFRESH_TOKEN_EXPIRATION", "soon"),
        ("OAUTH2_ADMIN_TOKEN", "short"),
        ("OAUTH2_JWT_SECRET", "short"),
        ("OAUTH2_KEY_ENCRYPTION_KEY", "AAAA"),
        (
            "OAUTH2_KEY_ENCRYPTION_KEY",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
        ),
        ("OAUTH2_KEY_ENCRYPTION_KEY_FILE", "/nowhere"),
        ("OAUTH2_LOG_LEVEL", "a=b=c"),
        ("OAUTH2_LOG_FORMAT", "xml"),
    ];
    for pair in invalid {
        let errors = errors(&[*pair], None);
        assert_eq!(errors.len(), 1, "{pair:?}: {errors:?}");
        assert!(errors[0].contains(pair.0), "{errors:?}");
    }
}

#[test]
fn every_error_is_reported_with_its_origin() {
    let file = "[server]\nprot = 1\nport = \"x\"\nworkers = [1]\n[nothing]\n";
    let errors = errors(
        &[("OAUTH2_SEVER_HOST", "x"), ("OAUTH2_TOKENS_FORMAT", "saml")],
        Some(file),
    );
    let text = errors.join("\n");
    for part in [
        "server.prot (o.toml:2); did you mean server.port?",
        "server.port (o.toml:3) must be a whole number from 1 to 65535, not \"x\"",
        "server.workers (o.toml:4) must be a string or a number",
        "nothing (o.toml:5)",
        "OAUTH2_SEVER_HOST (environment OAUTH2_SEVER_HOST); did you mean OAUTH2_SERVER_HOST?",
        "OAUTH2_TOKENS_FORMAT (environment OAUTH2_TOKENS_FORMAT) must be one of paseto, jwt, opaque, not \"saml\"",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert_eq!(errors.len(), 6, "{text}");
}

#[test]
fn syntax_error_names_its_line_only() {
    let errors = errors(&[], Some("[admin]\ntoken = \"hunter2hunter2\n"));
    assert!(errors[0].starts_with("o.toml:2 is not valid TOML"), "{errors:?}");
    assert!(!errors[0].contains("hunter2"), "{errors:?}");
}

#[test]
fn secret_is_set_once_and_never_printed() {
    let both_forms = errors(
        &[("OAUTH2_ADMIN_TOKEN", TOKEN), ("OAUTH2_ADMIN_TOKEN_FILE", "token")],
        None,
    );
    assert!(both_forms[0].contains("must not both be set"), "{both_forms:?}");
    let layered = resolved(&[("OAUTH2_ADMIN_TOKEN_FILE", "token")], Some("[admin]\ntoken = \"x\"")).unwrap();
    let shown = format!("{layered:?}");
    assert_eq!(layered.secrets.admin_token.unwrap().expose(), TOKEN);
    assert!(!shown.contains(TOKEN), "{shown}");
    let too_short = errors(&[("OAUTH2_ADMIN_TOKEN", "hunter2")], None);
    assert!(!too_short[0].contains("hunter2"), "{too_short:?}");
}

#[test]
fn postgres_requires_a_key_encryption_key_and_hides_its_password() {
    let url = "postgres://app:s3cret@db:5432/oauth2?sslmode=verify-full&sslrootcert=ca.pem&password=s3cret";
    let missing = errors(&[("OAUTH2_DATABASE_URL", url)], None);
    assert!(missing[0].starts_with("OAUTH2_KEY_ENCRYPTION_KEY"), "{missing:?}");
    let config = resolved(
        &[("OAUTH2_DATABASE_URL", url), ("OAUTH2_KEY_ENCRYPTION_KEY", KEK)],
        None,
    )
    .unwrap();
    assert!(matches!(&config.database.options().location, Location::Postgres(stored) if stored == url));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn listener_off_loopback_requires_an_issuer() {
    let missing = errors(&[("OAUTH2_SERVER_HOST", "0.0.0.0")], None);
    assert!(missing[0].contains("OAUTH2_ISSUER"), "{missing:?}");
    let with_issuer = [
        ("OAUTH2_SERVER_HOST", "0.0.0.0"),
        ("OAUTH2_ISSUER", "https://id.example"),
    ];
    assert!(resolved(&with_issuer, None).is_ok());
}

#[test]
fn kubernetes_service_variables_are_ignored() {
    let injected = [
        ("OAUTH2_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("OAUTH2_SERVER_SERVICE_PORT", "80"),
        ("OAUTH2_SERVER_SERVICE_PORT_HTTP", "80"),
        ("OAUTH2_SERVER_PORT", "tcp://10.0.0.1:80"),
        ("OAUTH2_SERVER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("OAUTH2_SERVER_PORT_80_TCP_PROTO", "tcp"),
        ("OAUTH2_SERVER_PORT_80_TCP_PORT", "80"),
        ("OAUTH2_SERVER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("OAUTH2_SERVER_MANAGEMENT_SERVICE_HOST", "10.0.0.2"),
        ("OAUTH2_SERVER_MANAGEMENT_PORT", "tcp://10.0.0.2:81"),
        ("OAUTH2_SERVER_MANAGEMENT_PORT_81_UDP_ADDR", "10.0.0.2"),
    ];
    let config = resolved(&injected, Some("[server]\nport = 9000")).unwrap();
    assert_eq!(config.server.listener.port, 9000);
    for name in [
        "OAUTH2_SERVER_PORT_TCP",
        "OAUTH2_SERVER_PORT_X_TCP",
        "OAUTH2_SERVER_PORTS",
    ] {
        assert_eq!(errors(&[(name, "80")], None).len(), 1, "{name}");
    }
}

#[test]
fn unused_keys_cause_one_warning() {
    let set = [("OAUTH2_SESSION_KEY", TOKEN), ("OAUTH2_REFRESH_TOKEN_EXPIRATION", "60")];
    let config = resolved(&set, None).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(set.iter().all(|(name, _)| config.warnings[0].contains(name)));
}

/// The table in both documents is generated. To update it: `UPDATE_DOCS=1 cargo test documented`.
#[test]
fn every_key_is_documented() {
    for document in ["docs/configuration.md", "README.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let (begin, end) = ("<!-- keys -->\n", "<!-- /keys -->");
        let (before, rest) = text.split_once(begin).expect("the start mark of the table");
        let (table, after) = rest.split_once(end).expect("the end mark of the table");
        if is_docs_update() {
            std::fs::write(&path, format!("{before}{begin}{}{end}{after}", TABLE.markdown())).unwrap();
            continue;
        }
        assert_eq!(
            table,
            TABLE.markdown(),
            "{document}: run UPDATE_DOCS=1 cargo test documented"
        );
    }
}

#[test]
fn embedded_store_generates_its_secrets_once() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/data/o.db", directory.path().display());
    let config = resolved(&[("OAUTH2_DATABASE_URL", &url)], None).unwrap();
    assert!(embedded::existing_key_wrapper(&config).unwrap().is_none());
    let missing_key = embedded::provide(&config, true).unwrap_err();
    assert!(
        matches!(&missing_key, embedded::SecretError::Invalid(text) if text.contains("OAUTH2_KEY_ENCRYPTION_KEY")),
        "{missing_key}"
    );
    assert!(!directory.path().join("data/key_encryption_key").exists());
    let first = embedded::provide(&config, false).unwrap();
    let second = embedded::provide(&config, true).unwrap();
    assert_eq!(first.admin_token, second.admin_token);
    let existing = embedded::existing_key_wrapper(&config).unwrap().unwrap();
    assert_eq!(existing.current, second.wrapper.current);
    let path = directory.path().join("data/admin_token");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path().join("data")).unwrap().count(), 2);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let too_open = embedded::provide(&config, true).unwrap_err();
    assert!(
        matches!(&too_open, embedded::SecretError::Invalid(text) if text.contains("chmod 600")),
        "{too_open}"
    );
}

#[test]
fn rotation_that_exceeds_the_key_limit_is_rejected() {
    let days = |days| {
        errors(
            &[
                ("OAUTH2_KEYS_ROTATION_DAYS", days),
                ("OAUTH2_ACCESS_TOKEN_EXPIRATION", "86400"),
            ],
            None,
        )
    };
    let rejected = days("0.01");
    assert!(
        rejected.len() == 1 && rejected[0].contains("OAUTH2_KEYS_ROTATION_DAYS"),
        "{rejected:?}"
    );
    assert!(rejected[0].contains("OAUTH2_ACCESS_TOKEN_EXPIRATION"), "{rejected:?}");
    let long_enough = [
        ("OAUTH2_KEYS_ROTATION_DAYS", "0.02"),
        ("OAUTH2_ACCESS_TOKEN_EXPIRATION", "86400"),
    ];
    assert!(resolved(&long_enough, None).is_ok());
}
