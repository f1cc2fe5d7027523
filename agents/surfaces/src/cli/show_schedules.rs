//! Schedules as text.

use super::show::visible;
use serde_json::Value;

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn texts<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v str> {
    value[field].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// All schedules, a few lines each.
pub(super) fn list(response: &Value) -> String {
    let all = response["schedules"].as_array().map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        return "nothing is scheduled; begin with: alma schedules new \"every weekday at eight \
                list the files\""
            .to_owned();
    }
    all.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// How one stands.
pub(super) fn one(schedule: &Value) -> String {
    let mut shown = format!(
        "{}  {:<8}{} ({})\n  {}\n",
        text(schedule, "schedule"),
        text(schedule, "state"),
        text(schedule, "when"),
        text(schedule, "zone"),
        visible(text(schedule, "wish"))
    );
    let next: Vec<&str> = texts(schedule, "next").collect();
    if !next.is_empty() {
        let word = if text(schedule, "state") == "waiting" { "would" } else { "next" };
        shown.push_str(&format!("  {word:<6} {}\n", next.join(" · ")));
    }
    if schedule["last"].is_object() {
        shown.push_str(&format!("  last   {}\n", due(&schedule["last"])));
    }
    for alert in schedule["alerts"].as_array().into_iter().flatten() {
        shown.push_str(&format!("  look   {}\n", visible(text(alert, "text"))));
    }
    if text(schedule, "state") == "waiting" {
        shown.push_str(&format!(
            "  it waits for your yes: alma schedules approve {}\n",
            text(schedule, "schedule")
        ));
    }
    shown
}

fn due(due: &Value) -> String {
    let mut shown = format!("{}  {}", text(due, "local"), text(due, "outcome"));
    if let Some(mission) = due["mission"].as_str() {
        shown.push_str(&format!("  {mission} {}", text(due, "mission_state")));
    }
    if let Some(note) = due["note"].as_str() {
        shown.push_str(&format!("  {}", visible(note)));
    }
    shown
}

/// A schedule with its plan and the due times that came.
pub(super) fn whole(response: &Value) -> String {
    let mut shown = one(response);
    shown.push_str(&format!("\n{}\n", text(response, "plan").trim_end()));
    for cover in texts(response, "covers") {
        shown.push_str(&format!("  one yes covers {cover}\n"));
    }
    if let Some(by) = response["approved_by"].as_str() {
        shown.push_str(&format!("  approved by {by}\n"));
    }
    shown.push_str(&format!("  missed times: {}\n", missed(response)));
    shown.push_str(&format!("  digest {}\n", text(response, "digest")));
    let past = response["due"].as_array().map_or(&[][..], Vec::as_slice);
    if !past.is_empty() {
        shown.push_str("\ndue times that came, newest first:\n");
    }
    for one in past {
        shown.push_str(&format!("  {}\n", due(one)));
    }
    shown
}

fn missed(response: &Value) -> &'static str {
    match text(response, "missed") {
        "skip" => "are recorded and not caught up",
        _ => "are caught up by one run",
    }
}

/// A schedule that was just made.
pub(super) fn made(response: &Value) -> String {
    let mut shown = format!("{}\n", text(response, "text").trim_end());
    for note in texts(response, "notes") {
        shown.push_str(&format!("note: {}\n", visible(note)));
    }
    shown.push('\n');
    shown.push_str(&super::show::foreseen(response, "today this would happen:"));
    shown.push('\n');
    shown.push_str(&one(response));
    if text(response, "state") != "waiting" {
        shown.push_str("  it runs while `alma serve`, `alma worker` or `alma chat` is open\n");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schedule_that_waits_says_what_for() {
        let schedule = json!({
            "schedule": "r-1", "state": "waiting", "when": "every day at 08:00", "zone": "UTC",
            "wish": "tidy\u{1b}[2J up", "next": ["Mon 2026-03-30 08:00"], "alerts": [],
        });
        let shown = one(&schedule);
        assert!(shown.contains("would  Mon 2026-03-30 08:00"), "{shown}");
        assert!(shown.contains("alma schedules approve r-1"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
