//! A mission's plan as it is carried out, drawn as text.

use super::show::steers;
use alma::operations::mission_show::{Response, StepLine};
use charter::rows::StepState;

/// Frames of the sign that something is being worked on.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// One line per step. `tick` moves the spinner; `width` cuts lines.
pub fn lines(mission: &Response, tick: usize, width: usize) -> Vec<String> {
    let last = mission.steps.len();
    mission
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            let branch = if i + 1 == last { "└─" } else { "├─" };
            let line = format!(
                "{branch} {} {}. {}{}",
                sign(step, tick),
                step.step.n,
                step.title,
                remark(step)
            );
            cut(&line, width)
        })
        .collect()
}

fn sign(step: &StepLine, tick: usize) -> &'static str {
    match step.state {
        StepState::Blocked | StepState::Ready => "·",
        StepState::Claimed | StepState::Expanded => SPINNER[tick % SPINNER.len()],
        StepState::Parked => "?",
        StepState::Done if step.verified => "✔",
        StepState::Done => "~",
        StepState::Dead | StepState::Discarded => "✘",
        StepState::Skipped | StepState::Cancelled => "-",
    }
}

fn remark(step: &StepLine) -> String {
    let mut remark = String::new();
    if step.items > 0 {
        remark.push_str(&format!("  {}/{}", step.items - step.items_open, step.items));
    }
    match step.state {
        StepState::Parked => remark.push_str("  waits for you"),
        StepState::Done if !step.verified => remark.push_str("  not verified"),
        StepState::Done if step.wall_ms >= 1_000 => {
            remark.push_str(&format!("  {:.1} s", step.wall_ms as f64 / 1_000.0));
        }
        StepState::Skipped => remark.push_str("  skipped"),
        StepState::Cancelled => remark.push_str("  cancelled"),
        _ => {}
    }
    if let Some(error) = &step.error {
        remark.push_str(&format!("  {}", error.lines().next().unwrap_or_default()));
    }
    remark
}

fn cut(line: &str, width: usize) -> String {
    let clean: String = line.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    if console::measure_text_width(&clean) <= width {
        clean
    } else {
        console::truncate_str(&clean, width, "…").into_owned()
    }
}
