//! The conformance suite: one case for each sentence that a store promises. A case gets an empty store.
//!
//! [`store_suite!`](crate::store_suite) makes one test of each case for a store, [`reopen_suite!`](crate::reopen_suite)
//! for a store that can be closed and opened again. Both list every case; a test compares the lists with the files.

pub mod accept;
pub mod claim;
pub mod control;
pub mod end;
pub mod limits;
pub mod notify;
pub mod observe;
pub mod prune;
pub mod query;
pub mod reopen;
pub mod reopen_limits;
pub mod settle;
pub mod slots;
pub mod standing;
pub mod turns;

/// Makes one test of each case that needs just a store. `$run` is a function in the same module that takes a case.
#[macro_export]
macro_rules! store_suite {
    ($run:ident) => {
        $crate::case_tests! { $run accept
            a_new_operation_is_queued
            each_route_is_one_waiting_delivery
            an_operation_without_events_is_refused
            an_event_is_kept_as_it_was_said
            the_same_key_finds_the_operation_as_it_is_now
            the_same_key_for_another_request_is_refused
            another_scope_or_key_is_another_request
            a_key_that_is_over_is_free
            a_known_event_finds_its_first_operation
            an_id_of_another_source_is_another_event
            events_without_an_id_are_new
            known_events_of_a_batch_are_skipped_and_listed
            a_batch_of_known_events_finds_the_first_operation
            the_same_event_twice_in_a_batch_counts_once
            a_full_backlog_refuses_all_or_nothing
            the_backlog_is_what_waits_or_runs
            a_replay_is_answered_with_a_full_backlog
            an_unrouted_event_counts_for_the_backlog
            an_event_that_nobody_takes_waits
        }
        $crate::case_tests! { $run claim
            a_claim_counts_the_attempt_and_raises_the_fence
            a_claim_comes_with_event_and_owner
            a_running_delivery_is_not_claimed_again
            each_claim_raises_the_fence
            the_highest_priority_goes_first
            the_earliest_due_goes_first
            the_oldest_goes_first_among_equals
            a_priority_that_is_not_due_holds_nobody_up
            a_claim_says_when_the_next_is_due
            a_claim_gives_at_most_max
            a_claim_gives_its_consumers_deliveries_only
            the_limit_of_attempts_is_that_of_the_last_claim
            claims_at_once_share_nothing
            an_operation_runs_from_its_first_claim_on
        }
        $crate::case_tests! { $run observe
            what_was_seen_is_added_up_by_day_and_edge
            days_before_the_first_kept_are_forgotten
        }
        $crate::case_tests! { $run settle
            done_ends_the_delivery_and_its_operation
            every_attempt_leaves_a_record
            a_second_settle_changes_nothing
            an_old_fence_changes_nothing
            a_fence_that_was_never_given_is_refused
            an_unknown_delivery_is_not_found
            a_retry_waits_for_its_due_time
            the_last_attempt_makes_a_dead_letter
            giving_up_makes_a_dead_letter_and_keeps_the_outcome
            a_kept_outcome_goes_with_the_next_ending
            uncounted_attempts_never_use_up_the_limit
            a_snoozed_delivery_comes_back_when_it_is_due
            throttling_pauses_the_consumer
            throttled_since_stays_until_something_else_happens
            emitted_events_commit_with_the_end
            an_emitted_event_that_nobody_takes_ends_at_once
            results_are_those_of_root_deliveries
            a_result_is_kept_as_it_was_given
            progress_is_kept
            the_first_value_of_a_step_stays
            of_settles_at_once_one_is_taken
        }
        $crate::case_tests! { $run notify
            an_ending_notifies_the_owner_once
            without_an_owner_nobody_is_told
            a_failure_is_told_with_its_reason
            a_reopened_operation_notifies_again
            a_cancel_notifies
            a_discard_does_not_notify_again
            an_inbox_message_takes_the_automatic_ones_place
            a_dead_inbox_delivery_leaves_the_automatic_notification
            a_handlers_message_comes_beside_the_automatic_one
            untracked_deliveries_do_not_decide
            untracked_deliveries_decide_when_alone
            an_event_that_nobody_decides_by_ends_the_operation
            dead_beats_canceled_beats_done
            an_end_is_announced_once_to_who_takes_it
            every_end_is_announced
        }
        $crate::case_tests! { $run control
            a_pause_holds_until_it_is_resumed
            resuming_an_open_gate_says_so
            a_timed_pause_ends_by_itself_or_by_a_resume
            a_later_end_replaces_an_earlier_one
            a_persons_pause_outlasts_timed_ones
            throttling_leaves_a_persons_pause
            a_pause_lets_running_attempts_go_on
            the_chain_holds_the_closures
            rescue_takes_from_silent_nodes
            rescue_leaves_living_nodes_alone
            rescue_never_takes_from_oneself
            a_rescue_of_the_last_attempt_makes_a_dead_letter
            a_targets_lease_outlives_the_node
            a_lease_that_is_over_is_rescued_by_its_own_node
            a_lease_ends_with_the_attempt
            registering_routes_events_that_waited
            an_event_is_routed_once
            a_routed_event_keeps_its_due_time
            registering_wakes_consumers_with_waiting_deliveries
            the_time_without_a_consumer_is_noted
        }
        $crate::case_tests! { $run end
            a_cancel_ends_every_delivery
            a_canceled_attempt_is_told_so
            an_ended_operation_is_not_canceled
            a_second_cancel_is_a_conflict
            a_cancel_ends_events_that_nobody_took
            the_unknown_is_not_found
            a_retry_opens_the_operation_again
            all_dead_letters_of_an_operation_are_retried
            a_retry_without_a_dead_letter_is_a_conflict
            an_accepted_outcome_is_a_step_of_the_next_attempt
            only_a_kept_outcome_is_accepted
            a_discarded_dead_letter_counts_as_canceled
            only_dead_letters_are_discarded
        }
        $crate::case_tests! { $run prune
            an_ended_operation_goes_with_everything
            what_ended_later_stays
            what_has_not_ended_stays
            dead_letters_stay
            untracked_deliveries_that_wait_stay
            at_most_so_many_go_at_once
            keys_and_closures_in_use_stay
            a_pause_stays
            limits_stay_what_they_are
        }
        $crate::case_tests! { $run query
            operations_are_listed_newest_first
            new_operations_do_not_move_the_pages
            operations_are_filtered
            operations_are_found_by_event_id
            an_operation_shows_its_oldest_live_deliveries
            the_chain_is_everything_oldest_first
            a_delivery_knows_how_many_are_ahead
            dead_letters_are_listed_newest_first
            notifications_come_by_page_or_after_a_place
            a_notification_is_read_once
            consumers_are_listed_with_what_they_have
            consumers_know_their_dead_letters_and_how_long_they_are_behind
            an_accept_names_the_events_it_stored
            health_counts_what_waits_or_runs
            the_unknown_is_not_found
        }
        $crate::case_tests! { $run limits
            starts_keep_the_rate_and_its_burst
            a_rest_saves_up_one_burst
            no_more_run_than_there_are_slots
            keys_are_counted_apart
            what_has_no_owner_shares_one_key
            a_saturated_key_never_delays_another
            limits_are_taken_all_or_none
            consumers_share_a_limit
            a_paused_consumer_holds_up_no_other
            what_is_due_later_holds_nothing_before
            a_paused_limit_holds_everything
            a_paused_key_holds_only_its_own
            resuming_a_limit_resumes_its_keys
            an_unknown_limit_is_not_found
            throttling_pauses_the_key_for_everyone
            throttling_can_name_the_limit
            throttling_is_about_the_key_of_a_permit
            done_can_pause_the_limits
            a_throttled_rate_begins_with_nothing_saved_up
            a_throttled_rate_can_be_resumed
            without_a_rate_a_throttled_limit_starts_with_one
            a_limit_finds_its_rate
            a_limit_is_changed_and_changed_back
            a_rate_is_changed_at_once
            a_set_clock_changes_nothing
            deliveries_stand_under_the_keys_of_today
            an_attempt_says_which_limit_held_it
        }
        $crate::case_tests! { $run slots
            a_rescued_attempt_holds_its_slot_until_its_deadline
            a_canceled_attempt_holds_its_slot_until_its_deadline
            an_unfinished_attempt_holds_its_slot_until_its_deadline
            the_last_unfinished_attempt_holds_its_slot
            a_lease_says_how_long_the_slot_is_held
            a_clean_end_holds_nothing
            a_local_target_holds_nothing_once_its_attempt_is_over
            without_a_limit_there_is_no_deadline
            a_set_clock_moves_held_slots
            a_permit_holds_its_key_until_it_is_given_back
            permits_and_deliveries_share_their_slots
            a_late_end_frees_held_slots
            permits_keep_the_rate
            permits_end_with_their_attempt
            permits_end_with_a_rescue_or_a_cancel
            an_old_fence_gets_no_permit
        }
        $crate::case_tests! { $run turns
            one_owner_does_not_wait_for_ten_thousand_of_another
            owners_share_one_claim
            weights_are_turns_in_a_row
            turns_can_be_by_something_else
            within_an_owner_priority_goes_first_then_age
            groups_take_turns
            ordered_deliveries_run_in_the_order_of_accepting
            a_retrying_head_holds_its_key
            a_head_that_is_due_later_holds_its_key
            a_dead_head_lets_the_next_go_on
            a_canceled_head_lets_the_next_go_on
            a_head_stays_head_until_it_ends
        }
        $crate::case_tests! { $run standing
            items_come_in_the_order_of_the_request
            items_are_root_events
            groups_count_what_waits_and_runs
            what_holds_a_group_is_told
            a_rate_says_when_the_next_start_is
            limits_are_listed_with_what_they_hold
            the_busiest_keys_are_listed
            places_count_turns
            the_unknown_has_no_items
        }
    };
}

/// Makes one test of each case that closes a store and opens it again.
#[macro_export]
macro_rules! reopen_suite {
    ($run:ident) => {
        $crate::case_tests! { $run reopen
            what_was_accepted_is_there_again
            what_was_settled_is_there_again
            fences_go_on_rising
            a_targets_lease_survives
            replays_are_known_again
            pauses_hold_again
            ids_go_on_ascending
        }
        $crate::case_tests! { $run reopen_limits
            running_attempts_hold_their_slots_again
            slots_that_linger_are_held_again
            permits_are_held_again
            rates_go_on_where_they_were
            pauses_of_limits_hold_again
            a_ramp_goes_on_where_it_was
            changes_of_limits_survive
            lanes_are_what_they_were
            a_set_clock_stays_set
        }
    };
}

/// One module of tests for one file of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! case_tests {
    ($run:ident $area:ident $($case:ident)*) => {
        mod $area {
            $(
                #[test]
                fn $case() {
                    super::$run($crate::store::$area::$case);
                }
            )*
        }
    };
}
