//! What others have to know of a change who keep a turnstile of the same rows: who waits, who holds what, and what is
//! kept of a key. Whose turn it is, each turnstile knows for itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Head, Hold, HoldId, KeyRef, KeyRow, KeyState, Turnstile};
use crate::Timestamp;

/// Something that happened to a turnstile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fact {
    /// So many deliveries of a group wait and are due.
    Offered {
        /// Their consumer.
        consumer: Arc<str>,
        /// Their group.
        group: Arc<str>,
        /// The first of them.
        head: Head,
        /// How many.
        count: u64,
    },
    /// So many deliveries of a group wait no longer.
    Withdrawn {
        /// Their consumer.
        consumer: Arc<str>,
        /// Their group.
        group: Arc<str>,
        /// How many.
        count: u64,
    },
    /// The head of an ordered group may be another one now.
    Moved {
        /// Its consumer.
        consumer: Arc<str>,
        /// The group.
        group: Arc<str>,
    },
    /// Keys are held.
    Held {
        /// Which.
        keys: Vec<KeyRef>,
        /// By whom.
        hold: Hold,
    },
    /// A hold ended, or lasts until then.
    Left {
        /// Which.
        id: HoldId,
        /// Until when its slots stay held.
        until: Option<Timestamp>,
    },
    /// What is kept of a key.
    Kept {
        /// Which.
        key: KeyRef,
        /// What is kept; nothing when it says nothing any more.
        row: KeyRow,
    },
}

impl Turnstile {
    /// Notes what happens from now on, for others.
    pub fn record(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// What happened since this was asked before.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether it notes what happens.
    pub fn records(&self) -> bool {
        self.journal.is_some()
    }

    /// What happened at someone else's. Answers the consumers that may have something to start by that.
    pub fn learn_fact(&mut self, fact: Fact) -> Vec<String> {
        let journal = self.journal.take();
        let woken = match fact {
            Fact::Offered { consumer, group, head, count } => {
                self.offer_many(&consumer, &group, count, head);
                self.look_again(&consumer, &group);
                vec![consumer.to_string()]
            }
            Fact::Withdrawn { consumer, group, count } => {
                (0..count).for_each(|_| self.withdraw(&consumer, &group));
                Vec::new()
            }
            Fact::Moved { consumer, group } => {
                self.look_again(&consumer, &group);
                vec![consumer.to_string()]
            }
            Fact::Held { keys, hold } => {
                self.hold_keys(&keys, &hold);
                Vec::new()
            }
            Fact::Left { id, until } => self.left(id, until),
            Fact::Kept { key, row } => {
                self.restore(key.clone(), row);
                match self.keys.get(&key).is_some_and(KeyState::is_empty) {
                    true => drop(self.keys.remove(&key)),
                    false => self.opened.push_back(key),
                }
                Vec::new()
            }
        };
        self.journal = journal;
        woken
    }

    pub(super) fn note(&mut self, fact: impl FnOnce() -> Fact) {
        let Some(journal) = &mut self.journal else { return };
        let fact = fact();
        match (journal.last_mut(), &fact) {
            (
                Some(Fact::Withdrawn { consumer, group, count }),
                Fact::Withdrawn { consumer: c, group: g, count: more },
            ) if consumer == c && group == g => *count += more,
            (
                Some(Fact::Offered { consumer, group, head, count }),
                Fact::Offered { consumer: c, group: g, head: h, count: more },
            ) if consumer == c && group == g && head.turn == h.turn && head.priority == h.priority => *count += more,
            _ => journal.push(fact),
        }
    }
}
