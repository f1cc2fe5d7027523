//! Figures in the text format of Prometheus. Labels come from the table of
//! routes, so their number is bounded.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

#[derive(Default)]
struct Latency {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

/// Counts of what was asked and how long it took.
#[derive(Default)]
pub(super) struct Metrics {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    requests: BTreeMap<(&'static str, &'static str, u16), u64>,
    latency: BTreeMap<&'static str, Latency>,
}

impl Metrics {
    /// One request was answered.
    pub(super) fn answered(
        &self,
        method: &'static str,
        route: &'static str,
        status: u16,
        took: Duration,
    ) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner.requests.entry((method, route, status)).or_default() += 1;
        let latency = inner.latency.entry(route).or_default();
        let seconds = took.as_secs_f64();
        latency.count += 1;
        latency.seconds += seconds;
        for (bound, count) in BUCKETS.iter().zip(&mut latency.buckets) {
            *count += u64::from(seconds <= *bound);
        }
    }

    /// What was counted, as text.
    pub(super) fn text(&self) -> String {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        head(&mut text, "alma_http_requests_total", "counter", "Requests that were answered.");
        for ((method, route, status), count) in &inner.requests {
            line(
                &mut text,
                "alma_http_requests_total",
                &format!("method=\"{method}\",route=\"{route}\",status=\"{status}\""),
                count,
            );
        }
        let name = "alma_http_request_seconds";
        head(&mut text, name, "histogram", "Time until the answer began.");
        for (route, latency) in &inner.latency {
            let bucket = format!("{name}_bucket");
            for (bound, count) in BUCKETS.iter().zip(latency.buckets) {
                line(&mut text, &bucket, &format!("route=\"{route}\",le=\"{bound}\""), count);
            }
            line(&mut text, &bucket, &format!("route=\"{route}\",le=\"+Inf\""), latency.count);
            let route = format!("route=\"{route}\"");
            line(&mut text, &format!("{name}_sum"), &route, latency.seconds);
            line(&mut text, &format!("{name}_count"), &route, latency.count);
        }
        text
    }
}

/// Says what the lines that follow are.
pub(super) fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One figure.
pub(super) fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = if labels.is_empty() {
        writeln!(text, "{name} {value}")
    } else {
        writeln!(text, "{name}{{{labels}}} {value}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_its_bucket_and_all_above() {
        let metrics = Metrics::default();
        metrics.answered("GET", "/health", 200, Duration::from_millis(4));
        metrics.answered("GET", "/health", 200, Duration::from_millis(40));
        let text = metrics.text();
        for expected in [
            "alma_http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 2",
            "alma_http_request_seconds_bucket{route=\"/health\",le=\"0.0025\"} 0",
            "alma_http_request_seconds_bucket{route=\"/health\",le=\"0.005\"} 1",
            "alma_http_request_seconds_bucket{route=\"/health\",le=\"+Inf\"} 2",
        ] {
            assert!(text.lines().any(|line| line == expected), "{text}");
        }
    }
}
