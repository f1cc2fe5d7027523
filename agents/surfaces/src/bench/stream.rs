//! `alma bench stream`: how long after its commit an event reaches who follows a
//! mission over HTTP.

use super::Progress;
use super::child::{BenchError, Durability, Stage, Worker, now};
use super::measure::{Figures, Samples};
use super::mission::chain;
use charter::ids::Millis;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Missions before the ones that count.
const WARM_UP: u32 = 2;
/// Longest silence that is waited for.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest stream of one mission that is read, in bytes.
const STREAM_MAX: u64 = 64 << 20;

/// Measures.
pub(super) fn run(
    stage: &Stage,
    (steps, runs): (u32, u32),
    progress: &mut Progress,
) -> Result<(Figures, Durability), BenchError> {
    let durability = stage.worker(None)?.durability()?;
    let mut server = Worker::start(&mut stage.command(&["serve", "--port", "0", "--json"]))?;
    let said = server.begun()?;
    let field = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let (place, key) = (field("url").replace("http://", ""), field("key_file"));
    let key = std::fs::read_to_string(&key)
        .map_err(|source| BenchError::Io { operation: format!("read {key}"), source })?;
    let file = stage.mission_file("chain", &chain(steps))?;
    let mut delays = Samples::default();
    for n in 0..runs.max(1) + WARM_UP {
        progress.tell(|| format!("mission {n} of {runs}"));
        let mission = stage.submit(&file, stage.workspace())?;
        let path = format!("/api/v1/missions/{mission}/events");
        for (recorded, received) in follow(&place, &path, key.trim())? {
            if n >= WARM_UP {
                delays.push((received - recorded) as f64);
            }
        }
    }
    server.kill()?;
    let mut figures = Figures::default();
    figures.set("runs", runs.max(1));
    figures.set("steps", steps);
    figures.set("n", delays.len());
    figures.number("p50_ms", delays.percentile(50));
    figures.number("p99_ms", delays.percentile(99));
    figures.number("max_ms", delays.percentile(100));
    figures.note(
        "from the time in the record, which is taken before the commit, until a client on this \
         machine has read the whole event; events that were there before the stream are left out",
    );
    Ok((figures, durability))
}

/// Reads a mission's events to its end: when each was recorded, and when it was
/// read. Those from before the stream began are left out.
fn follow(place: &str, path: &str, key: &str) -> Result<Vec<(Millis, Millis)>, BenchError> {
    let failed = |source| BenchError::Io { operation: format!("follow {place}{path}"), source };
    let mut socket = TcpStream::connect(place).map_err(failed)?;
    socket.set_read_timeout(Some(SILENCE)).map_err(failed)?;
    // Version 1.0: the answer comes in one piece and ends with the connection.
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {place}\r\nX-API-Key: {key}\r\nAccept: text/event-stream\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).map_err(failed)?;
    let mut lines = BufReader::new(socket.take(STREAM_MAX)).lines();
    let status = lines.next().transpose().map_err(failed)?.unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(BenchError::Wrong(format!("{path} answered {status:?}")));
    }
    let began = now();
    let mut delays = Vec::new();
    for line in lines {
        let line = line.map_err(failed)?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let received = now();
        let event: Value = serde_json::from_str(data)
            .map_err(|source| BenchError::Document { command: path.to_owned(), source })?;
        if let Some(at) = event["at"].as_i64().filter(|at| *at >= began) {
            delays.push((at, received));
        }
        if event["event"]["kind"] == "mission_ended" {
            return Ok(delays);
        }
    }
    Err(BenchError::Wrong(format!("{path} ended before its mission")))
}
