//! A wish with its language, and its words by stem and by concept.

use super::token::{Kind, Token, tokens};
use super::{Language, Lexicon};
use std::collections::BTreeSet;

/// A wish, read as far as words go.
pub struct Sentence<'l> {
    /// Where the words are known from.
    pub lexicon: &'l Lexicon,
    /// The language it is most likely in.
    pub language: &'l Language,
    /// The wish itself.
    pub text: String,
    /// Its pieces.
    pub tokens: Vec<Token>,
    /// Folded spelling of each piece.
    pub folded: Vec<String>,
    /// Stem of each piece in the wish's language.
    pub stems: Vec<String>,
    /// Stem of each piece in English, which is mixed into everything.
    pub english: Vec<String>,
    /// General concepts of each piece.
    pub concepts: Vec<BTreeSet<String>>,
}

impl<'l> Sentence<'l> {
    /// Reads a wish. `known` tells which texts are names of files or folders.
    pub fn read(lexicon: &'l Lexicon, text: &str, known: &dyn Fn(&str) -> bool) -> Option<Self> {
        Self::read_tokens(lexicon, text, tokens(text, known))
    }

    /// Reads a wish that is cut already.
    pub fn read_tokens(lexicon: &'l Lexicon, text: &str, tokens: Vec<Token>) -> Option<Self> {
        let english = lexicon.languages.first()?;
        let language = guess(lexicon, &tokens).unwrap_or(english);
        Some(Self::in_language(lexicon, language, english, text, tokens))
    }

    /// Reads a text whose language is known.
    pub fn read_in(lexicon: &'l Lexicon, code: &str, text: &str) -> Option<Self> {
        let english = lexicon.languages.first()?;
        let language = lexicon.language(code)?;
        Some(Self::in_language(lexicon, language, english, text, tokens(text, &|_| false)))
    }

    fn in_language(
        lexicon: &'l Lexicon,
        language: &'l Language,
        english: &'l Language,
        text: &str,
        tokens: Vec<Token>,
    ) -> Self {
        let stems: Vec<String> = tokens.iter().map(|t| language.stem(&t.text)).collect();
        let in_english: Vec<String> = tokens.iter().map(|t| english.stem(&t.text)).collect();
        let mut concepts = vec![BTreeSet::new(); tokens.len()];
        for (known, stems) in [(language, &stems), (english, &in_english)] {
            for (i, token) in tokens.iter().enumerate() {
                for (concept, length) in known.concepts.all(stems, i) {
                    // A function word of this language may be a noun in English.
                    if length == 1
                        && known.code != language.code
                        && language.stop.contains(&token.folded)
                    {
                        continue;
                    }
                    for set in concepts.iter_mut().skip(i).take(length) {
                        set.insert(concept.to_owned());
                    }
                }
            }
        }
        for (token, concepts) in tokens.iter().zip(&mut concepts) {
            if token.is_word() && lexicon.is_programming(&token.folded) {
                concepts.insert("code".to_owned());
            }
        }
        Self {
            lexicon,
            language,
            text: text.to_owned(),
            folded: tokens.iter().map(|t| t.folded.clone()).collect(),
            tokens,
            stems,
            english: in_english,
            concepts,
        }
    }

    /// Whether piece `i` is a function word.
    pub fn is_stop(&self, i: usize) -> bool {
        self.folded.get(i).is_some_and(|word| self.language.stop.contains(word))
    }

    /// Whether piece `i` says nothing about what is wished.
    pub fn is_filler(&self, i: usize) -> bool {
        self.folded.get(i).is_some_and(|word| self.language.filler.contains(word))
    }

    /// Whether piece `i` is a word with a meaning of its own.
    pub fn is_content(&self, i: usize) -> bool {
        self.tokens.get(i).is_some_and(|t| t.kind == Kind::Word && t.folded.len() > 1)
            && !self.is_stop(i)
            && !self.is_filler(i)
    }

    /// Whether piece `i` is a function word here and means something in English
    /// ("todo" in Spanish), and is not written in capitals as the English word is.
    pub fn is_foreign(&self, i: usize) -> bool {
        let Some(token) = self.tokens.get(i) else { return false };
        let english = self.lexicon.languages.first();
        let capitals = token.text.chars().all(char::is_uppercase);
        self.language.code != "en"
            && !capitals
            && self.is_stop(i)
            && english.is_some_and(|english| {
                !english.stop.contains(&token.folded)
                    && english.concepts.longest(&self.english, i).is_some()
            })
    }

    /// Whether piece `i` is written like a proper name. German writes every noun so.
    pub fn is_proper(&self, i: usize) -> bool {
        let Some(token) = self.tokens.get(i) else { return false };
        let mut letters = token.text.chars();
        let capital = letters.next().is_some_and(char::is_uppercase)
            && letters.next().is_some_and(char::is_lowercase);
        let begins = i == 0
            || self
                .tokens
                .get(i - 1)
                .is_some_and(|t| matches!(t.text.as_str(), "." | "!" | "?" | ":"));
        capital && !begins && self.language.code != "de"
    }

    /// Whether piece `i` belongs to a concept.
    pub fn means(&self, i: usize, concept: &str) -> bool {
        self.concepts.get(i).is_some_and(|set| set.contains(concept))
    }

    /// The words of the wish between two pieces, as they were written.
    pub fn words(&self, from: usize, to: usize) -> &str {
        let start = self.tokens.get(from).map(|t| t.start);
        let end = to.checked_sub(1).and_then(|last| self.tokens.get(last)).map(|t| t.end);
        match (start, end) {
            (Some(start), Some(end)) if start <= end => self.text.get(start..end).unwrap_or(""),
            _ => "",
        }
    }
}

/// The language with the most function words and known verbs in a text.
fn guess<'l>(lexicon: &'l Lexicon, tokens: &[Token]) -> Option<&'l Language> {
    let mut best: Option<(f32, &Language)> = None;
    for language in &lexicon.languages {
        let words: Vec<&Token> = tokens.iter().filter(|t| t.is_word()).collect();
        let stems: Vec<String> = words.iter().map(|t| language.stem(&t.text)).collect();
        let mut score = 0.0;
        for (i, token) in words.iter().enumerate() {
            if language.stop.contains(&token.folded) {
                // What many languages have tells little.
                let others = lexicon.languages.iter().filter(|l| l.stop.contains(&token.folded));
                score += 0.3 + 1.0 / others.count().max(1) as f32;
            }
            if language.months.contains_key(&token.folded) {
                score += 0.8;
            }
            if language.concepts.longest(&stems, i).is_some()
                || language.kinds.longest(&stems, i).is_some()
            {
                score += 0.8;
            }
        }
        if score > 0.0 && best.is_none_or(|(most, _)| score > most) {
            best = Some((score, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wish: &str, code: &str) {
        let lexicon = Lexicon::shipped().unwrap();
        let sentence = Sentence::read(lexicon, wish, &|_| false).unwrap();
        assert_eq!(sentence.language.code, code, "{wish}");
    }

    #[test]
    fn the_language_is_guessed() {
        check("count the lines of code per language", "en");
        check("zähle die Codezeilen je Sprache", "de");
        check("compte les lignes de code par langage", "fr");
        check("cuenta las líneas de código por lenguaje", "es");
        check("conta le righe di codice per linguaggio", "it");
        check("tel de regels code per taal", "nl");
        check("conta as linhas de código por linguagem", "pt");
        check("expenses.csv", "en");
    }

    #[test]
    fn concepts_reach_across_words() {
        let lexicon = Lexicon::shipped().unwrap();
        let sentence = Sentence::read(lexicon, "get rid of all logs", &|_| false).unwrap();
        assert!(sentence.means(0, "delete") && sentence.means(2, "delete"));
        assert!(!sentence.means(3, "delete"));
    }
}
