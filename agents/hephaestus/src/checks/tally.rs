//! How many tests failed by the output's own account: the closing line that
//! test programs write. Failures that were found in an output are held against
//! it.

use super::{Finding, wrong};
use regex::Regex;
use std::sync::LazyLock;

#[expect(clippy::expect_used, reason = "constant patterns, used by tests")]
static TALLIES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // cargo test
        r"^test result: \S+ \d+ passed; (?<n>\d+) failed;",
        // cargo nextest
        r"^\s*Summary \[.*\] \d+ tests? run: \d+ passed(?:.*?, (?<n>\d+) failed)?",
        // unittest
        r"^FAILED \((?:failures=(?<n>\d+))?(?:, )?(?:errors=(?<m>\d+))?.*\)$",
        r"^(?:OK|NO TESTS RAN)(?: \(.*\))?$",
        // pytest
        r"^=+ (?<parts>.*(?:passed|failed|skipped|errors?|no tests ran)) in [\d.]+s.*=+$",
        // jest
        r"^Tests:\s+(?:(?<n>\d+) failed, )?.*\d+ total$",
        // node, and TAP with a summary
        r"^(?:#|ℹ) fail (?<n>\d+)$",
        // mocha
        r"^\s*(?<n>\d+) failing$",
        r"^\s*\d+ passing \(.*\)$",
        // go
        r"^(?<one>FAIL)\t\S+",
        r"^ok  \t\S+",
        // maven, without the lines of single classes
        r"^(?:\[\w+\]\s*)?Tests run: \d+, Failures: (?<n>\d+), Errors: (?<m>\d+), Skipped: \d+$",
        // gradle, mix
        r"^\d+ tests? completed, (?<n>\d+) failed",
        r"^(?:\d+ doctests?, )?\d+ tests?, (?<n>\d+) failures?",
    ]
    .iter()
    .map(|source| Regex::new(source).expect("a sound pattern"))
    .collect()
});

#[expect(clippy::expect_used, reason = "a constant pattern, used by tests")]
static COLOUR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[0-9;]*m").expect("a sound pattern"));

/// The failed tests that an output counts, where it counts any.
fn told<'l>(lines: impl Iterator<Item = &'l str>) -> Option<u64> {
    let mut told = None;
    for line in lines {
        let line = COLOUR.replace_all(line, "");
        let line = line.trim_end();
        let Some(found) = TALLIES.iter().find_map(|tally| tally.captures(line)) else { continue };
        let number = |name| found.name(name).and_then(|n| n.as_str().parse::<u64>().ok());
        let parts = found.name("parts").map_or("", |parts| parts.as_str()).split(", ");
        let in_parts = parts.filter_map(|part| {
            let (number, what) = part.split_once(' ')?;
            let counts = matches!(what, "failed" | "error" | "errors");
            number.parse::<u64>().ok().filter(|_| counts)
        });
        let failed = ["n", "m"].into_iter().filter_map(number).chain(in_parts).sum::<u64>()
            + u64::from(found.name("one").is_some());
        told = Some(told.unwrap_or(0) + failed);
    }
    told
}

/// Whether so many failures agree with what the output says itself.
pub(super) fn agrees<'l>(
    found: usize,
    lines: impl Iterator<Item = &'l str>,
) -> Result<String, Finding> {
    match (told(lines), found as u64) {
        (None, _) => {
            Err(Finding::Unsure("the output does not say how many tests ran and failed".to_owned()))
        }
        (Some(told), 0) if told > 0 => {
            wrong(format!("the output tells of {told} failed tests, and none is listed"))
        }
        // Tests of one name in two programs are one row; a log may speak of
        // failures that are none.
        (Some(told), found) if found < told || told == 0 && found > 0 => Err(Finding::Unsure(
            format!("the output tells of {told} failed tests, {found} are listed"),
        )),
        (Some(told), _) => Ok(format!("the output itself tells of {told} failed tests")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, expect: Option<u64>) {
        assert_eq!(told(output.lines()), expect, "{output}");
    }

    #[test]
    fn closing_lines_are_read() {
        check("Ran 7 tests in 0.001s\n\nFAILED (failures=1)", Some(1));
        check("FAILED (failures=2, errors=3, skipped=1)", Some(5));
        check("FAILED (errors=1)", Some(1));
        check("Ran 7 tests in 0.001s\n\nOK (skipped=2)", Some(0));
        check(
            "test result: ok. 3 passed; 0 failed; 0 ignored\ntest result: FAILED. 1 passed; 2 failed; 0 ignored",
            Some(2),
        );
        check("=== 2 failed, 3 passed in 0.12s ===", Some(2));
        check("==== 3 passed in 0.12s ====", Some(0));
        check("===== 1 failed, 1 passed, 2 errors in 1.20s =====", Some(3));
        check("Tests:       1 failed, 2 passed, 3 total", Some(1));
        check("Tests:       3 passed, 3 total", Some(0));
        check("# tests 3\n# pass 2\n# fail 1", Some(1));
        check("\u{1b}[32mℹ fail 0\u{1b}[39m", Some(0));
        check("  2 passing (5ms)\n  1 failing", Some(1));
        check("ok  \texample.com/a\t0.1s\nFAIL\texample.com/b\t0.1s", Some(1));
        check("[INFO] Tests run: 5, Failures: 1, Errors: 1, Skipped: 0", Some(2));
        check("3 tests completed, 1 failed", Some(1));
        check("3 tests, 0 failures", Some(0));
        check("Summary [ 0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped", Some(1));
    }

    #[test]
    fn what_says_nothing_is_not_taken_for_good() {
        check("", None);
        check("all is well", None);
        let unsure =
            |found, output: &str| matches!(agrees(found, output.lines()), Err(Finding::Unsure(_)));
        assert!(unsure(0, "") && unsure(1, "OK") && unsure(1, "FAILED (failures=2)"));
        assert!(matches!(agrees(0, "FAILED (failures=2)".lines()), Err(Finding::Wrong(_))));
        assert!(agrees(2, "FAILED (failures=2)".lines()).is_ok());
        assert!(agrees(0, "OK".lines()).is_ok());
    }
}
