//! The report as text: for a terminal of some width, and as Markdown.

use crate::happened::count;
use crate::report::{Activity, Line, Offer, Report};
use crate::scores::{Score, Trend, Unit};
use crate::spark;

/// Narrowest and widest text.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=100;
/// Lines of a summary.
const SUMMARY_MAX: usize = 3;
/// Topics that are shown.
const TOPICS_MAX: usize = 6;

/// Fewest nights that make a row of bars.
const BARS_MIN: usize = 3;

/// A point in time as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The day.
    pub day: String,
    /// The time of day.
    pub time: String,
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.day, self.time)
    }
}

/// How times are written.
pub type Clock<'c> = &'c dyn Fn(i64) -> Moment;

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
    active(&report.active, pen, clock, &mut out);
    if !report.missed.is_empty() {
        let times: Vec<String> = report.missed.iter().map(|at| clock(*at).to_string()).collect();
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
    let offers = &report.offers;
    if [offers.made.len(), offers.not_made.len(), offers.needless.len()] != [0, 0, 0] {
        pen.heading(&mut out, "Proposals");
    }
    for one in &offers.made {
        offer(one, pen, &mut out);
    }
    for reason in &offers.not_made {
        pen.point(&mut out, &format!("Not proposed: {reason}."), &[]);
    }
    for reason in &offers.needless {
        pen.point(&mut out, reason, &[]);
    }
    if !report.left_out.is_empty() {
        pen.heading(&mut out, "Left out");
        for what in &report.left_out {
            pen.point(&mut out, what, &[]);
        }
    }
    out
}

/// When something was done: the time from the first to the last of it, in bars.
fn active(active: &Activity, pen: &Pen, clock: Clock<'_>, out: &mut String) {
    if active.bars.is_empty() {
        return;
    }
    let figures: Vec<f64> = active.bars.iter().map(|n| f64::from(*n)).collect();
    let bars = spark::line(&figures, 0.0);
    let (first, last) = (clock(active.since), clock(active.until));
    let span = match first.day == last.day {
        true => format!("{first} to {}", last.time),
        false => format!("{first} to {last}"),
    };
    let minutes = active.bar_ms / 60_000;
    let bar = match (minutes / 1_440, minutes / 60) {
        (days, _) if days > 0 => count(days as usize, "day"),
        (_, hours) if hours > 0 => count(hours as usize, "hour"),
        _ => count(minutes as usize, "minute"),
    };
    let note = format!("(a bar is {bar})");
    match pen.markdown {
        true => out.push_str(&format!("\n{span} `{bars}` {note}\n")),
        false => out.push_str(&wrap(&format!("{span} {bars} {note}"), "  ", "  ", pen.width)),
    }
}

fn offer(offer: &Offer, pen: &Pen, out: &mut String) {
    pen.point(out, &offer.title, &[]);
    let mut below = |text: &str| {
        out.push_str(&match pen.markdown {
            true => format!("  {}  \n", escape(text)),
            false => wrap(&visible(text), "    ", "    ", pen.width),
        });
    };
    for way in &offer.say {
        below(&format!("say: {way}"));
    }
    below(&offer.because);
    for verb in ["show", "accept"] {
        let command = format!("alma proposals {verb} {}", offer.id);
        out.push_str(&match pen.markdown {
            true => format!("  `{command}`  \n"),
            false => format!("    {command}\n"),
        });
    }
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

/// A line of the table of figures.
struct Row {
    label: String,
    now: String,
    cases: String,
    trend: String,
    /// The same in a word.
    word: &'static str,
    bars: String,
}

impl Row {
    fn of(score: &Score) -> Option<Self> {
        let now = figure(score.value?, score.unit);
        // What is counted is compared by how often it happens.
        let unit = if score.unit == Unit::Count { Unit::Share } else { score.unit };
        let was = score.earlier().map_or_else(String::new, |was| figure(was, unit));
        let (word, trend) = match score.trend() {
            Trend::New => ("new", "new".to_owned()),
            Trend::Few => ("too few", "too few to tell".to_owned()),
            Trend::Same => ("steady", "steady".to_owned()),
            Trend::Better => ("better", format!("better, was {was}")),
            Trend::Worse => ("WORSE", format!("WORSE, was {was}")),
        };
        let mut nights = score.before.clone();
        nights.extend(score.value);
        let top = if score.unit == Unit::Share { 1.0 } else { 0.0 };
        let bars = match nights.len() >= BARS_MIN {
            true => spark::line(&nights, top),
            false => String::new(),
        };
        let cases = format!("of {}", score.n);
        Some(Self { label: score.label.clone(), now, cases, trend, word, bars })
    }
}

fn scores(all: &[Score], pen: &Pen, out: &mut String) {
    let rows: Vec<Row> = all.iter().filter_map(Row::of).collect();
    if pen.markdown && !rows.is_empty() {
        out.push_str("| what | now | cases | against before | nights |\n|---|---:|---:|---|---|\n");
    }
    let widest = |of: &dyn Fn(&Row) -> &str| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
    };
    let (label, now) = (widest(&|row| &row.label), widest(&|row| &row.now));
    let (cases, trend) = (widest(&|row| &row.cases), widest(&|row| &row.trend));
    let (short, long) = (label + now + cases + 15, label + now + cases + trend + 8);
    for row in &rows {
        let Row { label: name, now: value, cases: of, bars, .. } = row;
        if pen.markdown {
            let of = of.trim_start_matches("of ");
            out.push_str(&format!("| {name} | {value} | {of} | {} | {bars} |\n", row.trend));
        } else if long <= pen.width {
            // The newest nights, as many as there is room for.
            let room = pen.width - long;
            let hidden = bars.chars().count().saturating_sub(room.saturating_sub(1));
            let kept: String = bars.chars().skip(hidden).collect();
            let kept = if kept.chars().count() < BARS_MIN { String::new() } else { kept };
            let line = format!(
                "  {name:<label$}  {value:>now$}  {of:<cases$}  {:<trend$} {kept}",
                row.trend
            );
            out.push_str(&format!("{}\n", line.trim_end()));
        } else if short <= pen.width {
            let line = format!("  {name:<label$}  {value:>now$}  {of:<cases$}  {}", row.word);
            out.push_str(&format!("{}\n", line.trim_end()));
        } else {
            let line = format!("{name}: {value} {of}, {}", row.trend);
            out.push_str(&wrap(&line, "  ", "    ", pen.width));
        }
    }
    let silent: Vec<&str> =
        all.iter().filter(|score| score.value.is_none()).map(|s| s.label.as_str()).collect();
    if !silent.is_empty() {
        let blank = if pen.markdown && !rows.is_empty() { "\n" } else { "" };
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

    fn clock(at: i64) -> Moment {
        let time = format!("{:02}:{:02}", at / 3_600_000 % 24, at / 60_000 % 60);
        Moment { day: format!("day {}", at / 86_400_000), time }
    }

    fn check(report: &Report, width: usize, expect: Expect) {
        expect.assert_eq(&terminal(report, width, &clock));
    }

    fn score(label: &str, (value, n): (f64, u32), earlier: &[(f64, u32)]) -> Score {
        let (before, cases) = earlier.iter().copied().unzip();
        Score {
            name: label.to_owned(),
            label: label.to_owned(),
            value: Some(value),
            n,
            unit: Unit::Share,
            more_is_better: true,
            range: None,
            before,
            cases,
        }
    }

    /// The table of figures alone.
    fn figures(width: usize, expect: Expect) {
        // A line that is not set in: what all lines have in common is trimmed off.
        let mut out = format!("{width} columns\n");
        scores(&full().scores, &Pen { width, markdown: false }, &mut out);
        expect.assert_eq(&out);
    }

    #[test]
    fn figures_are_a_table_at_every_width() {
        figures(
            80,
            expect![[r#"
                80 columns
                  claims that a check proved       50 %  of 40   WORSE, was 96 % ▇█▅
                  questions answered from memory   75 %  of 8    too few to tell
                  attacks that changed nothing    100 %  of 120  new
            "#]],
        );
        figures(
            60,
            expect![[r#"
                60 columns
                  claims that a check proved       50 %  of 40   WORSE
                  questions answered from memory   75 %  of 8    too few
                  attacks that changed nothing    100 %  of 120  new
            "#]],
        );
        figures(
            40,
            expect![[r#"
                40 columns
                  claims that a check proved: 50 % of
                    40, WORSE, was 96 %
                  questions answered from memory: 75 %
                    of 8, too few to tell
                  attacks that changed nothing: 100 % of
                    120, new
            "#]],
        );
    }

    fn full() -> Report {
        let cited = |id: &str| Cited { id: id.to_owned(), quote: "…".to_owned() };
        Report {
            night: "n1".to_owned(),
            since: 0,
            until: 86_400_000,
            happened: vec![Line::new("2 missions: 2 done and proven.".to_owned())],
            active: Activity {
                since: 36_000_000,
                until: 36_660_000,
                bar_ms: 300_000,
                bars: vec![1, 0, 2],
            },
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
            scores: vec![
                score("claims that a check proved", (0.5, 40), &[(0.9, 20), (1.0, 30)]),
                score("questions answered from memory", (0.75, 8), &[(1.0, 8)]),
                score("attacks that changed nothing", (1.0, 120), &[]),
            ],
            attacks: Vec::new(),
            offers: Offers {
                made: vec![Offer {
                    id: "p1".to_owned(),
                    title: "A playbook: hash {files}".to_owned(),
                    because: "made from 3 missions.".to_owned(),
                    say: vec!["hash {files} into {output}".to_owned()],
                }],
                not_made: vec!["3 missions are alike, but too much differs".to_owned()],
                needless: Vec::new(),
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
                The night of day 1, 00:00
                ─────────────────────────

                What happened
                  2 missions: 2 done and proven.
                  day 0, 10:00 to 10:11 ▅▁█ (a bar is 5 minutes)

                What it was about
                  fence · garden (3 memories)
                    “The fence costs 900 euros.” [y1]
                  2 of 5 memories belong to no topic.

                What did I learn today?
                  Whatever delete wanted to do, you said no: 2 of 2. [a1, a2]

                How well it works
                  claims that a check proved       50 %  of 40   WORSE, was 96 % ▇█▅
                  questions answered from memory   75 %  of 8    too few to tell
                  attacks that changed nothing    100 %  of 120  new

                Attacks
                  There was nothing to attack.

                Proposals
                  A playbook: hash {files}
                    say: hash {files} into {output}
                    made from 3 missions.
                    alma proposals show p1
                    alma proposals accept p1
                  Not proposed: 3 missions are alike, but too much differs.
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
                The night of day 1, 00:00
                ─────────────────────────

                What happened
                  Nothing, since day 0, 00:00.

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
