//! Plans as text for people, and what differs between two of them.

use charter::plan::{Plan, PlanSource, Step};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Longest value of an argument that is shown.
const VALUE_MAX: usize = 60;

/// Longest arguments that are shown, in characters.
const ARGS_MAX: usize = 400;

/// A plan as text: numbered steps with tool, reach and what they wait for.
pub fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = writeln!(text, "plan for: {}", plain(&plan.goal));
    for step in &plan.steps {
        let _ = writeln!(text, "{}", line(step));
    }
    for part in &plan.unmet {
        let _ = writeln!(text, "  ✘  not possible here: {}", plain(part));
    }
    match &plan.source {
        PlanSource::File => {}
        PlanSource::Playbook { name, version } => {
            let _ = writeln!(text, "  from the playbook {name}, version {version}");
        }
        PlanSource::Model { name, weights } => {
            let weights = weights.map(|digest| format!(" ({})", digest.short()));
            let weights = weights.unwrap_or_default();
            let _ = writeln!(text, "  planned by {}{weights}; please read it", plain(name));
        }
        PlanSource::Child { parent, reason } => {
            let _ = writeln!(text, "  made from plan {}: {}", parent.short(), plain(reason));
        }
    }
    text
}

fn line(step: &Step) -> String {
    let needs: Vec<String> = step.needs().iter().map(ToString::to_string).collect();
    let mut line =
        format!("  {}. {}  [{} · {}", step.n, plain(&step.title), step.tool, step.effect);
    if step.for_each.is_some() {
        line.push_str(" · each");
    }
    if !needs.is_empty() {
        let _ = write!(line, " · after {}", needs.join(", "));
    }
    line.push(']');
    line
}

/// Every step of a plan in one line, with its arguments.
pub fn in_full(plan: &Plan) -> Vec<String> {
    let short = |args: String| match args.char_indices().nth(ARGS_MAX) {
        Some((end, _)) => format!("{}…", args.get(..end).unwrap_or_default()),
        None => args,
    };
    let full = |step: &Step| format!("{} {}", line(step).trim(), short(step.args.to_string()));
    plan.steps.iter().map(full).collect()
}

/// What differs: steps that went, came, or do something else.
pub fn diff(left: &Plan, right: &Plan) -> String {
    let mut text = String::new();
    let positions: BTreeSet<u32> =
        left.steps.iter().chain(&right.steps).map(|step| step.n).collect();
    for n in positions {
        match (left.step(n), right.step(n)) {
            (Some(old), None) => {
                let _ = writeln!(text, "-{}", line(old));
            }
            (None, Some(new)) => {
                let _ = writeln!(text, "+{}", line(new));
            }
            (Some(old), Some(new)) => changed(old, new, &mut text),
            (None, None) => {}
        }
    }
    if left.answer != right.answer {
        let _ = writeln!(text, "  the answer is worded differently");
    }
    if left.budget != right.budget {
        let _ = writeln!(text, "  the budget differs");
    }
    if text.is_empty() { "the plans do the same\n".to_owned() } else { text }
}

fn changed(old: &Step, new: &Step, text: &mut String) {
    let same = matches!((old.digest(), new.digest()), (Ok(a), Ok(b)) if a == b);
    if same && old.needs() == new.needs() {
        return;
    }
    let _ = writeln!(text, "-{}\n+{}", line(old), line(new));
    let empty = serde_json::Map::new();
    let (a, b) = (old.args.as_object().unwrap_or(&empty), new.args.as_object().unwrap_or(&empty));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for name in names.into_iter().filter(|name| a.get(*name) != b.get(*name)) {
        let shown = |value: Option<&serde_json::Value>| {
            let full = value.map_or("nothing".to_owned(), ToString::to_string);
            let short: String = full.chars().take(VALUE_MAX).collect();
            if short.len() < full.len() { format!("{short}…") } else { short }
        };
        let _ = writeln!(text, "      {name}: {} → {}", shown(a.get(name)), shown(b.get(name)));
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::budget::Budget;
    use charter::effect::EffectClass;
    use charter::tool::Limits;
    use expect_test::expect;
    use serde_json::json;

    fn sample(path: &str) -> Plan {
        let step = |n, title: &str, args| Step {
            n,
            title: title.into(),
            tool: "read".into(),
            version: 1,
            args,
            after: vec![],
            for_each: None,
            effect: EffectClass::Read,
            limits: Limits::default(),
        };
        Plan {
            goal: "look\nat it".into(),
            source: PlanSource::Playbook { name: "look".into(), version: 2 },
            steps: vec![
                step(1, "Read it", json!({"path": path})),
                step(2, "Read more", json!({"path": "${1.text}"})),
            ],
            answer: None,
            unmet: vec!["sing".into()],
            budget: Budget::default(),
        }
    }

    #[test]
    fn a_plan_reads_as_a_list() {
        expect![[r#"
            plan for: look at it
              1. Read it  [read · read]
              2. Read more  [read · read · after 1]
              ✘  not possible here: sing
              from the playbook look, version 2
        "#]]
        .assert_eq(&plan(&sample("a")));
    }

    #[test]
    fn a_plan_of_a_model_says_so() {
        let weights = Some(charter::digest::Digest::of(b"weights"));
        let source = PlanSource::Model { name: "tiny.gguf".into(), weights };
        let text = plan(&Plan { source, ..sample("a") });
        expect!["  planned by tiny.gguf (9a129038); please read it"]
            .assert_eq(text.lines().last().unwrap());
    }

    #[test]
    fn a_difference_names_the_argument() {
        assert_eq!(diff(&sample("a"), &sample("a")), "the plans do the same\n");
        expect![[r#"
            -  1. Read it  [read · read]
            +  1. Read it  [read · read]
                  path: "a" → "b"
        "#]]
        .assert_eq(&diff(&sample("a"), &sample("b")));
    }
}
