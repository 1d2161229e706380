//! What can't go on by itself: every delivery that is left waits at a gate that does not open.

use crate::engine::{Monitor, WaitingOn};
use crate::store::OperationView;
use crate::testing::read::at_once;
use crate::testing::stage::Stage;
use crate::{Gate, Store as _};

/// Operations whose stories a panic tells at most.
const STORIES_MAX: usize = 3;

impl Stage {
    /// Whether anything that has not ended will go on when time passes.
    pub(super) fn can_go_on(&self) -> bool {
        self.open_operations().iter().any(|view| self.is_running(view) || self.waits(view).iter().any(opens))
    }

    /// Why operations have not ended, in a sentence for each wait.
    pub(super) fn why(&self) -> String {
        let open = self.open_operations();
        let mut sentences: Vec<_> =
            open.iter().flat_map(|view| self.waits(view)).map(|waiting| waiting.message).collect();
        sentences.dedup();
        sentences.truncate(STORIES_MAX);
        match (open.len(), sentences.is_empty()) {
            (0, _) => "nothing is left to run".to_owned(),
            (1, true) => "an attempt of 1 operation runs".to_owned(),
            (1, false) => format!("1 operation {}", sentences.join("; ")),
            (several, true) => format!("attempts of {several} operations run"),
            (several, false) => format!("{several} operations have not ended: {}", sentences.join("; ")),
        }
    }

    /// The stories of what has not ended.
    pub(super) fn open_stories(&self) -> String {
        let open = self.open_operations();
        let stories = open.iter().take(STORIES_MAX).map(|view| self.story(view.operation.id));
        let mut text = stories.collect::<Vec<_>>().join("\n\n");
        if open.len() > STORIES_MAX {
            text.push_str(&format!("\n\nand {} more operations", open.len() - STORIES_MAX));
        }
        text
    }

    pub(super) fn monitor_of(&self, view: OperationView) -> Monitor {
        match at_once(self.engine().explain(view)) {
            Ok(monitor) => monitor,
            Err(error) => panic!("{error}"),
        }
    }

    fn waits(&self, view: &OperationView) -> Vec<WaitingOn> {
        self.monitor_of(view.clone()).waiting_on
    }

    fn is_running(&self, view: &OperationView) -> bool {
        let groups = at_once(self.store.groups(view.operation.id)).unwrap_or_default();
        groups.iter().any(|group| group.running > 0)
    }
}

/// Whether a gate opens when time passes, or when something that runs has ended.
fn opens(waiting: &WaitingOn) -> bool {
    match waiting.gate {
        Gate::DueTime | Gate::Capacity => true,
        Gate::NoConsumer => false,
        Gate::Pause => waiting.until.is_some(),
        Gate::Limit | Gate::Lock => waiting.until.is_some() || waiting.holder.is_some(),
    }
}
