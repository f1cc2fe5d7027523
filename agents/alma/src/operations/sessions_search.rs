//! Finds turns in which words were said, newest first.

use super::shared::limit;
use crate::talk::route::clip;
use crate::{Alma, Error};
use charter::conversation::TurnRow;
use charter::ids::{Millis, Principal, SessionId, TurnId};
use serde::{Deserialize, Serialize};

/// Turns that are looked through at most.
const LOOKED_AT_MAX: usize = 20_000;
/// Turns read at a time.
const PAGE: u32 = 500;
/// Bytes of a text around what was found.
const AROUND: usize = 160;

/// What is looked for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The words; all of them must stand in a turn.
    pub words: String,
    /// How many at most; 50 unless given.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The turns.
    pub found: Vec<Hit>,
}

/// A turn in which the words stand.
#[derive(Debug, Serialize)]
pub struct Hit {
    /// Its session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// When.
    pub said_at: Millis,
    /// Who said it: you or Alma.
    pub by: &'static str,
    /// The words around the first of them.
    pub text: String,
}

/// Finds.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let words: Vec<String> =
        request.words.split_whitespace().map(moroni::words::fold::fold).collect();
    if words.is_empty() {
        return Err(Error::Usage("there is nothing to look for: give some words".to_owned()));
    }
    let most = limit(request.limit) as usize;
    let (mut found, mut after, mut looked) = (Vec::new(), None, 0);
    while found.len() < most && looked < LOOKED_AT_MAX {
        let page: Vec<TurnRow> = alma.records(principal, None, after, true, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.to_string());
        looked += page.len();
        let whole = page.len() == PAGE as usize;
        for row in page {
            // The session of somebody else is not found, its turns neither.
            if alma.session(principal, &row.session).await.is_err() {
                continue;
            }
            let texts = [("you", Some(&row.said)), ("Alma", row.answer.as_ref())];
            for (by, reference) in texts {
                let Some(reference) = reference else { continue };
                let text = alma.spoken(principal, reference).await?;
                if found.len() < most
                    && let Some(text) = around(&text, &words)
                {
                    found.push(Hit {
                        session: row.session.clone(),
                        turn: row.id.clone(),
                        said_at: row.at,
                        by,
                        text,
                    });
                }
            }
        }
        if !whole {
            break;
        }
    }
    Ok(Response { found })
}

/// The text around the first of the words, if all of them stand in it.
fn around(text: &str, words: &[String]) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let folded = moroni::words::fold::fold(&line);
    let first = words.iter().map(|word| folded.find(word)).collect::<Option<Vec<_>>>()?;
    // Folding may move places by some bytes; the excerpt is generous.
    let at = first.into_iter().min()?.saturating_sub(AROUND / 3).min(line.len());
    let start = (0..=at).rev().find(|at| line.is_char_boundary(*at))?;
    let mark = if start > 0 { "…" } else { "" };
    Some(format!("{mark}{}", clip(&line[start..], AROUND)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, words: &[&str], expect: bool) {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        assert_eq!(around(text, &words).is_some(), expect, "{text} {words:?}");
    }

    #[test]
    fn all_words_must_stand_there() {
        check("Der Zahnarzt heißt Müller", &["zahnarzt", "muller"], true);
        check("Der Zahnarzt heißt Müller", &["zahnarzt", "meier"], false);
        check(&"ä".repeat(10_000), &["aaa"], true);
        check("", &["x"], false);
    }
}
