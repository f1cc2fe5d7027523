//! A grammar that steers a model token by token, and sees to it that the answer
//! is whole when the tokens run out.
//!
//! The second is shown by induction. A [`Guide`] always holds a *closing*: tokens
//! that make the answer whole, no more than are left. Making one is the first
//! thing it does; where it cannot, the ask is refused. Afterwards a token is
//! taken only if a closing that fits is still known behind it; else the first
//! token of the known closing is taken in its place, whose closing is the rest.

use super::compile::{Grammars, literal};
use charter::generate::GenerateError;
use llguidance::Matcher;
use std::sync::Arc;
use toktrie::SimpleVob;

/// Most looks at what may come next, to find a way to end: first, and with each token.
const LOOKS_FIRST: u32 = 400_000;
const LOOKS: u32 = 20_000;
/// Most tokens of a way to make an answer whole.
const CLOSING_MAX: u32 = 8_192;
/// How often it is tried whether an earlier way to end still holds from here on.
const RESUMES: u32 = 4;
/// Most ends of texts that are tried.
const ENDINGS_MAX: usize = 512;
/// Deepest nesting of a JSON document: most readers stop at 128.
const JSON_DEPTH_MAX: u32 = 100;

/// Finds ways to make an answer whole.
struct Closer {
    grammars: Arc<Grammars>,
    /// What stands in a JSON document for the end of a text, for every end of the texts that
    /// patterns of the schema ask for, shortest first: tokens of a byte each, the quote
    /// behind them.
    endings: Vec<Vec<u32>>,
}

impl Closer {
    /// With texts that patterns of the schema ask for.
    fn new(grammars: Arc<Grammars>, texts: &[String]) -> Self {
        let ends = texts.iter().flat_map(|text| text.char_indices().map(|(at, _)| &text[at..]));
        let mut ends: Vec<&str> = ends.collect();
        ends.sort_by_key(|end| (end.len(), *end));
        ends.dedup();
        let spell = |end: &str| {
            literal(end).bytes().skip(1).filter_map(|byte| grammars.single(byte)).collect()
        };
        let endings = ends.into_iter().take(ENDINGS_MAX).map(spell).collect();
        Self { grammars, endings }
    }

    /// Tokens that make the answer whole; a short way, not always the shortest. `rest` is
    /// how an earlier way went on from here: where a value has ended, it mostly still
    /// does. At most so many tokens, after at most so many looks.
    fn close(
        &self,
        matcher: &mut Matcher,
        mut place: Place,
        rest: &[u32],
        (most, mut looks): (u32, u32),
    ) -> Result<Option<Vec<u32>>, GenerateError> {
        let mut trial = matcher.clone();
        let mut closing: Vec<u32> = Vec::new();
        let most = most.min(CLOSING_MAX) as usize;
        let mut resumes = if rest.is_empty() { 0 } else { RESUMES };
        loop {
            if trial.is_stopped() || trial.is_accepting().map_err(engine)? {
                return Ok((closing.len() <= most).then_some(closing));
            }
            if closing.len() >= most {
                return Ok(None);
            }
            if resumes > 0 && !place.in_text && closing.len() + rest.len() <= most {
                resumes -= 1;
                let mut whole = rest.to_vec();
                whole.push(self.grammars.end());
                if trial.validate_tokens(&whole).map_err(engine)? == whole.len()
                    && !self.behind(place, rest).1
                {
                    closing.extend(rest);
                    return Ok(Some(closing));
                }
            }
            let mut next = trial.compute_ff_tokens();
            if next.is_empty() {
                next = match self.next(&mut trial, place, &mut looks)? {
                    Some(next) => next,
                    None => return Ok(None),
                };
            }
            trial.consume_tokens(&next).map_err(engine)?;
            place = self.behind(place, &next).0;
            closing.extend(next);
        }
    }

    /// Where a JSON document stands behind these tokens, and whether it went too far in
    /// them.
    fn behind(&self, mut place: Place, tokens: &[u32]) -> (Place, bool) {
        let mut far = false;
        for token in tokens {
            place.pass(self.grammars.tokens().bytes(*token));
            far |= place.is_too_far();
        }
        (place, far)
    }

    /// Of the tokens that may come next those that look most like an end; `None`: there are
    /// none, or no looks are left.
    fn next(
        &self,
        trial: &mut Matcher,
        place: Place,
        looks: &mut u32,
    ) -> Result<Option<Vec<u32>>, GenerateError> {
        let single = |byte: u8| self.grammars.single(byte);
        let mut fits = |tokens: &[u32]| {
            *looks = looks.saturating_sub(1);
            let fitting = if *looks == 0 { Ok(0) } else { trial.validate_tokens(tokens) };
            fitting.map(|fitting| fitting == tokens.len()).map_err(engine)
        };
        let closers: &[u8] = if place.in_text { b"\"" } else { b"}]\",10" };
        for token in closers.iter().filter_map(|byte| single(*byte)) {
            if fits(&[token])? {
                return Ok(Some(vec![token]));
            }
        }
        if place.in_text && !place.escaped {
            for ending in &self.endings {
                if fits(ending)? {
                    return Ok(Some(ending.clone()));
                }
            }
        }
        let plain = (b' '..=b'~').filter(|byte| *byte != b'\\');
        for token in plain.chain(0..=u8::MAX).filter_map(single) {
            if fits(&[token])? {
                return Ok(Some(vec![token]));
            }
        }
        if *looks == 0 {
            return Ok(None);
        }
        let mask = trial.compute_mask().map_err(engine)?;
        let first = mask.first_bit_set().and_then(|bit| u32::try_from(bit).ok());
        Ok(first.map(|token| vec![token]))
    }
}

fn engine(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> GenerateError {
    GenerateError::Engine { operation: "follow the grammar of the answer", source: error.into() }
}

/// Where in a JSON document the answer stands: enough to tell a quote that ends a text
/// from one that begins it, a number that is too large for any program, and lists within
/// lists that are too deep for one.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    in_text: bool,
    escaped: bool,
    number: Option<Digits>,
    depth: u32,
}

/// Digits of a number: before its exponent, and of that.
#[derive(Debug, Clone, Copy, Default)]
struct Digits {
    own: u32,
    exponent: Option<u32>,
}

impl Place {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (self.escaped, byte) {
                (true, _) => self.escaped = false,
                (false, b'\\') if self.in_text => self.escaped = true,
                (false, b'"') => self.in_text = !self.in_text,
                (false, _) => {}
            }
            match byte {
                _ if self.in_text => {}
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.number = match byte {
                _ if self.in_text => None,
                b'0'..=b'9' => {
                    let mut digits = self.number.unwrap_or_default();
                    *digits.exponent.as_mut().unwrap_or(&mut digits.own) += 1;
                    Some(digits)
                }
                b'e' | b'E' => self.number.map(|own| Digits { exponent: Some(0), ..own }),
                b'+' | b'-' | b'.' => self.number,
                _ => None,
            };
        }
    }

    /// Whether a number has come so far that no 64 bits may hold it (up to 10^299 they do),
    /// or a value lies deeper than what reads it goes.
    fn is_too_far(&self) -> bool {
        let far = |own: Digits| own.own > 200 || own.exponent > Some(2);
        self.depth > JSON_DEPTH_MAX || self.number.is_some_and(far)
    }
}

/// A grammar at a place in an answer.
pub struct Guide {
    closer: Closer,
    matcher: Matcher,
    is_json: bool,
    closing: Vec<u32>,
    left: u32,
    place: Place,
}

impl Guide {
    /// At the beginning of an answer of at most so many tokens. `texts` are such as patterns
    /// of the schema ask for.
    pub(super) fn begin(
        grammars: Arc<Grammars>,
        mut matcher: Matcher,
        texts: &[String],
        is_json: bool,
        max_tokens: u32,
    ) -> Result<Self, GenerateError> {
        let (closer, place) = (Closer::new(grammars, texts), Place::default());
        let closing = closer
            .close(&mut matcher, place, &[], (max_tokens, LOOKS_FIRST))?
            .ok_or(GenerateError::NoRoom { max_tokens })?;
        Ok(Self { closer, matcher, is_json, closing, left: max_tokens, place })
    }

    /// Whether the answer is whole and nothing can follow.
    pub fn is_done(&self) -> bool {
        self.left == 0 || self.matcher.is_stopped()
    }

    /// Tokens that must come next, whatever the model thinks. They are taken.
    pub fn forced(&mut self) -> Result<Vec<u32>, GenerateError> {
        if self.is_done() {
            return Ok(Vec::new());
        }
        let forced = self.matcher.compute_ff_tokens();
        if let Some(why) = self.matcher.get_error() {
            return Err(engine(why));
        }
        if forced.is_empty() { Ok(forced) } else { self.take(&forced) }
    }

    /// The tokens that may come next, the end among them where the answer is
    /// whole.
    pub fn allowed(&mut self) -> Result<SimpleVob, GenerateError> {
        self.matcher.compute_mask_or_eos().map_err(engine)
    }

    /// Takes an allowed token, or the first token of the closing where the
    /// answer could not end in time behind it. Returns what was taken; `None`:
    /// the answer is whole and has ended.
    pub fn take_one(&mut self, token: u32) -> Result<Option<u32>, GenerateError> {
        Ok(self.take(&[token])?.first().copied())
    }

    fn take(&mut self, tokens: &[u32]) -> Result<Vec<u32>, GenerateError> {
        let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        if count <= self.left {
            let (place, far) = self.closer.behind(self.place, tokens);
            if !(self.is_json && far) {
                self.matcher.consume_tokens(tokens).map_err(engine)?;
                if let Some(closing) = self.closing_behind(tokens, place, self.left - count)? {
                    (self.closing, self.place, self.left) = (closing, place, self.left - count);
                    return Ok(tokens.to_vec());
                }
                self.matcher.rollback(tokens.len()).map_err(engine)?;
            }
        }
        if self.closing.is_empty() {
            // Whole already: what would come next does not fit any more.
            self.left = 0;
            return Ok(Vec::new());
        }
        let first = self.closing.remove(0);
        self.matcher.consume_token(first).map_err(engine)?;
        self.place.pass(self.closer.grammars.tokens().bytes(first));
        self.left -= 1;
        Ok(vec![first])
    }

    /// A closing for where the matcher stands now, if one is known that fits.
    fn closing_behind(
        &mut self,
        taken: &[u32],
        place: Place,
        left: u32,
    ) -> Result<Option<Vec<u32>>, GenerateError> {
        if self.matcher.is_stopped() || self.matcher.is_accepting().map_err(engine)? {
            return Ok(Some(Vec::new()));
        }
        if let Some(rest) = self.closing.strip_prefix(taken) {
            return Ok(Some(rest.to_vec()));
        }
        // Within a text the closing of before mostly still holds, all of it or what is
        // left of it behind as many bytes as were taken.
        let grammars = &self.closer.grammars;
        let bytes: usize = taken.iter().map(|token| grammars.tokens().bytes(*token).len()).sum();
        let candidates = [Some(&self.closing[..]), self.closing.get(bytes..)];
        let fits = |rest: &&[u32]| {
            rest.len() <= left as usize && !(self.is_json && self.closer.behind(place, rest).1)
        };
        for rest in candidates.into_iter().flatten().filter(fits) {
            let mut whole = rest.to_vec();
            whole.push(grammars.end());
            if self.matcher.validate_tokens(&whole).map_err(engine)? == whole.len() {
                whole.pop();
                return Ok(Some(whole));
            }
        }
        // Behind the value that is in the making, most of the way stays what it was.
        let ends_value =
            |token: &u32| matches!(grammars.tokens().bytes(*token), b"," | b"]" | b"}");
        let from = self.closing.iter().position(ends_value).unwrap_or(self.closing.len());
        let rest = &self.closing[from..];
        self.closer.close(&mut self.matcher, place, rest, (left, LOOKS))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sampling::{Chance, Chooser, Sampling};
    use crate::testing::tokenizer_json;
    use crate::tokens::Tokens;
    use charter::generate::Shape;
    use serde_json::{Value, json};

    pub(in crate::grammar) fn grammars() -> Arc<Grammars> {
        let tokens = Tokens::new(tokenizer_json(), &[]).unwrap();
        let width = tokens.size() + 3;
        Arc::new(Grammars::new(Arc::new(tokens), width).unwrap())
    }

    /// An answer by pure chance.
    pub(in crate::grammar) fn wander(
        grammars: &Arc<Grammars>,
        shape: &Shape,
        most: u32,
        seed: u64,
    ) -> (String, u32) {
        let mut guide = grammars.guide(shape, most).unwrap().unwrap();
        let mut chance = Chance::new(seed);
        let width = grammars.tokens().size() + 3;
        let mut taken = Vec::new();
        while !guide.is_done() {
            let forced = guide.forced().unwrap();
            if !forced.is_empty() {
                taken.extend(forced);
                continue;
            }
            let mask = guide.allowed().unwrap();
            let logits: Vec<f32> = (0..width).map(|_| chance.unit() as f32).collect();
            let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
            let token = Chooser::default().choose(&logits, &mask, sampling, &mut chance).unwrap();
            if grammars.tokens().ends().contains(&token) {
                break;
            }
            taken.extend(guide.take_one(token).unwrap());
        }
        (grammars.tokens().decode(&taken), taken.len() as u32)
    }

    #[test]
    fn every_answer_is_whole_however_few_tokens_there_are() {
        let grammars = grammars();
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["name", "tags", "of"],
            "properties": {
                "name": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "n": {"type": "number"},
                "of": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
            },
        });
        let shape = Shape::Json(schema);
        let mut at_the_bound = 0;
        for most in [40_u32, 60, 100, 300] {
            for seed in 0..25 {
                let (text, count) = wander(&grammars, &shape, most, seed);
                let value: Value =
                    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                assert!(value["name"].is_string() && value["tags"].is_array(), "{text}");
                assert!(count <= most);
                at_the_bound += u32::from(count + 5 > most);
            }
        }
        assert!(at_the_bound > 20, "the bound was hardly ever met: {at_the_bound}");
    }

    #[test]
    fn an_answer_that_is_whole_ends_where_nothing_longer_fits() {
        let grammars = grammars();
        let shape = Shape::Lark("start: \"a\" (\"bcdefg\" \"h\")?".into());
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..30 {
            seen.insert(wander(&grammars, &shape, 5, seed).0);
            seen.insert(wander(&grammars, &shape, 9, seed).0);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "abcdefgh"]);
    }

    #[test]
    fn numbers_can_be_read() {
        let grammars = grammars();
        let shape = Shape::Json(json!({"type": "array", "items": {}, "minItems": 3}));
        let mut guide = grammars.guide(&shape, 2_000).unwrap().unwrap();
        let mut write = |text: &str| {
            let mut took = String::new();
            for byte in text.bytes() {
                let token = grammars.single(byte).unwrap();
                let taken = guide.take_one(token).unwrap();
                took.push_str(&grammars.tokens().decode(&Vec::from_iter(taken)));
                if taken != Some(token) {
                    break;
                }
            }
            took
        };
        // What would be too large ends, here with what the list has to hold besides.
        assert_eq!(write("[12e999"), "[12e99,");
        assert_eq!(write("\"1e999\","), "\"1e999\",");
        assert_eq!(write(&"1".repeat(300)), format!("{}]", "1".repeat(200)));
    }

    #[test]
    fn what_is_written_is_not_too_deep_to_be_read() {
        let grammars = grammars();
        let shape = Shape::Json(json!({"type": "array"}));
        let mut guide = grammars.guide(&shape, 2_000).unwrap().unwrap();
        let (open, close) = ([b'[', b']']).map(|byte| grammars.single(byte)).into();
        for _ in 0..100 {
            assert_eq!(guide.take_one(open.unwrap()).unwrap(), open);
        }
        assert_eq!(guide.take_one(open.unwrap()).unwrap(), close);
    }

    #[test]
    fn no_room_is_said_before_anything_is_generated() {
        let grammars = grammars();
        let shape = Shape::Json(json!({"const": "a long text that cannot be cut off"}));
        let error = grammars.guide(&shape, 5).err().unwrap();
        assert!(matches!(error, GenerateError::NoRoom { max_tokens: 5 }), "{error}");
        let error = grammars.guide(&Shape::Lark("start: /(ab)+c/ start".into()), 50).err().unwrap();
        assert!(matches!(error, GenerateError::NoRoom { .. } | GenerateError::Shape(_)), "{error}");
    }
}
