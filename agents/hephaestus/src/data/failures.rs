//! Failed tests in the output of test programs: cargo, pytest, unittest, go,
//! jest, node and TAP, JUnit-like lines; failing that, lines that say so.

use regex::Regex;
use std::sync::LazyLock;

/// A failed test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Line of the output, from 1.
    pub(crate) line: usize,
    /// Its name.
    pub(crate) test: String,
    /// Why; empty when the output does not say.
    pub(crate) message: String,
}

/// Most lines after a failure that are looked at for its message.
const DETAIL_LINES: usize = 200;
/// Most failures that are told from unknown output.
const FALLBACK_MAX: usize = 200;

#[expect(clippy::expect_used, reason = "constant patterns, used by tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("a sound pattern")
}

macro_rules! patterns {
    ($($name:ident: $source:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| pattern($source));)*
    };
}

patterns! {
    ANSI: r"\x1b\[[0-9;]*[A-Za-z]";
    CARGO: r"^test (.+?) \.\.\. FAILED$";
    CARGO_DETAIL: r"^---- (.+?) (?:stdout|stderr) ----$";
    PANIC: r"^thread '.*?'.* panicked at (.*?):?$";
    NEXTEST: r"^\s*(?:FAIL|TIMEOUT|SIGABRT|SIGSEGV)\s*\[[^\]]*\]\s*(?:\([^)]*\)\s*)?(.+)$";
    PYTEST: r"^(?:FAILED|ERROR) ([^\s]+(?:::[^\[]+?(?:\[.*?\])?)?)(?: - (.*))?$";
    UNITTEST: r"^(?:FAIL|ERROR): (\S+) \(([^)]+)\)$";
    UNITTEST_SHORT: r"^(\S+) \(([^)]+)\).*? \.\.\. (?:FAIL|ERROR)$";
    GO: r"^(\s*)--- FAIL: (\S+) \(";
    GO_BUILD: r"^FAIL\s+(\S+) \[(build failed|setup failed)\]$";
    JEST: r"^\s*● (.+)$";
    JEST_SUITE: r"^\s*FAIL\s+(\S+\.(?:[cm]?[jt]sx?))";
    TAP: r"^\s*not ok(?:\s+\d+)?(?:\s+-)?\s+(.+?)\s*$";
    SPEC: r"^\s*[✖✗✘×]\s+(.+?)(?:\s+\([\d.]+\s?m?s\))?$";
    JUNIT: r"^\s*(?:\[?FAILED\]?|\[FAIL\])[:\s]+(.+)$";
    RESULT: r"^(.+?)\s+(?:\.\.\.|:|-)?\s*(?:FAILED|FAIL)!?$";
    GENERIC: r"\b(?:FAIL|FAILED|ERROR|error)\b";
    RUSTC: r"^error(?:\[E\d+\])?: (.+)$";
}

/// All failures of an output, in order of first appearance, each test once.
pub(crate) fn find(output: &str) -> Vec<Failure> {
    let plain = ANSI.replace_all(output, "");
    let lines = super::text::lines(&plain);
    let mut found = Found::default();
    for (i, line) in lines.iter().enumerate() {
        known(&lines, i, line.trim_end(), &mut found);
    }
    if found.list.is_empty() {
        fallback(&lines, &mut found);
    }
    found.list
}

#[derive(Default)]
struct Found {
    list: Vec<Failure>,
}

impl Found {
    /// Adds a failure, or the message of one that has none yet.
    fn add(&mut self, line: usize, test: &str, message: String) {
        let test = test.trim();
        if test.is_empty() {
            return;
        }
        match self.list.iter_mut().find(|known| known.test == test) {
            Some(known) if known.message.is_empty() => known.message = message,
            Some(_) => {}
            None => self.list.push(Failure { line: line + 1, test: test.to_owned(), message }),
        }
    }
}

fn group<'c>(found: &regex::Captures<'c>, i: usize) -> &'c str {
    found.get(i).map_or("", |group| group.as_str())
}

fn known(lines: &[&str], i: usize, line: &str, found: &mut Found) {
    if let Some(test) = CARGO.captures(line) {
        found.add(i, group(&test, 1), String::new());
    } else if let Some(test) = CARGO_DETAIL.captures(line) {
        found.add(i, group(&test, 1), cargo_message(lines, i));
    } else if let Some(test) = UNITTEST.captures(line) {
        found.add(i, &unittest_name(&test), traceback(lines, i));
    } else if let Some(test) = UNITTEST_SHORT.captures(line) {
        found.add(i, &unittest_name(&test), String::new());
    } else if let Some(test) = GO.captures(line) {
        found.add(i, group(&test, 2), indented(lines, i, group(&test, 1).len()));
    } else if let Some(test) = GO_BUILD.captures(line) {
        found.add(i, group(&test, 1), group(&test, 2).to_owned());
    } else if let Some(test) = JEST.captures(line) {
        let name = group(&test, 1);
        // `● Console` and the like are headings of logs.
        if name.contains('›') || next_text(lines, i).is_some() && !name.starts_with("Console") {
            found.add(i, name, paragraph(lines, i));
        }
    } else if let Some(test) = JEST_SUITE.captures(line) {
        suite(lines, i, group(&test, 1), found);
    } else if let Some(test) = TAP.captures(line) {
        let name = group(&test, 1);
        let excused = name.contains("# TODO") || name.contains("# SKIP");
        if !excused {
            found.add(i, name, tap_message(lines, i));
        }
    } else if let Some(test) = NEXTEST.captures(line) {
        found.add(i, group(&test, 1), String::new());
    } else if let Some(test) = PYTEST.captures(line).filter(|test| pytest_name(group(test, 1))) {
        found.add(i, group(&test, 1), group(&test, 2).to_owned());
    } else if let Some(test) = SPEC.captures(line) {
        let name = group(&test, 1);
        if !name.ends_with(':') {
            found.add(i, name, paragraph(lines, i));
        }
    } else if let Some(test) = JUNIT.captures(line) {
        let name = group(&test, 1);
        // A summary such as `FAILED (failures=1)` names no test.
        if !name.starts_with('(')
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && !line.starts_with("FAILED (")
        {
            found.add(i, name, String::new());
        }
    }
}

fn unittest_name(test: &regex::Captures<'_>) -> String {
    let (name, place) = (group(test, 1), group(test, 2));
    if place.ends_with(&format!(".{name}")) { place.to_owned() } else { format!("{place}.{name}") }
}

fn pytest_name(name: &str) -> bool {
    name.contains("::") || name.ends_with(".py")
}

fn next_text<'l>(lines: &[&'l str], i: usize) -> Option<&'l str> {
    lines.iter().skip(i + 1).take(3).map(|line| line.trim()).find(|line| !line.is_empty())
}

/// The panic of a failed test of cargo, or the first line of its output.
fn cargo_message(lines: &[&str], i: usize) -> String {
    let detail: Vec<&str> = lines
        .iter()
        .skip(i + 1)
        .take(DETAIL_LINES)
        .map(|line| line.trim())
        .take_while(|line| !line.starts_with("---- ") && *line != "failures:")
        .collect();
    let panic = detail.iter().position(|line| PANIC.is_match(line));
    match panic {
        Some(at) => {
            let message: Vec<&str> = detail
                .iter()
                .skip(at + 1)
                .take_while(|line| {
                    !line.is_empty()
                        && !line.starts_with("note:")
                        && !line.starts_with("stack backtrace")
                })
                .copied()
                .collect();
            message.join("; ")
        }
        None => detail.into_iter().find(|line| !line.is_empty()).unwrap_or_default().to_owned(),
    }
}

/// The last line of a Python traceback: the exception.
fn traceback(lines: &[&str], i: usize) -> String {
    let mut last = "";
    for line in lines.iter().skip(i + 1).take(DETAIL_LINES) {
        if line.starts_with("=====") || UNITTEST.is_match(line) || line.starts_with("Ran ") {
            break;
        }
        let exception = !line.starts_with([' ', '\t', '-'])
            && line.split([':', ' ']).next().is_some_and(|name| {
                name.ends_with("Error")
                    || name.ends_with("Exception")
                    || name.contains('.')
                    || name.ends_with("Exit")
                    || name.ends_with("Interrupt")
            });
        if exception {
            last = line;
        }
    }
    last.trim().to_owned()
}

/// Lines that are indented deeper than the failure, joined.
fn indented(lines: &[&str], i: usize, depth: usize) -> String {
    let deep =
        |line: &&&str| line.len() - line.trim_start().len() > depth && !line.trim().is_empty();
    let message: Vec<&str> = lines
        .iter()
        .skip(i + 1)
        .take(20)
        .take_while(deep)
        .map(|line| line.trim())
        .filter(|line| !line.starts_with("---"))
        .collect();
    message.join("; ")
}

/// The first paragraph after a failure.
fn paragraph(lines: &[&str], i: usize) -> String {
    let message: Vec<&str> = lines
        .iter()
        .skip(i + 1)
        .map(|line| line.trim())
        .skip_while(|line| line.is_empty())
        .take(10)
        .take_while(|line| !line.is_empty() && !line.starts_with(['●', '✖', '✔', '✓', 'ℹ']))
        .collect();
    message.join("; ")
}

/// A suite of jest that could not run has no tests of its own.
fn suite(lines: &[&str], i: usize, name: &str, found: &mut Found) {
    let own =
        lines.iter().skip(i + 1).take(DETAIL_LINES).take_while(|line| !JEST_SUITE.is_match(line));
    if !own.clone().any(|line| JEST.is_match(line)) {
        found.add(i, name, paragraph(lines, i));
    }
}

/// The error in the YAML block after `not ok`.
fn tap_message(lines: &[&str], i: usize) -> String {
    let block: Vec<&str> = lines.iter().skip(i + 1).take(40).map(|line| line.trim()).collect();
    if block.first() != Some(&"---") {
        let comments: Vec<&str> =
            block.iter().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
        return comments.join("; ");
    }
    let block: Vec<&str> = block.into_iter().skip(1).take_while(|line| *line != "...").collect();
    for key in ["error:", "message:"] {
        let Some(at) = block.iter().position(|line| line.starts_with(key)) else { continue };
        let value =
            block.get(at).and_then(|line| line.strip_prefix(key)).unwrap_or_default().trim();
        if !matches!(value, "|-" | "|" | ">" | ">-") {
            return value.trim_matches(['\'', '"']).to_owned();
        }
        // A block of text: up to the next key.
        let text: Vec<&str> = block
            .iter()
            .skip(at + 1)
            .take_while(|line| !line.split_once(':').is_some_and(|(key, _)| is_key(key)))
            .filter(|line| !line.is_empty())
            .copied()
            .collect();
        return text.join("; ");
    }
    String::new()
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

fn fallback(lines: &[&str], found: &mut Found) {
    for (i, line) in lines.iter().enumerate() {
        if found.list.len() >= FALLBACK_MAX {
            break;
        }
        let line = line.trim();
        if let Some(error) = RUSTC.captures(line) {
            let place = lines.get(i + 1).and_then(|next| next.trim().strip_prefix("--> "));
            found.add(i, group(&error, 1), place.unwrap_or_default().to_owned());
        } else if let Some(result) = RESULT.captures(line) {
            found.add(i, group(&result, 1), String::new());
        } else if GENERIC.is_match(line) {
            found.add(i, line, String::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(output: &str, expect: Expect) {
        let shown: String = find(output)
            .iter()
            .map(|failure| format!("{} {} | {}\n", failure.line, failure.test, failure.message))
            .collect();
        expect.assert_eq(&shown);
    }

    #[test]
    fn cargo() {
        check(
            "running 2 tests\ntest a::ok ... ok\ntest a::bad ... FAILED\n\nfailures:\n\n---- a::bad stdout ----\n\nthread 'a::bad' panicked at src/lib.rs:7:9:\nassertion `left == right` failed\n  left: 1\n right: 2\nnote: run with `RUST_BACKTRACE=1`\n\n\nfailures:\n    a::bad\n\ntest result: FAILED. 1 passed; 1 failed\n",
            expect![[r#"
            3 a::bad | assertion `left == right` failed; left: 1; right: 2
        "#]],
        );
        check(
            "error[E0425]: cannot find value `x`\n --> src/lib.rs:1:1\n\nerror: could not compile `a`\n",
            expect![[r#"
            1 cannot find value `x` | src/lib.rs:1:1
            4 could not compile `a` | 
        "#]],
        );
    }

    #[test]
    fn python() {
        check(
            "=== FAILURES ===\n___ test_a ___\nE  assert 1 == 2\n=== short test summary info ===\nFAILED tests/test_x.py::test_a - assert 1 == 2\nFAILED tests/test_x.py::test_b[a b] - KeyError: 'x'\nERROR tests/test_y.py\n=== 2 failed ===\n",
            expect![[r#"
            5 tests/test_x.py::test_a | assert 1 == 2
            6 tests/test_x.py::test_b[a b] | KeyError: 'x'
            7 tests/test_y.py | 
        "#]],
        );
        check(
            "test_a (t.T.test_a) ... FAIL\ntest_b (t.T.test_b) ... ok\n\n=====\nFAIL: test_a (t.T.test_a)\n-----\nTraceback (most recent call last):\n  File \"t.py\", line 5, in test_a\n    self.assertEqual(1, 2)\nAssertionError: 1 != 2\n\n-----\nRan 2 tests in 0.001s\n\nFAILED (failures=1)\n",
            expect![[r#"
            1 t.T.test_a | AssertionError: 1 != 2
        "#]],
        );
    }

    #[test]
    fn go() {
        check(
            "=== RUN   TestA\n    a_test.go:10: got 1\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/sub (0.00s)\n        a_test.go:12: want 2\nFAIL\nFAIL\texample.com/a\t0.1s\n",
            expect![[r#"
            3 TestA | a_test.go:12: want 2
            4 TestA/sub | a_test.go:12: want 2
        "#]],
        );
    }

    #[test]
    fn javascript() {
        check(
            "FAIL src/a.test.js\n  ● suite › adds\n\n    expect(received).toBe(expected)\n    Expected: 2\n\n      at x\n",
            expect![[r#"
            2 suite › adds | expect(received).toBe(expected); Expected: 2
        "#]],
        );
        check(
            "TAP version 13\nok 1 - a\nnot ok 2 - b\n  ---\n  duration_ms: 1\n  error: |-\n    Expected values:\n    1 !== 2\n  code: 'X'\n  ...\nnot ok 3 - c # TODO later\n",
            expect![[r#"
            3 b | Expected values:; 1 !== 2
        "#]],
        );
        check(
            "✔ a (1ms)\n✖ b (2.5ms)\n  AssertionError: no\n\n",
            expect![[r#"
            2 b | AssertionError: no
        "#]],
        );
    }

    #[test]
    fn others() {
        check(
            "\u{1b}[31mFAILED\u{1b}[0m com.x.ATest.b\n[FAIL] other\n",
            expect![[r#"
            1 com.x.ATest.b | 
            2 other | 
        "#]],
        );
        check(
            "checking a ... ok\nchecking b ... FAIL\nERROR: it broke\n",
            expect![[r#"
            2 checking b | 
            3 ERROR: it broke | 
        "#]],
        );
        check("all 3 tests passed\n", expect![""]);
    }
}
