//! What is the same in all missions, what varies, and which slot that makes.

use super::super::same::{leaves, names_only};
use super::{Fill, Flaw, Hole, Maker, alike, extension, texts};
use charter::effect::EffectClass;
use charter::survey::Survey;
use charter::tool::ToolSpec;
use serde_json::Value;
use std::collections::BTreeSet;

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

impl Maker<'_, '_> {
    /// Compares the arguments of all samples.
    pub(super) fn find(&mut self) -> Result<(), Flaw> {
        let steps = self.samples[0].mission.plan.steps.len();
        for i in 0..steps {
            for pointer in self.pointers(i) {
                let at = |s: &super::Sample<'_>| {
                    let found = s.mission.plan.steps.get(i)?.args.pointer(&pointer).cloned();
                    found.filter(|value| !value.is_null())
                };
                let held: Vec<Option<Value>> = self.samples.iter().map(at).collect();
                if held.windows(2).all(|pair| pair[0] == pair[1]) {
                    continue;
                }
                let absent = held.iter().any(Option::is_none);
                let usual = self.usual(i, &pointer);
                let as_usual = |value: &Option<Value>| value.is_none() || *value == usual;
                if absent && (names_only(&pointer) || held.iter().all(as_usual)) {
                    self.idle.insert((i, pointer));
                    continue;
                }
                let values: Vec<Value> = held.into_iter().map(Option::unwrap_or_default).collect();
                if names_only(&pointer) {
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

    /// The places of a step's arguments in all samples, each once.
    fn pointers(&self, i: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for step in self.samples.iter().filter_map(|s| s.mission.plan.steps.get(i)) {
            for pointer in leaves(&step.args) {
                if !all.contains(&pointer) {
                    all.push(pointer);
                }
            }
        }
        all
    }

    /// The value that an argument has where none is given.
    fn usual(&self, i: usize, pointer: &str) -> Option<Value> {
        let tool = &self.samples[0].mission.plan.steps.get(i)?.tool;
        let spec = self.specs.iter().find(|spec| spec.name == *tool)?;
        schema_at(&spec.args, pointer)?.get("default").cloned()
    }

    /// The slot that values make, told from the tool and the workspaces.
    pub(super) fn hole(&self, i: usize, pointer: &str, values: &[Value]) -> Option<Hole> {
        let tool = &self.samples[0].mission.plan.steps.get(i)?.tool;
        let spec = self.specs.iter().find(|spec| spec.name == *tool)?;
        let schema = schema_at(&spec.args, pointer);
        let kinds: Vec<Fill> = values
            .iter()
            .zip(self.samples)
            .filter(|(value, _)| !value.is_null())
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
        let many = fill == Fill::Column && values.iter().any(Value::is_array);
        let hole = Hole::new(fill, values, (i, pointer.to_owned()));
        Some(Hole { kinds, ext, choices, many, ..hole })
    }
}

/// What kind of slot a value makes.
pub(super) fn fill(
    value: &Value,
    schema: Option<&Value>,
    spec: &ToolSpec,
    survey: &Survey,
) -> Option<Fill> {
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

pub(super) fn kind(extensions: &BTreeSet<String>) -> Option<String> {
    let holds = |all: &&[&str]| extensions.iter().all(|ext| all.contains(&ext.as_str()));
    let found = KINDS.iter().find(|(_, all)| !extensions.is_empty() && holds(all));
    found.map(|(kind, _)| (*kind).to_owned())
}

pub(super) fn has_column(survey: &Survey, name: &str) -> bool {
    survey.entries.iter().flat_map(|entry| &entry.columns).any(|column| column.name == name)
}

pub(super) fn is_date(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    text.len() == 10 && digits == 8 && text.matches('-').count() == 2
}

/// The schema of an argument by its pointer; lists are passed through.
pub(super) fn schema_at<'s>(schema: &'s Value, pointer: &str) -> Option<&'s Value> {
    pointer.split('/').skip(1).try_fold(schema, |schema, key| match key.parse::<usize>() {
        Ok(_) => schema.get("items"),
        Err(_) => schema.get("properties")?.get(key),
    })
}

pub(super) fn enumerated(schema: Option<&Value>) -> Vec<String> {
    let values = schema.and_then(|schema| schema.get("enum")).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// Whether an argument may be a list.
pub(super) fn takes_lists(schema: Option<&Value>) -> bool {
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
