//! The steps with slots in place of what varies, and what they are called.

use super::super::same::texts;
use super::{Fill, Flaw, Hole, Maker, Step, parts};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

impl Maker<'_, '_> {
    /// A text with slots in place of their values, if that makes all samples the same.
    pub(super) fn template(&self, values: &[String]) -> Option<String> {
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
        // Alone in an argument a slot is its value, which may be no text.
        let alone =
            |(at, hole): (usize, &Hole)| !hole.is_text() && form == format!("{{{{#{at}}}}}");
        let is_value = self.holes.iter().enumerate().any(alone);
        (forms.is_empty() && form.contains("{{") && !is_value).then_some(form)
    }

    pub(super) fn name_holes(&mut self) {
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
    pub(super) fn named(&self, value: &Value) -> Value {
        let Value::String(text) = value else { return value.clone() };
        let mut text = text.clone();
        for (at, hole) in self.holes.iter().enumerate().rev() {
            text = text.replace(&format!("{{{{#{at}}}}}"), &format!("{{{{{}}}}}", hole.name));
            text = text.replace(&format!("{{{{#{at}."), &format!("{{{{{}.", hole.name));
        }
        Value::String(text)
    }

    /// The steps with slots in place of what varies, and the answer.
    pub(super) fn steps(&self) -> Result<(Vec<Step>, String), Flaw> {
        let first = &self.samples[0].mission.plan;
        let plans = || self.samples.iter().map(|s| &s.mission.plan);
        let mut steps = Vec::new();
        for (i, step) in first.steps.iter().enumerate() {
            let mut args = step.args.clone();
            for hole in &self.holes {
                for (_, pointer) in hole.spots.iter().filter(|(at, _)| *at == i) {
                    put(&mut args, pointer, Value::String(format!("{{{{{}}}}}", hole.name)))?;
                }
            }
            for (_, pointer) in self.idle.iter().filter(|(at, _)| *at == i) {
                take(&mut args, pointer);
            }
            for ((_, pointer), values) in self.open.iter().filter(|((at, _), _)| *at == i) {
                let all: Vec<String> =
                    values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
                let form = self.template(&all).map(Value::String).map(|form| self.named(&form));
                match form {
                    Some(form) => put(&mut args, pointer, form)?,
                    None if pointer.ends_with("/title") => {
                        put(&mut args, pointer, Value::String(self.called()))?;
                    }
                    // A remark that follows from nothing is left out.
                    None => take(&mut args, pointer),
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
    pub(super) fn called(&self) -> String {
        let read = |hole: &&Hole| matches!(hole.fill, Fill::Path | Fill::Files | Fill::Text);
        let first = self.holes.iter().find(|hole| read(hole) && !hole.optional);
        first.map_or_else(|| "Result".to_owned(), |hole| format!("From {{{{{}}}}}", hole.name))
    }

    /// What a step is called when each sample called it something else: its tool, and
    /// what that is given.
    pub(super) fn title(&self, i: usize, tool: &str) -> String {
        let mut fixed = self.holes.iter().filter(|hole| !hole.optional);
        let given = fixed.find(|hole| hole.spots.iter().any(|(at, _)| *at == i));
        let given = given.map_or_else(String::new, |hole| format!(" {{{{{}}}}}", hole.name));
        format!("{}{given}", capital(tool))
    }

    /// A text that all samples have, or have but for the values of slots.
    pub(super) fn common(&self, all: &[String]) -> Option<String> {
        let first = all.first()?;
        if all.iter().all(|text| text == first) {
            return (!first.contains("{{")).then(|| first.clone());
        }
        let form = self.template(all)?;
        self.named(&Value::String(form)).as_str().map(str::to_owned)
    }
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |c| format!("{}{}", c.to_uppercase(), letters.as_str()))
}

/// Writes an argument, whether one stands there or not.
fn put(args: &mut Value, pointer: &str, value: Value) -> Result<(), Flaw> {
    if let Some(place) = args.pointer_mut(pointer) {
        *place = value;
        return Ok(());
    }
    let (above, key) = pointer.rsplit_once('/').unwrap_or_default();
    match args.pointer_mut(above) {
        Some(Value::Object(fields)) => {
            fields.insert(plain(key), value);
            Ok(())
        }
        _ => Err(Flaw::new(format!("\"{key}\" stands in only some of them"))),
    }
}

/// Takes an argument out.
fn take(args: &mut Value, pointer: &str) {
    let (above, key) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(fields) = args.pointer_mut(above).and_then(Value::as_object_mut) {
        let kept = std::mem::take(fields).into_iter().filter(|(name, _)| *name != plain(key));
        *fields = kept.collect::<Map<_, _>>();
    }
}

/// A key of a pointer as it is written in an object.
fn plain(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}
