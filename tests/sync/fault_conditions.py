"""The conditions of crm-apis §E that are no switch of the stand-ins but how the CRMs always are, each with the tests of
the suite that show what a user sees, that nothing is lost and that nothing is doubled. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Given:
    """One condition. `lost` and `doubled` name the tests that prove it, as `folder/file.py::test` under `tests`."""

    pulling: str
    pushing: str
    lost: str
    doubled: str


HUBSPOT: Mapping[str, Given] = {
    "ten-second limit as a true sliding window": Given(
        "unseen: calls wait for their turn",
        "the same",
        "connectors/test_throttle.py::test_no_span_at_the_crm_holds_more_than_the_limit",
        "connectors/test_throttle.py::test_threads_share_a_window",
    ),
    "search has 5 calls a second of its own and tells no limit": Given(
        "unseen: counted blind",
        "no searches",
        "connectors/test_throttle.py::test_reads_and_writes_share_a_window_searches_have_their_own",
        "connectors/test_throttle.py::test_blind_window_ignores_what_answers_tell",
    ),
    "OAuth token ends after 1,800 s": Given(
        "unseen: renewed at 80 % of its life, a rotated one kept",
        "the same",
        "connectors/test_hubspot_http.py::test_oauth_token_is_renewed_before_its_end_and_rotation_is_remembered",
        "connectors/test_hubspot_http.py::test_endlessly_refused_oauth_token_is_renewed_once_only",
    ),
    "a merge mints a new id": Given(
        "unseen: the link and what we wrote move to the survivor",
        "the write reaches the survivor; both old ids are told",
        "sync/test_matching_cycle.py::test_a_merge_moves_the_link_and_what_we_wrote",
        "connectors/test_hubspot_push.py::test_two_records_merged_into_one_are_both_told",
    ),
    "the search index lags": Given(
        "an edit comes with a later pull",
        "nothing is written twice meanwhile",
        "sync/test_echo.py::test_an_edit_after_our_write_is_seen_when_the_index_has_it",
        "sync/test_echo.py::test_a_trailing_index_makes_no_second_write",
    ),
    "more than 10,000 changes at one instant": Given(
        "unseen: pages go by id",
        "no searches",
        "connectors/test_hubspot_pull.py::test_more_than_ten_thousand_changes_at_one_instant",
        "connectors/test_hubspot_pull.py::test_more_than_ten_thousand_changes_at_one_instant",
    ),
    "a search gives 10,000 results at most": Given(
        "never met: no search pages past it",
        "no searches",
        "connectors/test_hubspot_pull.py::test_search_asks_by_keyset_and_never_from_the_epoch",
        "sandbox/test_search.py::test_the_wall_of_ten_thousand",
    ),
    "our own writes bump lastmodifieddate": Given(
        "they come back as changes",
        "and are no reason to write",
        "sync/test_echo.py::test_an_edit_after_our_write_is_seen_when_the_index_has_it",
        "sync/test_echo.py::test_a_trailing_index_makes_no_second_write",
    ),
    "options are validated, one bad row refuses the batch": Given(
        "only writes",
        "exit 1, that record refused, the others written",
        "connectors/test_hubspot_push.py::test_bad_value_is_found_in_few_calls_and_only_its_row_refused",
        "connectors/test_hubspot_push.py::test_value_refused_once_is_not_asked_again",
    ),
    "unknown property in any row refuses the batch": Given(
        "only writes",
        "exit 1, the records that name it refused, the others written",
        "connectors/test_hubspot_push.py::test_unknown_property_refuses_the_rows_that_name_it",
        "connectors/test_hubspot_push.py::test_any_mixture_of_bad_and_lost_rows",
    ),
    "one id twice refuses the batch": Given(
        "only writes",
        "unseen: sent once, with the later values",
        "connectors/test_hubspot_push.py::test_same_record_twice_is_sent_once_with_the_later_values",
        "connectors/test_hubspot_push.py::test_same_record_twice_is_sent_once_with_the_later_values",
    ),
    "read-only properties": Given(
        "read like others",
        "exit 1, refused before any call",
        "connectors/test_hubspot_schema.py::test_read_only_properties_are_not_writable",
        "core/test_plan.py::test_value_that_does_not_fit_is_refused_and_the_rest_is_written",
    ),
    "values come back normalised (dates, numbers, option order)": Given(
        "unseen: equal in other words is equal",
        "and is not written again",
        "core/test_plan.py::test_equal_values_in_other_words_are_no_change",
        "sync/test_on_drift.py::test_an_equal_value_in_another_notation_is_no_drift",
    ),
    "no answer for 100 s": Given(
        "unseen: given up at our own time-out and asked again",
        "the same",
        "connectors/test_hubspot_http.py::test_silence_and_refused_connections_are_transient",
        "connectors/test_hubspot_push.py::test_call_without_an_end_is_given_up_and_repeated",
    ),
}

SALESFORCE: Mapping[str, Given] = {
    "row locks that clear after some tries": Given(
        "only writes",
        "unseen: only the locked rows are sent again",
        "connectors/test_salesforce_push.py::test_locked_rows_fail_and_pass_later",
        "connectors/test_salesforce_push.py::test_locks_are_tried_again_alone_by_the_wrapper",
    ),
    "validation rules, too long texts, options": Given(
        "only writes",
        "exit 1, that record refused in Salesforce's words, the others written",
        "connectors/test_salesforce_push.py::test_bad_row_refuses_itself_only",
        "connectors/test_salesforce_bulk.py::test_each_row_of_a_job_has_its_own_end",
    ),
    "DUPLICATES_DETECTED unless the header is sent": Given(
        "only writes",
        "unseen: the header is sent, rows of a job go by collections",
        "connectors/test_salesforce_push.py::test_duplicate_rule_of_the_org_does_not_stop_an_update",
        "connectors/test_salesforce_bulk.py::test_rows_held_up_by_a_duplicate_rule_pass_by_collections",
    ),
    "a field hidden by field-level security": Given(
        "the field is absent, never empty",
        "exit 1, refused with where to click",
        "connectors/test_salesforce_pull.py::test_field_hidden_from_us_is_absent_and_never_empty",
        "connectors/test_salesforce_bulk.py::test_hidden_field_refuses_the_rows_that_name_it",
    ),
    "the session ends in the middle of a run": Given(
        "unseen: one new login",
        "the same",
        "connectors/test_salesforce_http.py::test_session_that_ended_is_opened_again_once_and_then_the_run_stops",
        "connectors/test_salesforce_push.py::test_ended_session_is_renewed_once",
    ),
    "unprocessed rows of a job": Given(
        "only writes by Bulk jobs",
        "they failed; the next attempt writes them alone",
        "connectors/test_salesforce_bulk.py::test_job_that_ends_early_leaves_its_rest_failed",
        "connectors/test_salesforce_bulk.py::test_process_that_dies_between_calls",
    ),
    "an org that tells nothing of a job any more": Given(
        "only Bulk jobs",
        "exit 5; the next run takes the job up",
        "connectors/test_salesforce_bulk.py::test_org_that_stays_silent_ends_the_wait",
        "connectors/test_salesforce_bulk.py::test_job_of_a_dead_process_is_taken_up",
    ),
    "an empty cell keeps, #N/A clears": Given(
        "only writes by Bulk jobs",
        "unseen: what a row does not name stays",
        "connectors/test_salesforce_bulk.py::test_rows_that_change_other_fields_share_a_job",
        "connectors/test_salesforce_fields.py::test_empty_is_null_in_json_and_a_mark_in_csv",
    ),
    "SystemModstamp has whole seconds": Given(
        "unseen: ties go by id",
        "only reads",
        "connectors/test_salesforce_pull.py::test_ties_across_page_edges_are_not_lost",
        "connectors/test_salesforce_pull.py::test_many_ties_of_a_quiet_past_are_not_read_again",
    ),
    "deleted and merged rows (IsDeleted, MasterRecordId)": Given(
        "unseen: gone, or moved to the survivor",
        "the survivor is written",
        "connectors/test_salesforce_pull.py::test_deleted_merged_and_restored",
        "sync/test_two_crms.py::test_merge_in_salesforce_moves_the_link",
    ),
    "Sforce-Limit-Info counts up, others' calls too": Given(
        "exit 5 once our share is used",
        "the same",
        "connectors/test_salesforce_http.py::test_limit_header_is_read_on_every_answer",
        "connectors/test_throttle.py::test_daily_share_ends_the_run",
    ),
    "ids of 15 and of 18 characters": Given(
        "unseen: one and the same",
        "the same",
        "connectors/test_salesforce_pull.py::test_short_ids_are_read_as_their_long_selves",
        "connectors/test_salesforce_bulk.py::test_short_ids_and_records_that_come_twice",
    ),
    "results of a job come in any order": Given(
        "only writes by Bulk jobs",
        "unseen: read by id",
        "connectors/test_salesforce_csv.py::test_results_are_found_by_id_with_newlines_quotes_and_commas",
        "connectors/test_salesforce_bulk.py::test_many_are_one_job",
    ),
    "results of a collection keep its order, without ids where a row failed": Given(
        "only writes",
        "unseen: by position, and no row gets another's",
        "connectors/test_salesforce_rows.py::test_complete_answer_is_read_by_position",
        "connectors/test_salesforce_rows.py::test_incomplete_answer_is_never_given_to_another_row",
    ),
}
