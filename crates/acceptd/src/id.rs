//! Ids: UUIDv7 with a counter, so that they sort by age and map to a dense integer key without an index.
//!
//! Layout (RFC 9562, method 1): 48 bits milliseconds, 15 bits counter, 59 bits random. Milliseconds and counter
//! together are the *ordinal*, which one [`Ids`] never gives out twice; a store may use it as its row key. The last
//! eighth of each millisecond's counter is left to a database that makes ids by itself.

use std::fmt;
use std::str::FromStr;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Timestamp};

const COUNTER_BITS: u32 = 15;
const RANDOM_BITS: u32 = 59;
/// The counter from which on a millisecond is not used; `0002_accept.sql` has the same number.
const LEFT_FREE: i64 = 28_672;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id made of these 16 bytes, as a store kept it.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Milliseconds and counter: unique within one store, ascending with age.
            pub const fn ordinal(&self) -> i64 {
                ordinal(self.0.as_u128())
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text).map(Self).map_err(|_| {
                    Error::invalid(format!("{text:?} is not an id; ids look like 01900000-0000-7000-8000-000000000000"))
                })
            }
        }
    };
}

id! {
    /// An operation: what the caller asked for and polls.
    OperationId
}
id! {
    /// An event inside acceptd; also its CloudEvents `id` when the producer gave none.
    EventKey
}
id! {
    /// One event for one consumer. HTTP consumers get it as `Idempotency-Key`.
    DeliveryId
}
id! {
    /// A message to an operation's owner.
    NotificationId
}
id! {
    /// One run of an engine; a restarted process is another node.
    NodeId
}

const fn ordinal(uuid: u128) -> i64 {
    let milliseconds = (uuid >> 80) as i64;
    let counter = (((uuid >> 64) & 0xfff) << 3) | ((uuid >> 59) & 0b111);
    (milliseconds << COUNTER_BITS) | counter as i64
}

/// Gives out ids in ascending order, also when the clock steps back.
#[derive(Debug)]
pub struct Ids {
    last: i64,
    random: SmallRng,
}

impl Ids {
    /// Ids that all sort after the ordinal `last`; 0 for an empty store.
    pub fn after(last: i64) -> Self {
        Self { last, random: rand::make_rng() }
    }

    /// The same, with random bits that repeat for the same seed.
    pub fn seeded(last: i64, seed: u64) -> Self {
        Self { last, random: SmallRng::seed_from_u64(seed) }
    }

    /// The last ordinal that was given out.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Gives out nothing up to this ordinal any more.
    pub fn skip(&mut self, last: i64) {
        self.last = self.last.max(last);
    }

    /// The next id, of whichever type is asked for.
    pub fn next<T: From<Uuid>>(&mut self, now: Timestamp) -> T {
        let clock = now.as_millis().max(0) << COUNTER_BITS;
        let next = clock.max(self.last + 1);
        let counter = next & ((1 << COUNTER_BITS) - 1);
        self.last = if counter < LEFT_FREE { next } else { next - counter + (1 << COUNTER_BITS) };
        self.at(self.last)
    }

    /// An id with an ordinal that was not given out here.
    pub(crate) fn at<T: From<Uuid>>(&mut self, ordinal: i64) -> T {
        let ordinal = ordinal as u128;
        let milliseconds = ordinal >> COUNTER_BITS;
        let high = (ordinal >> 3) & 0xfff;
        let low = ordinal & 0b111;
        let random = u128::from(self.random.random::<u64>() >> (64 - RANDOM_BITS));
        let bits = (milliseconds << 80) | (7 << 76) | (high << 64) | (0b10 << 62) | (low << 59) | random;
        T::from(Uuid::from_u128(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_when_the_clock_steps_back() {
        let mut ids = Ids::seeded(0, 7);
        let mut last: EventKey = ids.next(Timestamp::from_millis(1_700_000_000_000));
        for step in 0..100_000 {
            let next: EventKey = ids.next(Timestamp::from_millis(1_700_000_000_000 - step));
            assert!(next > last && next.ordinal() > last.ordinal());
            assert!(next.ordinal() % (1 << COUNTER_BITS) < LEFT_FREE, "{next}");
            last = next;
        }
    }

    #[test]
    fn ids_are_version_7_and_keep_their_ordinal() {
        let mut ids = Ids::seeded(0, 7);
        let id: OperationId = ids.next(Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(Uuid::from_bytes(*id.as_bytes()).get_version_num(), 7);
        assert_eq!(id.ordinal() >> COUNTER_BITS, 1_700_000_000_000);
        let mut later = Ids::seeded(id.ordinal(), 7);
        let next: OperationId = later.next(Timestamp::from_millis(0));
        assert_eq!(next.ordinal(), id.ordinal() + 1);
        let same: OperationId = later.at(id.ordinal());
        assert_eq!((same.ordinal(), same == id), (id.ordinal(), false));
    }
}
