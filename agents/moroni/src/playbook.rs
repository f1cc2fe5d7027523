//! Playbooks: versioned plans with typed slots, one YAML file each. The format is
//! described for writers in `playbooks/README.md`.

use crate::template::{self, Values};
use crate::words::Lexicon;
use crate::yaml::{self, Ordered, YamlError};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A playbook that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaybookError {
    /// The file is not what a playbook must be.
    #[error("the playbook {name} cannot be read: {source}")]
    Read {
        /// File name or name.
        name: String,
        /// What is wrong, and where.
        #[source]
        source: YamlError,
    },
    /// The parts do not fit together.
    #[error("the playbook {name} does not fit together: {message}")]
    Unfit {
        /// Its name.
        name: String,
        /// What does not fit.
        message: String,
    },
    /// Two playbooks have one name.
    #[error("there are two playbooks called {0}")]
    Twice(String),
    /// The shipped words cannot be read.
    #[error("the words of a language cannot be read: {0}")]
    Words(#[source] YamlError),
}

/// A playbook.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Its name.
    pub name: String,
    /// Raised whenever it does something else.
    pub version: u32,
    /// One line for people.
    pub summary: String,
    /// How people say it, by language.
    pub examples: BTreeMap<String, Vec<String>>,
    /// Words that decide.
    #[serde(default)]
    pub rules: Rules,
    /// What is filled from the words.
    #[serde(default)]
    pub slots: Ordered<Slot>,
    /// What is done.
    pub steps: Vec<Step>,
    /// The answer.
    #[serde(default)]
    pub answer: Vec1<Answer>,
    /// Bounds below the mission's.
    #[serde(default)]
    pub budget: Bounds,
    /// How it may be used.
    #[serde(default)]
    pub options: Options,
    /// Whether it is the user's own: it wins where it fits as well as a shipped one.
    #[serde(skip)]
    pub own: bool,
}

/// Words that decide whether a playbook is meant.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Each group should be hit.
    pub all: Vec<Vec<String>>,
    /// One of these must be there, when there are any.
    pub any: Vec<String>,
    /// None of these may be there.
    pub none: Vec<String>,
}

/// Types of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotType {
    /// An existing file.
    Path,
    /// Globs, paths, folders.
    Files,
    /// A folder, existing or new.
    Folder,
    /// A file to write.
    NewFile,
    /// Words.
    Text,
    /// A number.
    Number,
    /// A day.
    Date,
    /// A column of a table.
    Column,
    /// Conditions on the rows of a table.
    Condition,
    /// A file format.
    Format,
    /// One or more of listed values.
    Choice,
}

impl fmt::Display for SlotType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "path",
            Self::Files => "files",
            Self::Folder => "folder",
            Self::NewFile => "new-file",
            Self::Text => "text",
            Self::Number => "number",
            Self::Date => "date",
            Self::Column => "column",
            Self::Condition => "condition",
            Self::Format => "format",
            Self::Choice => "choice",
        })
    }
}

/// Which end of a span of days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Its first day.
    #[default]
    Start,
    /// Its last day.
    End,
}

/// Something that is filled from the words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: SlotType,
    /// Whether it may stay empty.
    #[serde(default)]
    pub optional: bool,
    /// Its value when the words give none; a template over other slots.
    #[serde(default)]
    pub default: Option<Value>,
    /// The question when it is missing.
    #[serde(default)]
    pub ask: Option<String>,
    /// How the test of the examples says it.
    #[serde(default)]
    pub sample: Option<String>,
    /// Words directly before the value.
    #[serde(default)]
    pub cues: Vec<String>,
    /// Words directly behind the value.
    #[serde(default)]
    pub before: Vec<String>,
    /// Kinds of files.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Extensions of a new file.
    #[serde(default)]
    pub ext: Vec<String>,
    /// The path slot whose table has the column.
    #[serde(default)]
    pub of: Option<String>,
    /// Only columns of numbers.
    #[serde(default)]
    pub numeric: bool,
    /// Takes the sole candidate without a word for it.
    #[serde(default)]
    pub only: bool,
    /// A list instead of one value.
    #[serde(default)]
    pub many: bool,
    /// Which end of a span of days.
    #[serde(default)]
    pub bound: Bound,
    /// Allowed values.
    #[serde(default)]
    pub values: Vec<Allowed>,
}

/// An allowed value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Allowed {
    /// A format.
    Name(String),
    /// A choice.
    Choice(Choice),
}

/// A value and the words for it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The value.
    pub value: Value,
    /// Its words, of any language.
    pub words: Vec<String>,
}

/// One thing or a list of things.
#[derive(Debug, Clone, PartialEq)]
pub struct Vec1<T>(pub Vec<T>);

impl<T> Default for Vec1<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Vec1<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany<T> {
            Many(Vec<T>),
            One(T),
        }
        OneOrMany::deserialize(d).map(|either| match either {
            OneOrMany::One(one) => Self(vec![one]),
            OneOrMany::Many(many) => Self(many),
        })
    }
}

/// A part of the answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// Always.
    Text(String),
    /// Depending on what is filled.
    Part(AnswerPart),
}

/// A part of the answer that depends on what is filled.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerPart {
    /// The words.
    pub text: String,
    /// Only when all of these are filled.
    #[serde(default)]
    pub when: Vec1<String>,
    /// Only when none of these is filled.
    #[serde(default)]
    pub unless: Vec1<String>,
}

/// A step of a playbook.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How other steps name it.
    #[serde(default)]
    pub name: Option<String>,
    /// One line for people.
    pub title: String,
    /// Name of the tool.
    pub tool: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Value,
    /// Only when all of these slots are filled.
    #[serde(default)]
    pub when: Vec1<String>,
    /// Only when none of these slots is filled.
    #[serde(default)]
    pub unless: Vec1<String>,
    /// Steps to wait for, by name or place.
    #[serde(default)]
    pub after: Vec1<Value>,
    /// Once per element.
    #[serde(default)]
    pub for_each: Option<Each>,
    /// Bounds below the tool's.
    #[serde(default)]
    pub limits: Bounds,
}

/// Run a step once per element of a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// A reference to a list.
    pub items: String,
    /// Most elements.
    pub max_items: u32,
}

/// Bounds that may be given singly, of a call or of a mission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Steps and instances started.
    pub steps: Option<u64>,
    /// Milliseconds.
    pub wall_ms: Option<u64>,
    /// Milliseconds of processor time.
    pub cpu_ms: Option<u64>,
    /// MiB of memory.
    pub memory_mb: Option<u64>,
    /// Bytes of output.
    pub output_bytes: Option<u64>,
    /// Bytes written to the user's files.
    pub bytes_written: Option<u64>,
    /// Tries.
    pub attempts: Option<u32>,
}

/// How a playbook may be used.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether it may be one part of a wish.
    pub part: bool,
    /// Only where there is a file of one of these kinds.
    pub needs: Vec<String>,
    /// Every word of the wish must be understood.
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { part: true, needs: Vec::new(), strict: false }
    }
}

/// Whether `when` and `unless` let a thing in.
pub fn included(when: &[String], unless: &[String], values: &Values) -> bool {
    when.iter().all(|slot| values.contains_key(slot))
        && !unless.iter().any(|slot| values.contains_key(slot))
}

impl Playbook {
    /// Reads a playbook and checks that its parts fit together.
    pub fn parse(file: &str, text: &str, lexicon: &Lexicon) -> Result<Self, PlaybookError> {
        let playbook: Self = yaml::parse(text)
            .map_err(|source| PlaybookError::Read { name: file.to_owned(), source })?;
        match playbook.unfit(lexicon) {
            Some(message) => Err(PlaybookError::Unfit { name: playbook.name, message }),
            None => Ok(playbook),
        }
    }

    /// A slot by its name.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.get(name)
    }

    /// Names of the slots that may stay empty.
    pub fn optional_slots(&self) -> Vec<&str> {
        self.slots.iter().filter(|(_, slot)| slot.optional).map(|(name, _)| name).collect()
    }

    /// The first thing that does not fit, in words.
    fn unfit(&self, lexicon: &Lexicon) -> Option<String> {
        let good_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !good_name(&self.name) {
            return Some("its name may hold a-z, 0-9 and - only".to_owned());
        }
        if self.version == 0 || self.summary.trim().is_empty() || self.steps.is_empty() {
            return Some("it needs a version from 1, a summary and a step".to_owned());
        }
        for code in self.examples.keys() {
            if lexicon.language(code).is_none() {
                return Some(format!("examples: no language is called {code:?}"));
            }
        }
        if self.examples.values().all(Vec::is_empty) {
            return Some("it needs an example".to_owned());
        }
        let words = self.rules.all.iter().flatten().chain(&self.rules.any).chain(&self.rules.none);
        for word in words {
            if let Some(concept) = word.strip_prefix('@')
                && lexicon.concept(concept).is_none()
            {
                return Some(format!("rules: no concept is called {word:?}"));
            }
        }
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for (name, slot) in self.slots.iter() {
            if let Some(message) = self.slot_unfit(name, slot, &known, lexicon) {
                return Some(format!("slot {name}: {message}"));
            }
            known.insert(name);
        }
        self.steps_unfit(&known)
    }

    fn slot_unfit(
        &self,
        name: &str,
        slot: &Slot,
        before: &BTreeSet<&str>,
        lexicon: &Lexicon,
    ) -> Option<String> {
        use SlotType::{
            Choice, Column, Condition, Date, Files, Format, NewFile, Number, Path, Text,
        };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            return Some("a name may hold letters, digits, - and _".to_owned());
        }
        let fits = |given: bool, field: &str, types: &[SlotType]| {
            (given && !types.contains(&slot.kind))
                .then(|| format!("a {} slot has no {field}", slot.kind))
        };
        let misplaced = fits(!slot.before.is_empty(), "before", &[Text])
            .or_else(|| fits(!slot.kinds.is_empty(), "kinds", &[Path, Files]))
            .or_else(|| fits(!slot.ext.is_empty(), "ext", &[NewFile]))
            .or_else(|| fits(slot.of.is_some(), "of", &[Column, Condition]))
            .or_else(|| fits(slot.numeric, "numeric", &[Column]))
            .or_else(|| fits(slot.only, "only", &[Column]))
            .or_else(|| fits(slot.many, "many", &[Column, Choice]))
            .or_else(|| fits(slot.bound == Bound::End, "bound", &[Date]))
            .or_else(|| fits(!slot.values.is_empty(), "values", &[Format, Choice]))
            .or_else(|| {
                let types =
                    [Path, NewFile, SlotType::Folder, Text, Number, Date, Column, Format, Files];
                fits(!slot.cues.is_empty(), "cues", &types)
            });
        if misplaced.is_some() {
            return misplaced;
        }
        for kind in &slot.kinds {
            if lexicon.extensions(kind).is_none() {
                return Some(format!("no kind of files is called {kind:?}"));
            }
        }
        if matches!(slot.kind, Column | Condition) {
            let of = slot.of.as_deref().and_then(|of| self.slots.get(of));
            if of.is_none_or(|of| of.kind != Path) {
                return Some("`of` must name a path slot".to_owned());
            }
        }
        for allowed in &slot.values {
            match (allowed, slot.kind) {
                (Allowed::Name(_), Format) | (Allowed::Choice(_), Choice) => {}
                (_, Format) => return Some("values of a format are names".to_owned()),
                _ => return Some("values of a choice have `value` and `words`".to_owned()),
            }
        }
        if slot.kind == Choice && slot.values.is_empty() {
            return Some("a choice needs values".to_owned());
        }
        let named = match slot.default.as_ref().map(template::slots_named) {
            Some(Ok(named)) => named,
            Some(Err(message)) => return Some(format!("default: {message}")),
            None => Vec::new(),
        };
        named
            .iter()
            .find(|named| !before.contains(named.as_str()) && self.slots.get(named).is_none())
            .map(|unknown| format!("default: no slot is called {unknown:?}"))
    }

    fn steps_unfit(&self, known: &BTreeSet<&str>) -> Option<String> {
        let unknown = |names: &[String]| {
            let name = names.iter().find(|name| !known.contains(name.as_str()))?;
            Some(format!("no slot is called {name:?}"))
        };
        for (i, step) in self.steps.iter().enumerate() {
            let named = template::slots_named(&step.args).and_then(|mut named| {
                let mut texts = vec![step.title.as_str()];
                texts.extend(step.for_each.as_ref().map(|each| each.items.as_str()));
                for text in texts {
                    named.extend(template::holes(text)?.into_iter().map(|h| h.slot.to_owned()));
                }
                Ok(named)
            });
            let wrong = match named {
                Err(message) => Some(message),
                Ok(named) => unknown(&named)
                    .or_else(|| unknown(&step.when.0))
                    .or_else(|| unknown(&step.unless.0)),
            };
            if let Some(message) = wrong {
                return Some(format!("step {}: {message}", i + 1));
            }
            if !step.args.is_object() && !step.args.is_null() {
                return Some(format!("step {}: args must be names with values", i + 1));
            }
        }
        for answer in &self.answer.0 {
            let (text, when, unless) = answer.parts();
            let named = match template::holes(text) {
                Err(message) => return Some(format!("answer: {message}")),
                Ok(holes) => holes.into_iter().map(|h| h.slot.to_owned()).collect::<Vec<_>>(),
            };
            let wrong = unknown(&named).or_else(|| unknown(when)).or_else(|| unknown(unless));
            if let Some(message) = wrong {
                return Some(format!("answer: {message}"));
            }
        }
        None
    }
}

impl Answer {
    /// Its words, and the slots it depends on.
    pub fn parts(&self) -> (&str, &[String], &[String]) {
        match self {
            Self::Text(text) => (text, &[], &[]),
            Self::Part(part) => (&part.text, &part.when.0, &part.unless.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const GOOD: &str = "name: p\nversion: 1\nsummary: s\nexamples: {en: [count the lines]}\n\
                        slots:\n  files: {type: files, kinds: [note]}\n\
                        steps:\n  - {title: Count, tool: count, args: {files: \"{{files}}\"}}\n";

    fn check(text: &str, expect: Expect) {
        let lexicon = Lexicon::shipped().unwrap();
        let found = Playbook::parse("p.yaml", text, lexicon);
        expect.assert_eq(&found.map_or_else(|e| e.to_string(), |p| p.name));
    }

    #[test]
    fn a_good_one_is_read() {
        check(GOOD, expect!["p"]);
    }

    #[test]
    fn mistakes_are_named() {
        check(
            &GOOD.replace("tool: count", "toll: count"),
            expect![
                "the playbook p.yaml cannot be read: line 8, column 20: unknown field `toll`, expected one of name, title, tool, args, when, unless, after, for_each, limits"
            ],
        );
        check(
            &GOOD.replace("{{files}}", "{{fils}}"),
            expect![[r#"the playbook p does not fit together: step 1: no slot is called "fils""#]],
        );
        check(
            &GOOD.replace("[note]", "[noise]"),
            expect![[
                r#"the playbook p does not fit together: slot files: no kind of files is called "noise""#
            ]],
        );
        check(
            &GOOD.replace("kinds: [note]", "numeric: true"),
            expect![
                "the playbook p does not fit together: slot files: a files slot has no numeric"
            ],
        );
        check(
            &GOOD.replace("en:", "xx:"),
            expect![[
                r#"the playbook p does not fit together: examples: no language is called "xx""#
            ]],
        );
        check(
            &GOOD.replace("name: p", "name: P x"),
            expect![
                "the playbook P x does not fit together: its name may hold a-z, 0-9 and - only"
            ],
        );
    }
}
