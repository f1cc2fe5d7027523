//! What happens in a turn, shown as it happens: lines for people, JSON Lines for
//! programs.

use super::follow::Drawing;
use super::{Screen, show};
use alma::conversation::Happening;
use charter::conversation::Route;
use console::style;
use std::io::Write;

/// Where happenings are shown.
pub(super) struct View<'s> {
    screen: &'s Screen,
    drawing: Drawing<'s>,
    only_answer: bool,
    /// The last piece of the answer did not end its line.
    mid_line: bool,
}

impl<'s> View<'s> {
    pub(super) fn new(screen: &'s Screen) -> Self {
        Self { screen, drawing: Drawing::new(screen), only_answer: false, mid_line: false }
    }

    /// Shows the answer and nothing else.
    pub(super) fn only_answer(&mut self) {
        self.only_answer = true;
    }

    pub(super) fn show(&mut self, happening: Happening) {
        if self.screen.json {
            if !self.only_answer {
                match serde_json::to_string(&happening) {
                    Ok(line) => self.screen.line(&line),
                    Err(error) => self.screen.note(&format!("could not write a line: {error}")),
                }
            }
            return;
        }
        match happening {
            Happening::Begun { .. } => {}
            Happening::Routed { route, reason, .. } => {
                if self.screen.interactive && route != Route::Chat {
                    let line = format!("{}: {reason}", route.as_str());
                    self.screen.line(&style(line).dim().to_string());
                }
            }
            Happening::Note { text } => {
                if !self.only_answer {
                    let line = format!("note: {}", show::visible(&text));
                    self.screen.line(&style(line).dim().to_string());
                }
            }
            Happening::Plan { text, .. } => {
                if !self.only_answer && !self.screen.interactive {
                    self.screen.line(&text);
                }
                self.drawing = Drawing::new(self.screen);
            }
            Happening::Progress(mission) => {
                if !self.only_answer {
                    self.drawing.draw(&mission);
                }
            }
            // What is asked stands in the answer, with every effect.
            Happening::Approval(_) => self.drawing.end(),
            Happening::Token { text } => {
                self.drawing.end();
                let mut out = std::io::stdout().lock();
                let clean = printable(&text);
                // A reader that has gone away is no error of ours.
                let _gone = out.write_all(clean.as_bytes()).and_then(|()| out.flush());
                self.mid_line = !clean.ends_with('\n');
            }
            // Whoever carried the turn on has the error itself.
            Happening::Failed { .. } => self.drawing.end(),
            Happening::Complete(_) => {
                self.drawing.end();
                if std::mem::take(&mut self.mid_line) {
                    self.screen.line("");
                }
                if self.screen.interactive {
                    self.screen.line("");
                }
            }
        }
    }
}

/// Control characters that would move the cursor or change colours are made
/// visible; so are those that turn the direction of text around.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c.to_string(),
            c if show::steers(c) => c.escape_unicode().to_string(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_cannot_play_with_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\u{202e}b\n"), "a\\u{1b}[2J\\u{202e}b\n");
        assert_eq!(printable("مرحبا 🦀\té\n"), "مرحبا 🦀\té\n");
    }
}
