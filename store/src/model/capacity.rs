//! What a database server offers to all of its clients, and who replicates from it.

/// The connections of a Postgres server, and its standbys.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// `max_connections`.
    pub max_connections: u32,
    /// Those of them that only privileged roles get.
    pub reserved: u32,
    /// Whether this role may see how far standbys are behind.
    pub shows_lag: bool,
    /// The connected standbys.
    pub standbys: Vec<Standby>,
    /// Replication slots that nobody reads from: the server keeps its log for them.
    pub inactive_slots: Vec<String>,
}

/// A connected standby.
#[derive(Debug, Clone, PartialEq)]
pub struct Standby {
    /// Its `application_name`.
    pub name: String,
    /// How far it is behind, seconds; `None`: not at all, or [`Capacity::shows_lag`] is false.
    pub lag_seconds: Option<f64>,
}
