//! The shape of an answer: ARCHITECT shows options and reasons, OPERATOR the
//! result first, MEDIC what happened, why, and what to do, in this order.

use super::words::{self, Speech};
use charter::conversation::{Route, Tone};

/// Lines of one part of an answer.
const LINES_MAX: usize = 200;

/// How a turn stands when its answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Only what was said is known.
    Asked,
    /// Something went wrong.
    Failed,
    /// Somebody has to choose.
    Choice,
}

/// The tone for a message.
pub fn tone(message: &str, route: Route, moment: Moment, speeches: &[Speech]) -> Tone {
    let folded =
        moroni::words::words_of(super::route::clip(message, 2_000), &moroni::words::fold::fold);
    let says = |patterns: fn(&Speech) -> &[words::Pattern]| {
        speeches.iter().any(|speech| words::any(patterns(speech), &folded).is_some())
    };
    match (moment, route) {
        (Moment::Failed, _) => Tone::Medic,
        (Moment::Choice, _) | (_, Route::Help) => Tone::Architect,
        (_, Route::Status) if says(|s| &s.fix) => Tone::Medic,
        (_, Route::Mission | Route::Schedule) if says(|s| &s.plan) => Tone::Architect,
        _ => Tone::Operator,
    }
}

/// Whether only a plan is wished for, not the deed.
pub fn only_plan(message: &str, speeches: &[Speech]) -> bool {
    tone(message, Route::Mission, Moment::Asked, speeches) == Tone::Architect
}

/// What there is to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Say {
    /// The result, or what happened.
    pub what: String,
    /// Why.
    pub why: Vec<String>,
    /// What can be done now, or chosen between.
    pub options: Vec<String>,
    /// Facts beside the result: a label and a text.
    pub facts: Vec<(String, String)>,
}

impl Say {
    /// Only this.
    pub fn plainly(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }
}

/// Puts what there is to say into its shape.
pub fn shape(tone: Tone, say: &Say) -> String {
    let mut text = String::new();
    match tone {
        Tone::Operator => {
            line(&mut text, &say.what);
            for (label, fact) in &say.facts {
                line(&mut text, &format!("{label}: {fact}"));
            }
            say.why.iter().for_each(|why| line(&mut text, why));
            say.options.iter().take(LINES_MAX).for_each(|o| line(&mut text, &format!("→ {o}")));
        }
        Tone::Architect => {
            line(&mut text, &say.what);
            part(&mut text, "Why", &say.why, "·");
            let facts: Vec<String> = say.facts.iter().map(|(l, f)| format!("{l}: {f}")).collect();
            part(&mut text, "To consider", &facts, "·");
            let letters = ["a)", "b)", "c)", "d)", "e)", "f)", "g)", "h)"];
            if !say.options.is_empty() {
                line(&mut text, "Options");
                for (i, option) in say.options.iter().take(LINES_MAX).enumerate() {
                    let mark = letters.get(i).copied().unwrap_or("·");
                    line(&mut text, &format!("  {mark} {option}"));
                }
            }
        }
        Tone::Medic => {
            line(&mut text, &format!("What happened: {}", say.what.trim()));
            match say.why.as_slice() {
                [] => {}
                [why] => line(&mut text, &format!("Why: {why}")),
                several => part(&mut text, "Why", several, "·"),
            }
            for (label, fact) in &say.facts {
                line(&mut text, &format!("{label}: {fact}"));
            }
            if !say.options.is_empty() {
                line(&mut text, "What to do");
                for (i, option) in say.options.iter().take(LINES_MAX).enumerate() {
                    line(&mut text, &format!("  {}. {option}", i + 1));
                }
            }
        }
    }
    text.trim_end().to_owned()
}

fn part(text: &mut String, title: &str, lines: &[String], mark: &str) {
    if !lines.is_empty() {
        line(text, title);
        lines.iter().take(LINES_MAX).for_each(|l| line(text, &format!("  {mark} {l}")));
    }
}

fn line(text: &mut String, line: &str) {
    if !line.trim().is_empty() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn chosen(message: &str, route: Route, moment: Moment, expect: Tone) {
        let speeches = words::shipped().unwrap();
        assert_eq!(tone(message, route, moment, speeches), expect, "{message}");
    }

    #[test]
    fn the_tone_follows_what_is_being_done() {
        use Moment::{Asked, Choice, Failed};
        chosen("total a.csv", Route::Mission, Asked, Tone::Operator);
        chosen("how would you total a.csv?", Route::Mission, Asked, Tone::Architect);
        chosen("wie würdest du das machen", Route::Mission, Asked, Tone::Architect);
        chosen("total a.csv", Route::Mission, Failed, Tone::Medic);
        chosen("total a.csv", Route::Mission, Choice, Tone::Architect);
        chosen("why did it fail?", Route::Status, Asked, Tone::Medic);
        chosen("how far are you?", Route::Status, Asked, Tone::Operator);
        chosen("what can you do?", Route::Help, Asked, Tone::Architect);
    }

    fn shaped(tone: Tone, expected: Expect) {
        let say = Say {
            what: "12 rows, 3 groups".into(),
            why: vec!["the file has three categories".into()],
            options: vec!["do it".into(), "leave it".into()],
            facts: vec![("checked".into(), "totals recomputed".into())],
        };
        expected.assert_eq(&shape(tone, &say));
    }

    #[test]
    fn each_tone_has_a_shape_of_its_own() {
        shaped(
            Tone::Operator,
            expect![[r#"
            12 rows, 3 groups
            checked: totals recomputed
            the file has three categories
            → do it
            → leave it"#]],
        );
        shaped(
            Tone::Architect,
            expect![[r#"
            12 rows, 3 groups
            Why
              · the file has three categories
            To consider
              · checked: totals recomputed
            Options
              a) do it
              b) leave it"#]],
        );
        shaped(
            Tone::Medic,
            expect![[r#"
            What happened: 12 rows, 3 groups
            Why: the file has three categories
            checked: totals recomputed
            What to do
              1. do it
              2. leave it"#]],
        );
    }
}
