//! Turns: those who wait take turns, and within a turn priority goes first, then age.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Delivery;

/// Turns that are looked through to tell a place.
const LOOKED_MAX: usize = 1_001;

/// What a group stands for while it waits: the delivery of it that is next, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose turn it takes.
    pub turn: Arc<str>,
    /// From -100 to 100.
    pub priority: i8,
    /// The delivery's ordinal, or that of an older one of the group.
    pub age: i64,
}

impl Head {
    /// A delivery that waits. In an ordered group nobody takes turns: the group itself does, with others.
    pub fn of(delivery: &Delivery) -> Self {
        let lane = &delivery.lane;
        let turn = if lane.ordered { &lane.group } else { &lane.turn };
        Self { turn: turn.as_str().into(), priority: delivery.priority, age: delivery.id.ordinal() }
    }

    fn rank(&self) -> Rank {
        (Reverse(self.priority), self.age)
    }
}

/// Priority, then age.
type Rank = (Reverse<i8>, i64);

/// Those who wait for the same.
#[derive(Debug)]
pub(super) struct Turns<T> {
    /// Who takes turns, the next first.
    order: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, BTreeSet<(Rank, T)>>,
    count: usize,
    /// Turns in a row that the first in the order has had.
    had: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), waiting: HashMap::new(), count: 0, had: 0 }
    }
}

impl<T: Ord + Clone> Turns<T> {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, head: &Head, one: T) {
        let line = match self.waiting.get_mut(&head.turn) {
            Some(line) => line,
            None => {
                self.order.push_back(Arc::clone(&head.turn));
                self.waiting.entry(Arc::clone(&head.turn)).or_default()
            }
        };
        self.count += usize::from(line.insert((head.rank(), one)));
    }

    /// Takes the next; `weight` is how many turns in a row someone has.
    pub(super) fn pop(&mut self, weight: impl Fn(&T, &str) -> usize) -> Option<T> {
        let turn = Arc::clone(self.order.front()?);
        let line = self.waiting.get_mut(&turn)?;
        let (_, one) = line.pop_first()?;
        (self.count, self.had) = (self.count - 1, self.had + 1);
        if line.is_empty() {
            self.waiting.remove(&turn);
            self.order.pop_front();
            self.had = 0;
        } else if self.had >= weight(&one, &turn) {
            self.order.rotate_left(1);
            self.had = 0;
        }
        Some(one)
    }

    /// Takes one out that waits by this head. False when it is not there.
    pub(super) fn remove(&mut self, head: &Head, one: &T) -> bool {
        let Some(line) = self.waiting.get_mut(&head.turn) else { return false };
        if !line.remove(&(head.rank(), one.clone())) {
            return false;
        }
        self.count -= 1;
        if line.is_empty() {
            self.waiting.remove(&head.turn);
            if self.order.front() == Some(&head.turn) {
                self.had = 0;
            }
            self.order.retain(|turn| *turn != head.turn);
        }
        true
    }

    /// How many come before the one that waits by this head, at most 1,001; weights are not reckoned with.
    pub(super) fn before(&self, head: &Head) -> usize {
        let Some(line) = self.waiting.get(&head.turn) else { return 0 };
        let ahead = line.iter().take_while(|(rank, _)| *rank < head.rank()).take(LOOKED_MAX).count();
        let (mut before, mut is_later) = (ahead, false);
        for turn in self.order.iter().take(LOOKED_MAX) {
            if *turn == head.turn {
                is_later = true;
                continue;
            }
            let turns = if is_later { ahead } else { ahead + 1 };
            before += self.waiting.get(turn).map_or(0, BTreeSet::len).min(turns);
        }
        before.min(LOOKED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(turn: &str, priority: i8, age: i64) -> Head {
        Head { turn: turn.into(), priority, age }
    }

    fn drain(turns: &mut Turns<i64>, weight: impl Fn(&str) -> usize) -> Vec<i64> {
        std::iter::from_fn(|| turns.pop(|_, turn| weight(turn))).collect()
    }

    #[test]
    fn turns_go_round_and_within_them_by_priority_and_age() {
        let mut turns = Turns::default();
        for (turn, priority, age) in [("a", 0, 1), ("a", 0, 2), ("a", 5, 3), ("b", 0, 4), ("c", 0, 5), ("b", 0, 6)] {
            turns.push(&head(turn, priority, age), age);
        }
        assert_eq!((turns.before(&head("a", 0, 2)), turns.before(&head("c", 0, 5))), (5, 2));
        assert_eq!(drain(&mut turns, |_| 1), [3, 4, 5, 1, 6, 2]);
        assert!(turns.is_empty());
    }

    #[test]
    fn a_weight_is_turns_in_a_row() {
        let mut turns = Turns::default();
        (1..=4).for_each(|age| turns.push(&head("big", 0, age), age));
        (5..=6).for_each(|age| turns.push(&head("small", 0, age), age));
        assert_eq!(drain(&mut turns, |turn| if turn == "big" { 2 } else { 1 }), [1, 2, 5, 3, 4, 6]);
    }

    #[test]
    fn one_can_be_taken_out() {
        let mut turns = Turns::default();
        (1..=2).for_each(|age| turns.push(&head("a", 0, age), age));
        assert!(turns.remove(&head("a", 0, 1), &1));
        assert!(!turns.remove(&head("a", 0, 1), &1));
        assert_eq!((turns.len(), drain(&mut turns, |_| 1)), (1, vec![2]));
    }
}
