//! What may start next, by the index `deliveries_ready`: by consumer, group, lane, priority, due time and age.

use super::row::{delivery_columns, waiting_columns};

pub(super) const NEXT_LANE: &str = concat!(
    "SELECT ",
    waiting_columns!(),
    " FROM deliveries d WHERE d.state = 0 AND d.ready AND d.consumer = $1 AND d.grp = $2 AND d.turn > $3 \
     ORDER BY d.turn, d.priority DESC, d.due, d.ordinal LIMIT 1"
);
pub(super) const FIRST_LANE: &str = concat!(
    "SELECT ",
    waiting_columns!(),
    " FROM deliveries d WHERE d.state = 0 AND d.ready AND d.consumer = $1 AND d.grp = $2 \
     ORDER BY d.turn, d.priority DESC, d.due, d.ordinal LIMIT 1"
);
pub(super) const LANE: &str = concat!(
    "SELECT ",
    waiting_columns!(),
    " FROM deliveries d WHERE d.state = 0 AND d.ready AND d.consumer = $1 AND d.grp = $2 AND d.turn = $3 \
     ORDER BY d.priority DESC, d.due, d.ordinal LIMIT $4"
);
pub(super) const HEAD: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d WHERE d.ordered AND d.consumer = $1 AND d.grp = $2 ORDER BY d.state DESC, d.ordinal LIMIT 1"
);
