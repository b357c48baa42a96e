//! The environment variables from which libpq, and so psql and most drivers, takes what a program
//! does not say itself (PostgreSQL's manual, "Environment Variables" of libpq).

/// The variables that win over an address, or that keep a client from reaching it: another host, a
/// service with an address of its own, settings of the session, and demands that a server without
/// TLS cannot meet. The others change only how a session looks (such as `PGTZ`), or have no effect
/// on an address that is complete (such as `PGPASSFILE`).
pub const OVERRIDING: &[&str] = &[
    "PGHOSTADDR",
    "PGSERVICE",
    "PGOPTIONS",
    "PGTARGETSESSIONATTRS",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
    "PGSSLCERTMODE",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION",
];

/// What a person's own psql may take from their shell: how it looks, and no more.
const LOOKS: &[&str] =
    &["PGCLIENTENCODING", "PGAPPNAME", "PGDATESTYLE", "PGTZ", "PG_COLOR", "PG_COLORS"];

/// The variables that must not reach another tool or the command of `devdb run`, of those that are
/// `set` in the shell. The time zone and the style of dates must not either: results should not
/// depend on the shell. (libpq reads an empty variable too, and the list of those that are set has
/// none.)
pub fn hidden_from_commands<'a>(
    set: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    // No variable of a connection has an underscore. `PG_CONFIG` and `PGRST_DB_URI` are others'.
    set.filter(|name| *name != "PGCLIENTENCODING" && !name.contains('_'))
        .chain(OVERRIDING.iter().copied())
}

/// The variables that must not reach psql, of those that are `set` in the shell.
pub fn hidden_from_psql<'a>(set: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    set.filter(|name| !LOOKS.contains(name)).chain(OVERRIDING.iter().copied())
}
