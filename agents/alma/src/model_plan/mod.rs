//! The last rung of the ladder: where no playbook fits, a language model writes
//! the plan, under a grammar that lets nothing else through. What it wrote is
//! linted like every plan; it has a few tries, and then the wish is refused.

mod prompt;

use crate::Error;
use crate::error::Refusal;
use crate::thinking::{reason, think};
use charter::budget::Budget;
use charter::generate::{Generate, identity};
use charter::plan::{Plan, PlanSource};
use charter::survey::Survey;
use charter::tool::ToolSpec;
use moroni::lint::lint;
use moroni::written::read;
use prompt::{Failed, Wish};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Plans that a model may write for one wish.
const TRIES: usize = 3;

/// A plan, and why it is this one.
pub(crate) struct Made {
    pub(crate) plan: Plan,
    pub(crate) reason: String,
}

/// Lets a model plan what no playbook could; `refusal` says why none could.
pub(crate) async fn plan(
    model: Arc<dyn Generate>,
    words: &str,
    survey: Survey,
    specs: &[ToolSpec],
    budget: &Budget,
    refusal: Refusal,
) -> Result<Made, Error> {
    let refused = |why: String| {
        let message = format!("{} {why}", refusal.message.trim_end());
        Err(Error::Refused(Refusal { message, ..refusal.clone() }))
    };
    let survey = Arc::new(survey);
    let mut failed: Vec<Failed> = Vec::new();
    while failed.len() < TRIES {
        let (words_of, survey_of) = (words.to_owned(), Arc::clone(&survey));
        let (specs_of, before) = (specs.to_vec(), failed.clone());
        let ask = move |level: usize, context: u32| {
            let wish = Wish { words: &words_of, survey: &survey_of, specs: &specs_of };
            prompt::ask(&wish, &before, level, context)
        };
        let made = think(Arc::clone(&model), ask, |_| ControlFlow::Continue(())).await;
        let text = match made {
            Ok(made) => made.text,
            Err(error) => {
                return refused(format!("And no plan could be written: {}.", reason(&error)));
            }
        };
        let (name, weights) = identity(model.name());
        let source = PlanSource::Model { name: name.to_owned(), weights };
        let why = match read(&text, words, source, specs) {
            Ok(mut plan) => {
                plan.budget = budget.clone();
                let wrong = prompt::told(&lint(&plan, specs));
                if wrong.is_empty() {
                    let reason = format!(
                        "no playbook fits, so the language model {name} planned it; please read it"
                    );
                    return Ok(Made { plan, reason });
                }
                wrong
            }
            Err(error) => vec![error.to_string()],
        };
        failed.push(Failed { text, why });
    }
    let why = failed.pop().map(|last| last.why.join("; ")).unwrap_or_default();
    refused(format!("The language model wrote {TRIES} plans, and none can run: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thinking::fake::Fake;
    use charter::effect::EffectClass;
    use charter::tool::Limits;
    use serde_json::json;

    const GOOD: &str = r#"{"s1":{"title":"Look","tool":"list","args":{"files":"*.csv"}},"answer":"There are ${s1.count}."}"#;
    const BAD: &str = r#"{"s1":{"title":"Look","tool":"list","args":{}},"answer":"?"}"#;

    fn specs() -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: "list".into(),
            version: 1,
            summary: "Lists files.".into(),
            effect: EffectClass::Read,
            args: json!({
                "type": "object", "required": ["files"],
                "properties": {"files": {"type": "string"}},
            }),
            output: "files: [{path}], count".into(),
            undo: String::new(),
            limits: Limits::default(),
            asks_model: false,
        }]
    }

    async fn planned(model: Arc<Fake>) -> Result<Made, String> {
        let refusal = Refusal {
            message: "Nothing here does that.".into(),
            missing: vec!["that".into()],
            nearest: Vec::new(),
        };
        let budget = Budget::default();
        plan(model, "count the tables", Survey::default(), &specs(), &budget, refusal)
            .await
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_plan_names_its_model() {
        let made = planned(Fake::new(&[GOOD])).await.unwrap();
        assert_eq!(made.plan.answer.as_deref(), Some("There are ${1.count}."));
        let PlanSource::Model { name, weights } = made.plan.source else { panic!("a model") };
        assert_eq!((name.as_str(), weights.is_some()), ("fake", true));
        assert!(made.reason.contains("please read it"));
    }

    #[tokio::test]
    async fn what_cannot_run_is_written_again_with_the_errors() {
        let model = Fake::new(&[BAD, GOOD]);
        assert!(planned(Arc::clone(&model)).await.is_ok());
        let asked = model.asked.lock().unwrap();
        let last = &asked[1].messages.last().unwrap().text;
        assert!(last.contains("cannot run") && last.contains("files"), "{last}");
    }

    #[tokio::test]
    async fn after_some_tries_the_wish_is_refused_in_words() {
        let model = Fake::new(&[BAD; 9]);
        let why = planned(Arc::clone(&model)).await.err().unwrap();
        assert!(why.starts_with("Nothing here does that."), "{why}");
        assert!(why.contains("3 plans") && why.contains("files"), "{why}");
        assert_eq!(model.asked.lock().unwrap().len(), TRIES);
    }

    #[tokio::test]
    async fn a_broken_model_leaves_the_refusal_as_it_was() {
        let why = planned(Fake::new(&[])).await.err().unwrap();
        assert!(why.contains("Nothing here does that.") && why.contains("no number"), "{why}");
    }
}
