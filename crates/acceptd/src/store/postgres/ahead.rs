//! Reading ahead: what a batch of commands will ask for by its id is read for all of them at once.

use tokio_postgres::Row;

use super::error::Try;
use super::row::{self, every, get, id, text};
use super::tables::{DELIVERIES, OPERATIONS, PostgresTables};
use crate::{Delivery, DeliveryId, OperationId};

pub(super) const GIVEN: &str = "SELECT u.id, u.source, e.operation FROM unnest($1, $2) AS u(id, source) JOIN events e \
    ON e.given_id = u.id AND e.source = u.source AND e.given_id IS NOT NULL AND e.depth = 0";

impl PostgresTables {
    /// Reads deliveries with their operations, as many commands of a batch will ask for them.
    pub(super) fn prefetch(&mut self, deliveries: &[DeliveryId]) -> Try<()> {
        let missing: Vec<_> =
            deliveries.iter().map(DeliveryId::ordinal).filter(|key| !self.deliveries.contains_key(key)).collect();
        if missing.len() < 2 {
            return Ok(());
        }
        let rows = self.read(DELIVERIES, &[&missing])?;
        let found = every(&rows, row::delivery)?;
        let operations: Vec<_> = found.iter().map(|delivery| delivery.operation.ordinal()).collect();
        self.deliveries.extend(found.into_iter().map(|delivery| (delivery.id.ordinal(), delivery)));
        let rows = self.read(OPERATIONS, &[&operations])?;
        for (operation, _) in every(&rows, row::operation)? {
            self.operations.insert(operation.id.ordinal(), operation);
        }
        Ok(())
    }

    /// Reads which of these events were accepted before.
    pub(super) fn prefetch_given(&mut self, events: Vec<(String, String)>) -> Try<()> {
        if events.len() < 2 {
            return Ok(());
        }
        let (ids, sources): (Vec<_>, Vec<_>) =
            events.iter().map(|(id, source)| (text(id).into_owned(), text(source).into_owned())).unzip();
        let rows = self.read(GIVEN, &[&ids, &sources])?;
        self.given.extend(events.into_iter().map(|event| (event, None)));
        for row in &rows {
            let operation = id::<OperationId>(row, 2)?;
            self.given.insert((get(row, 0)?, get(row, 1)?), Some(operation));
        }
        Ok(())
    }

    /// Deliveries of a consumer that wait, with their operations read along.
    pub(super) fn waiting(&mut self, consumer: i32, rows: &[Row]) -> Try<Vec<Delivery>> {
        let mut found = every(rows, row::delivery)?;
        let name = self.consumers.get(&consumer).cloned().unwrap_or_default();
        found.iter_mut().for_each(|delivery| delivery.consumer.clone_from(&name));
        self.read_operations(&found)?;
        Ok(found)
    }

    /// Reads the operations of deliveries that may be claimed.
    pub(super) fn read_operations(&mut self, found: &[Delivery]) -> Try<()> {
        let missing: Vec<i64> = found.iter().map(|delivery| delivery.operation.ordinal()).collect();
        let missing: Vec<i64> = missing.into_iter().filter(|key| !self.operations.contains_key(key)).collect();
        if missing.len() > 1 {
            let session = self.session()?;
            let rows = self.wait(session.rows(OPERATIONS, &[&missing]))?;
            for (operation, _) in every(&rows, row::operation)? {
                self.operations.insert(operation.id.ordinal(), operation);
            }
        }
        Ok(())
    }
}
