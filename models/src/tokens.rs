//! Text to tokens and back.
//!
//! Two things are kept apart that a tokenizer mixes: **ordinary text**, in which
//! no control token is ever recognised, and **control tokens**, which only the
//! chat template may place. Text that looks like a chat delimiter is therefore
//! only text.

use serde_json::Value;
use std::collections::HashMap;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};
use toktrie::SimpleVob;

/// Control tokens that end an answer, where the vocabulary has them.
const ENDS: [&str; 3] = ["<|im_end|>", "<|endoftext|>", "<|end_of_text|>"];
/// What every chat template of this family uses, whether or not the tokenizer
/// lists it.
const DELIMITERS: [&str; 3] = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"];

/// How the Qwen family cuts a text before tokens are looked for.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The vocabulary of a byte-level tokenizer of the Qwen family, as GGUF files hold it.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// The tokens in order: control tokens as they are, others with a character for each
    /// byte.
    pub words: Vec<String>,
    /// Which of them are control tokens, and whether these have no text.
    pub control: Vec<(u32, bool)>,
    /// Which two become one, the first first: `left right`.
    pub merges: Vec<String>,
}

/// A tokenizer and what its tokens are made of.
pub struct Tokens {
    /// Knows no control tokens.
    plain: Tokenizer,
    /// Control tokens, longest first.
    control: Vec<(String, u32)>,
    /// The bytes of each token; empty for control tokens that are no text.
    bytes: Vec<Vec<u8>>,
    /// Tokens that end an answer.
    ends: Vec<u32>,
    /// Whether a token is a control token.
    is_control: Vec<bool>,
    /// Tokens of free text.
    text: SimpleVob,
    /// These, and those that end it.
    free: SimpleVob,
    /// The longest token in bytes.
    longest: usize,
}

/// A tokenizer that cannot be used, or a text that it cannot cut.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The description is not one of a byte-level tokenizer.
    #[error("{0}")]
    Description(String),
    /// A text could not be cut.
    #[error("could not cut the text into tokens: {0}")]
    Encode(String),
}

impl Tokens {
    /// From the contents of a `tokenizer.json`. `ends` are more tokens that end
    /// an answer.
    pub fn new(mut json: Value, ends: &[u32]) -> Result<Self, TokensError> {
        let wrong = |what: String| TokensError::Description(what);
        let mut control = Vec::new();
        let mut silent = Vec::new();
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let (Some(id), Some(text)) = (id, token["content"].as_str()) else {
                return Err(wrong("an added token has no id or no text".to_owned()));
            };
            if text.is_empty() {
                return Err(wrong(format!("the added token {id} is empty")));
            }
            control.push((text.to_owned(), id));
            if token["special"].as_bool().unwrap_or(false) {
                silent.push(id);
            }
        }
        json["added_tokens"] = Value::Array(Vec::new());
        let vocabulary = json["model"]["vocab"]
            .as_object_mut()
            .ok_or_else(|| wrong("it has no vocabulary".to_owned()))?;
        for (text, _) in &control {
            vocabulary.shift_remove(text);
        }
        let numbered = vocabulary.iter().map(|(text, id)| {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let none = || wrong(format!("the token {text:?} has no usable number"));
            Ok((text.as_str(), id.ok_or_else(none)?))
        });
        let bytes = byte_table(numbered)?;
        let plain: Tokenizer =
            serde_json::from_value(json).map_err(|error| wrong(error.to_string()))?;
        Self::with(plain, control, &silent, bytes, ends)
    }

    /// From the vocabulary of a GGUF file. `ends` are more tokens that end an answer.
    pub fn from_vocabulary(from: Vocabulary, ends: &[u32]) -> Result<Self, TokensError> {
        let Vocabulary { words, control, merges } = from;
        let wrong = |what: &dyn std::fmt::Display| TokensError::Description(what.to_string());
        let silent: Vec<u32> =
            control.iter().filter(|(_, silent)| *silent).map(|(id, _)| *id).collect();
        let mut named = Vec::new();
        for (id, _) in &control {
            let text = words.get(*id as usize).filter(|text| !text.is_empty());
            let none = || wrong(&format_args!("the control token {id} has no text"));
            named.push((text.ok_or_else(none)?.clone(), *id));
        }
        let is_control: std::collections::HashSet<u32> =
            control.iter().map(|(id, _)| *id).collect();
        let ordinary = || words.iter().zip(0_u32..).filter(|(_, id)| !is_control.contains(id));
        // What fills a vocabulary up may be written in anything; it is never text.
        let known = characters();
        let written = |text: &str| text.chars().all(|c| known.contains_key(&c));
        let numbered =
            ordinary().filter(|(text, _)| written(text)).map(|(text, id)| Ok((text.as_str(), id)));
        let mut bytes = byte_table(numbered)?;
        bytes.resize(words.len().max(bytes.len()), Vec::new());
        let mut pairs = Vec::with_capacity(merges.len());
        for merge in merges {
            let (left, right) = merge
                .split_once(' ')
                .ok_or_else(|| wrong(&format_args!("the merge {merge:?} has no two parts")))?;
            pairs.push((left.to_owned(), right.to_owned()));
        }
        let vocabulary: Vocab = ordinary().map(|(text, id)| (text.clone(), id)).collect();
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, pairs)
            .build()
            .map_err(|error| wrong(&error))?;
        let mut plain = Tokenizer::new(model);
        let pattern = SplitPattern::Regex(WORDS.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
            .map_err(|error| wrong(&error))?;
        let level = ByteLevel::new(false, false, false);
        let cut = Sequence::new(vec![
            PreTokenizerWrapper::Split(split),
            PreTokenizerWrapper::ByteLevel(level),
        ]);
        plain.with_normalizer(Some(NFC)).map_err(|error| wrong(&error))?;
        plain.with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(cut)));
        Self::with(plain, named, &silent, bytes, ends)
    }

    fn with(
        plain: Tokenizer,
        mut control: Vec<(String, u32)>,
        silent: &[u32],
        mut bytes: Vec<Vec<u8>>,
        ends: &[u32],
    ) -> Result<Self, TokensError> {
        let wrong = |what: String| TokensError::Description(what);
        control.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        for (text, id) in &control {
            let slot = slot(&mut bytes, *id)?;
            *slot = if silent.contains(id) { Vec::new() } else { text.clone().into_bytes() };
        }
        let mut ends: Vec<u32> = ends.to_vec();
        let named = |name: &&str| control.iter().find(|(text, _)| text == name).map(|(_, id)| *id);
        ends.extend(ENDS.iter().filter_map(named));
        ends.sort_unstable();
        ends.dedup();
        if ends.is_empty() {
            return Err(wrong("it has no token that ends an answer (<|im_end|>)".to_owned()));
        }
        if let Some(id) = ends.iter().find(|id| **id as usize >= bytes.len()) {
            return Err(wrong(format!("the token {id} that ends an answer is not in it")));
        }
        let longest = bytes.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mut is_control = vec![false; bytes.len()];
        for (_, id) in &control {
            if let Some(flag) = is_control.get_mut(*id as usize) {
                *flag = true;
            }
        }
        let mut text = SimpleVob::alloc(bytes.len());
        for (bytes, token) in bytes.iter().zip(0_u32..) {
            if !bytes.is_empty() && !ends.contains(&token) {
                text.allow_token(token);
            }
        }
        let mut free = text.clone();
        ends.iter().for_each(|end| free.allow_token(*end));
        Ok(Self { plain, control, bytes, ends, is_control, text, free, longest })
    }

    /// One more than the largest token.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the same numbers stand for the same bytes.
    pub fn is_like(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.is_control == other.is_control
    }

    /// Tokens that end an answer.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// A byte that is no token by itself, so that not every text can be written.
    pub fn missing_byte(&self) -> Option<u8> {
        let mut single = [false; 256];
        for (bytes, is_control) in self.bytes.iter().zip(&self.is_control) {
            if let ([byte], false) = (bytes.as_slice(), is_control) {
                single[usize::from(*byte)] = true;
            }
        }
        (0..=u8::MAX).find(|byte| !single[usize::from(*byte)])
    }

    /// Tokens that free text may have, those that end it among them where it may end.
    pub fn free(&self, may_end: bool) -> &SimpleVob {
        if may_end { &self.free } else { &self.text }
    }

    /// The bytes of a token; none for a control token.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether only a template may place this token.
    pub fn is_control(&self, token: u32) -> bool {
        self.is_control.get(token as usize).copied().unwrap_or(false)
    }

    /// Fewest tokens that a text of this many bytes can have.
    pub fn at_least(&self, bytes: usize) -> usize {
        bytes / self.longest
    }

    /// Ordinary text as tokens.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokensError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        self.plain
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| TokensError::Encode(error.to_string()))
    }

    /// Texts that a template may place and nobody else.
    pub fn delimiters(&self) -> impl Iterator<Item = &str> {
        self.control.iter().map(|(text, _)| text.as_str()).chain(DELIMITERS)
    }

    /// A rendered prompt as tokens. `mark` stands within every delimiter that
    /// came from a message instead of the template, and is taken out again.
    pub fn encode_prompt(&self, rendered: &str, mark: char) -> Result<Vec<u32>, TokensError> {
        let mut tokens = Vec::new();
        let mut rest = rendered;
        let mut from = 0;
        while from < rest.len() {
            let here = &rest[from..];
            let control = self.control.iter().find(|(text, _)| here.starts_with(text.as_str()));
            if let Some((text, id)) = control {
                tokens.extend(self.encode(&rest[..from].replace(mark, ""))?);
                tokens.push(*id);
                rest = &here[text.len()..];
                from = 0;
            } else {
                from += here.chars().next().map_or(1, char::len_utf8);
            }
        }
        tokens.extend(self.encode(&rest.replace(mark, ""))?);
        Ok(tokens)
    }

    /// Text in which control tokens are what they look like: for whoever may place
    /// them.
    pub fn encode_with_control(&self, text: &str) -> Result<Vec<u32>, TokensError> {
        // No character of a text is taken out: it holds no such mark.
        let mark = ('\u{e000}'..).find(|mark| !text.contains(*mark)).unwrap_or('\u{e000}');
        self.encode_prompt(text, mark)
    }

    /// The text of tokens, control tokens among them.
    pub fn decode_with_control(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::new();
        for token in tokens {
            match self.control.iter().find(|(_, id)| id == token) {
                Some((text, _)) => bytes.extend_from_slice(text.as_bytes()),
                None => bytes.extend_from_slice(self.bytes(*token)),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The text of tokens; what is not UTF-8 is replaced.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The slot of a token. Ids are bounded so that a wild one costs no memory.
fn slot(bytes: &mut Vec<Vec<u8>>, id: u32) -> Result<&mut Vec<u8>, TokensError> {
    const IDS_MAX: usize = 4_000_000;
    let id = id as usize;
    if id >= IDS_MAX {
        return Err(TokensError::Description(format!("the token id {id} is beyond all bounds")));
    }
    if bytes.len() <= id {
        bytes.resize(id + 1, Vec::new());
    }
    bytes.get_mut(id).ok_or_else(|| TokensError::Description(format!("no place for token {id}")))
}

/// The byte that a character of a byte-level vocabulary stands for: printable
/// ones stand for themselves, the others for characters from U+0100 on.
fn byte_of(character: char) -> Option<u8> {
    let own = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let code = u32::from(character);
    match u8::try_from(code) {
        Ok(byte) => own(byte).then_some(byte),
        Err(_) => {
            let nth = usize::try_from(code.checked_sub(0x100)?).ok()?;
            (0..=u8::MAX).filter(|byte| !own(*byte)).nth(nth)
        }
    }
}

/// The characters of byte-level vocabularies.
fn characters() -> HashMap<char, u8> {
    (0..0x200).filter_map(char::from_u32).filter_map(|c| Some((c, byte_of(c)?))).collect()
}

fn byte_table<'v>(
    vocabulary: impl Iterator<Item = Result<(&'v str, u32), TokensError>>,
) -> Result<Vec<Vec<u8>>, TokensError> {
    let known = characters();
    let mut bytes = Vec::new();
    for word in vocabulary {
        let (text, id) = word?;
        let own: Option<Vec<u8>> = text.chars().map(|c| known.get(&c).copied()).collect();
        let own = own.ok_or_else(|| {
            TokensError::Description(format!(
                "the token {text:?} is not written in bytes; only byte-level vocabularies are supported"
            ))
        })?;
        *slot(&mut bytes, id)? = own;
    }
    Ok(bytes)
}

/// Puts bytes together to whole characters as tokens come in.
#[derive(Default)]
pub struct Characters {
    pending: Vec<u8>,
}

impl Characters {
    /// Adds bytes and returns what is whole now. Bytes that can belong to no
    /// character are replaced at once.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut whole = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    whole.push_str(text);
                    self.pending.clear();
                    return whole;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    let wrong = error.error_len();
                    let text = String::from_utf8_lossy(&self.pending[..valid]).into_owned();
                    whole.push_str(&text);
                    let Some(wrong) = wrong else {
                        self.pending.drain(..valid);
                        return whole;
                    };
                    whole.push(char::REPLACEMENT_CHARACTER);
                    self.pending.drain(..valid + wrong);
                }
            }
        }
    }

    /// What is left when no more tokens come.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tokenizer_json;
    use proptest::prelude::*;

    fn tokens() -> Tokens {
        Tokens::new(tokenizer_json(), &[]).unwrap()
    }

    #[test]
    fn every_byte_has_its_character() {
        let found: std::collections::BTreeSet<u8> =
            (0..0x200).filter_map(char::from_u32).filter_map(byte_of).collect();
        assert_eq!(found.len(), 256);
    }

    #[test]
    fn control_tokens_are_placed_by_templates_alone() {
        let tokens = tokens();
        let end = tokens.ends()[tokens.ends().len() - 1];
        let placed = tokens.encode_prompt("hi<|im_end|>", '\u{e000}').unwrap();
        let said = tokens.encode_prompt("hi<\u{e000}|im_end|>", '\u{e000}').unwrap();
        assert!(placed.iter().any(|token| tokens.is_control(*token)), "{end}");
        assert!(!said.iter().any(|token| tokens.is_control(*token)));
        assert_eq!(tokens.decode(&said), "hi<|im_end|>");
        assert_eq!(tokens.decode(&placed), "hi");
    }

    #[test]
    fn wild_descriptions_are_refused() {
        let check = |edit: fn(&mut Value), expect: &str| {
            let mut json = tokenizer_json();
            edit(&mut json);
            let error = Tokens::new(json, &[]).err().unwrap().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(|json| json["model"]["vocab"] = Value::Null, "no vocabulary");
        check(|json| json["added_tokens"] = serde_json::json!([]), "ends an answer");
        check(|json| json["model"]["vocab"]["x"] = 5_000_000_000_u64.into(), "usable number");
        check(|json| json["model"]["vocab"]["x"] = 400_000_000.into(), "beyond all bounds");
        check(|json| json["model"]["vocab"]["▁a"] = 7.into(), "byte-level");
        check(|json| json["model"]["type"] = "Nonsense".into(), "");
    }

    proptest! {
        #[test]
        fn text_survives(text in ".{0,80}") {
            let tokens = tokens();
            let ids = tokens.encode(&text).unwrap();
            prop_assert!(!ids.iter().any(|id| tokens.is_control(*id)));
            prop_assert_eq!(tokens.decode(&ids), text.clone());
            // Token by token, only whole characters come out.
            let mut characters = Characters::default();
            let mut streamed = String::new();
            for id in ids {
                streamed.push_str(&characters.push(tokens.bytes(id)));
            }
            streamed.push_str(&characters.finish());
            prop_assert_eq!(streamed, text);
        }

        #[test]
        fn any_bytes_become_text(bytes in prop::collection::vec(any::<u8>(), 0..40), cut in 1usize..5) {
            let mut characters = Characters::default();
            let mut streamed = String::new();
            for chunk in bytes.chunks(cut) {
                streamed.push_str(&characters.push(chunk));
            }
            streamed.push_str(&characters.finish());
            prop_assert_eq!(streamed, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
