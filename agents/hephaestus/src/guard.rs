//! Watches one call that runs on a thread of its own: its time, whether it is
//! still wanted, whether it panics, and what it says about its programs.

use crate::meter;
use crate::tool::Watch;
use charter::budget::Meter;
use charter::tool::{Call, Cancel, ErrorCode, Process, ToolError};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

/// How often a running call is asked whether it is still wanted.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// How long a call may take to stop after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Why a call is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Late,
}

impl Stop {
    fn error(self, what: &str, limit: Duration) -> ToolError {
        match self {
            Self::Cancelled => {
                ToolError::new(ErrorCode::Cancelled, format!("{what} was asked to stop"))
            }
            Self::Late => ToolError::new(
                ErrorCode::Limit,
                format!("{what} took longer than {} ms", limit.as_millis()),
            )
            .hint("name fewer or smaller files, or allow more time in the plan"),
        }
    }
}

/// Watches one call: its own cancel flag follows the caller's and the clock.
pub(crate) struct Guard<'a> {
    what: &'a str,
    outer: &'a Cancel,
    /// The call's own flag.
    pub(crate) inner: Cancel,
    limit: Duration,
    deadline: Instant,
    stop: Option<(Stop, Instant)>,
    meter: &'a Meter,
}

impl<'a> Guard<'a> {
    /// From now on; `what` stands in errors.
    pub(crate) fn new(what: &'a str, outer: &'a Cancel, limit: Duration, meter: &'a Meter) -> Self {
        let deadline = Instant::now() + limit;
        Self { what, outer, inner: Cancel::default(), limit, deadline, stop: None, meter }
    }

    /// Of a call, by its tool's name.
    pub(crate) fn of(call: &'a Call, limit: Duration) -> Self {
        Self::new(&call.tool, &call.cancel, limit, &call.meter)
    }

    /// Starts the call on a thread of its own, where what it uses is counted.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
    ) -> JoinHandle<Result<T, ToolError>> {
        let meter = self.meter.clone();
        tokio::task::spawn_blocking(move || meter::measured(&meter, call))
    }

    /// Asks the call to stop if it is time; an error once it has had its grace.
    pub(crate) fn look(&mut self) -> Result<(), ToolError> {
        self.meter.memory(meter::resident_bytes());
        let now = Instant::now();
        match self.stop {
            Some((stop, since)) if now >= since + GRACE => Err(stop.error(self.what, self.limit)),
            Some(_) => Ok(()),
            None => {
                let stop = if self.outer.is_cancelled() {
                    Some(Stop::Cancelled)
                } else {
                    (now >= self.deadline).then_some(Stop::Late)
                };
                if let Some(stop) = stop {
                    self.inner.cancel();
                    self.stop = Some((stop, now));
                }
                Ok(())
            }
        }
    }

    /// The result in the caller's words: what stopped is told by why it was stopped.
    pub(crate) fn result<T>(
        &self,
        joined: Result<Result<T, ToolError>, JoinError>,
    ) -> Result<T, ToolError> {
        match (joined, self.stop) {
            (Ok(Err(error)), Some((stop, _))) if error.code == ErrorCode::Cancelled => {
                Err(stop.error(self.what, self.limit))
            }
            (Ok(result), _) => result,
            (Err(error), _) => Err(ToolError::new(
                ErrorCode::Permanent,
                format!("{} broke off: {}", self.what, panic_message(error)),
            )),
        }
    }

    /// Waits for a call on its own thread.
    pub(crate) async fn wait<T>(
        &mut self,
        mut running: JoinHandle<Result<T, ToolError>>,
    ) -> Result<T, ToolError> {
        loop {
            match tokio::time::timeout(LOOK, &mut running).await {
                Ok(joined) => return self.result(joined),
                Err(_) => self.look()?,
            }
        }
    }
}

fn panic_message(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned()),
        Err(_) => "its thread was stopped".to_owned(),
    }
}

/// What an act says about its programs, on the way to the port.
pub(crate) enum Notice {
    /// It may run once the answer is there.
    Started(Process, std_mpsc::SyncSender<Result<(), ToolError>>),
    /// It ended.
    Ended(Process),
}

/// The tool's end of the line.
pub(crate) struct Line(pub(crate) mpsc::Sender<Notice>);

impl Watch for Line {
    fn started(&self, program: &Process) -> Result<(), ToolError> {
        let gone = || ToolError::new(ErrorCode::Cancelled, "nobody watches this call any more");
        let (reply, answer) = std_mpsc::sync_channel(1);
        self.0.blocking_send(Notice::Started(program.clone(), reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    fn ended(&self, program: &Process) {
        // Nobody listens once the call was given up; a successor looks for itself.
        let _ = self.0.blocking_send(Notice::Ended(program.clone()));
    }
}

/// A bound as a duration.
pub(crate) fn millis(ms: u64) -> Duration {
    // A bound beyond a year is none, and would overflow the clock.
    Duration::from_millis(ms.min(366 * 24 * 3_600_000))
}
