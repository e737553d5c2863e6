//! The rules as tables: which layer may name which, what a layer must not name, and the known violations (`OWED*`).

/// A layer, that is a top-level module of a package, and the layers of the same package that it may name.
pub type Row = (&'static str, &'static [&'static str]);

/// Package `oauth2-server`: `main -> cli, app -> http -> service -> protocol, tokens, keys`.
pub const SERVER: &[Row] = &[
    ("lib", &[]),
    ("main", &["app", "cli"]),
    (
        "cli",
        &["app", "config", "failure", "keys", "protocol", "service", "tokens"],
    ),
    (
        "app",
        &["config", "failure", "http", "keys", "protocol", "service", "tokens"],
    ),
    ("failure", &["config", "keys", "protocol", "service", "tokens"]),
    ("config", &["keys", "tokens"]),
    ("http", &["keys", "protocol", "service", "tokens"]),
    ("service", &["keys", "protocol", "tokens"]),
    ("protocol", &["keys", "tokens"]),
    ("keys", &["tokens"]),
    ("tokens", &[]),
];

/// Package `oauth2-actors`: what several actors share. Every other layer is an actor, which names these layers and no other actor.
pub const SHARED_BY_ACTORS: &[Row] = &[
    ("lib", &[]),
    ("error", &[]),
    ("freshness", &[]),
    ("hints", &[]),
    ("issuer_key", &[]),
    ("network", &[]),
    ("key_fetches", &["network"]),
    ("shared_redis", &[]),
    ("runtime", &["error"]),
    ("directory", &["error", "freshness"]),
];

/// What a backend may name.
const BACKEND: &[&str] = &[
    "columns",
    "error",
    "migrations",
    "model",
    "options",
    "replica",
    "reports",
    "row",
    "server_change",
    "write_health",
];

/// Package `oauth2-store`: `store -> postgres, sqlite -> row -> model -> columns`. The model lists the columns of a table next to
/// the struct whose fields they hold.
pub const STORE: &[Row] = &[
    (
        "lib",
        &[
            "error",
            "model",
            "options",
            "replica",
            "reports",
            "server_change",
            "store",
            "write_health",
        ],
    ),
    ("model", &["columns"]),
    ("error", &[]),
    ("options", &[]),
    ("replica", &[]),
    ("reports", &[]),
    ("server_change", &[]),
    ("write_health", &["error"]),
    ("columns", &["error"]),
    ("row", &["error", "model"]),
    ("migrations", &["error"]),
    ("postgres", BACKEND),
    ("sqlite", BACKEND),
    (
        "store",
        &[
            "error",
            "migrations",
            "model",
            "options",
            "postgres",
            "replica",
            "reports",
            "row",
            "server_change",
            "sqlite",
            "write_health",
        ],
    ),
];

/// A path that a layer must not name.
#[derive(Clone, Copy)]
pub struct Never {
    pub package: &'static str,
    /// A layer, or `*` for every layer of the package that is not in `except`.
    pub layer: &'static str,
    pub except: &'static [&'static str],
    pub path: &'static str,
    /// Paths below `path` that are allowed.
    pub unless: &'static [&'static str],
    pub why: &'static str,
}

const fn never(package: &'static str, layer: &'static str, path: &'static str, why: &'static str) -> Never {
    Never {
        package,
        layer,
        except: &[],
        path,
        unless: &[],
        why,
    }
}

/// The store's plain types, which every layer may name.
const MODEL: &[&str] = &["oauth2_store::model"];

const fn no_store(layer: &'static str) -> Never {
    Never {
        unless: MODEL,
        ..never("src", layer, "oauth2_store", "it knows the model, not the store")
    }
}

/// Layers of pure functions.
const PURE: &[&str] = &["protocol", "tokens", "keys"];

/// What a pure layer must not name.
const IMPURE: &[(&str, &str)] = &[
    ("actix", "it has no actors"),
    ("actix_web", "it has no HTTP"),
    ("tokio", "it is synchronous"),
    ("std::time::SystemTime", "times are passed in"),
    ("std::time::Instant", "times are passed in"),
    ("oauth2_actors", "it has no actors"),
];

/// Every rule about a path that a layer must not name.
pub fn never_rules() -> Vec<Never> {
    let pure = PURE.iter().flat_map(|layer| {
        let impure = IMPURE.iter().map(|(path, why)| never("src", layer, path, why));
        impure.chain([no_store(layer)])
    });
    pure.chain(OTHERS.iter().copied()).collect()
}

const OTHERS: &[Never] = &[
    never("src", "service", "actix_web", "services have no HTTP"),
    never("src", "cli", "actix_web", "subcommands have no HTTP"),
    never("src", "http", "oauth2_store::Store", "handlers call services"),
    never("src", "cli", "oauth2_store::Store", "subcommands call services"),
    Never {
        except: &["main", "config"],
        ..never("src", "*", "std::env", "only the configuration reads the environment")
    },
    never("actors/src", "*", "actix_web", "actors have no HTTP"),
    never("actors/src", "*", "oauth2_server", "the server depends on the actors"),
    never(
        "actors/src",
        "*",
        "std::env",
        "only the configuration reads the environment",
    ),
    never("store/src", "*", "actix", "the store has no actors"),
    never("store/src", "*", "actix_web", "the store has no HTTP"),
    never("store/src", "*", "oauth2_actors", "the actors depend on the store"),
    never("store/src", "*", "oauth2_server", "the server depends on the store"),
    never(
        "store/src",
        "*",
        "std::env",
        "only the configuration reads the environment",
    ),
];

/// Crates that a manifest never lists: (manifest, crates).
pub const MANIFESTS: &[(&str, &[&str])] = &[
    (
        "actors/Cargo.toml",
        &["actix-web", "actix-http", "hyper", "reqwest", "axum", "oauth2-server"],
    ),
    (
        "store/Cargo.toml",
        &[
            "actix",
            "actix-rt",
            "actix-web",
            "actix-http",
            "hyper",
            "reqwest",
            "axum",
            "oauth2-actors",
            "oauth2-server",
        ],
    ),
];

/// Layers whose files call store verbs through services only.
pub const NO_VERBS: &[&str] = &["http", "cli"];

pub const MAX_LINES: usize = 400;

/// Known violations of the tables above. Here and in the lists below, an entry that is no longer violated fails the test.
pub const OWED: &[&str] = &[];

/// Layers that have no row yet, and are not checked.
pub const OWED_LAYERS: &[&str] = &[];

/// Edges that close a known circle: (file, file that it should not use).
pub const OWED_EDGES: &[(&str, &str)] = &[];

/// Files of `NO_VERBS` layers that call store verbs themselves.
pub const OWED_VERBS: &[&str] = &[];
