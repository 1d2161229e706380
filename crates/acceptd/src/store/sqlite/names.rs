//! What the writer knows by heart: the numbers of consumers and nodes, nodes' heartbeats, and pauses. Small tables,
//! read once at open and again after a rollback; every write goes to the table and to the memory.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::row::{self, instant};
use crate::store::codes::Code as _;
use crate::{Closure, Gate, NodeId, Timestamp};

type Sql<T> = rusqlite::Result<T>;

/// The numbers of consumers and nodes, and the pauses that are not over.
#[derive(Debug, Default)]
pub(super) struct Names {
    consumers: HashMap<String, i64>,
    nodes: HashMap<NodeId, (i64, Timestamp)>,
    pauses: HashMap<i64, Vec<(i64, Closure)>>,
    /// When the next delivery of each consumer is due that is not in line; not later than it really is.
    due: HashMap<i64, Timestamp>,
}

impl Names {
    pub(super) fn load(conn: &Connection) -> Sql<Self> {
        let mut names = Self::default();
        let mut sql = conn.prepare_cached("SELECT name, id FROM consumers")?;
        names.consumers = sql.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Sql<_>>()?;
        let mut sql = conn.prepare_cached("SELECT node, id, heartbeat FROM nodes")?;
        let node = |row: &rusqlite::Row<'_>| Ok((NodeId::from_bytes(row.get(0)?), (row.get(1)?, instant(row, 2)?)));
        names.nodes = sql.query_map([], node)?.collect::<Sql<_>>()?;
        let mut sql = conn.prepare_cached(
            "SELECT consumer, id, gate, since, until, by, reason FROM closures WHERE gate = 0 ORDER BY id",
        )?;
        let mut rows = sql.query([])?;
        while let Some(row) = rows.next()? {
            names.pauses.entry(row.get(0)?).or_default().push((row.get(1)?, row::closure(row, 2)?));
        }
        drop(rows);
        for id in names.consumers.values() {
            let sql = "SELECT due FROM deliveries INDEXED BY deliveries_due \
                WHERE state = 0 AND ready = 0 AND consumer = ?1 ORDER BY due LIMIT 1";
            let next = conn.prepare_cached(sql)?.query_row([id], |row| instant(row, 0)).optional()?;
            names.due.extend(next.map(|due| (*id, due)));
        }
        Ok(names)
    }

    /// When the next delivery that is not in line is due.
    pub(super) fn next_due(&self, consumer: i64) -> Option<Timestamp> {
        self.due.get(&consumer).copied()
    }

    /// A delivery will be due then.
    pub(super) fn note_due(&mut self, consumer: i64, due: Timestamp) {
        let next = self.due.entry(consumer).or_insert(due);
        *next = due.min(*next);
    }

    /// The next delivery that is not in line is due then.
    pub(super) fn set_due(&mut self, consumer: i64, due: Option<Timestamp>) {
        match due {
            Some(due) => self.due.insert(consumer, due),
            None => self.due.remove(&consumer),
        };
    }

    /// The number of a consumer that was named before.
    pub(super) fn known_consumer(&self, name: &str) -> Option<i64> {
        self.consumers.get(name).copied()
    }

    /// The number of a consumer, new when it was never named before.
    pub(super) fn consumer(&mut self, conn: &Connection, name: &str) -> Sql<i64> {
        if let Some(id) = self.consumers.get(name) {
            return Ok(*id);
        }
        conn.prepare_cached("INSERT INTO consumers (name) VALUES (?1)")?.execute([name])?;
        let id = conn.last_insert_rowid();
        self.consumers.insert(name.to_owned(), id);
        Ok(id)
    }

    /// The number of a node, new when it was never seen before.
    pub(super) fn node(&mut self, conn: &Connection, node: NodeId) -> Sql<i64> {
        if let Some((id, _)) = self.nodes.get(&node) {
            return Ok(*id);
        }
        conn.prepare_cached("INSERT INTO nodes (node, heartbeat) VALUES (?1, 0)")?.execute([node.as_bytes()])?;
        let id = conn.last_insert_rowid();
        self.nodes.insert(node, (id, Timestamp::from_micros(0)));
        Ok(id)
    }

    /// Keeps that a node lives at `now`.
    pub(super) fn heartbeat(&mut self, conn: &Connection, node: NodeId, now: Timestamp) -> Sql<i64> {
        let id = self.node(conn, node)?;
        conn.prepare_cached("UPDATE nodes SET heartbeat = ?2 WHERE id = ?1")?.execute([id, now.as_micros()])?;
        self.nodes.insert(node, (id, now));
        Ok(id)
    }

    /// The numbers of nodes that have been silent since before `since`, but for `me`.
    pub(super) fn silent(&self, me: NodeId, since: Timestamp) -> Vec<i64> {
        let nodes = self.nodes.iter().filter(|(node, (_, heartbeat))| **node != me && *heartbeat < since);
        nodes.map(|(_, (id, _))| *id).collect()
    }

    /// The pause that holds for a consumer now.
    pub(super) fn pause(&self, consumer: i64, now: Timestamp) -> Option<&Closure> {
        let pauses = self.pauses.get(&consumer)?;
        pauses.iter().map(|(_, closure)| closure).find(|closure| closure.holds_at(now))
    }

    /// Every gate that is shut now, by consumer.
    pub(super) fn shut_gates(&self, now: Timestamp) -> Vec<(String, Closure)> {
        let shut = |(name, id): (&String, &i64)| Some((name.clone(), self.pause(*id, now)?.clone()));
        let mut gates: Vec<_> = self.consumers.iter().filter_map(shut).collect();
        gates.sort_by(|one, other| one.0.cmp(&other.0));
        gates
    }

    /// Shuts a consumer's gate. Of two closures the one that ends later holds; without an end is latest.
    pub(super) fn shut(&mut self, conn: &Connection, consumer: i64, closure: &Closure) -> Sql<()> {
        let now = closure.from;
        if !closure.holds_at(now) {
            return Ok(());
        }
        if let Some(current) = self.pause(consumer, now) {
            let ends = |closure: &Closure| closure.until.unwrap_or(Timestamp::MAX);
            if current.until.is_none() || closure.until.is_some() && ends(current) >= ends(closure) {
                return Ok(());
            }
        }
        self.open(conn, consumer, now)?;
        let closure = Closure { gate: Gate::Pause, ..closure.clone() };
        let id = add_closure(conn, consumer, &closure)?;
        let pauses = self.pauses.entry(consumer).or_default();
        pauses.retain(|(_, closure)| closure.until.is_none_or(|until| until > now));
        pauses.push((id, closure));
        Ok(())
    }

    /// Opens a consumer's gate; how long it was shut stays known. False when it was not shut.
    pub(super) fn open(&mut self, conn: &Connection, consumer: i64, now: Timestamp) -> Sql<bool> {
        let Some(pauses) = self.pauses.get_mut(&consumer) else { return Ok(false) };
        let mut was_shut = false;
        for (id, closure) in pauses.iter_mut().filter(|(_, closure)| closure.holds_at(now)) {
            closure.until = Some(now);
            was_shut = true;
            if closure.from == now {
                conn.prepare_cached("DELETE FROM closures WHERE id = ?1")?.execute([*id])?;
            } else {
                conn.prepare_cached("UPDATE closures SET until = ?2 WHERE id = ?1")?.execute([*id, now.as_micros()])?;
            }
        }
        pauses.retain(|(_, closure)| closure.until.is_none_or(|until| until > now));
        Ok(was_shut)
    }

    /// Since when nobody has served a consumer; None when nobody ever did.
    pub(super) fn last_served(conn: &Connection, consumer: i64) -> Sql<Option<Timestamp>> {
        let mut sql = conn.prepare_cached("SELECT last_served FROM consumers WHERE id = ?1")?;
        let last: Option<Option<i64>> = sql.query_row([consumer], |row| row.get(0)).optional()?;
        Ok(last.flatten().map(Timestamp::from_micros))
    }
}

/// Writes a closure and answers its number.
pub(super) fn add_closure(conn: &Connection, consumer: i64, closure: &Closure) -> Sql<i64> {
    let sql = "INSERT INTO closures (consumer, gate, since, until, by, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    conn.prepare_cached(sql)?.execute(params![
        consumer,
        closure.gate.code(),
        closure.from.as_micros(),
        closure.until.map(Timestamp::as_micros),
        closure.by,
        closure.reason,
    ])?;
    Ok(conn.last_insert_rowid())
}
