//! The story of an operation as text, without anything that differs from run to run.

use std::fmt::Write as _;

use crate::delivery::Ending;
use crate::duration::format_duration;
use crate::store::Chain;
use crate::testing::stage::Stage;
use crate::{Delivery, OperationId, StoredEvent};

impl Stage {
    /// What happened to an operation.
    pub(super) fn story(&self, id: OperationId) -> String {
        let (chain, monitor) = (self.chain(id), self.monitor_of(self.view(id)));
        let mut text = format!("{} {}\n", chain.operation.kind, monitor.status.as_str());
        for event in chain.events.iter().filter(|event| event.cause.is_none()) {
            tell(&mut text, &chain, event, 1);
        }
        for waiting in monitor.waiting_on {
            let _ = writeln!(text, "  {}", waiting.message);
        }
        text
    }
}

fn tell(text: &mut String, chain: &Chain, event: &StoredEvent, depth: usize) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}{}", event.draft.kind);
    for delivery in chain.deliveries.iter().filter(|delivery| delivery.event == event.key) {
        tell_delivery(text, chain, delivery, depth + 1);
    }
    for next in chain.events.iter().filter(|next| next.cause.as_deref() == Some(event.id().as_ref())) {
        tell(text, chain, next, depth + 1);
    }
}

fn tell_delivery(text: &mut String, chain: &Chain, delivery: &Delivery, depth: usize) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}→ {} {}", delivery.consumer, delivery.state.as_str());
    for attempt in chain.attempts.iter().filter(|attempt| attempt.delivery == delivery.id) {
        let after = |at: crate::Timestamp| format_duration(at.since(chain.operation.created));
        let _ =
            write!(text, "{indent}  {} to {} {}", after(attempt.started), after(attempt.ended), word(attempt.ending));
        if let Some(failure) = &attempt.failure {
            let _ = write!(text, ": {} ({})", failure.message, failure.code);
        }
        text.push('\n');
    }
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Retry => "failed",
        Ending::Snoozed => "snoozed",
        Ending::Throttled => "throttled",
        Ending::Released => "released",
        Ending::Dead => "gave up",
        Ending::Canceled => "canceled",
        Ending::Lost => "lost",
    }
}
