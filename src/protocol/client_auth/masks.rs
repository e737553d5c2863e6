//! Texts that exports, consoles and templates write where a secret was: `**********`, `<redacted>`, `(sensitive value)`, `${SECRET}`. As a
//! secret such a text would authenticate everybody who has seen such an export.
//!
//! The rules are so narrow that a random secret of 32 characters meets one of them by chance less often than once in 10⁹ secrets.

/// The rest of a sentence that begins with the field.
pub const PROBLEM: &str = "is a mask, such as ********** or <redacted>, which an export has instead of the secret: give the secret itself, or leave \
                           it out and give the client a new secret";

/// Characters that stand for a hidden one.
const MASK_CHARACTERS: [char; 9] = ['*', '\u{2217}', '\u{ff0a}', '•', '●', '∙', '·', '█', '…'];

/// Hidden characters in a row, next to a part of the secret that is shown.
const HIDDEN_RUN: usize = 6;

/// The same written with the letter x.
const X_RUN: usize = 8;

/// The shortest text of which half may be hidden.
const SHORTEST: usize = 8;

/// Words that say that a value is not shown, in lower case.
const MASK_WORDS: [&str; 24] = [
    "redacted",
    "hidden",
    "masked",
    "sensitive",
    "withheld",
    "omitted",
    "removed",
    "filtered",
    "obfuscated",
    "scrubbed",
    "sanitized",
    "sanitised",
    "censored",
    "concealed",
    "suppressed",
    "stripped",
    "snipped",
    "protected",
    "confidential",
    "placeholder",
    "computed",
    "unavailable",
    "undisclosed",
    "truncated",
];

/// Words that stand next to those, or that name the value within brackets.
const OTHER_WORDS: [&str; 44] = [
    "secret",
    "secrets",
    "client",
    "clientsecret",
    "value",
    "values",
    "data",
    "field",
    "content",
    "contents",
    "string",
    "text",
    "password",
    "credential",
    "credentials",
    "token",
    "key",
    "api",
    "output",
    "attribute",
    "private",
    "encrypted",
    "none",
    "null",
    "nil",
    "undefined",
    "unset",
    "empty",
    "known",
    "after",
    "apply",
    "not",
    "shown",
    "by",
    "for",
    "from",
    "in",
    "your",
    "the",
    "is",
    "security",
    "reasons",
    "characters",
    "bytes",
];

/// Brackets, and marks that take their place.
const BRACKETS: [(&str, &str); 7] = [
    ("<", ">"),
    ("[", "]"),
    ("(", ")"),
    ("{", "}"),
    ("**", "**"),
    ("__", "__"),
    ("--", "--"),
];

/// Beginnings and ends of variables that nobody replaced.
const VARIABLES: [(&str, &str); 7] = [
    ("${", "}"),
    ("$(", ")"),
    ("#{", "}"),
    ("{{", "}}"),
    ("<%=", "%>"),
    ("%(", ")s"),
    ("@Microsoft.KeyVault(", ")"),
];

/// Whether a text is a mask or a placeholder, and no secret.
pub fn is_mask(text: &str) -> bool {
    let text = text.trim();
    is_repeated(text) || is_hidden(text) || is_described(text) || is_variable(text)
}

/// One character, with hyphens or spaces as in a UUID, or without.
fn is_repeated(text: &str) -> bool {
    let is_separator = |c: char| matches!(c, '-' | ' ' | '_' | '.' | ':');
    is_one_character(text.chars()) || is_one_character(text.chars().filter(|c| !is_separator(*c)))
}

fn is_one_character(mut characters: impl Iterator<Item = char>) -> bool {
    let first = characters.next();
    let second = characters.next();
    first.is_some() && second == first && characters.all(|c| Some(c) == first)
}

/// A secret of which a part is hidden: `oas_cs_**********`, `****abcd`, `xxxxxxxxxxxx1234`.
fn is_hidden(text: &str) -> bool {
    let is_mask_character = |c: char| MASK_CHARACTERS.contains(&c);
    let length = text.chars().count();
    let hidden = text.chars().filter(|c| is_mask_character(*c)).count();
    length >= SHORTEST && hidden * 2 >= length
        || longest_run(text, is_mask_character) >= HIDDEN_RUN
        || longest_run(text, |c| c == 'x') >= X_RUN
        || longest_run(text, |c| c == 'X') >= X_RUN
}

fn longest_run(text: &str, is_meant: impl Fn(char) -> bool) -> usize {
    let runs = text.split(|c| !is_meant(c));
    runs.map(|run| run.chars().count()).max().unwrap_or_default()
}

/// Words instead of a secret: `REDACTED`, `(sensitive value)`, `<client_secret>`.
fn is_described(text: &str) -> bool {
    let inner = BRACKETS.iter().find_map(|(begin, end)| inside(text, begin, end));
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let is_known = |word: &&str| MASK_WORDS.contains(word) || OTHER_WORDS.contains(word) || is_number(word);
    let has_mask_word = words.iter().any(|word| MASK_WORDS.contains(word));
    let has_word = words.iter().any(|word| !is_number(word));
    // `[REDACTED:generic-api-key]`: the reason may follow.
    let has_reason = inner.is_some() && words.first().is_some_and(|word| *word == "redacted");
    has_reason || (words.iter().all(is_known) && has_word && (has_mask_word || inner.is_some()))
}

/// A variable of a template: `${CLIENT_SECRET}`, `{{ client.secret }}`.
fn is_variable(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.:/= ".contains(c);
    let in_brackets = VARIABLES
        .iter()
        .filter_map(|(begin, end)| inside(text, begin, end))
        .any(|name| name.contains(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_name));
    // `%NAME%` and `$NAME`.
    let is_shell_name = |name: &str| {
        name.contains('_')
            && name
                .bytes()
                .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
    };
    let bare = inside(text, "%", "%").or_else(|| text.strip_prefix('$'));
    in_brackets || bare.is_some_and(is_shell_name)
}

fn inside<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    text.strip_prefix(begin)?.strip_suffix(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::secret;

    #[test]
    fn masks_of_exports_and_templates_are_recognized() {
        for mask in [
            "*********",
            "**********",
            &"*".repeat(40),
            "••••",
            "●●●●●●●●",
            "xxxxxxxx",
            "XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX",
            "00000000-0000-0000-0000-000000000000",
            &"0".repeat(64),
            "**** **** ****",
            "...",
            "-----",
            "oas_cs_**********",
            "****abcd",
            "abcd••••",
            "xxxxxxxxxxxxxxxx1234",
            "redacted",
            "REDACTED",
            "<redacted>",
            "[REDACTED]",
            "***REDACTED***",
            "**redacted**",
            "__REDACTED__",
            "--hidden--",
            "(sensitive value)",
            "(sensitive)",
            "<sensitive>",
            "[MASKED]",
            "[Filtered]",
            "<hidden>",
            "<secret withheld>",
            "secret withheld",
            "<secret>",
            "<client_secret>",
            "<your-client-secret>",
            "[redacted 64 characters]",
            "(known after apply)",
            "<null>",
            "{redacted}",
            " <redacted> ",
            "${CLIENT_SECRET}",
            "${vault.billing}",
            "{{ client_secret }}",
            "$(CLIENT_SECRET)",
            "#{Billing.Production.ClientSecret.Value}",
            "%BILLING_CLIENT_SECRET%",
            "$BILLING_PRODUCTION_CLIENT_SECRET_VALUE",
            "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/billing)",
            "[REDACTED:generic-api-key:client-secret-1]",
        ] {
            assert!(is_mask(mask), "{mask}");
        }
    }

    #[test]
    fn secrets_are_no_masks() {
        for secret in [
            "",
            "x",
            "hunter2",
            "k3yK3yQw8Zr1Tn5v",
            "550e8400-e29b-41d4-a716-446655440000",
            "Xy7Xy7Xy7Xy7Xy7Xy7Xy7X",
            "hidden valley ranch dressing is good",
            "the-secret-that-both-issuers-know-0001",
            "my-secret-with-*****-in-it-and-more",
            "<3 <3 <3 all of these secrets <3 <3>",
            "[a](secret)-with/brackets{and}more~",
            "${dollar}-and-more-of-the-secret-it-is",
            "12345678",
            "0000000000000000000000000000000000000001",
            "changeme",
        ] {
            assert!(!is_mask(secret), "{secret}");
        }
        for _ in 0..2000 {
            let bytes = secret::random_bytes().unwrap();
            let printable: String = bytes.iter().map(|byte| char::from(0x21 + byte % 94)).collect();
            for secret in [
                hex::encode(bytes),
                secret::generate_client_secret().unwrap(),
                printable.clone(),
                printable[..12].to_owned(),
            ] {
                assert!(!is_mask(&secret), "{secret}");
            }
        }
    }
}
