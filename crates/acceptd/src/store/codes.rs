//! The numbers that the stores with tables keep words as. A number never changes its word.

use crate::delivery::{Ending, State};
use crate::{Gate, Level, Status, Weight};

const STATES: [State; 5] = [State::Waiting, State::Running, State::Done, State::Dead, State::Canceled];
const WEIGHTS: [Weight; 3] = [Weight::Tracked, Weight::Untracked, Weight::Inbox];
const GATES: [Gate; 6] = [Gate::Pause, Gate::NoConsumer, Gate::DueTime, Gate::Capacity, Gate::Limit, Gate::Lock];
const LEVELS: [Level; 4] = [Level::Info, Level::Success, Level::Warning, Level::Error];
const ENDINGS: [Ending; 8] = [
    Ending::Done,
    Ending::Retry,
    Ending::Snoozed,
    Ending::Throttled,
    Ending::Released,
    Ending::Dead,
    Ending::Canceled,
    Ending::Lost,
];

/// A word that is kept as a number.
pub(in crate::store) trait Code: Copy {
    /// Its number.
    fn code(self) -> i16;

    /// The word of a number; None for a number that is none's.
    fn of_code(code: i16) -> Option<Self>;
}

macro_rules! code {
    ($($word:ty: $words:expr),* $(,)?) => {
        $(impl Code for $word {
            fn code(self) -> i16 {
                $words.iter().position(|word| *word == self).unwrap_or_default() as i16
            }

            fn of_code(code: i16) -> Option<Self> {
                $words.get(usize::try_from(code).ok()?).copied()
            }
        })*
    };
}

code!(State: STATES, Weight: WEIGHTS, Gate: GATES, Level: LEVELS, Ending: ENDINGS, Status: Status::ALL);
