//! The generalisation itself: what is the same in all missions stays, what varies
//! becomes a slot with the type that its values have, and must be said in the words
//! or follow from another slot.

use super::Sample;
use super::same::{CALLED, Spot, leaves, selected, texts};
use crate::planner::{Names, Planner};
use charter::effect::EffectClass;
use charter::survey::Survey;
use charter::tool::ToolSpec;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Words of rules that a playbook gets.
const WORDS_MAX: usize = 60;
/// Slots that a playbook may have.
const SLOTS_MAX: usize = 12;
/// Kinds of files, the narrowest first.
const KINDS: &[(&str, &[&str])] = &[
    ("table", &["csv", "tsv"]),
    ("note", &["md", "markdown", "txt", "org", "rst"]),
    ("image", &["jpg", "jpeg", "png", "gif", "webp", "bmp", "tiff", "heic"]),
    ("data", &["csv", "tsv", "json", "yaml", "yml", "toml"]),
];
/// Formats that a slot may choose among.
const FORMATS: &[&str] = &["json", "yaml", "toml", "csv", "tsv"];

/// Why samples make no playbook.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) why: String,
    /// A value per sample: those with the same one may make a playbook together.
    pub(super) divide: Option<Vec<String>>,
}

impl Flaw {
    pub(super) fn new(why: String) -> Self {
        Self { why, divide: None }
    }
}

/// What fills a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    NewFile,
    Path,
    Files,
    Folder,
    Format,
    Column,
    Number,
    Date,
    Choice,
    Text,
}

impl Fill {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NewFile => "new-file",
            Self::Path => "path",
            Self::Files => "files",
            Self::Folder => "folder",
            Self::Format => "format",
            Self::Column => "column",
            Self::Number => "number",
            Self::Date => "date",
            Self::Choice => "choice",
            Self::Text => "text",
        }
    }

    fn base(self) -> &'static str {
        match self {
            Self::NewFile => "output",
            Self::Path => "source",
            other => other.as_str(),
        }
    }

    pub(super) fn question(self) -> &'static str {
        match self {
            Self::NewFile => "Into which file?",
            Self::Path => "Which file?",
            Self::Files => "Which files?",
            Self::Folder => "Which folder?",
            Self::Format => "In which format?",
            Self::Column => "Which column?",
            Self::Number => "How many?",
            Self::Date => "Which day?",
            Self::Choice => "Which of them?",
            Self::Text => "Which words?",
        }
    }
}

/// A slot in the making.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    pub(super) name: String,
    pub(super) fill: Fill,
    pub(super) kinds: Vec<String>,
    pub(super) ext: Vec<String>,
    pub(super) cues: Vec<String>,
    pub(super) choices: Vec<String>,
    pub(super) of: Option<String>,
    pub(super) many: bool,
    pub(super) default: Option<Value>,
    /// Its value in each sample.
    values: Vec<Value>,
    /// Where each sample says it.
    said: Vec<Option<Range<usize>>>,
    /// The places that it fills wholly.
    spots: Vec<Spot>,
}

/// A step in the making.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) title: String,
    pub(super) tool: String,
    pub(super) args: Value,
    pub(super) for_each: Option<(String, u32)>,
    pub(super) after: Vec<u32>,
}

/// A playbook in the making.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) missions: usize,
    pub(super) examples: BTreeMap<String, Vec<String>>,
    pub(super) words: Vec<String>,
    pub(super) holes: Vec<Hole>,
    pub(super) steps: Vec<Step>,
    pub(super) answer: String,
}

impl Draft {
    /// Generalises samples of one shape.
    pub(super) fn of(
        samples: &[Sample<'_>],
        specs: &[ToolSpec],
        planner: &dyn Planner,
    ) -> Result<Self, Flaw> {
        let Some(first) = samples.first() else {
            return Err(Flaw::new("there are none".to_owned()));
        };
        let mut maker = Maker { samples, specs, holes: Vec::new(), open: Vec::new() };
        maker.find()?;
        maker.say()?;
        maker.holes.sort_by_key(|hole| hole.fill);
        maker.name_holes();
        let (steps, answer) = maker.steps()?;
        let examples = maker.examples();
        let words = maker.words();
        let name = name(samples, &words, planner, &first.mission.chain());
        Ok(Self {
            name,
            missions: samples.len(),
            examples,
            words,
            holes: maker.holes,
            steps,
            answer,
        })
    }

    /// One line: the shortest example, slots by what they are.
    pub(super) fn summary(&self) -> String {
        let shortest = self.examples.values().flatten().min_by_key(|e| (e.len(), (*e).clone()));
        let mut text = shortest.cloned().unwrap_or_default();
        for hole in &self.holes {
            let plain = match hole.fill {
                Fill::NewFile => "a file".to_owned(),
                Fill::Path => "a file".to_owned(),
                Fill::Files => "files".to_owned(),
                Fill::Folder => "a folder".to_owned(),
                other => format!("a {}", other.as_str()),
            };
            text = text.replace(&format!("{{{}}}", hole.name), &plain);
        }
        let mut letters = text.chars();
        match letters.next() {
            Some(letter) => {
                let rest = letters.as_str().trim_end_matches(['.', '!', '?']);
                format!("{}{rest}.", letter.to_uppercase())
            }
            None => "Learned.".to_owned(),
        }
    }

    /// The slots, for people.
    pub(super) fn told(&self) -> Vec<String> {
        let told = self.holes.iter().map(|hole| {
            let shown: Vec<String> = hole.values.iter().map(ToString::to_string).collect();
            let else_ = hole.default.as_ref().map_or_else(String::new, |d| format!(", else {d}"));
            format!("{} ({}{else_}): {}", hole.name, hole.fill.as_str(), shown.join(" · "))
        });
        told.collect()
    }

    /// Places whose value a sample does not say: names of new files.
    pub(super) fn free(&self, nth: usize) -> BTreeSet<Spot> {
        let unsaid = self.holes.iter().filter(|hole| {
            hole.fill == Fill::NewFile && hole.said.get(nth).is_none_or(Option::is_none)
        });
        unsaid.flat_map(|hole| hole.spots.iter().cloned()).collect()
    }
}

struct Maker<'s, 'd> {
    samples: &'s [Sample<'d>],
    specs: &'s [ToolSpec],
    holes: Vec<Hole>,
    /// Texts that vary and are no slot by their type.
    open: Vec<(Spot, Vec<Value>)>,
}

impl Maker<'_, '_> {
    /// Compares the arguments of all samples.
    fn find(&mut self) -> Result<(), Flaw> {
        let first = &self.samples[0].mission.plan;
        for (i, step) in first.steps.iter().enumerate() {
            for pointer in leaves(&step.args) {
                let values: Option<Vec<Value>> = self
                    .samples
                    .iter()
                    .map(|s| s.mission.plan.steps.get(i)?.args.pointer(&pointer).cloned())
                    .collect();
                let Some(values) = values else {
                    return Err(Flaw::new("their arguments have other names".to_owned()));
                };
                if values.windows(2).all(|pair| pair[0] == pair[1]) {
                    continue;
                }
                if CALLED.iter().any(|key| pointer.ends_with(&format!("/{key}"))) {
                    self.open.push(((i, pointer), values));
                    continue;
                }
                if let Some(hole) = self.holes.iter_mut().find(|hole| alike(&hole.values, &values))
                {
                    hole.spots.push((i, pointer));
                    continue;
                }
                match self.hole(i, &pointer, &values) {
                    Some(hole) => self.holes.push(hole),
                    None => self.open.push(((i, pointer), values)),
                }
            }
        }
        if self.holes.len() + self.open.len() > SLOTS_MAX {
            return Err(Flaw::new("too much differs between them".to_owned()));
        }
        Ok(())
    }

    /// The slot that values make, told from the tool and the workspaces.
    fn hole(&self, i: usize, pointer: &str, values: &[Value]) -> Option<Hole> {
        let tool = &self.samples[0].mission.plan.steps.get(i)?.tool;
        let spec = self.specs.iter().find(|spec| spec.name == *tool)?;
        let schema = schema_at(&spec.args, pointer);
        let kinds: Vec<Fill> = values
            .iter()
            .zip(self.samples)
            .map(|(value, sample)| fill(value, schema, spec, &sample.mission.survey))
            .collect::<Option<_>>()?;
        let set: BTreeSet<Fill> = kinds.iter().copied().collect();
        let fill = match set.iter().copied().collect::<Vec<_>>().as_slice() {
            [one] => *one,
            some if some.iter().all(|f| matches!(f, Fill::Path | Fill::Files | Fill::Folder))
                && takes_lists(schema) =>
            {
                Fill::Files
            }
            [Fill::NewFile, Fill::Path] if spec.effect >= EffectClass::Create => Fill::NewFile,
            _ => return None,
        };
        if fill == Fill::Text {
            return None;
        }
        let extensions: BTreeSet<String> =
            values.iter().flat_map(texts).filter_map(extension).collect();
        let kinds = match fill {
            Fill::Path => kind(&extensions).into_iter().collect(),
            _ => Vec::new(),
        };
        let ext = if fill == Fill::NewFile { extensions.into_iter().collect() } else { Vec::new() };
        let choices = match fill {
            Fill::Choice => enumerated(schema),
            Fill::Format => FORMATS.iter().map(|format| (*format).to_owned()).collect(),
            _ => Vec::new(),
        };
        Some(Hole {
            name: String::new(),
            fill,
            kinds,
            ext,
            cues: Vec::new(),
            choices,
            of: None,
            many: fill == Fill::Column && values.iter().any(Value::is_array),
            default: None,
            values: values.to_vec(),
            said: Vec::new(),
            spots: vec![(i, pointer.to_owned())],
        })
    }

    /// Finds where the words say each value; what no word says must follow from
    /// something else.
    fn say(&mut self) -> Result<(), Flaw> {
        let mut taken: Vec<Vec<Range<usize>>> = vec![Vec::new(); self.samples.len()];
        // What is named literally goes before what is meant by "the photos".
        let mut order: Vec<usize> = (0..self.holes.len()).collect();
        order.sort_by_key(|i| (self.holes[*i].fill == Fill::Files, self.holes[*i].fill));
        for i in order {
            let said: Vec<_> = (0..self.samples.len())
                .map(|nth| {
                    let found = say(&self.holes[i], nth, &self.samples[nth], &taken[nth]);
                    taken[nth].extend(found.clone());
                    found
                })
                .collect();
            self.holes[i].said = said;
        }
        // Texts that differ: part of another slot's value, or words of the wish.
        for ((i, pointer), values) in std::mem::take(&mut self.open) {
            let called = CALLED.iter().any(|key| pointer.ends_with(&format!("/{key}")));
            let all: Option<Vec<String>> =
                values.iter().map(|v| v.as_str().map(str::to_owned)).collect();
            if called || all.as_ref().is_some_and(|all| self.template(all).is_some()) {
                self.open.push(((i, pointer), values));
                continue;
            }
            let mut hole = Hole {
                name: String::new(),
                fill: Fill::Text,
                kinds: Vec::new(),
                ext: Vec::new(),
                cues: Vec::new(),
                choices: Vec::new(),
                of: None,
                many: false,
                default: None,
                values: values.clone(),
                said: Vec::new(),
                spots: vec![(i, pointer.clone())],
            };
            if all.is_some() {
                for (nth, (sample, taken)) in self.samples.iter().zip(&mut taken).enumerate() {
                    let found = say(&hole, nth, sample, taken);
                    taken.extend(found.clone());
                    hole.said.push(found);
                }
            }
            if hole.said.is_empty() || hole.said.iter().any(Option::is_none) {
                let key = pointer.rsplit('/').next().unwrap_or_default();
                return Err(Flaw {
                    why: format!("\"{key}\" differs between them and no word says how"),
                    divide: Some(values.iter().map(ToString::to_string).collect()),
                });
            }
            self.holes.push(hole);
        }
        for i in 0..self.holes.len() {
            self.complete(i)?;
        }
        Ok(())
    }

    /// Cues, defaults and owners of a slot.
    fn complete(&mut self, i: usize) -> Result<(), Flaw> {
        let hole = &self.holes[i];
        let mut cues = BTreeSet::new();
        if matches!(hole.fill, Fill::Text | Fill::Number | Fill::Column) {
            for (said, sample) in hole.said.iter().zip(self.samples) {
                let Some(range) = said else { continue };
                let before = sample.reading.pieces.iter().rfind(|p| p.end <= range.start);
                let word = before.filter(|p| p.folded.chars().all(char::is_alphabetic));
                cues.extend(word.map(|p| p.folded.clone()));
            }
        }
        let of = (hole.fill == Fill::Column)
            .then(|| self.holes.iter().find(|other| other.fill == Fill::Path))
            .flatten()
            .map(|path| path.values.clone());
        if hole.fill == Fill::Column && of.is_none() {
            return Err(Flaw::new("a column differs between them, but no table does".to_owned()));
        }
        let unsaid: Vec<usize> =
            (0..self.samples.len()).filter(|nth| hole.said[*nth].is_none()).collect();
        let default = if unsaid.is_empty() { None } else { Some(self.default(i, &unsaid)?) };
        let hole = &mut self.holes[i];
        hole.cues = cues.into_iter().collect();
        // Replaced by the name of that slot as soon as slots have names.
        hole.of = of.map(|values| json!(values).to_string());
        hole.default = default;
        Ok(())
    }

    /// The value where no word says it.
    fn default(&self, i: usize, unsaid: &[usize]) -> Result<Value, Flaw> {
        let hole = &self.holes[i];
        if hole.fill == Fill::NewFile {
            let derived = self.follows(hole);
            return Ok(derived.unwrap_or_else(|| Value::String(file_name(hole))));
        }
        if hole.fill == Fill::Path && unsaid.len() < self.samples.len() {
            // The only file of its kind is taken without a word.
            return Ok(Value::Null);
        }
        let everything = |nth: &usize| {
            let survey = &self.samples[*nth].mission.survey;
            let all = selected(&["**/*"], survey);
            !all.is_empty() && selected(&texts(&hole.values[*nth]), survey) == all
        };
        if hole.fill == Fill::Files && unsaid.iter().all(everything) {
            return Ok(json!(["**/*"]));
        }
        let one = &hole.values[unsaid[0]];
        if unsaid.len() < self.samples.len() && unsaid.iter().all(|nth| hole.values[*nth] == *one) {
            return Ok(one.clone());
        }
        let key = hole.spots[0].1.rsplit('/').next().unwrap_or_default();
        Err(Flaw {
            why: format!("\"{key}\" differs between them and no word says how"),
            divide: Some(hole.values.iter().map(ToString::to_string).collect()),
        })
    }

    /// The name of a new file, where it follows from the name of a file that is read.
    fn follows(&self, hole: &Hole) -> Option<Value> {
        for (at, path) in self.holes.iter().enumerate().filter(|(_, h)| h.fill == Fill::Path) {
            let forms: Option<BTreeSet<String>> = hole
                .values
                .iter()
                .zip(&path.values)
                .map(|(value, source)| {
                    let (folder, stem) = parts(source.as_str()?);
                    let whole = format!("{folder}{stem}");
                    let found = value.as_str()?.strip_prefix(&whole);
                    let text = match found {
                        Some(rest) => format!("{{{{#{at}.folder}}}}{{{{#{at}.stem}}}}{rest}"),
                        None => value.as_str()?.replacen(stem, &format!("{{{{#{at}.stem}}}}"), 1),
                    };
                    text.contains("{{").then_some(text)
                })
                .collect();
            if let Some(forms) = forms.filter(|forms| forms.len() == 1) {
                return forms.into_iter().next().map(Value::String);
            }
        }
        None
    }

    /// A text with slots in place of their values, if that makes all samples the same.
    fn template(&self, values: &[String]) -> Option<String> {
        let mut forms: BTreeSet<String> = BTreeSet::new();
        for (nth, value) in values.iter().enumerate() {
            let mut text = value.clone();
            for (at, hole) in self.holes.iter().enumerate() {
                let held = texts(&hole.values[nth]).join(", ");
                let (folder, stem) = parts(&held);
                let is_file = matches!(hole.fill, Fill::Path | Fill::NewFile);
                let name = held.strip_prefix(folder).unwrap_or(&held).to_owned();
                let mut ways = vec![(held.clone(), format!("{{{{#{at}}}}}"))];
                if is_file {
                    ways.push((name, format!("{{{{#{at}.name}}}}")));
                    ways.push((stem.to_owned(), format!("{{{{#{at}.stem}}}}")));
                }
                if let Some((form, marker)) =
                    ways.iter().find(|(form, _)| form.len() > 1 && text.contains(form.as_str()))
                {
                    text = text.replace(form, marker);
                }
            }
            forms.insert(text);
        }
        let form = forms.pop_first()?;
        (forms.is_empty() && form.contains("{{")).then_some(form)
    }

    fn name_holes(&mut self) {
        let mut used: BTreeMap<&str, u32> = BTreeMap::new();
        for hole in &mut self.holes {
            let n = used.entry(hole.fill.base()).or_insert(0);
            *n += 1;
            hole.name = match *n {
                1 => hole.fill.base().to_owned(),
                n => format!("{}-{n}", hole.fill.base()),
            };
        }
        let names: Vec<(String, String)> = self
            .holes
            .iter()
            .map(|hole| (json!(hole.values).to_string(), hole.name.clone()))
            .collect();
        for hole in &mut self.holes {
            if let Some(of) = &hole.of {
                hole.of =
                    names.iter().find(|(values, _)| values == of).map(|(_, name)| name.clone());
            }
        }
        let unsorted = self.holes.clone();
        let mut defaults = Vec::new();
        for hole in &unsorted {
            defaults.push(match &hole.default {
                // It was told before slots were sorted: told again, by their names.
                Some(Value::String(text)) if text.contains("{{#") => self.follows(hole),
                Some(Value::Null) | None => None,
                Some(value) => Some(value.clone()),
            });
        }
        for (i, default) in defaults.into_iter().enumerate() {
            let named = default.map(|value| self.named(&value));
            self.holes[i].default = named;
        }
    }

    /// Marks of slots by place become marks by name.
    fn named(&self, value: &Value) -> Value {
        let Value::String(text) = value else { return value.clone() };
        let mut text = text.clone();
        for (at, hole) in self.holes.iter().enumerate().rev() {
            text = text.replace(&format!("{{{{#{at}}}}}"), &format!("{{{{{}}}}}", hole.name));
            text = text.replace(&format!("{{{{#{at}."), &format!("{{{{{}.", hole.name));
        }
        Value::String(text)
    }

    /// The steps with slots in place of what varies, and the answer.
    fn steps(&self) -> Result<(Vec<Step>, String), Flaw> {
        let first = &self.samples[0].mission.plan;
        let plans = || self.samples.iter().map(|s| &s.mission.plan);
        let mut steps = Vec::new();
        for (i, step) in first.steps.iter().enumerate() {
            let mut args = step.args.clone();
            for hole in &self.holes {
                for (_, pointer) in hole.spots.iter().filter(|(at, _)| *at == i) {
                    if let Some(place) = args.pointer_mut(pointer) {
                        *place = Value::String(format!("{{{{{}}}}}", hole.name));
                    }
                }
            }
            for ((_, pointer), values) in self.open.iter().filter(|((at, _), _)| *at == i) {
                let all: Vec<String> =
                    values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
                let form = self.template(&all).map(Value::String).map(|form| self.named(&form));
                if let Some(place) = args.pointer_mut(pointer) {
                    *place = form.unwrap_or_else(|| Value::String(self.called()));
                }
            }
            let titles: Vec<String> = plans().map(|plan| plan.steps[i].title.clone()).collect();
            steps.push(Step {
                title: self.common(&titles).unwrap_or_else(|| self.title(i, &step.tool)),
                tool: step.tool.clone(),
                args,
                for_each: step.for_each.as_ref().map(|each| (each.items.clone(), each.max_items)),
                after: step.after.clone(),
            });
        }
        let answers: Option<Vec<String>> = plans().map(|plan| plan.answer.clone()).collect();
        let written = self.holes.iter().find(|hole| hole.fill == Fill::NewFile);
        let answer =
            answers.and_then(|answers| self.common(&answers)).unwrap_or_else(|| match written {
                Some(hole) => format!("It stands in {{{{{}}}}}.", hole.name),
                None => "Done.".to_owned(),
            });
        Ok((steps, answer))
    }

    /// What a document is called when each sample called it something else: after
    /// what it was made from.
    fn called(&self) -> String {
        let read = |hole: &&Hole| matches!(hole.fill, Fill::Path | Fill::Files | Fill::Text);
        let first = self.holes.iter().find(read);
        // Alone in an argument a slot would be its value, which may be a list.
        first.map_or_else(|| "Result".to_owned(), |hole| format!("From {{{{{}}}}}", hole.name))
    }

    /// What a step is called when each sample called it something else: its tool, and
    /// what that is given.
    fn title(&self, i: usize, tool: &str) -> String {
        let given = self.holes.iter().find(|hole| hole.spots.iter().any(|(at, _)| *at == i));
        let given = given.map_or_else(String::new, |hole| format!(" {{{{{}}}}}", hole.name));
        format!("{}{given}", capital(tool))
    }

    /// A text that all samples have, or have but for the values of slots.
    fn common(&self, all: &[String]) -> Option<String> {
        let first = all.first()?;
        if all.iter().all(|text| text == first) {
            return (!first.contains("{{")).then(|| first.clone());
        }
        let form = self.template(all)?;
        self.named(&Value::String(form)).as_str().map(str::to_owned)
    }

    /// The wishes with slots in place of what they say.
    fn examples(&self) -> BTreeMap<String, Vec<String>> {
        let mut examples: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (nth, sample) in self.samples.iter().enumerate() {
            let mut marks: Vec<(Range<usize>, &str)> = self
                .holes
                .iter()
                .filter_map(|hole| Some((hole.said.get(nth)?.clone()?, hole.name.as_str())))
                .collect();
            marks.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
            let mut text = sample.mission.wish.trim().to_owned();
            for (range, name) in marks {
                if text.is_char_boundary(range.start) && text.is_char_boundary(range.end) {
                    text.replace_range(range, &format!("{{{name}}}"));
                }
            }
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            examples.entry(sample.reading.language.clone()).or_default().push(text);
        }
        examples
    }

    /// Words by which the playbook is known: those of the wishes that are no value,
    /// and general concepts that two wishes share.
    fn words(&self) -> Vec<String> {
        let mut words: BTreeMap<String, usize> = BTreeMap::new();
        for (nth, sample) in self.samples.iter().enumerate() {
            let inside = |start: usize| {
                let said = self.holes.iter().filter_map(|hole| hole.said.get(nth)?.clone());
                said.into_iter().any(|range| range.contains(&start))
            };
            let mut own = BTreeSet::new();
            for piece in sample.reading.pieces.iter().filter(|p| p.content && !inside(p.start)) {
                if piece.names == Names::Nothing {
                    own.insert(piece.folded.clone());
                    own.extend(piece.concepts.iter().map(|concept| format!("@{concept}")));
                }
            }
            for word in own {
                *words.entry(word).or_insert(0) += 1;
            }
        }
        // The tools that look are named by what they do: "hash", "search".
        for step in &self.samples[0].mission.plan.steps {
            if step.effect == EffectClass::Read {
                *words.entry(step.tool.clone()).or_insert(0) += 1;
            }
        }
        let mut words: Vec<(String, usize)> =
            words.into_iter().filter(|(word, n)| !word.starts_with('@') || *n >= 2).collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        words.into_iter().take(WORDS_MAX).map(|(word, _)| word).collect()
    }
}

/// A name that nobody has: words that most wishes share, and the tools.
fn name(samples: &[Sample<'_>], words: &[String], planner: &dyn Planner, chain: &[&str]) -> String {
    let plain = |word: &&String| {
        word.len() > 2
            && word.chars().all(|c| c.is_ascii_lowercase())
            && !chain.contains(&word.as_str())
    };
    let shared = |word: &&String| {
        let says = |s: &&Sample<'_>| s.reading.pieces.iter().any(|p| p.folded == **word);
        samples.iter().filter(says).count() >= 2
    };
    let mut tools: Vec<&str> = Vec::new();
    for tool in chain {
        if !tools.contains(tool) {
            tools.push(tool);
        }
    }
    let named: Vec<&str> =
        words.iter().filter(plain).filter(shared).take(2).map(String::as_str).collect();
    let base = if named.is_empty() { tools.join("-") } else { named.join("-") };
    let base: String = base.replace('_', "-").chars().take(40).collect();
    let base = format!("learned-{}", base.trim_matches('-'));
    (1..1_000)
        .map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") })
        .find(|name| !planner.is_taken(name))
        .unwrap_or(base)
}

/// What kind of slot a value makes.
fn fill(value: &Value, schema: Option<&Value>, spec: &ToolSpec, survey: &Survey) -> Option<Fill> {
    let text = match value {
        Value::Number(_) => return Some(Fill::Number),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            let names = texts(value);
            return Some(match names.iter().all(|name| has_column(survey, name)) {
                true => Fill::Column,
                false => Fill::Files,
            });
        }
        Value::String(text) if !text.contains("${") => text.as_str(),
        _ => return None,
    };
    let allowed = enumerated(schema);
    if allowed.iter().any(|value| value == text) {
        let formats = allowed.iter().all(|value| FORMATS.contains(&value.as_str()));
        return Some(if formats { Fill::Format } else { Fill::Choice });
    }
    let entry = survey.entries.iter().find(|entry| entry.path == text.trim_end_matches('/'));
    let writes = spec.effect >= EffectClass::Create;
    Some(match entry {
        _ if text.contains('*') => Fill::Files,
        Some(entry) if entry.folder && takes_lists(schema) => Fill::Files,
        Some(entry) if entry.folder => Fill::Folder,
        Some(_) => Fill::Path,
        None if is_date(text) => Fill::Date,
        None if extension(text).is_some() && !text.contains(' ') => {
            if writes {
                Fill::NewFile
            } else {
                Fill::Path
            }
        }
        None if FORMATS.contains(&text) => Fill::Format,
        None if has_column(survey, text) => Fill::Column,
        None => Fill::Text,
    })
}

/// Where a sample says the value of a slot.
fn say(
    hole: &Hole,
    nth: usize,
    sample: &Sample<'_>,
    taken: &[Range<usize>],
) -> Option<Range<usize>> {
    let wish = &sample.mission.wish;
    let trimmed = wish.len() - wish.trim_start().len();
    let wish = wish.trim();
    let free = |range: &Range<usize>| {
        taken.iter().all(|other| range.end <= other.start || range.start >= other.end)
    };
    let shift =
        |p: &crate::planner::Piece| p.start.saturating_sub(trimmed)..p.end.saturating_sub(trimmed);
    let pieces: Vec<(&crate::planner::Piece, Range<usize>)> =
        sample.reading.pieces.iter().map(|p| (p, shift(p))).filter(|(_, r)| free(r)).collect();
    let value = hole.values.get(nth)?;
    match hole.fill {
        Fill::Files => {
            let named: Vec<&Range<usize>> =
                pieces.iter().filter(|(p, _)| p.names == Names::Files).map(|(_, r)| r).collect();
            let (first, last) = (named.first()?, named.last()?);
            let whole = first.start..last.end;
            Some(if free(&whole) { whole } else { (*first).clone() })
        }
        Fill::Number => pieces
            .iter()
            .find(|(p, r)| {
                p.names == Names::Number
                    && wish.get(r.clone()).and_then(|t| t.parse::<f64>().ok()) == value.as_f64()
            })
            .map(|(_, r)| r.clone()),
        Fill::Date => pieces.iter().find(|(p, _)| p.names == Names::Days).map(|(_, r)| r.clone()),
        Fill::Path | Fill::NewFile | Fill::Folder => {
            let text = value.as_str()?.trim_end_matches('/');
            let (folder, stem) = parts(text);
            let name = text.strip_prefix(folder).unwrap_or(text);
            let mut ways = vec![text, name];
            if hole.fill == Fill::Path && stem.len() > 2 {
                ways.push(stem);
            }
            ways.into_iter().find_map(|way| find(wish, way, &free))
        }
        Fill::Column | Fill::Choice | Fill::Format | Fill::Text => {
            let all = texts(value);
            let one = all.first()?;
            let literal = find(wish, one, &free);
            let by_form = || {
                let like = |p: &&(&crate::planner::Piece, Range<usize>)| is_form(&p.0.folded, one);
                pieces.iter().find(like).map(|(_, r)| r.clone())
            };
            literal.or_else(|| if hole.fill == Fill::Text { None } else { by_form() })
        }
    }
}

/// Where a text stands as a word of its own, quotation marks included.
fn find(wish: &str, text: &str, free: &dyn Fn(&Range<usize>) -> bool) -> Option<Range<usize>> {
    if text.is_empty() {
        return None;
    }
    let (wish_low, low) = (wish.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut from = 0;
    while let Some(at) = wish_low.get(from..).and_then(|rest| rest.find(&low)) {
        let (start, end) = (from + at, from + at + low.len());
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let before = wish[..start].chars().next_back();
        let after = wish[end..].chars().next();
        let mut range = start..end;
        if before == after && matches!(before, Some('"' | '\'')) {
            range = start - 1..end + 1;
        }
        // "notes/a.md" does not say "a.md" of another folder.
        let alone = before.is_none_or(|c| !word(c) && !matches!(c, '/' | '.' | '-'))
            && after.is_none_or(|c| !word(c) && c != '/');
        if alone && free(&range) {
            return Some(range);
        }
        from = end;
    }
    None
}

/// Whether a word is a form of another: "expenses" of "expense".
fn is_form(word: &str, value: &str) -> bool {
    let value = value.to_lowercase();
    let common = word.chars().zip(value.chars()).take_while(|(a, b)| a == b).count();
    let longest = word.chars().count().max(value.chars().count());
    common >= 3 && common + 3 >= longest && common * 10 >= longest * 6
}

/// Values of one slot, whether written as one text or as a list of one.
fn alike(a: &[Value], b: &[Value]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b || !texts(a).is_empty() && texts(a) == texts(b))
}

/// Folder with its final slash, and the name without extension.
fn parts(path: &str) -> (&str, &str) {
    let at = path.rfind('/').map_or(0, |at| at + 1);
    let (folder, name) = path.split_at(at);
    (folder, name.rsplit_once('.').map_or(name, |(stem, _)| stem))
}

fn extension(text: &str) -> Option<String> {
    let (_, extension) = text.rsplit('/').next()?.rsplit_once('.')?;
    let good = (1..=8).contains(&extension.len())
        && extension.chars().all(|c| c.is_ascii_alphanumeric())
        && extension.chars().any(|c| c.is_ascii_alphabetic());
    good.then(|| extension.to_lowercase())
}

fn kind(extensions: &BTreeSet<String>) -> Option<String> {
    let holds = |all: &&[&str]| extensions.iter().all(|ext| all.contains(&ext.as_str()));
    let found = KINDS.iter().find(|(_, all)| !extensions.is_empty() && holds(all));
    found.map(|(kind, _)| (*kind).to_owned())
}

fn has_column(survey: &Survey, name: &str) -> bool {
    survey.entries.iter().flat_map(|entry| &entry.columns).any(|column| column.name == name)
}

fn is_date(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    text.len() == 10 && digits == 8 && text.matches('-').count() == 2
}

/// A name for a new file: what the names in the samples have in common.
fn file_name(hole: &Hole) -> String {
    let names: Vec<&str> = hole.values.iter().filter_map(Value::as_str).collect();
    let stems: Vec<Vec<char>> = names.iter().map(|name| parts(name).1.chars().collect()).collect();
    let common = |turned: bool| -> String {
        let at = |stem: &Vec<char>, i: usize| {
            let i = if turned { stem.len().checked_sub(i + 1) } else { Some(i) };
            i.and_then(|i| stem.get(i)).copied()
        };
        let Some(first) = stems.first() else { return String::new() };
        let same = |i: &usize| {
            stems.iter().all(|stem| at(stem, *i).is_some() && at(stem, *i) == at(first, *i))
        };
        let mut found: Vec<char> =
            (0..first.len()).take_while(same).filter_map(|i| at(first, i)).collect();
        if turned {
            found.reverse();
        }
        let text: String = found.into_iter().collect();
        text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
    };
    let stem = [common(true), common(false)].into_iter().find(|stem| stem.chars().count() > 2);
    let extension = hole.ext.first().map_or("md", String::as_str);
    format!("{}.{extension}", stem.unwrap_or_else(|| "result".to_owned()))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |c| format!("{}{}", c.to_uppercase(), letters.as_str()))
}

/// The schema of an argument by its pointer; lists are passed through.
fn schema_at<'s>(schema: &'s Value, pointer: &str) -> Option<&'s Value> {
    pointer.split('/').skip(1).try_fold(schema, |schema, key| match key.parse::<usize>() {
        Ok(_) => schema.get("items"),
        Err(_) => schema.get("properties")?.get(key),
    })
}

fn enumerated(schema: Option<&Value>) -> Vec<String> {
    let values = schema.and_then(|schema| schema.get("enum")).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// Whether an argument may be a list.
fn takes_lists(schema: Option<&Value>) -> bool {
    schema.is_some_and(|schema| {
        let is_array = |schema: &Value| match schema.get("type") {
            Some(Value::String(kind)) => kind == "array",
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "array"),
            _ => false,
        };
        let either = ["oneOf", "anyOf"].iter().filter_map(|key| schema.get(*key)?.as_array());
        is_array(schema) || either.flatten().any(is_array)
    })
}
