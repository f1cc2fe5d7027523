//! The report as text: for a terminal of some width, and as Markdown.

use crate::happened::count;
use crate::report::{Line, Report};
use crate::scores::{Score, Trend, Unit};
use crate::spark;

/// Narrowest and widest text.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=100;
/// Lines of a summary.
const SUMMARY_MAX: usize = 3;
/// Topics that are shown.
const TOPICS_MAX: usize = 6;

/// How times are written: a point in time to date and time of day.
pub type Clock<'c> = &'c dyn Fn(i64) -> String;

/// The report for a terminal.
pub fn terminal(report: &Report, width: usize, clock: Clock<'_>) -> String {
    write(
        report,
        &Pen { width: width.clamp(*WIDTHS.start(), *WIDTHS.end()), markdown: false },
        clock,
    )
}

/// The report as Markdown.
pub fn markdown(report: &Report, clock: Clock<'_>) -> String {
    write(report, &Pen { width: usize::MAX, markdown: true }, clock)
}

struct Pen {
    width: usize,
    markdown: bool,
}

impl Pen {
    fn title(&self, out: &mut String, text: &str) {
        if self.markdown {
            out.push_str(&format!("# {text}\n"));
        } else {
            out.push_str(&format!(
                "{text}\n{}\n",
                "─".repeat(text.chars().count().min(self.width))
            ));
        }
    }

    fn heading(&self, out: &mut String, text: &str) {
        out.push_str(&if self.markdown {
            format!("\n## {text}\n\n")
        } else {
            format!("\n{text}\n")
        });
    }

    /// A point of a list; what it links to stands behind it.
    fn point(&self, out: &mut String, text: &str, links: &[String]) {
        let text = if self.markdown { escape(text) } else { visible(text) };
        let links: Vec<String> = links
            .iter()
            .map(|link| if self.markdown { format!("`{link}`") } else { link.clone() })
            .collect();
        let whole = match links.as_slice() {
            [] => text,
            some => format!("{text} [{}]", some.join(", ")),
        };
        let (first, rest) = if self.markdown { ("- ", "  ") } else { ("  ", "    ") };
        out.push_str(&wrap(&whole, first, rest, self.width));
    }

    fn plain(&self, out: &mut String, text: &str) {
        out.push_str(&if self.markdown {
            format!("{text}\n")
        } else {
            wrap(text, "  ", "  ", self.width)
        });
    }
}

fn write(report: &Report, pen: &Pen, clock: Clock<'_>) -> String {
    let mut out = String::new();
    pen.title(&mut out, &format!("The night of {}", clock(report.until)));
    pen.heading(&mut out, "What happened");
    if report.happened.is_empty() {
        pen.plain(&mut out, &format!("Nothing, since {}.", clock(report.since)));
    }
    for Line { text, links } in &report.happened {
        pen.point(&mut out, text, links);
    }
    if !report.activity.is_empty() {
        let figures: Vec<f64> = report.activity.iter().map(|n| f64::from(*n)).collect();
        let bars = spark::line(&figures, 0.0);
        let ends = (clock(report.active_since), clock(report.until));
        out.push_str(&match pen.markdown {
            true => format!("\n{} `{bars}` {}\n", ends.0, ends.1),
            false => format!("  {} {bars} {}\n", ends.0, ends.1),
        });
    }
    if !report.missed.is_empty() {
        let times: Vec<String> = report.missed.iter().map(|at| clock(*at)).collect();
        pen.point(
            &mut out,
            &format!(
                "{} missed and made up for now: {}.",
                count(times.len(), "night"),
                times.join(", ")
            ),
            &[],
        );
    }
    if !report.themes.topics.is_empty() {
        pen.heading(&mut out, "What it was about");
        themes(report, pen, &mut out);
    }
    pen.heading(&mut out, "What did I learn today?");
    if report.lessons.is_empty() {
        pen.plain(&mut out, "Nothing that two sources bear out.");
    }
    for lesson in &report.lessons {
        let ids: Vec<String> = lesson.sources.iter().map(|source| source.id.clone()).collect();
        pen.point(&mut out, &lesson.text, &ids);
    }
    pen.heading(&mut out, "How well it works");
    scores(&report.scores, pen, &mut out);
    pen.heading(&mut out, "Attacks");
    attacks(report, pen, &mut out);
    if !report.offers.made.is_empty() || !report.offers.not_made.is_empty() {
        pen.heading(&mut out, "Proposals");
    }
    for offer in &report.offers.made {
        pen.point(&mut out, &format!("{} — {}", offer.title, offer.because), &[]);
        let command = format!("alma proposals show {}", offer.id);
        out.push_str(&if pen.markdown {
            format!("  `{command}`\n")
        } else {
            format!("    {command}\n")
        });
    }
    for reason in &report.offers.not_made {
        pen.point(&mut out, &format!("Not proposed: {reason}"), &[]);
    }
    if !report.left_out.is_empty() {
        pen.heading(&mut out, "Left out");
        for what in &report.left_out {
            pen.point(&mut out, what, &[]);
        }
    }
    out
}

fn themes(report: &Report, pen: &Pen, out: &mut String) {
    for theme in report.themes.topics.iter().take(TOPICS_MAX) {
        let name = match theme.keywords.as_slice() {
            [] => "something".to_owned(),
            words => words.join(" · "),
        };
        let members = count(theme.members as usize, "memory");
        match pen.markdown {
            true => out.push_str(&format!("**{}** ({members})\n\n", escape(&name))),
            false => out.push_str(&wrap(
                &format!("{} ({members})", visible(&name)),
                "  ",
                "  ",
                pen.width,
            )),
        }
        let own = if theme.gist.is_some() { &[][..] } else { theme.summary.as_slice() };
        if let Some(gist) = &theme.gist {
            let mut links: Vec<String> = Vec::new();
            for link in theme.summary.iter().flat_map(|line| &line.links) {
                if !links.contains(link) {
                    links.push(link.clone());
                }
            }
            let told = format!("{} (in the words of {})", gist.text, gist.model);
            if pen.markdown {
                pen.point(out, &told, &links);
            } else {
                let whole = format!("{} [{}]", visible(&told), links.join(", "));
                out.push_str(&wrap(&whole, "    ", "    ", pen.width));
            }
        }
        for line in own.iter().take(SUMMARY_MAX) {
            let quoted =
                format!("“{}”", line.text.split_whitespace().collect::<Vec<_>>().join(" "));
            if pen.markdown {
                pen.point(out, &quoted, &line.links);
            } else {
                let whole = format!("{} [{}]", visible(&quoted), line.links.join(", "));
                out.push_str(&wrap(&whole, "    ", "    ", pen.width));
            }
        }
        if pen.markdown {
            out.push('\n');
        }
    }
    let more = report.themes.topics.len().saturating_sub(TOPICS_MAX);
    if more > 0 {
        pen.plain(out, &format!("and {} more", count(more, "topic")));
    }
    if report.themes.noise > 0 {
        pen.plain(
            out,
            &format!(
                "{} of {} belong to no topic.",
                report.themes.noise,
                count(report.themes.memories as usize, "memory")
            ),
        );
    }
}

fn scores(all: &[Score], pen: &Pen, out: &mut String) {
    let measured: Vec<&Score> = all.iter().filter(|score| score.value.is_some()).collect();
    if pen.markdown && !measured.is_empty() {
        out.push_str("| what | now | cases | before | nights |\n|---|---:|---:|---|---|\n");
    }
    let label = measured.iter().map(|s| s.label.chars().count()).max().unwrap_or(0);
    for score in &measured {
        let Some(value) = score.value else { continue };
        let now = figure(value, score.unit);
        let before = score.before.last().map(|b| figure(*b, score.unit));
        let trend = match score.trend() {
            Trend::New => "new".to_owned(),
            Trend::Same => "as before".to_owned(),
            Trend::Better => format!("better, was {}", before.unwrap_or_default()),
            Trend::Worse => format!("WORSE, was {}", before.unwrap_or_default()),
        };
        let mut row = score.before.clone();
        row.push(value);
        let bars = if row.len() > 1 { spark::line(&row, 0.0) } else { String::new() };
        if pen.markdown {
            out.push_str(&format!(
                "| {} | {now} | {} | {trend} | {bars} |\n",
                score.label, score.n
            ));
        } else if label + 40 <= pen.width {
            let line =
                format!("  {:<label$}  {now:>8}  of {:<5} {trend} {bars}", score.label, score.n);
            out.push_str(&format!("{}\n", line.trim_end()));
        } else {
            let line = format!("{}: {now} of {}, {trend} {bars}", score.label, score.n);
            out.push_str(&wrap(line.trim_end(), "  ", "    ", pen.width));
        }
    }
    let silent: Vec<&str> =
        all.iter().filter(|score| score.value.is_none()).map(|s| s.label.as_str()).collect();
    if !silent.is_empty() {
        let blank = if pen.markdown && !measured.is_empty() { "\n" } else { "" };
        out.push_str(blank);
        pen.plain(out, &format!("No case to measure: {}.", silent.join("; ")));
    }
}

fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.0} %", value * 100.0),
        Unit::Count => format!("{value:.0}"),
        Unit::Millis if value >= 10_000.0 => format!("{:.0} s", value / 1_000.0),
        Unit::Millis if value >= 1_000.0 => format!("{:.1} s", value / 1_000.0),
        Unit::Millis => format!("{value:.0} ms"),
    }
}

fn attacks(report: &Report, pen: &Pen, out: &mut String) {
    let (tried, held) = report.attacks.iter().fold((0, 0), |(t, h), a| (t + a.tried, h + a.held));
    if tried == 0 {
        return pen.plain(out, "There was nothing to attack.");
    }
    let ways: Vec<&str> =
        report.attacks.iter().filter(|a| a.tried > 0).map(|a| a.way.label()).collect();
    pen.point(out, &format!("{held} of {tried} changed nothing ({}).", ways.join(", ")), &[]);
    for attack in report.attacks.iter().filter(|attack| !attack.broke.is_empty()) {
        for how in &attack.broke {
            pen.point(out, &format!("GOT THROUGH by {}: {how}", attack.way.label()), &[]);
        }
    }
}

/// Control characters made visible: quoted words must not move the cursor.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Quoted words must not be read as marks of Markdown.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in visible(text).chars() {
        if matches!(c, '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Breaks a text between words; a word longer than a line stands alone.
fn wrap(text: &str, first: &str, rest: &str, width: usize) -> String {
    let mut out = String::new();
    let (mut line, mut empty) = (first.to_owned(), true);
    for word in text.split_whitespace() {
        let long = line.chars().count() + 1 + word.chars().count() > width;
        if !empty && long {
            out.push_str(line.trim_end());
            out.push('\n');
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lessons::{Cited, Lesson};
    use crate::report::{Offer, Offers, Theme, Themes};
    use charter::gist::Gist;
    use expect_test::{Expect, expect};

    fn clock(at: i64) -> String {
        format!("day {}", at / 86_400_000)
    }

    fn check(report: &Report, width: usize, expect: Expect) {
        expect.assert_eq(&terminal(report, width, &clock));
    }

    fn full() -> Report {
        let cited = |id: &str| Cited { id: id.to_owned(), quote: "…".to_owned() };
        Report {
            night: "n1".to_owned(),
            since: 0,
            until: 86_400_000,
            happened: vec![Line::new("2 missions: 2 done and proven.".to_owned())],
            activity: vec![0, 1, 2],
            active_since: 0,
            themes: Themes {
                topics: vec![Theme {
                    keywords: vec!["fence".to_owned(), "garden".to_owned()],
                    members: 3,
                    medoid: "y1".to_owned(),
                    summary: vec![Line::about("The fence costs 900 euros.".to_owned(), "y1")],
                    kept: None,
                    gist: None,
                    why: None,
                }],
                memories: 5,
                noise: 2,
            },
            lessons: vec![Lesson {
                rule: "denied-alike".to_owned(),
                text: "Whatever delete wanted to do, you said no: 2 of 2.".to_owned(),
                sources: vec![cited("a1"), cited("a2")],
            }],
            scores: vec![Score {
                name: "x".to_owned(),
                label: "claims that a check proved".to_owned(),
                value: Some(0.5),
                n: 4,
                unit: Unit::Share,
                more_is_better: true,
                before: vec![0.25, 1.0],
            }],
            attacks: Vec::new(),
            offers: Offers {
                made: vec![Offer {
                    id: "p1".to_owned(),
                    title: "A playbook: hash {files}".to_owned(),
                    because: "3 missions by file".to_owned(),
                }],
                not_made: Vec::new(),
            },
            left_out: Vec::new(),
            missed: Vec::new(),
        }
    }

    #[test]
    fn a_full_night() {
        check(
            &full(),
            80,
            expect![[r#"
                The night of day 1
                ──────────────────

                What happened
                  2 missions: 2 done and proven.
                  day 0 ▁▅█ day 1

                What it was about
                  fence · garden (3 memories)
                    “The fence costs 900 euros.” [y1]
                  2 of 5 memories belong to no topic.

                What did I learn today?
                  Whatever delete wanted to do, you said no: 2 of 2. [a1, a2]

                How well it works
                  claims that a check proved      50 %  of 4     WORSE, was 100 % ▃█▅

                Attacks
                  There was nothing to attack.

                Proposals
                  A playbook: hash {files} — 3 missions by file
                    alma proposals show p1
            "#]],
        );
    }

    #[test]
    fn a_topic_in_other_words_says_whose_and_from_where() {
        let mut report = full();
        let topic = &mut report.themes.topics[0];
        topic.gist = Some(Gist::by("The fence is 900 euros.".to_owned(), "tiny.gguf"));
        let wanted = "The fence is 900 euros. (in the words of tiny.gguf) [y1]";
        let text = terminal(&report, 100, &clock);
        assert!(text.contains(wanted) && !text.contains("“The fence"), "{text}");
    }

    #[test]
    fn an_empty_night_is_short() {
        check(
            &Report { until: 86_400_000, ..Report::default() },
            80,
            expect![[r#"
                The night of day 1
                ──────────────────

                What happened
                  Nothing, since day 0.

                What did I learn today?
                  Nothing that two sources bear out.

                How well it works

                Attacks
                  There was nothing to attack.
            "#]],
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 60, 100] {
            let text = terminal(&full(), width, &clock);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width, "{widest} in {width}");
        }
    }

    #[test]
    fn quoted_words_steer_neither_terminal_nor_markdown() {
        let mut report = full();
        report.happened = vec![Line::new("“\u{1b}[2J” and `x` <b>".to_owned())];
        assert!(!terminal(&report, 80, &clock).contains('\u{1b}'));
        assert!(markdown(&report, &clock).contains("\\`x\\` \\<b\\>"));
        assert!(markdown(&report, &clock).contains("| claims that a check proved | 50 % |"));
    }
}
