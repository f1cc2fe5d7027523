//! Topics in the words of a language model, where there is one and what it writes
//! holds. What it wrote is written down with the topics, so a night that goes on
//! later does not ask again.

use crate::thinking::{passes, reason, think};
use charter::generate::{Ended, Generate};
use charter::gist::{self, Gist};
use forty_two::report::Themes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// Puts the sentences of each topic into other words, as long as there is time.
/// Where that fails the sentences stand as they are, and the topic says why.
pub(super) async fn write(model: Arc<dyn Generate>, themes: &mut Themes, until: Instant) {
    for theme in &mut themes.topics {
        let lines: Vec<String> = theme.summary.iter().map(|line| line.text.clone()).collect();
        if lines.len() < gist::SENTENCES_MIN {
            continue;
        }
        let (title, given) = (theme.keywords.join(", "), lines.clone());
        let ask = move |shorter: usize, context: u32| {
            let sentences: Vec<&str> = given.iter().map(String::as_str).collect();
            (shorter == 0).then(|| gist::ask(&title, &sentences, context))
        };
        let made = think(Arc::clone(&model), ask, move |_| match Instant::now() < until {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        });
        let sources: Vec<&str> = lines.iter().map(String::as_str).collect();
        match made.await {
            Ok(made) if made.ended == Ended::Cancelled => {
                theme.why = Some("the time of the night was spent".to_owned());
                return;
            }
            Ok(made) => match gist::read(&made.text, &sources) {
                Ok(text) => theme.gist = Some(Gist::by(text, model.name())),
                Err(unfit) => theme.why = Some(unfit.to_string()),
            },
            Err(error) => {
                let why = reason(&error);
                tracing::warn!(%why, "a topic is told in its own sentences");
                theme.why = Some(why);
                if !passes(&error) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thinking::fake::Fake;
    use forty_two::report::{Line, Theme};
    use std::time::Duration;

    fn theme(lines: &[&str]) -> Theme {
        Theme {
            keywords: vec!["fence".to_owned()],
            members: 2,
            medoid: "y1".to_owned(),
            summary: lines.iter().map(|text| Line::about((*text).to_owned(), "y1")).collect(),
            kept: None,
            gist: None,
            why: None,
        }
    }

    async fn written(says: &[&str], wait: Duration) -> Vec<(Option<String>, Option<String>)> {
        let fence = ["The fence costs 900 euros.", "Ada paints the fence in May."];
        let topics = vec![theme(&fence), theme(&fence[..1]), theme(&fence)];
        let mut themes = Themes { topics, ..Themes::default() };
        write(Fake::new(says), &mut themes, Instant::now() + wait).await;
        themes.topics.into_iter().map(|t| (t.gist.map(|gist| gist.text), t.why)).collect()
    }

    #[tokio::test]
    async fn a_topic_is_told_in_other_words_or_its_own() {
        let good = r#"{"summary":"Ada paints the fence for 900 euros."}"#;
        let bad = r#"{"summary":"Ada paints the fence for 950 euros."}"#;
        let found = written(&[good, bad], Duration::from_secs(60)).await;
        assert_eq!(found[0].0.as_deref(), Some("Ada paints the fence for 900 euros."));
        assert_eq!(found[1], (None, None));
        assert!(found[2].0.is_none() && found[2].1.as_ref().unwrap().contains("950"), "{found:?}");
    }

    #[tokio::test]
    async fn a_broken_model_and_a_spent_night_cost_no_topic() {
        let found = written(&[], Duration::from_secs(60)).await;
        assert!(found[0].1.as_ref().unwrap().contains("no number"), "{found:?}");
        assert_eq!(found[2], (None, None));
        let found = written(&["{}"], Duration::ZERO).await;
        assert!(found[0].1.as_ref().unwrap().contains("spent"), "{found:?}");
    }
}
