//! Shows the report of a night; of the newest one unless one is named.

use crate::{Alma, Error, night};
use charter::ids::{Millis, NightId, Principal};
use charter::night::NightState;
use forty_two::report::Report;
use forty_two::show::{self, Moment};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Columns of a terminal that says nothing of itself.
const WIDTH: u32 = 80;

/// Which, and how it shall look.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Which night; the newest unless one is named.
    pub night: Option<NightId>,
    /// As Markdown.
    pub markdown: bool,
    /// Columns of the terminal.
    pub width: Option<u32>,
}

/// A report.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The night.
    pub night: String,
    /// Whether every part was done.
    pub state: NightState,
    /// The report.
    pub report: Report,
    /// The report as text.
    pub text: String,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let id = match request.night {
        Some(id) => id,
        None => {
            let rows = night::nights(alma, principal).await?;
            let over =
                |row: &charter::night::NightRow| row.report.is_some() && !night::is_missed(row);
            rows.into_iter().find(over).map(|row| row.id).ok_or_else(|| {
                Error::NotFound("a night that was run (`alma nightly run` runs one now)".to_owned())
            })?
        }
    };
    let report = night::report_of(alma, principal, &id).await?;
    Ok(response(report, request.markdown, request.width))
}

/// A report with its text.
pub(super) fn response(report: Report, markdown: bool, width: Option<u32>) -> Response {
    let width = width.unwrap_or(WIDTH) as usize;
    let text = match markdown {
        true => show::markdown(&report, &clock),
        false => show::terminal(&report, width, &clock),
    };
    let whole = report.left_out.is_empty() && report.since != report.until;
    let state = if whole { NightState::Done } else { NightState::Partial };
    Response { night: report.night.clone(), state, report, text }
}

/// A point in time as people here write it.
pub(super) fn clock(at: Millis) -> Moment {
    let moment = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    let moment = moment.to_zoned(TimeZone::system());
    Moment {
        day: moment.strftime("%-d %b %Y").to_string(),
        time: moment.strftime("%H:%M").to_string(),
    }
}
