//! The linear classifier: words and groups of letters, each with a weight for every
//! label. Made by `models/recipes/pocket/words.py`, which says what a feature is;
//! the golden file holds this to it.
//!
//! ```text
//! bytes
//!     8  "ALMAWRD\0"
//!     4  version of this layout, 1
//!     4  buckets that features fall into
//!     4  questions; then, for each:
//!     4  labels
//!     4  bytes of their names; then these, one per line
//!        what is added to each label, f32
//!        scales, f32, one per bucket
//!        weights, i8, bucket by bucket, one per label
//! ```
//!
//! Numbers are little-endian. The file is read where it lies.

use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

static FILE: &[u8] = include_bytes!("../../pocket/words.bin");

const MAGIC: &[u8] = b"ALMAWRD\0";
const LAYOUT: u32 = 1;
/// Words of a text that are looked at.
const WORDS_MAX: usize = 200;
/// Bytes of a text that are looked at: far more than so many words have.
const TEXT_BYTES: usize = 16 << 10;
/// Lengths of the groups of letters.
const GROUPS: std::ops::RangeInclusive<usize> = 3..=5;
/// Letters of the ending of a file's name.
const ENDING: std::ops::RangeInclusive<usize> = 1..=5;
/// Marks that say something themselves.
const MARKS: &str = "?!:→>";
/// Marks that do not belong to the word that they stand beside.
const EDGES: &str = "\"'“”‘’«»()[]{}<>,;:!?….";

/// Why the classifier cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// It does not start as one does, or a later program made it.
    #[error("words.bin does not start as a word classifier of layout 1 does")]
    Header,
    /// It ends early, or goes on after its end.
    #[error("words.bin is shorter or longer than its header says")]
    Length,
    /// The names of its labels are no text, or too few.
    #[error("words.bin does not name its labels")]
    Labels,
}

/// One question that it answers.
#[derive(Debug)]
struct Question {
    labels: Vec<&'static str>,
    bias: &'static [[u8; 4]],
    scales: &'static [[u8; 4]],
    weights: &'static [u8],
}

/// The classifier.
#[derive(Debug)]
pub(super) struct Words {
    buckets: u64,
    route: Question,
    playbook: Question,
}

impl Words {
    /// The one that ships with the program.
    pub(super) fn shipped() -> Result<Self, WordsError> {
        Self::read(FILE)
    }

    fn read(bytes: &'static [u8]) -> Result<Self, WordsError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(WordsError::Header)?;
        let mut rest = Rest(rest);
        let (layout, buckets, questions) = (rest.number()?, rest.number()?, rest.number()?);
        if layout != LAYOUT || buckets == 0 || questions != 2 {
            return Err(WordsError::Header);
        }
        let (route, playbook) = (rest.question(buckets)?, rest.question(buckets)?);
        if !rest.0.is_empty() {
            return Err(WordsError::Length);
        }
        Ok(Self { buckets: u64::from(buckets), route, playbook })
    }

    /// How likely each route is, by name.
    pub(super) fn route(&self, message: &str) -> Vec<(&'static str, f32)> {
        self.route.chances(&self.buckets_of(message))
    }

    /// How likely each playbook is, by its name without hyphens, or `none`.
    pub(super) fn playbook(&self, wish: &str) -> Vec<(&'static str, f32)> {
        self.playbook.chances(&self.buckets_of(wish))
    }

    fn buckets_of(&self, text: &str) -> BTreeSet<usize> {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
        let mut found = BTreeSet::new();
        features(&words_of(text), |feature| {
            let digest = feature.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |digest, byte| {
                (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
            });
            found.insert(((digest ^ (digest >> 32)) % self.buckets) as usize);
        });
        found
    }
}

impl Question {
    /// How likely each label is.
    fn chances(&self, buckets: &BTreeSet<usize>) -> Vec<(&'static str, f32)> {
        let count = self.labels.len();
        let mut scores: Vec<f32> =
            self.bias.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let value = 1.0 / (buckets.len().max(1) as f32).sqrt();
        for bucket in buckets {
            let scale = self.scales.get(*bucket).map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
            let weights = self.weights.get(bucket * count..(bucket + 1) * count);
            for (score, weight) in scores.iter_mut().zip(weights.unwrap_or_default()) {
                *score += value * scale * f32::from(weight.cast_signed());
            }
        }
        let top = scores.iter().copied().fold(f32::MIN, f32::max);
        let shares: Vec<f32> = scores.iter().map(|score| (score - top).exp()).collect();
        let all: f32 = shares.iter().sum();
        self.labels.iter().copied().zip(shares.into_iter().map(|share| share / all)).collect()
    }
}

/// What of the file is not read yet.
struct Rest(&'static [u8]);

impl Rest {
    fn take(&mut self, bytes: usize) -> Result<&'static [u8], WordsError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(WordsError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, WordsError> {
        let bytes = self.take(4)?.first_chunk().ok_or(WordsError::Length)?;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn question(&mut self, buckets: u32) -> Result<Question, WordsError> {
        let (count, named) = (self.number()? as usize, self.number()? as usize);
        let names = std::str::from_utf8(self.take(named)?).map_err(|_| WordsError::Labels)?;
        let labels: Vec<&str> = names.lines().collect();
        if labels.len() != count || count == 0 {
            return Err(WordsError::Labels);
        }
        let buckets = buckets as usize;
        let size = buckets.checked_mul(count).ok_or(WordsError::Length)?;
        let bias = self.take(4 * count)?.as_chunks().0;
        let scales = self.take(4 * buckets)?.as_chunks().0;
        Ok(Question { labels, bias, scales, weights: self.take(size)? })
    }
}

/// Words without case and accents; paths, addresses and digits as one sign each.
fn words_of(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let folded: String = lower.nfkd().filter(|c| canonical_combining_class(*c) == 0).collect();
    let mut found = Vec::new();
    for chunk in folded.split_whitespace() {
        let core = chunk.trim_matches(|c| EDGES.contains(c));
        if core.contains('@') || core.contains("://") {
            found.push("<address>".to_owned());
        } else if core.contains(['/', '*']) || is_name(core) {
            found.push("<path>".to_owned());
        } else {
            let words = core.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let digits = |c: char| if c.is_numeric() { '0' } else { c };
            found.extend(words.map(|word| word.chars().map(digits).collect()));
        }
        found.extend(MARKS.chars().filter(|c| chunk.contains(*c)).map(String::from));
        if found.len() >= WORDS_MAX {
            break;
        }
    }
    found.truncate(WORDS_MAX);
    found
}

/// Whether it looks like the name of a file: an ending of up to five letters and
/// digits with a letter among them.
fn is_name(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(stem, ending)| {
        stem.ends_with(char::is_alphanumeric)
            && ENDING.contains(&ending.len())
            && ending.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && ending.contains(|c: char| c.is_ascii_lowercase())
    })
}

/// Calls `each` with all that a text is known by; some more than once.
fn features(words: &[String], mut each: impl FnMut(&str)) {
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
    each(&format!("^{first}"));
    each(&format!("${last}"));
    if let Some(second) = words.get(1) {
        each(&format!("^{first} {second}"));
    }
    for (at, word) in words.iter().enumerate() {
        each(&format!("w{word}"));
        if let Some(next) = words.get(at + 1) {
            each(&format!("b{word} {next}"));
        }
        if let Some(next) = words.get(at + 2) {
            each(&format!("s{word} {next}"));
        }
        if word.starts_with('<') {
            continue;
        }
        let letters: Vec<char> = format!("_{word}_").chars().collect();
        for group in GROUPS.flat_map(|length| letters.windows(length)) {
            each(&group.iter().fold("c".to_owned(), |text, c| text + &c.to_string()));
        }
    }
}
