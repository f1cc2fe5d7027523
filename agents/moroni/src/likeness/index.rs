//! What the playbooks together know of words.

use super::rule::{NEAR, RulePhrase, RuleWord};
use super::{Feature, Probe, STOP_WEIGHT, View};
use crate::playbook::{Allowed, Playbook, Slot};
use crate::words::fold::{fold, trigrams};
use crate::words::sentence::Sentence;
use crate::words::{Lexicon, words_of};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// An example of a playbook.
#[derive(Debug)]
pub(super) struct Example {
    /// How much each of its words says.
    pub(super) weights: Vec<f32>,
    /// Where it has a feature.
    pub(super) places: HashMap<Feature, Vec<usize>>,
    /// All weights together.
    pub(super) total: f32,
}

/// What is known of one playbook.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) vocabulary: HashSet<Feature>,
    pub(super) examples: Vec<Example>,
    pub(super) all: Vec<Vec<RulePhrase>>,
    pub(super) any: Vec<RulePhrase>,
    pub(super) none: Vec<RulePhrase>,
    choices: BTreeMap<String, Vec<Vec<RulePhrase>>>,
    cues: BTreeMap<String, Vec<Vec<String>>>,
    tails: BTreeMap<String, Vec<Vec<String>>>,
}

/// A known word, for words that are spelled otherwise.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) folded: String,
    pub(super) letters: usize,
    pub(super) groups: Vec<u64>,
    pub(super) features: Vec<Feature>,
    /// Whether it stands in a playbook as a whole word, and is no mere stem.
    pub(super) whole: bool,
    /// Languages in which it is known to be said; none where that is not known.
    languages: BTreeSet<&'static str>,
}

impl Word {
    /// Whether a wish in this language may mean this word by another spelling.
    pub(super) fn is_said_in(&self, code: &str) -> bool {
        self.languages.is_empty() || self.languages.contains("en") || self.languages.contains(code)
    }
}

/// What the playbooks together know of words.
#[derive(Debug, Default)]
pub struct Index {
    features: HashMap<String, Feature>,
    rarity: Vec<f32>,
    known: Vec<Known>,
    words: Vec<Word>,
    /// Languages in which examples say a word.
    said: HashMap<String, BTreeSet<&'static str>>,
    /// Playbooks that have a feature in a rule.
    deciding: HashMap<Feature, Vec<usize>>,
    /// Features of words of rules, which repeat from playbook to playbook.
    ruled: HashMap<String, BTreeSet<Feature>>,
}

/// What is gathered before words can be weighed.
#[derive(Default)]
struct Gathered {
    /// The playbooks that have each feature.
    holders: HashMap<Feature, BTreeSet<usize>>,
    /// Features by spelling.
    spelled: BTreeMap<String, BTreeSet<Feature>>,
    /// Languages in which examples say a word.
    said: HashMap<String, BTreeSet<&'static str>>,
    /// Words of each example of each playbook: features, and whether they have a
    /// meaning of their own.
    examples: Vec<Vec<ExampleWords>>,
}

type ExampleWords = Vec<(Vec<Feature>, bool)>;

impl Index {
    /// Learns the words of the playbooks.
    pub fn new(playbooks: &[Playbook], lexicon: &Lexicon) -> Self {
        let mut index = Self::default();
        let mut gathered = Gathered::default();
        for (p, playbook) in playbooks.iter().enumerate() {
            let examples = index.gather_examples(p, playbook, lexicon, &mut gathered);
            gathered.examples.push(examples);
            let known = index.read_rules(playbook, lexicon);
            index.gather_rules(p, &known, &mut gathered);
            index.known.push(known);
        }
        let all = playbooks.len() as f32 + 1.0;
        let most = (all / 0.5).ln();
        let rarity = |feature: Feature| {
            let holders = gathered.holders.get(&feature).map_or(0, BTreeSet::len) as f32;
            ((all / (holders + 0.5)).ln() / most).max(0.12)
        };
        index.rarity = (0..index.features.len() as Feature).map(rarity).collect();
        let examples = std::mem::take(&mut gathered.examples);
        for (p, (playbook, examples)) in playbooks.iter().zip(examples).enumerate() {
            let (examples, mut vocabulary) = index.weigh_examples(examples);
            index.own_words(playbook, lexicon, &mut vocabulary);
            if let Some(known) = index.known.get_mut(p) {
                known.examples = examples;
                known.vocabulary = vocabulary;
            }
        }
        index.rarity.resize(index.features.len(), 1.0);
        index.words = index.spellings(gathered.spelled, &mut gathered.said, lexicon);
        index.said = gathered.said;
        index
    }

    fn id(&mut self, name: String) -> Feature {
        let next = self.features.len() as Feature;
        *self.features.entry(name).or_insert(next)
    }

    fn gather_examples(
        &mut self,
        p: usize,
        playbook: &Playbook,
        lexicon: &Lexicon,
        gathered: &mut Gathered,
    ) -> Vec<ExampleWords> {
        let mut examples = Vec::new();
        for (code, texts) in &playbook.examples {
            for text in texts {
                let bare = without_markers(text);
                let Some(sentence) = Sentence::read_in(lexicon, code, &bare) else { continue };
                let mut words = Vec::new();
                for i in (0..sentence.tokens.len()).filter(|i| sentence.tokens[*i].is_word()) {
                    let names = feature_names(&sentence, i);
                    let features: Vec<Feature> =
                        names.into_iter().map(|name| self.id(name)).collect();
                    for feature in &features {
                        gathered.holders.entry(*feature).or_default().insert(p);
                    }
                    let content = sentence.is_content(i);
                    if content {
                        let folded = sentence.folded[i].clone();
                        let code = sentence.language.code;
                        gathered.said.entry(folded.clone()).or_default().insert(code);
                        gathered.spelled.entry(folded).or_default().extend(&features);
                    }
                    words.push((features, content));
                }
                examples.push(words);
            }
        }
        examples
    }

    fn read_rules(&mut self, playbook: &Playbook, lexicon: &Lexicon) -> Known {
        let mut choices = BTreeMap::new();
        for (name, slot) in playbook.slots.iter() {
            let values = slot.values.iter().map(|allowed| match allowed {
                Allowed::Choice(choice) => self.phrases(&choice.words, lexicon),
                Allowed::Name(_) => Vec::new(),
            });
            choices.insert(name.to_owned(), values.collect());
        }
        let rules = &playbook.rules;
        Known {
            vocabulary: HashSet::new(),
            examples: Vec::new(),
            all: rules.all.iter().map(|words| self.phrases(words, lexicon)).collect(),
            any: self.phrases(&rules.any, lexicon),
            none: self.phrases(&rules.none, lexicon),
            choices,
            cues: folded_phrases(playbook, |slot| &slot.cues),
            tails: folded_phrases(playbook, |slot| &slot.before),
        }
    }

    fn gather_rules(&mut self, p: usize, known: &Known, gathered: &mut Gathered) {
        for phrase in known.all.iter().flatten().chain(&known.any) {
            let RulePhrase::Words(words, spelled) = phrase else { continue };
            if let [RuleWord::Features(features)] = words.as_slice() {
                for feature in features {
                    let by = self.deciding.entry(*feature).or_default();
                    if !by.contains(&p) {
                        by.push(p);
                    }
                }
            }
            for (word, spelling) in words.iter().zip(spelled) {
                let RuleWord::Features(features) = word else { continue };
                for feature in features {
                    gathered.holders.entry(*feature).or_default().insert(p);
                }
                gathered.spelled.entry(spelling.clone()).or_default().extend(features);
            }
        }
    }

    fn weigh_examples(&self, raw: Vec<ExampleWords>) -> (Vec<Example>, HashSet<Feature>) {
        let mut vocabulary = HashSet::new();
        let mut examples = Vec::with_capacity(raw.len());
        for words in raw {
            let mut places: HashMap<Feature, Vec<usize>> = HashMap::new();
            let mut weights = Vec::with_capacity(words.len());
            for (place, (features, content)) in words.into_iter().enumerate() {
                let near: Vec<(Feature, f32)> = features.iter().map(|f| (*f, 1.0)).collect();
                weights.push(if content { self.weight(&near) } else { STOP_WEIGHT });
                for feature in &features {
                    places.entry(*feature).or_default().push(place);
                }
                if content {
                    vocabulary.extend(features);
                }
            }
            let total = weights.iter().sum();
            examples.push(Example { weights, places, total });
        }
        (examples, vocabulary)
    }

    /// Words of rules, cues and choices are known to their playbook too.
    fn own_words(
        &mut self,
        playbook: &Playbook,
        lexicon: &Lexicon,
        vocabulary: &mut HashSet<Feature>,
    ) {
        let mut words: Vec<&String> = playbook.rules.all.iter().flatten().collect();
        words.extend(&playbook.rules.any);
        for (_, slot) in playbook.slots.iter() {
            words.extend(slot.cues.iter().chain(&slot.before));
            for allowed in &slot.values {
                match allowed {
                    Allowed::Choice(choice) => words.extend(&choice.words),
                    Allowed::Name(name) => words.push(name),
                }
            }
        }
        for word in words {
            match self.phrase(word, lexicon) {
                RulePhrase::Concept(name) => {
                    vocabulary.insert(self.id(format!("@{name}")));
                }
                RulePhrase::Slot(_) | RulePhrase::Ending(_) => {}
                RulePhrase::Words(words, _) => {
                    for word in words {
                        if let RuleWord::Features(features) = word {
                            vocabulary.extend(features);
                        }
                    }
                }
            }
        }
    }

    fn spellings(
        &self,
        mut spelled: BTreeMap<String, BTreeSet<Feature>>,
        said: &mut HashMap<String, BTreeSet<&'static str>>,
        lexicon: &Lexicon,
    ) -> Vec<Word> {
        let whole: HashSet<String> = spelled.keys().cloned().collect();
        for language in &lexicon.languages {
            for stem in language.concepts.single_words() {
                let feature = self.feature(&format!("{}:{stem}", language.code));
                spelled.entry(stem.to_owned()).or_default().extend(feature);
                said.entry(stem.to_owned()).or_default().insert(language.code);
            }
        }
        spelled
            .into_iter()
            .map(|(folded, features)| (folded.chars().count(), folded, features))
            .filter(|(letters, _, features)| *letters >= 4 && !features.is_empty())
            .map(|(letters, folded, features)| Word {
                letters,
                groups: trigrams(&folded),
                whole: whole.contains(&folded),
                languages: said.get(&folded).cloned().unwrap_or_default(),
                folded,
                features: features.into_iter().collect(),
            })
            .collect()
    }

    fn phrases(&mut self, words: &[String], lexicon: &Lexicon) -> Vec<RulePhrase> {
        words.iter().map(|word| self.phrase(word, lexicon)).collect()
    }

    /// Reads a word or phrase of a rule.
    fn phrase(&mut self, text: &str, lexicon: &Lexicon) -> RulePhrase {
        if let Some(concept) = text.strip_prefix('@') {
            return RulePhrase::Concept(concept.to_owned());
        }
        if let Some(slot) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            return RulePhrase::Slot(slot.to_owned());
        }
        if let Some(slot) = text.strip_prefix("\"{").and_then(|rest| rest.strip_suffix("}\"")) {
            return RulePhrase::Slot(quoted(slot));
        }
        if text.starts_with('.') && text.get(1..2).is_some_and(|next| next != ".") {
            return RulePhrase::Ending(fold(text));
        }
        let (mut words, mut spelled) = (Vec::new(), Vec::new());
        for part in text.split_whitespace() {
            if part == "^" {
                words.push(RuleWord::Start);
                spelled.push(String::new());
                continue;
            }
            if part == "..." {
                words.push(RuleWord::Gap);
                spelled.push(String::new());
                continue;
            }
            let pieces = words_of(part.trim_matches('*'), &str::to_owned);
            let last = pieces.len().saturating_sub(1);
            for (i, word) in pieces.into_iter().enumerate() {
                let folded = fold(&word);
                let open_end = part.ends_with('*') && i == last;
                let open_start = part.starts_with('*') && i == 0;
                words.push(match (open_start, open_end) {
                    (true, true) => RuleWord::Inside(folded.clone()),
                    (false, true) => RuleWord::Prefix(folded.clone()),
                    (true, false) => RuleWord::Suffix(folded.clone()),
                    (false, false) => RuleWord::Features(self.rule_word(&word, lexicon)),
                });
                spelled.push(folded);
            }
        }
        RulePhrase::Words(words, spelled)
    }

    fn rule_word(&mut self, word: &str, lexicon: &Lexicon) -> BTreeSet<Feature> {
        if let Some(features) = self.ruled.get(word) {
            return features.clone();
        }
        let mut features = BTreeSet::from([self.id(format!("={}", fold(word)))]);
        for language in &lexicon.languages {
            features.insert(self.id(format!("{}:{}", language.code, language.stem(word))));
        }
        self.ruled.insert(word.to_owned(), features.clone());
        features
    }

    pub(super) fn known(&self, p: usize) -> Option<&Known> {
        self.known.get(p)
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    pub(super) fn feature(&self, name: &str) -> Option<Feature> {
        self.features.get(name).copied()
    }

    /// How much a word with these features says: as much as its commonest one.
    pub(super) fn weight(&self, features: &[(Feature, f32)]) -> f32 {
        features
            .iter()
            .filter_map(|(feature, _)| self.rarity.get(*feature as usize))
            .copied()
            .fold(1.0, f32::min)
    }

    /// Whether another playbook than `p` has a feature in a rule.
    pub(super) fn decides_other(&self, feature: Feature, p: usize) -> bool {
        self.deciding.get(&feature).is_some_and(|by| by.iter().any(|other| *other != p))
    }

    /// Words of the choices of playbook `p`, for the slot `name`.
    pub(crate) fn choices(&self, p: usize, name: &str) -> &[Vec<RulePhrase>] {
        let choices = self.known.get(p).and_then(|known| known.choices.get(name));
        choices.map_or(&[], Vec::as_slice)
    }

    /// Words before the value of a slot of playbook `p`, folded.
    pub(crate) fn cues(&self, p: usize, slot: &str) -> &[Vec<String>] {
        let cues = self.known.get(p).and_then(|known| known.cues.get(slot));
        cues.map_or(&[], Vec::as_slice)
    }

    /// Words behind the value of a slot of playbook `p`, folded.
    pub(crate) fn tails(&self, p: usize, slot: &str) -> &[Vec<String>] {
        let tails = self.known.get(p).and_then(|known| known.tails.get(slot));
        tails.map_or(&[], Vec::as_slice)
    }

    /// Whether piece `i` would be a function word of a language that the wish is not
    /// in if it had that word's accents ("uber").
    pub(super) fn is_stop_elsewhere(&self, sentence: &Sentence<'_>, i: usize) -> bool {
        let Some(folded) = sentence.folded.get(i) else { return false };
        let own = sentence.language.code;
        let said = |code: &str| self.said.get(folded).is_some_and(|codes| codes.contains(code));
        !said(own)
            && !said("en")
            && sentence.concepts[i].is_empty()
            && sentence.tokens[i].text.is_ascii()
            && sentence
                .lexicon
                .languages
                .iter()
                .any(|l| l.code != own && l.accented.contains(folded))
    }

    /// Where phrases of playbook `p` stand that are one noun of several words, with a
    /// function word inside: what a word in them means alone, it does not mean there.
    pub(crate) fn compounds(&self, view: View<'_>, p: usize) -> Vec<std::ops::Range<usize>> {
        let Some(known) = self.known.get(p) else { return Vec::new() };
        let mut found = Vec::new();
        for phrase in known.all.iter().flatten() {
            let RulePhrase::Words(words, _) = phrase else { continue };
            if words.len() < 3 || words.iter().any(|word| matches!(word, RuleWord::Gap)) {
                continue;
            }
            for i in view.from..view.to {
                let to = i + phrase.length_at(view, i, NEAR);
                let content = |at: usize| view.sentence.is_content(at);
                if to > i && content(i) && content(to - 1) {
                    found.push(i..to);
                }
            }
        }
        found
    }

    /// Whether playbook `p` knows piece `i` of a wish.
    pub(crate) fn knows(&self, probe: &Probe, i: usize, p: usize) -> bool {
        let (Some(known), Some(seen)) = (self.known.get(p), probe.seen(i)) else { return false };
        seen.features.iter().any(|(f, near)| *near >= NEAR && known.vocabulary.contains(f))
    }

    /// Whether piece `i` of a wish is by itself a word of a rule of playbook `p`.
    pub(crate) fn rules_know(&self, view: View<'_>, i: usize, p: usize) -> bool {
        let Some(known) = self.known.get(p) else { return false };
        known.all.iter().flatten().any(|phrase| match phrase {
            RulePhrase::Words(words, _) => {
                matches!(words.as_slice(), [word] if word.fits(view, i, 1.0))
            }
            _ => false,
        })
    }
}

fn folded_phrases(
    playbook: &Playbook,
    of: impl Fn(&Slot) -> &Vec<String>,
) -> BTreeMap<String, Vec<Vec<String>>> {
    let phrases = |slot| of(slot).iter().map(|phrase| words_of(phrase, &fold)).collect();
    playbook.slots.iter().map(|(name, slot)| (name.to_owned(), phrases(slot))).collect()
}

/// What a piece of a sentence is known by: spelling, stems, concepts.
pub(super) fn feature_names(sentence: &Sentence<'_>, i: usize) -> Vec<String> {
    let mut names = vec![
        format!("={}", sentence.folded[i]),
        format!("{}:{}", sentence.language.code, sentence.stems[i]),
    ];
    if sentence.language.code != "en" {
        names.push(format!("en:{}", sentence.english[i]));
    }
    names.extend(sentence.concepts[i].iter().map(|concept| format!("@{concept}")));
    names
}

/// How a slot is called that words in quotes filled.
pub(crate) fn quoted(slot: &str) -> String {
    format!("\"{slot}\"")
}

/// An example without its slot markers.
fn without_markers(example: &str) -> String {
    let mut text = String::with_capacity(example.len());
    let mut depth = 0u32;
    for c in example.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text
}

/// The names of an example's slot markers.
pub fn markers(example: &str) -> Vec<&str> {
    let marked = example.split('{').skip(1);
    marked.filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}
