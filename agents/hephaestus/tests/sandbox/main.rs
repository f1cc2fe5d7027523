//! The sandbox, tried on this machine: programs that do their work, programs
//! that try to get out, and killing.
//!
//! The test has a `main` of its own because it is also the containment helper:
//! the sandbox starts this very binary again.

// A test with a main of its own has no #[test] functions for clippy to know.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod changes;
mod death;
mod escape;
mod machine;
mod step;

use std::time::Instant;

/// Becomes a process that runs a program in the sandbox, to be killed.
const VICTIM: &str = "victim";
/// Becomes a process that runs the tests of an ordinary user.
const ORDINARY: &str = "ordinary";

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("the_level_is_full_here", machine::the_level_is_full_here),
    ("a_program_runs_and_its_output_comes_back", machine::a_program_runs_and_its_output_comes_back),
    ("no_attempt_succeeds", escape::no_attempt_succeeds),
    ("no_attempt_succeeds_without_namespaces", escape::no_attempt_succeeds_without_namespaces),
    (
        "uncontained_the_harmless_attempts_succeed",
        escape::uncontained_the_harmless_attempts_succeed,
    ),
    ("a_socket_in_the_workspace_leads_nowhere", escape::a_socket_in_the_workspace_leads_nowhere),
    ("nothing_else_of_the_machine_is_there", machine::nothing_else_of_the_machine_is_there),
    ("declared_outputs_come_back", changes::declared_outputs_come_back),
    ("deleted_and_replaced_folders_come_back", changes::deleted_and_replaced_folders_come_back),
    ("links_and_pipes_are_not_taken_over", changes::links_and_pipes_are_not_taken_over),
    (
        "files_changed_meanwhile_are_not_overwritten",
        changes::files_changed_meanwhile_are_not_overwritten,
    ),
    ("too_much_output_is_refused", changes::too_much_output_is_refused),
    ("a_hidden_folder_is_covered", machine::a_hidden_folder_is_covered),
    ("bounds_stop_a_program", death::bounds_stop_a_program),
    ("nothing_outlives_its_program", death::nothing_outlives_its_program),
    ("cancel_stops_at_once", death::cancel_stops_at_once),
    ("a_watch_that_refuses_prevents_the_start", death::a_watch_that_refuses_prevents_the_start),
    ("killing_the_parent_kills_everything", death::killing_the_parent_kills_everything),
    ("killing_the_helper_kills_everything", death::killing_the_helper_kills_everything),
    (
        "odd_output_is_text_and_long_output_is_cut",
        machine::odd_output_is_text_and_long_output_is_cut,
    ),
    ("errors_say_what_is_wrong", machine::errors_say_what_is_wrong),
    ("toolchains_work", machine::toolchains_work),
    ("the_run_tool_carries_out_a_step", step::the_run_tool_carries_out_a_step),
    ("the_run_tool_refuses_and_stops", step::the_run_tool_refuses_and_stops),
    (
        "what_a_program_printed_is_proven_by_running_it_again",
        step::what_a_program_printed_is_proven_by_running_it_again,
    ),
    (
        "what_a_program_kept_is_proven_by_running_it_again",
        step::what_a_program_kept_is_proven_by_running_it_again,
    ),
    (
        "without_full_containment_nothing_is_run_again",
        step::without_full_containment_nothing_is_run_again,
    ),
    ("what_dead_processes_left_is_swept", machine::what_dead_processes_left_is_swept),
    ("the_helper_refuses_strangers", machine::the_helper_refuses_strangers),
    ("an_ordinary_user_is_contained_as_well", machine::an_ordinary_user_is_contained_as_well),
];

fn main() {
    hephaestus::sandbox::run_if_helper();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(VICTIM) => death::victim(&args[1..]),
        Some(ORDINARY) => ordinary(),
        _ => std::process::exit(run(TESTS, &args)),
    }
}

/// A small harness: every test in order, or those whose name holds a word.
fn run(tests: &[Test], args: &[String]) -> i32 {
    if args.iter().any(|arg| arg == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return 0;
    }
    let words: Vec<&String> =
        args.iter().filter(|arg| arg.starts_with(char::is_alphabetic)).collect();
    let mut failed = 0;
    for (name, test) in tests {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let began = Instant::now();
        let passed = std::panic::catch_unwind(test).is_ok();
        let result = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {result} ({} ms)", began.elapsed().as_millis());
        failed += i32::from(!passed);
    }
    println!("{} tests failed", failed);
    i32::from(failed > 0)
}

fn ordinary() {
    const AS_USER: [&str; 8] = [
        "the_level_is_full_here",
        "a_program_runs_and_its_output_comes_back",
        "no_attempt_succeeds",
        "declared_outputs_come_back",
        "deleted_and_replaced_folders_come_back",
        "nothing_outlives_its_program",
        "killing_the_parent_kills_everything",
        "toolchains_work",
    ];
    let tests: Vec<Test> =
        TESTS.iter().filter(|(name, _)| AS_USER.contains(name)).copied().collect();
    assert_eq!(tests.len(), AS_USER.len());
    std::process::exit(run(&tests, &[]));
}
