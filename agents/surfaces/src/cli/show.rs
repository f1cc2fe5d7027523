//! Responses as text. Lists become aligned columns, single things become fields;
//! a response that brings its own text shows that.

use super::exit::chain;
use super::memory;
use super::models_view;
use super::show_schedules;
use alma::Error;
use serde_json::Value;
use std::collections::BTreeMap;

/// Widest cell of a list.
const CELL_MAX: usize = 60;
/// Most columns of the inputs of a dead step.
const INPUTS_MAX: usize = 100;

/// A response as text.
pub fn response(name: &str, response: &Value) -> String {
    match name {
        "approvals.show" => whole_card(response),
        "dead_letters.list" => desk_list(response),
        "dead_letters.bulk" => moved(response),
        "work.status" | "work.set" => work(response),
        "doctor" => doctor(response),
        "memory.recall" => memory::recalled(response),
        "memory.remember" => memory::kept(response),
        "memory.forget" => memory::forgotten(response),
        "memory.import" => memory::imported(response),
        "memory.report" | "memory.rebuild" => memory::report(response),
        "models.list" => models_view::list(response),
        "models.show" => models_view::one(response),
        "mission.events" => events(response),
        "plan.dry_run" => dry_run(response),
        "schedules.new" => show_schedules::made(response),
        "schedules.list" => show_schedules::list(response),
        "schedules.show" => show_schedules::whole(response),
        name if name.starts_with("schedules.") => show_schedules::one(response),
        "plan.new" => format!(
            "{}{}\n\nwhy     {}\ndigest  {}",
            text(&response["text"]).trim_end(),
            notes(response),
            text(&response["reason"]),
            text(&response["digest"])
        ),
        "mission.submit" => format!(
            "{}{}\n\naccepted as {}\nfollow it with: alma mission watch {}",
            text(&response["text"]).trim_end(),
            notes(response),
            text(&response["mission"]),
            text(&response["mission"])
        ),
        "nightly.list" => nights(response),
        "proposals.list" => proposals(response),
        "mission.steer" => format!(
            "now: {}{}\n\n{}",
            text(&response["wish"]),
            notes(response),
            text(&response["diff"])
        ),
        "plan.diff" | "plan.edit" | "dead_letters.edit" => text(&response["diff"]),
        _ => match response.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => general(response),
        },
    }
}

/// Two lines per night: which and when, and what came of it.
fn nights(response: &Value) -> String {
    let rows = response["nights"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "no night was run yet; `alma nightly run` looks back now".to_owned();
    }
    let line = |row: &Value| {
        let (id, when) = (text(&row["night"]), text(&row["when"]));
        let (state, told) = (text(&row["state"]), visible(&text(&row["told"])));
        format!("{id}  {when:<18}  {state}\n  {told}\n")
    };
    let all: String = rows.iter().map(line).collect();
    format!("{all}read one with: alma nightly report NIGHT")
}

/// Two lines per proposal: how it stands, and what it is.
fn proposals(response: &Value) -> String {
    let rows = response["proposals"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "nothing is proposed; `alma nightly run` looks for something".to_owned();
    }
    let line = |row: &Value| {
        let (id, state) = (text(&row["proposal"]), text(&row["state"]));
        format!("{id}  {state:<8}  {}\n", visible(&text(&row["title"])))
    };
    rows.iter().map(line).collect()
}

/// An error as text: what happened, why, what to do.
pub fn error(error: &Error) -> String {
    let mut text = format!("alma: {}", chain(error));
    if let Error::Refused(refusal) = error {
        if !refusal.missing.is_empty() {
            text.push_str(&format!("\nmissing: {}", refusal.missing.join(" · ")));
        }
        if !refusal.nearest.is_empty() {
            text.push_str("\nwhat I can do that comes nearest:");
            for near in &refusal.nearest {
                text.push_str(&format!("\n  - {near}"));
            }
        }
    }
    text
}

fn notes(response: &Value) -> String {
    let all = response["notes"].as_array();
    all.into_iter().flatten().map(|note| format!("\nnote: {}", text(note))).collect()
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value inside a cell: what is in it, without its punctuation.
fn flat(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields.values().map(flat).collect::<Vec<_>>().join(" "),
        Value::Array(values) => values.iter().map(flat).collect::<Vec<_>>().join(", "),
        other => text(other),
    }
}

fn general(response: &Value) -> String {
    let Some(fields) = response.as_object() else { return text(response) };
    if let [(_, Value::Array(rows))] = fields.iter().collect::<Vec<_>>().as_slice() {
        return if rows.is_empty() { "nothing here yet".to_owned() } else { table(rows) };
    }
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    let mut shown = String::new();
    for (key, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                shown.push_str(&format!("{key}:\n{}\n", indent(&table(rows))));
            }
            Value::Object(_) => {
                let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
                shown.push_str(&format!("{key}:\n{}\n", indent(&pretty)));
            }
            Value::Number(ms) if key.ends_with("_at") => {
                shown.push_str(&format!("{key:<width$}  {}\n", moment(ms.as_i64())));
            }
            _ => shown.push_str(&format!("{key:<width$}  {}\n", text(value))),
        }
    }
    shown
}

pub(super) fn table(rows: &[Value]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for row in rows.iter().filter_map(Value::as_object) {
        for key in row.keys() {
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
    }
    let cell = |row: &Value, column: &str| {
        let one: String = match row.get(column) {
            None => String::new(),
            Some(Value::Number(ms)) if column.ends_with("_at") => moment(ms.as_i64()),
            Some(value) => flat(value),
        };
        let clean: String = one.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
        console::truncate_str(&clean, CELL_MAX, "…").into_owned()
    };
    let mut lines = vec![columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| lines.iter().map(|line| console::measure_text_width(&line[i])).max().unwrap_or(0))
        .collect();
    lines
        .iter()
        .map(|line| {
            let padded: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| {
                    console::pad_str(cell, *width, console::Alignment::Left, None).into_owned()
                })
                .collect();
            format!("{}\n", padded.join("  ").trim_end())
        })
        .collect()
}

fn moment(ms: Option<i64>) -> String {
    ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map(|at| {
            at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        })
        .unwrap_or_default()
}

pub(super) fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect::<String>().trim_end().to_owned()
}

/// Effects of a card that are shown before somebody asks for all.
const EFFECTS_SHOWN_MAX: usize = 12;

/// A card: the question and what it is about; of many effects the first ones and
/// how many there are of each class.
pub fn card(response: &Value) -> String {
    card_of(response, EFFECTS_SHOWN_MAX)
}

/// A card with every effect that it is about.
pub(super) fn whole_card(response: &Value) -> String {
    card_of(response, usize::MAX)
}

fn card_of(response: &Value, limit: usize) -> String {
    let card = &response["card"];
    let mut shown = format!("{}\n", text(&card["title"]));
    let effects = card["effects"].as_array().map_or(&[][..], Vec::as_slice);
    for effect in effects.iter().take(limit) {
        let untrusted = effect["label"]["trust"] == "untrusted";
        shown.push_str(&format!(
            "  {:<8} {}{}\n",
            text(&effect["class"]),
            visible(&text(&effect["summary"])),
            if untrusted { "   [from text that was read, not from you]" } else { "" }
        ));
    }
    if effects.len() > limit {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for effect in effects {
            *counts.entry(text(&effect["class"])).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(class, n)| format!("{n} {class}")).collect();
        // From text that was read, and not among those that are shown.
        let hidden = effects.iter().skip(limit);
        let untrusted = hidden.filter(|effect| effect["label"]["trust"] == "untrusted").count();
        let read = match untrusted {
            0 => String::new(),
            n => format!("; {n} of them from text that was read, not from you"),
        };
        shown.push_str(&format!(
            "  … and {} more{read}\n  in all {}; every one of them: details, or alma approvals \
             show {}\n",
            effects.len() - limit,
            counts.join(", "),
            text(&response["approval"])
        ));
    }
    let mut reasons: Vec<String> = effects.iter().map(|effect| text(&effect["reason"])).collect();
    reasons.dedup();
    for reason in reasons.into_iter().take(3) {
        shown.push_str(&format!("  why: {reason}\n"));
    }
    for note in card["notes"].as_array().into_iter().flatten() {
        shown.push_str(&format!("  {}\n", visible(&text(note))));
    }
    shown.push_str(&format!("  digest {}\n", text(&response["digest"])));
    shown
}

/// Control characters made visible: names of files must not move the cursor.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Whether a character would move the cursor, change colours or turn the direction
/// of text around.
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line per event: number, time, what happened, to which step.
fn events(response: &Value) -> String {
    let rows = response["events"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "nothing happened yet".to_owned();
    }
    let line = |row: &Value| {
        let event = &row["event"];
        let about = ["step", "approval", "mission"].map(|field| text(&event[field]));
        let about = about.into_iter().find(|about| !about.is_empty()).unwrap_or_default();
        let (seq, at) = (text(&row["seq"]), moment(row["at"].as_i64()));
        format!("{seq:>6}  {at}  {:<19}  {about}\n", text(&event["kind"]))
    };
    rows.iter().map(line).collect()
}

/// Whether work goes on, and how much there is of it.
fn work(response: &Value) -> String {
    let count = |field: &str| response[field].as_u64().unwrap_or(0);
    let mut shown = match response["notice"].as_str() {
        Some(notice) => format!("{notice}\n"),
        None => "work goes on\n".to_owned(),
    };
    if let (Some(by), at) = (response["by"].as_str(), moment(response["since"].as_i64())) {
        shown.push_str(&format!("  since    {at}, by {by}\n"));
    }
    let kept = match count("dead_kept_days") {
        0 => "kept for ever".to_owned(),
        days => format!("kept for {days} days"),
    };
    shown.push_str(&format!(
        "  running  {} steps\n  ready    {} steps\n  waiting  {} missions, for you\n  \
         dead     {} steps, {kept}\n",
        count("claimed"),
        count("ready"),
        count("waiting"),
        count("dead"),
    ));
    shown
}

/// A few lines per dead step: which and why, what it was given, what it cost, what
/// to do.
fn desk_list(response: &Value) -> String {
    let rows = response["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "no step is dead".to_owned();
    }
    let line = |row: &Value| {
        let error = &row["error"]["error"];
        let cell = |value: &Value| {
            console::truncate_str(&visible(&text(value)), INPUTS_MAX, "…").into_owned()
        };
        let tries = row["failures"].as_u64().unwrap_or(0) + row["lost"].as_u64().unwrap_or(0);
        let hint = match &error["hint"] {
            Value::Null => String::new(),
            hint => format!("\n  → {}", visible(&text(hint))),
        };
        format!(
            "{}  {}  {}: {}\n  {}{hint}\n  inputs {}  tries {tries}  wall_ms {}  of “{}”\n",
            text(&row["step"]),
            text(&row["cause"]),
            text(&row["tool"]),
            cell(&row["title"]),
            visible(&text(&error["message"])),
            cell(&row["args"]),
            text(&row["usage"]["wall_ms"]),
            cell(&row["wish"]),
        )
    };
    let all: String = rows.iter().map(line).collect();
    format!("{all}mend one with: alma dead-letters edit STEP --arg NAME=VALUE, or requeue STEP")
}

/// What became of many dead steps.
fn moved(response: &Value) -> String {
    let steps = response["steps"].as_array().map_or(0, Vec::len);
    let mut shown = match (response["count"].as_u64(), response["what"].as_str()) {
        (Some(0) | None, _) => return "no dead step fits".to_owned(),
        (_, Some("requeue")) => {
            format!("{steps} dead steps go round again, while `alma serve` or `alma worker` runs")
        }
        _ => format!("{steps} dead steps are off the desk"),
    };
    for left in response["left"].as_array().into_iter().flatten() {
        shown.push_str(&format!("\nleft: {}", visible(&text(left))));
    }
    let more = response["count"].as_u64().unwrap_or(0).saturating_sub(steps as u64);
    if more > 0 {
        shown.push_str(&format!("\n{more} are still there; say it again"));
    }
    shown
}

fn doctor(response: &Value) -> String {
    let mut shown = String::new();
    for finding in response["findings"].as_array().into_iter().flatten() {
        let sign = match finding["level"].as_str() {
            Some("good") => "✔",
            Some("notice") => "~",
            _ => "✘",
        };
        shown.push_str(&format!(
            "{sign} {:<14} {}\n",
            text(&finding["what"]),
            text(&finding["detail"])
        ));
        if let Some(fix) = finding["fix"].as_str() {
            shown.push_str(&format!("  {:<14} → {fix}\n", ""));
        }
    }
    shown
}

fn dry_run(response: &Value) -> String {
    let mut shown = format!("{}\n\n", text(&response["text"]).trim_end());
    shown.push_str(&foreseen(response, "this would happen:"));
    shown.push_str("nothing was done (dry run)");
    shown
}

/// Effects that were foreseen, and steps that could not be.
pub(super) fn foreseen(response: &Value, title: &str) -> String {
    let effects = response["effects"].as_array().map_or(&[][..], Vec::as_slice);
    let mut shown = match effects {
        [] => "this would only look; nothing would change\n".to_owned(),
        _ => format!("{title}\n"),
    };
    for effect in effects {
        shown.push_str(&format!(
            "  {:<6} {:<7} {}\n",
            text(&effect["verdict"]),
            text(&effect["class"]),
            visible(&text(&effect["summary"]))
        ));
    }
    for open in response["unforeseen"].as_array().into_iter().flatten() {
        shown.push_str(&format!("  cannot be foreseen: {}\n", text(open)));
    }
    shown
}
