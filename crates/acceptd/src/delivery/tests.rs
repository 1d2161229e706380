use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LATER: Timestamp = Timestamp::from_millis(2_000_000);

fn delivery(state: State) -> Delivery {
    let operation = Operation::new(Uuid::nil().into(), "a".into(), None, 0, NOW);
    let route = Route::to("c");
    let has_started = state != State::Waiting;
    Delivery {
        state,
        attempts: u32::from(has_started),
        max_attempts: 3,
        fence: u64::from(has_started),
        ..Delivery::new(Uuid::nil().into(), &operation, Uuid::nil().into(), &route, (NOW, NOW))
    }
}

fn apply(delivery: &Delivery, action: Action) -> Result<Delivery, Refusal> {
    transition(delivery, &action, LATER).map(|(next, _)| next)
}

fn settle_with(fence: u64, verdict: Verdict) -> Action {
    Action::Settle { fence, verdict }
}

fn failure() -> Failure {
    Failure::new("x", "it broke")
}

fn claim_action() -> Action {
    Action::Claim { node: Uuid::nil().into(), max_attempts: 3, deadline: None, held_by: None }
}

#[test]
fn a_claim_counts_the_attempt_and_raises_the_fence() {
    let next = apply(&delivery(State::Waiting), claim_action()).unwrap();
    assert_eq!((next.state, next.attempts, next.fence), (State::Running, 1, 1));
    assert_eq!((next.waiting_since, next.since), (NOW, LATER));
}

#[test]
fn a_clock_that_was_set_back_stops_no_claim() {
    let later = Delivery { due: Timestamp::MAX, ..delivery(State::Waiting) };
    assert_eq!(apply(&later, claim_action()).unwrap().state, State::Running);
}

#[test]
fn an_old_fence_changes_nothing() {
    let running = Delivery { fence: 5, ..delivery(State::Running) };
    assert_eq!(apply(&running, settle_with(4, Verdict::Done)), Err(Refusal::StaleFence));
    assert_eq!(apply(&running, settle_with(6, Verdict::Done)), Err(Refusal::StaleFence));
    let extend = Action::Extend { fence: 4, lease: LATER };
    assert_eq!(apply(&running, extend), Err(Refusal::StaleFence));
}

#[test]
fn settling_twice_is_told_so() {
    let done = apply(&delivery(State::Running), settle_with(1, Verdict::Done)).unwrap();
    assert_eq!(apply(&done, settle_with(1, Verdict::Done)), Err(Refusal::AlreadySettled));
    let retry = Verdict::Retry { due: LATER, failure: failure(), unfinished: false };
    let waiting = apply(&delivery(State::Running), settle_with(1, retry)).unwrap();
    assert_eq!(apply(&waiting, settle_with(1, Verdict::Done)), Err(Refusal::AlreadySettled));
}

#[test]
fn the_last_attempt_ends_as_a_dead_letter() {
    let last = Delivery { attempts: 3, ..delivery(State::Running) };
    let retry = Verdict::Retry { due: LATER, failure: failure(), unfinished: false };
    assert_eq!(apply(&last, settle_with(1, retry)).unwrap().state, State::Dead);
    assert_eq!(apply(&last, Action::Rescue).unwrap().state, State::Dead);
}

#[test]
fn uncounted_endings_give_the_attempt_back() {
    for verdict in [
        Verdict::Release { unfinished: true },
        Verdict::Snooze { due: LATER },
        Verdict::Throttled { due: LATER, failure: failure() },
    ] {
        let next = apply(&delivery(State::Running), settle_with(1, verdict)).unwrap();
        assert_eq!((next.state, next.attempts, next.fence), (State::Waiting, 0, 1));
    }
}

#[test]
fn throttling_remembers_when_it_began() {
    let throttled = Verdict::Throttled { due: LATER, failure: failure() };
    let first = apply(&delivery(State::Running), settle_with(1, throttled)).unwrap();
    assert_eq!(first.throttled_since, Some(LATER));
}

#[test]
fn a_canceled_delivery_refuses_its_attempt() {
    let canceled = apply(&delivery(State::Running), Action::Cancel).unwrap();
    assert_eq!(apply(&canceled, settle_with(1, Verdict::Done)), Err(Refusal::Canceled));
    assert_eq!(apply(&delivery(State::Done), Action::Cancel), Err(Refusal::WrongState(State::Done)));
}

#[test]
fn dead_letters_are_revived_or_discarded() {
    let dead = Delivery { attempts: 3, ..delivery(State::Dead) };
    let revived = apply(&dead, Action::Revive).unwrap();
    assert_eq!((revived.state, revived.attempts, revived.fence), (State::Waiting, 0, 1));
    assert_eq!(apply(&dead, Action::Discard).unwrap().state, State::Canceled);
    for state in [State::Waiting, State::Running, State::Done, State::Canceled] {
        assert!(apply(&delivery(state), Action::Revive).is_err());
        assert!(apply(&delivery(state), Action::Discard).is_err());
    }
}

#[test]
fn every_ended_attempt_leaves_a_record_with_its_times() {
    let (_, attempt) = transition(&delivery(State::Running), &settle_with(1, Verdict::Done), LATER).unwrap();
    let attempt = attempt.unwrap();
    assert_eq!((attempt.started, attempt.ended, attempt.ending), (NOW, LATER, Ending::Done));
    let (_, none) = transition(&delivery(State::Waiting), &Action::Cancel, LATER).unwrap();
    assert!(none.is_none(), "a waiting delivery has no attempt to record");
}
