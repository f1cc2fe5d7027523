//! How like a wish is to a playbook.
//!
//! One figure from 0 to 1:
//!
//! ```text
//! likeness = rules × (0.25 + 0.75 × coverage) × (0.60 + 0.40 × example)
//!          + 0.03 × (concept groups hit beyond the first, at most two)
//! ```
//!
//! - **rules**: 1 when every concept group of the playbook is hit, times
//!   [`MISSED_GROUP`] for each that is not; 0 when a forbidden word is there.
//! - **coverage**: the share of the wish's words, weighed by rarity, that the
//!   playbook knows from its examples, rules and slots, or that filled a slot. A
//!   word that no playbook knows weighs most, so a wish about something else
//!   falls here.
//! - **example**: likeness to the nearest example: words in common on both
//!   sides, weighed by rarity.
//!
//! Words are compared by spelling, by stem, by general concept (which reaches
//! across languages), and where a word is known nowhere, by the nearest known
//! spelling: typos, parts of compounds, letter groups. Words that are values
//! never count. Below [`THRESHOLD`] a wish is out of reach.

use crate::playbook::{Allowed, Playbook, Slot};
use crate::words::fold::{dice, distance, fold, trigrams, typos_allowed};
use crate::words::sentence::Sentence;
use crate::words::token::{Kind, tokens};
use crate::words::{Lexicon, words_of};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

/// A wish less like a playbook than this is out of its reach.
pub const THRESHOLD: f32 = 0.45;
/// Factor for each concept group that a wish does not hit.
pub const MISSED_GROUP: f32 = 0.62;
/// Weight of a function word beside that of a rare word.
const STOP_WEIGHT: f32 = 0.08;
/// Weight of an unknown proper name: it says little about what is wished.
const PROPER_WEIGHT: f32 = 0.3;
/// How much a shared general concept counts beside a shared word.
const CONCEPT: f32 = 0.8;
/// Nearness from which a word counts as another when rules are matched.
const NEAR: f32 = 0.7;

type Feature = u32;

/// A word in a rule.
#[derive(Debug)]
pub(crate) enum RuleWord {
    /// Any words: "pack … aus".
    Gap,
    Features(BTreeSet<Feature>),
    Prefix(String),
    Suffix(String),
    Inside(String),
}

/// A phrase in a rule.
#[derive(Debug)]
pub(crate) enum RulePhrase {
    Words(Vec<RuleWord>, String),
    Concept(String),
    /// A slot that the words must have filled.
    Slot(String),
}

#[derive(Debug)]
struct Example {
    weights: Vec<f32>,
    places: HashMap<Feature, Vec<usize>>,
    total: f32,
}

#[derive(Debug)]
struct Known {
    vocabulary: HashSet<Feature>,
    examples: Vec<Example>,
    all: Vec<Vec<RulePhrase>>,
    any: Vec<RulePhrase>,
    none: Vec<RulePhrase>,
    choices: Choices,
    cues: BTreeMap<String, Vec<Vec<String>>>,
    tails: BTreeMap<String, Vec<Vec<String>>>,
}

/// Words of the choices of a playbook, by slot.
pub(crate) type Choices = BTreeMap<String, Vec<Vec<RulePhrase>>>;

#[derive(Debug)]
struct Word {
    folded: String,
    letters: usize,
    groups: Vec<u64>,
    features: Vec<Feature>,
    /// Whether it stands in a playbook as a whole word.
    whole: bool,
}

/// What the playbooks together know of words.
#[derive(Debug, Default)]
pub struct Index {
    features: HashMap<String, Feature>,
    rarity: Vec<f32>,
    known: Vec<Known>,
    words: Vec<Word>,
    /// Playbooks that have a feature in a rule.
    deciding: HashMap<Feature, Vec<usize>>,
    /// Features of words of rules, which repeat from playbook to playbook.
    ruled: HashMap<String, BTreeSet<Feature>>,
}

/// A piece of a wish, as the index sees it.
#[derive(Debug, Clone)]
struct Seen {
    features: Vec<(Feature, f32)>,
    weight: f32,
    content: bool,
    word: bool,
}

/// A wish, as the index sees it.
#[derive(Debug, Clone)]
pub struct Probe {
    seen: Vec<Seen>,
}

/// How like a wish is to a playbook, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Likeness {
    /// From 0 to 1.
    pub score: f32,
    /// Share by rules.
    pub rules: f32,
    /// Share of the words that are known.
    pub coverage: f32,
    /// Likeness to the nearest example.
    pub example: f32,
    /// Words that hit a rule, as they were written.
    pub hits: Vec<String>,
    /// Pieces with a meaning that the playbook does not know.
    pub uncovered: Vec<usize>,
}

/// How a piece of a wish was used by a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Not at all.
    #[default]
    No,
    /// As a word that leads to a value.
    Lead,
    /// As a value.
    Value,
    /// Inside a free text: says nothing about what is wished.
    Text,
}

impl Probe {
    /// How much piece `i` says.
    pub(crate) fn weight(&self, i: usize) -> f32 {
        self.seen.get(i).map_or(0.0, |seen| seen.weight)
    }
}

impl Index {
    /// Learns the words of the playbooks.
    pub fn new(playbooks: &[Playbook], lexicon: &Lexicon) -> Self {
        let mut index = Self::default();
        let mut counts: Vec<BTreeSet<usize>> = Vec::new();
        let mut spelled: BTreeMap<String, BTreeSet<Feature>> = BTreeMap::new();
        let mut raw: Vec<Vec<Vec<(Vec<Feature>, bool)>>> = Vec::new();
        for (p, playbook) in playbooks.iter().enumerate() {
            let mut examples = Vec::new();
            for (code, texts) in &playbook.examples {
                for text in texts {
                    let Some(sentence) = Sentence::read_in(lexicon, code, &without_markers(text))
                    else {
                        continue;
                    };
                    let mut words = Vec::new();
                    for i in 0..sentence.tokens.len() {
                        if !sentence.tokens[i].is_word() {
                            continue;
                        }
                        let features = index.learn(&sentence, i);
                        if sentence.is_content(i) {
                            spelled
                                .entry(sentence.folded[i].clone())
                                .or_default()
                                .extend(&features);
                        }
                        for feature in &features {
                            counts.resize(counts.len().max(*feature as usize + 1), BTreeSet::new());
                            counts[*feature as usize].insert(p);
                        }
                        words.push((features, sentence.is_content(i)));
                    }
                    examples.push(words);
                }
            }
            raw.push(examples);
            let group = |index: &mut Self, words: &[String]| -> Vec<RulePhrase> {
                words.iter().map(|word| index.rule(word, lexicon)).collect()
            };
            let known = Known {
                vocabulary: HashSet::new(),
                examples: Vec::new(),
                all: playbook.rules.all.iter().map(|words| group(&mut index, words)).collect(),
                any: group(&mut index, &playbook.rules.any),
                none: group(&mut index, &playbook.rules.none),
                choices: index.learn_choices(playbook, lexicon),
                cues: folded_phrases(playbook, |slot| slot.cues.as_slice()),
                tails: folded_phrases(playbook, |slot| slot.before.as_slice()),
            };
            for phrase in known.all.iter().flatten().chain(&known.any) {
                let RulePhrase::Words(words, text) = phrase else { continue };
                if let [RuleWord::Features(features)] = words.as_slice() {
                    for feature in features {
                        let by = index.deciding.entry(*feature).or_default();
                        if !by.contains(&p) {
                            by.push(p);
                        }
                    }
                }
                let folded = words_of(text, &fold);
                for (word, folded) in words.iter().zip(folded) {
                    let RuleWord::Features(features) = word else { continue };
                    for feature in features {
                        counts.resize(counts.len().max(*feature as usize + 1), BTreeSet::new());
                        counts[*feature as usize].insert(p);
                    }
                    spelled.entry(folded).or_default().extend(features);
                }
            }
            index.known.push(known);
        }
        let all = playbooks.len() as f32 + 1.0;
        index.rarity = (0..index.features.len())
            .map(|f| {
                let seen = counts.get(f).map_or(0, BTreeSet::len) as f32;
                ((all / (seen + 0.5)).ln() / (all / 0.5).ln()).max(0.12)
            })
            .collect();
        for (p, examples) in raw.into_iter().enumerate() {
            index.learn_examples(p, examples);
            index.learn_vocabulary(p, &playbooks[p], lexicon);
        }
        let whole: HashSet<String> = spelled.keys().cloned().collect();
        for language in &lexicon.languages {
            for word in language.concepts.single_words() {
                let feature = index.features.get(&format!("{}:{word}", language.code)).copied();
                spelled.entry(word.to_owned()).or_default().extend(feature);
            }
        }
        index.words = spelled
            .into_iter()
            .filter(|(folded, features)| folded.chars().count() >= 4 && !features.is_empty())
            .map(|(folded, features)| Word {
                letters: folded.chars().count(),
                groups: trigrams(&folded),
                whole: whole.contains(&folded),
                folded,
                features: features.into_iter().collect(),
            })
            .collect();
        index
    }

    fn id(&mut self, name: String) -> Feature {
        let next = self.features.len() as Feature;
        *self.features.entry(name).or_insert(next)
    }

    fn learn(&mut self, sentence: &Sentence<'_>, i: usize) -> Vec<Feature> {
        let names = feature_names(sentence, i);
        names.into_iter().map(|name| self.id(name)).collect()
    }

    fn learn_examples(&mut self, p: usize, raw: Vec<Vec<(Vec<Feature>, bool)>>) {
        for words in raw {
            let mut places: HashMap<Feature, Vec<usize>> = HashMap::new();
            let mut weights = Vec::with_capacity(words.len());
            for (place, (features, content)) in words.iter().enumerate() {
                weights.push(if *content { self.weight(features) } else { STOP_WEIGHT });
                for feature in features {
                    places.entry(*feature).or_default().push(place);
                }
                if *content {
                    self.known[p].vocabulary.extend(features);
                }
            }
            let total = weights.iter().sum();
            self.known[p].examples.push(Example { weights, places, total });
        }
    }

    fn learn_vocabulary(&mut self, p: usize, playbook: &Playbook, lexicon: &Lexicon) {
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
            match self.rule(word, lexicon) {
                RulePhrase::Concept(name) => {
                    let id = self.id(format!("@{name}"));
                    self.known[p].vocabulary.insert(id);
                }
                RulePhrase::Slot(_) => {}
                RulePhrase::Words(words, _) => {
                    for word in words {
                        if let RuleWord::Features(features) = word {
                            self.known[p].vocabulary.extend(features);
                        }
                    }
                }
            }
        }
        self.rarity.resize(self.features.len(), 1.0);
    }

    fn learn_choices(&mut self, playbook: &Playbook, lexicon: &Lexicon) -> Choices {
        let mut choices = Choices::new();
        for (name, slot) in playbook.slots.iter() {
            let values = slot.values.iter().map(|allowed| match allowed {
                Allowed::Choice(choice) => {
                    choice.words.iter().map(|word| self.rule(word, lexicon)).collect()
                }
                Allowed::Name(_) => Vec::new(),
            });
            choices.insert(name.to_owned(), values.collect());
        }
        choices
    }

    /// Words of the choices of playbook `p`, for the slot `name`.
    pub(crate) fn choices(&self, p: usize, name: &str) -> &[Vec<RulePhrase>] {
        let known = self.known.get(p).and_then(|known| known.choices.get(name));
        known.map_or(&[], Vec::as_slice)
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

    /// Whether playbook `p` knows piece `i` of a wish.
    pub(crate) fn knows(&self, probe: &Probe, i: usize, p: usize) -> bool {
        let (Some(known), Some(seen)) = (self.known.get(p), probe.seen.get(i)) else {
            return false;
        };
        seen.features.iter().any(|(f, near)| *near >= NEAR && known.vocabulary.contains(f))
    }

    /// Whether piece `i` of a wish is a word of a rule of playbook `p`.
    pub(crate) fn rules_know(
        &self,
        sentence: &Sentence<'_>,
        probe: &Probe,
        i: usize,
        p: usize,
    ) -> bool {
        let Some(known) = self.known.get(p) else { return false };
        known.all.iter().flatten().any(|phrase| match phrase {
            RulePhrase::Words(words, _) if words.len() == 1 => {
                words.iter().any(|word| fits(word, sentence, probe, i, 1.0))
            }
            _ => false,
        })
    }

    /// Reads a word or phrase of a rule.
    pub(crate) fn rule(&mut self, text: &str, lexicon: &Lexicon) -> RulePhrase {
        if let Some(concept) = text.strip_prefix('@') {
            return RulePhrase::Concept(concept.to_owned());
        }
        if let Some(slot) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            return RulePhrase::Slot(slot.to_owned());
        }
        let words = text.split_whitespace().flat_map(|part| {
            if part == "..." {
                return vec![(part.to_owned(), false, false)];
            }
            let (prefix, suffix) = (part.ends_with('*'), part.starts_with('*'));
            let bare = part.trim_matches('*');
            let pieces = words_of(bare, &|word| word.to_owned());
            let last = pieces.len().saturating_sub(1);
            pieces
                .into_iter()
                .enumerate()
                .map(move |(i, word)| (word, prefix && i == last, suffix && i == 0))
        });
        let words: Vec<(String, bool, bool)> = words.collect();
        let read = words
            .into_iter()
            .map(|(word, prefix, suffix)| match (prefix, suffix) {
                (true, true) => RuleWord::Inside(fold(&word)),
                (true, false) => RuleWord::Prefix(fold(&word)),
                (false, true) => RuleWord::Suffix(fold(&word)),
                (false, false) => RuleWord::Features(self.rule_word(&word, lexicon)),
            })
            .collect();
        RulePhrase::Words(read, text.trim_matches('*').to_owned())
    }

    fn rule_word(&mut self, word: &str, lexicon: &Lexicon) -> BTreeSet<Feature> {
        if let Some(features) = self.ruled.get(word) {
            return features.clone();
        }
        let spelling = self.id(format!("={}", fold(word)));
        let stems = lexicon
            .languages
            .iter()
            .map(|language| self.id(format!("{}:{}", language.code, language.stem(word))));
        let features: BTreeSet<Feature> = stems.chain([spelling]).collect();
        self.ruled.insert(word.to_owned(), features.clone());
        features
    }

    fn weight(&self, features: &[Feature]) -> f32 {
        features
            .iter()
            .filter_map(|feature| self.rarity.get(*feature as usize))
            .copied()
            .fold(1.0, f32::min)
    }

    /// Looks at a wish. Pieces in `values` are values and never count; what is in
    /// `names` is spelled as it should be.
    pub fn probe(
        &self,
        sentence: &Sentence<'_>,
        values: &[bool],
        names: &dyn Fn(&str) -> bool,
    ) -> Probe {
        let seen = (0..sentence.tokens.len())
            .map(|i| {
                let token = &sentence.tokens[i];
                let value = values.get(i).copied().unwrap_or(false);
                if !token.is_word() || value {
                    return Seen {
                        features: Vec::new(),
                        weight: if token.is_value() || value { 0.6 } else { 0.0 },
                        content: token.is_value() || value,
                        word: false,
                    };
                }
                let content = sentence.is_content(i);
                let mut features: Vec<(Feature, f32)> = Vec::new();
                let mut concepts = Vec::new();
                for name in feature_names(sentence, i) {
                    let Some(feature) = self.features.get(&name) else { continue };
                    match name.starts_with('@') {
                        true => concepts.push((*feature, CONCEPT)),
                        false => features.push((*feature, 1.0)),
                    }
                }
                if sentence.is_foreign(i) {
                    features.clear();
                }
                let spelled: Vec<Feature> = features.iter().map(|(f, _)| *f).collect();
                let mut weight = self.weight(&spelled);
                if features.is_empty() && content {
                    if concepts.is_empty() && !names(&token.folded) {
                        let compounds = matches!(sentence.language.code, "de" | "nl");
                        features = self.nearest(&token.folded, compounds);
                        let near: Vec<Feature> = features.iter().map(|(f, _)| *f).collect();
                        weight = self.weight(&near);
                        if near.is_empty() && sentence.is_proper(i) {
                            weight = PROPER_WEIGHT;
                        }
                    } else if !concepts.is_empty() {
                        let ids: Vec<Feature> = concepts.iter().map(|(f, _)| *f).collect();
                        weight = self.weight(&ids).max(0.3);
                    }
                }
                features.extend(concepts);
                let weight = if content { weight } else { STOP_WEIGHT };
                Seen { features, weight, content, word: true }
            })
            .collect();
        Probe { seen }
    }

    /// Features of the known words nearest to an unknown one.
    fn nearest(&self, folded: &str, compounds: bool) -> Vec<(Feature, f32)> {
        let letters = folded.chars().count();
        let most = typos_allowed(letters);
        let mut best: Option<(usize, &Word)> = None;
        for word in &self.words {
            // Hardly anybody mistypes the first letter.
            let first = word.folded.chars().next() == folded.chars().next();
            if most == 0 || typos_allowed(word.letters) == 0 || !first {
                continue;
            }
            if let Some(typos) = distance(folded, &word.folded, most)
                && best.is_none_or(|(fewest, _)| typos < fewest)
            {
                best = Some((typos, word));
            }
        }
        if let Some((_, word)) = best {
            return word.features.iter().map(|f| (*f, 0.9)).collect();
        }
        let mut found = Vec::new();
        for at_end in [false, true].into_iter().filter(|_| compounds) {
            let longest = self
                .words
                .iter()
                .filter(|word| word.whole && word.letters >= 5 && word.letters + 2 < letters)
                .filter(|word| match at_end {
                    true => folded.ends_with(&word.folded),
                    false => folded.starts_with(&word.folded),
                })
                .max_by_key(|word| word.letters);
            found.extend(longest.into_iter().flat_map(|w| w.features.iter().map(|f| (*f, 0.75))));
        }
        if found.is_empty() && letters >= 5 {
            let groups = trigrams(folded);
            let alike = self
                .words
                .iter()
                .map(|word| (dice(&groups, &word.groups), word))
                .filter(|(alike, _)| *alike >= 0.62)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((alike, word)) = alike {
                // Helps to cover a word, never to meet a rule.
                found.extend(word.features.iter().map(|f| (*f, alike * 0.6)));
            }
        }
        found
    }

    /// How like the pieces of a wish in `range` are to playbook `p`. `used` and
    /// `spoken` say how slots took them; before that, `spoken` is `None`.
    pub fn likeness(
        &self,
        sentence: &Sentence<'_>,
        probe: &Probe,
        p: usize,
        range: Range<usize>,
        used: &[Use],
        spoken: Option<&[String]>,
    ) -> Likeness {
        let Some(known) = self.known.get(p) else {
            return Likeness {
                score: 0.0,
                rules: 0.0,
                coverage: 0.0,
                example: 0.0,
                hits: vec![],
                uncovered: vec![],
            };
        };
        let used_at = |i: usize| used.get(i).copied().unwrap_or_default();
        let place = |phrase: &RulePhrase, least: f32| {
            range
                .clone()
                .find(|i| self.phrase_at(sentence, probe, phrase, *i, &range, used, least) > 0)
        };
        let mut rules = 1.0;
        let mut groups_hit = 0u8;
        let mut hits = Vec::new();
        let mut note = |at: usize| {
            let word = sentence.tokens[at].text.clone();
            if !hits.contains(&word) {
                hits.push(word);
            }
        };
        let groups = known.all.iter().chain((!known.any.is_empty()).then_some(&known.any));
        for group in groups {
            let filled = group.iter().any(|phrase| match phrase {
                // Before slots are filled any of them may yet be.
                RulePhrase::Slot(slot) => spoken.is_none_or(|spoken| spoken.contains(slot)),
                _ => false,
            });
            match group.iter().find_map(|phrase| place(phrase, NEAR)) {
                Some(at) => {
                    note(at);
                    groups_hit += 1;
                }
                None if filled => groups_hit += 1,
                None => rules *= MISSED_GROUP,
            }
        }
        if known.none.iter().any(|phrase| place(phrase, 1.0).is_some()) {
            rules = 0.0;
        }
        let (mut all, mut covered) = (0.0, 0.0);
        let mut uncovered = Vec::new();
        for i in range.clone() {
            let seen = &probe.seen[i];
            if !seen.content {
                continue;
            }
            if used_at(i) == Use::Text {
                // Free words say nothing, unless they are what others are about.
                let others = |(feature, near): &(Feature, f32)| {
                    *near >= 1.0
                        && self.deciding.get(feature).is_some_and(|by| by.iter().any(|q| *q != p))
                };
                if seen.word && seen.features.iter().any(others) {
                    all += 0.7 * seen.weight;
                }
                continue;
            }
            all += seen.weight;
            let known_as = seen
                .features
                .iter()
                .filter(|(feature, _)| known.vocabulary.contains(feature))
                .map(|(_, nearness)| *nearness)
                .fold(0.0, f32::max);
            let share = if used_at(i) == Use::No { known_as } else { 1.0 };
            covered += share * seen.weight;
            if share < 0.5 {
                uncovered.push(i);
            }
        }
        let coverage = if all > 0.0 { covered / all } else { 1.0 };
        let example = known
            .examples
            .iter()
            .map(|example| alike(probe, example, &range, used))
            .fold(0.0, f32::max);
        let score = combine(rules, coverage, example, groups_hit);
        Likeness { score, rules, coverage, example, hits, uncovered }
    }

    /// How many pieces of the wish from `i` on a phrase takes; 0 for none.
    #[allow(clippy::too_many_arguments)]
    fn phrase_at(
        &self,
        sentence: &Sentence<'_>,
        probe: &Probe,
        phrase: &RulePhrase,
        i: usize,
        range: &Range<usize>,
        used: &[Use],
        least: f32,
    ) -> usize {
        let hidden = |i: usize| {
            used.get(i).copied().unwrap_or_default() == Use::Text
                || !probe.seen.get(i).is_some_and(|seen| seen.word)
        };
        let words = match phrase {
            RulePhrase::Concept(name) => {
                return usize::from(!hidden(i) && sentence.means(i, name));
            }
            RulePhrase::Slot(_) => return 0,
            RulePhrase::Words(words, _) => words,
        };
        let mut at = i;
        for (nth, word) in words.iter().enumerate() {
            let mut skipped = 0;
            loop {
                if at >= range.end || hidden(at) && sentence.tokens[at].kind != Kind::Number {
                    return 0;
                }
                if fits(word, sentence, probe, at, least) {
                    at += 1;
                    break;
                }
                // Function words may stand between the words of a phrase.
                if nth == 0 || skipped == 2 || !sentence.is_stop(at) {
                    return 0;
                }
                skipped += 1;
                at += 1;
            }
        }
        at - i
    }

    /// Where a phrase of a rule stands in a wish.
    pub(crate) fn find(
        &self,
        sentence: &Sentence<'_>,
        probe: &Probe,
        phrase: &RulePhrase,
        range: &Range<usize>,
        used: &[Use],
    ) -> Option<Range<usize>> {
        range.clone().find_map(|i| {
            match self.phrase_at(sentence, probe, phrase, i, range, used, NEAR) {
                0 => None,
                length => Some(i..i + length),
            }
        })
    }
}

fn fits(word: &RuleWord, sentence: &Sentence<'_>, probe: &Probe, at: usize, least: f32) -> bool {
    let folded = &sentence.folded[at];
    match word {
        RuleWord::Features(features) => probe.seen[at]
            .features
            .iter()
            .any(|(feature, near)| *near >= least && features.contains(feature)),
        RuleWord::Prefix(part) => folded.starts_with(part.as_str()),
        RuleWord::Suffix(part) => folded.ends_with(part.as_str()),
        RuleWord::Inside(part) => folded.contains(part.as_str()),
    }
}

/// The one figure.
fn combine(rules: f32, coverage: f32, example: f32, groups_hit: u8) -> f32 {
    let specific = f32::from(groups_hit.saturating_sub(1).min(2));
    let likeness = rules * (0.25 + 0.75 * coverage) * (0.60 + 0.40 * example);
    if rules > 0.0 { (likeness + 0.03 * specific).min(1.0) } else { 0.0 }
}

/// Words in common on both sides, weighed.
fn alike(probe: &Probe, example: &Example, range: &Range<usize>, used: &[Use]) -> f32 {
    let mut matched = vec![0.0f32; example.weights.len()];
    let (mut total, mut common) = (0.0, 0.0);
    for i in range.clone() {
        let seen = &probe.seen[i];
        let used = used.get(i).copied().unwrap_or_default();
        if !seen.word || used >= Use::Value {
            continue;
        }
        total += seen.weight;
        let mut best = 0.0f32;
        for (feature, nearness) in &seen.features {
            let Some(places) = example.places.get(feature) else { continue };
            best = best.max(*nearness);
            for place in places {
                matched[*place] = matched[*place].max(*nearness);
            }
        }
        common += best * seen.weight;
    }
    let theirs: f32 = matched.iter().zip(&example.weights).map(|(m, w)| m * w).sum();
    let both = total + example.total;
    if both > 0.0 { (common + theirs) / both } else { 0.0 }
}

fn folded_phrases(
    playbook: &Playbook,
    of: impl Fn(&Slot) -> &[String],
) -> BTreeMap<String, Vec<Vec<String>>> {
    let phrases = |slot| of(slot).iter().map(|phrase| words_of(phrase, &fold)).collect();
    playbook.slots.iter().map(|(name, slot)| (name.to_owned(), phrases(slot))).collect()
}

/// What a piece of a sentence is known by.
fn feature_names(sentence: &Sentence<'_>, i: usize) -> Vec<String> {
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
    example
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .collect()
}

/// Whether a phrase has any word at all; rules without one can never be hit.
pub fn is_phrase(text: &str) -> bool {
    text.starts_with('@') || !tokens(text, &|_| false).is_empty()
}
