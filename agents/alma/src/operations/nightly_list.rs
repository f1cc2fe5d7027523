//! Lists nights, newest first, with what came of each.

use super::nightly_report::clock;
use super::shared::{limit, there};
use crate::{Alma, Error, night};
use charter::ids::{Millis, NightId, Principal};
use charter::night::NightRow;
use forty_two::happened::count;
use forty_two::report::Report;
use serde::{Deserialize, Serialize};

/// What to list.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// How many at most; 50 unless given.
    pub limit: Option<u32>,
}

/// The nights.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The nights.
    pub nights: Vec<Line>,
}

/// One night.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub night: NightId,
    /// `done`, `partial`, `running`, or `missed`.
    pub state: String,
    /// From when on it looked.
    pub since: Millis,
    /// Until when.
    pub until: Millis,
    /// The same as people write it.
    pub when: String,
    /// What came of it, in a line.
    pub told: String,
}

/// Lists. One whose report was forgotten is listed without what it told.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let rows: Vec<NightRow> =
        alma.records(principal, None, None, true, limit(request.limit)).await?;
    let mut nights = Vec::new();
    for row in rows {
        let report: Option<Report> = match &row.report {
            Some(report) => there(alma.json_of(principal, report, "a report").await)?,
            None => None,
        };
        let missed = night::is_missed(&row);
        let told = match &report {
            _ if missed => "nothing ran at that time".to_owned(),
            Some(report) => told(report),
            None => "not over; `alma nightly run` takes it to its end".to_owned(),
        };
        nights.push(Line {
            state: if missed { "missed".to_owned() } else { row.state.as_str().to_owned() },
            since: row.since,
            until: row.until,
            when: clock(row.until).to_string(),
            told: if row.report.is_some() && report.is_none() { String::new() } else { told },
            night: row.id,
        });
    }
    Ok(Response { nights })
}

/// What happened, in its first sentence, and what was learned and proposed.
fn told(report: &Report) -> String {
    let first = report.happened.first().map(|line| line.text.trim_end_matches('.').to_owned());
    let mut parts = vec![first.unwrap_or_else(|| "nothing happened".to_owned())];
    let more = [(report.lessons.len(), "lesson"), (report.offers.made.len(), "proposal")];
    parts.extend(more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(*n, what)));
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use forty_two::report::Line;

    #[test]
    fn a_night_is_told_in_a_line() {
        assert_eq!(told(&Report::default()), "nothing happened");
        let happened = vec![Line::new("2 missions: 2 done.".to_owned()), Line::new("x".to_owned())];
        assert_eq!(told(&Report { happened, ..Report::default() }), "2 missions: 2 done");
    }
}
