//! Programs that try to get out.

use crate::bench::{Bench, done};
use charter::tool::SandboxLevel;
use hephaestus::sandbox::{Attempt, OUTSIDE, PID, PORT, attempts};
use std::fs;
use std::process::Command;

/// Runs the table; the names of the attempts that succeeded.
fn breaches(level: SandboxLevel, chosen: impl Fn(&Attempt) -> bool) -> Vec<&'static str> {
    let bench = Bench::new();
    let secret = bench.root.path().join("home/secret");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
    let mut breaches = Vec::new();
    for attempt in attempts().into_iter().filter(chosen) {
        fs::write(&secret, "secret").unwrap();
        let argv: Vec<&str> = attempt.argv.iter().map(String::as_str).collect();
        let ran = bench
            .try_run(&argv, |s| {
                s.level = level;
                s.limits = attempt.limits.clone();
                s.env.insert(OUTSIDE.to_owned(), secret.to_str().unwrap().to_owned());
                s.env.insert(PORT.to_owned(), listener.local_addr().unwrap().port().to_string());
                s.env.insert(PID.to_owned(), sleeper.id().to_string());
            })
            .unwrap();
        let (out, err) = (ran.stdout.text(), ran.stderr.text());
        // An attempt that does not get to its point proves nothing.
        for word in ["not found", "SyntaxError", "NameError", "unexpected"] {
            assert!(!err.contains(word), "{}: {err}", attempt.name);
        }
        if !attempt.held(&out) || fs::read(&secret).unwrap() != b"secret" {
            breaches.push(attempt.name);
        }
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    breaches
}

pub(crate) fn no_attempt_succeeds() {
    assert_eq!(breaches(SandboxLevel::Full, |_| true), Vec::<&str>::new());
}

/// What the weaker level promises: files, network, and the calls themselves.
pub(crate) fn no_attempt_succeeds_without_namespaces() {
    let beyond = ["find a socket", "disk bomb", "fork bomb", "read the shadow", "become root"];
    let found = breaches(SandboxLevel::Restricted, |attempt| !beyond.contains(&attempt.name));
    assert_eq!(found, Vec::<&str>::new());
}

/// The table can fail: without containment, what needs no rights succeeds.
pub(crate) fn uncontained_the_harmless_attempts_succeed() {
    let harmless: Vec<&str> =
        attempts().iter().filter(|attempt| attempt.harmless).map(|attempt| attempt.name).collect();
    assert!(harmless.len() >= 5);
    assert_eq!(breaches(SandboxLevel::None, |attempt| attempt.harmless), harmless);
}

pub(crate) fn a_socket_in_the_workspace_leads_nowhere() {
    let bench = Bench::new();
    let _listener =
        std::os::unix::net::UnixListener::bind(bench.work().join("service.sock")).unwrap();
    let script = "import socket\n\
                  try:\n    \
                      socket.socket(socket.AF_UNIX).connect('service.sock')\n    \
                      print('reached')\n\
                  except OSError as error:\n    \
                      print('refused')\n";
    assert_eq!(done(&bench.run(&["python3", "-c", script])), "refused\n");
}
