//! Which rows go where: the tables of a SQLite file and those of a PostgreSQL schema, column by column.

use tokio_postgres::types::Type;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Small,
    Int,
    Big,
    Text,
    Uuid,
    Bytes,
}

impl Kind {
    /// The column's type in PostgreSQL.
    pub(super) fn to_postgres(self) -> Type {
        match self {
            Self::Bool => Type::BOOL,
            Self::Small => Type::INT2,
            Self::Int => Type::INT4,
            Self::Big => Type::INT8,
            Self::Text => Type::TEXT,
            Self::Uuid => Type::UUID,
            Self::Bytes => Type::BYTEA,
        }
    }
}

/// A column: its name on the other side, and what gives its value, which is mostly the column of the same name.
pub(super) type Column = (&'static str, &'static str, Kind);

/// Rows of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// What they are, for people.
    pub(super) what: &'static str,
    /// The table that they are in, and which of its rows they are.
    from: &'static str,
    /// The table that they go into.
    into: &'static str,
    pub(super) columns: &'static [Column],
}

impl Table {
    /// The query that reads them, in the order of their keys.
    pub(super) fn read(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|(_, from, _)| *from).collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.from)
    }

    /// The query that counts them.
    pub(super) fn count(&self) -> String {
        format!("SELECT count(*) FROM {}", self.from)
    }

    /// The statement that takes them.
    pub(super) fn write(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|(into, ..)| *into).collect();
        format!("COPY {} ({}) FROM STDIN BINARY", self.into, columns.join(", "))
    }
}

macro_rules! columns {
    ($($name:ident $(= $from:literal)?: $kind:ident),* $(,)?) => {
        &[$((stringify!($name), columns!(@from $name $($from)?), Kind::$kind)),*]
    };
    (@from $name:ident) => { stringify!($name) };
    (@from $name:ident $from:literal) => { $from };
}

const DELIVERY: &[Column] = columns! {
    ordinal: Big, id: Uuid, operation: Uuid, event: Uuid, later: Big, consumer: Int, weight: Small, priority: Small,
    state: Small, attempts: Int, max_attempts: Int, fence: Big, since: Big, due: Big, waiting_since: Big, node: Int,
    lease: Big, throttled_since: Big, progress: Text, grp: Text, turn: Text, ordered: Bool, ready: Bool,
    deadline: Big, held_by: Text,
};

/// Everything that goes over. What is not here has no meaning there: `uptime` is about the machine, `serving` about
/// nodes that are gone.
pub(super) const TABLES: [Table; 16] = [
    Table {
        what: "consumers",
        from: "consumers",
        into: "consumers",
        columns: columns! { id: Int, name: Text, last_served: Big, policy: Text },
    },
    // None of them is alive, since the file was not in use.
    Table {
        what: "nodes",
        from: "nodes",
        into: "nodes",
        columns: columns! {
            id: Int, node: Uuid, name = "'sqlite'": Text, version = "''": Text, started = "0": Big,
            heartbeat = "0": Big,
        },
    },
    Table {
        what: "closures",
        from: "closures",
        into: "closures",
        columns: columns! { id: Big, consumer: Int, gate: Small, since: Big, until: Big, by: Text, reason: Text },
    },
    Table {
        what: "limits",
        from: "limits",
        into: "limits",
        columns: columns! { name: Text, declared: Text, change: Text, pause: Text },
    },
    Table {
        what: "keys of limits",
        from: "limit_keys",
        into: "limit_keys",
        columns: columns! { name: Text, key: Text, tat: Big, pause: Text, adapt: Text, ramp: Int },
    },
    Table {
        what: "held slots",
        from: "holds",
        into: "holds",
        columns: columns! {
            name: Text, key: Text, delivery: Uuid, fence: Big, permit: Int, operation: Uuid, consumer: Text,
            since: Big, until: Big,
        },
    },
    Table {
        what: "operations",
        from: "operations",
        into: "operations",
        columns: columns! {
            ordinal: Big, id: Uuid, span: Big, kind: Text, owner: Text, priority: Small, created: Big, started: Big,
            updated: Big, ended: Big, ending: Small, closed: Big, tracked_total: Int, tracked_done: Int,
            tracked_dead: Int, tracked_canceled: Int, untracked_total: Int, untracked_done: Int, untracked_dead: Int,
            untracked_canceled: Int, unrouted: Int, inbox_live: Int, told: Bool, failure: Text,
        },
    },
    Table {
        what: "events",
        from: "events",
        into: "events",
        columns: columns! {
            ordinal: Big, id: Uuid, operation: Uuid, later: Big, unrouted: Big, cause: Text, depth: Int,
            accepted: Big, kind: Text, source: Text, given_id: Text, subject: Text, time: Big, dataschema: Text,
            extensions: Text, content_type: Text, data: Bytes,
        },
    },
    Table {
        what: "deliveries that wait or run",
        from: "deliveries WHERE state < 2",
        into: "deliveries",
        columns: DELIVERY,
    },
    Table { what: "deliveries that ended", from: "deliveries WHERE state >= 2", into: "ended", columns: DELIVERY },
    Table {
        what: "attempts",
        from: "attempts",
        into: "attempts",
        columns: columns! {
            delivery: Big, fence: Big, number: Int, node: Int, waiting_since: Big, due: Big, started: Big,
            ended: Big, ending: Small, failure: Text, held_by: Text,
        },
    },
    Table {
        what: "results",
        from: "results",
        into: "results",
        columns: columns! { delivery: Big, content_type: Text, data: Bytes },
    },
    Table {
        what: "steps",
        from: "steps",
        into: "steps",
        columns: columns! { delivery: Big, name: Text, value: Bytes },
    },
    Table {
        what: "notifications",
        from: "notifications",
        into: "notifications",
        columns: columns! {
            ordinal: Big, id: Uuid, owner: Text, operation: Uuid, title: Text, text: Text, level: Small,
            created: Big, read: Big,
        },
    },
    Table {
        what: "idempotency keys",
        from: "idempotency",
        into: "idempotency",
        columns: columns! { scope: Text, key: Text, fingerprint: Bytes, operation: Uuid, expires: Big },
    },
    Table {
        what: "observations",
        from: "observations",
        into: "observations",
        columns: columns! {
            day: Int, event: Text, consumer: Text, emits: Text, count: Big, failed: Big, retried: Big, last: Big,
            times: Text,
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of a file, and of each the columns.
    fn schema() -> Vec<(String, Vec<String>)> {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../sqlite/migrations/0001_init.sql")).unwrap();
        conn.execute_batch(include_str!("../sqlite/migrations/0002_observations.sql")).unwrap();
        let names = |sql: &str| -> Vec<String> {
            let mut sql = conn.prepare(sql).unwrap();
            sql.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table'");
        tables
            .into_iter()
            .map(|table| (table.clone(), names(&format!("SELECT name FROM pragma_table_info('{table}')"))))
            .collect()
    }

    #[test]
    fn no_table_and_no_column_of_a_file_is_left_behind() {
        for (name, columns) in schema() {
            let copied: Vec<_> = TABLES.iter().filter(|table| table.from.split(' ').next() == Some(&name)).collect();
            assert_eq!(copied.is_empty(), ["uptime", "serving"].contains(&&*name), "{name}");
            for table in copied {
                let known: Vec<_> = table.columns.iter().map(|(into, ..)| *into).collect();
                let left: Vec<_> = columns.iter().filter(|column| !known.contains(&&***column)).collect();
                assert!(left.is_empty(), "{name}: {left:?}");
            }
        }
    }
}
