//! A real terminal (tmux) in which the real binary runs.

use std::process::Command;
use std::time::{Duration, Instant};

/// How long a screen may take to show something.
const SOON: Duration = Duration::from_secs(30);

/// A terminal of its own server, which ends with this value.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Whether the machine has no tmux and a quick run was asked for.
    pub fn is_missing() -> bool {
        let quick = std::env::var_os("ALMA_TESTS_QUICK").is_some();
        quick && Command::new("tmux").arg("-V").output().is_err()
    }

    /// Runs a shell command in a terminal; afterwards its exit code stands there.
    pub fn open(name: &str, command: &str) -> Self {
        let terminal = Self { socket: format!("alma-{name}-{}", std::process::id()) };
        let line = format!("{command}; echo \"exit=$?\"; sleep 600");
        terminal.tmux(&["new-session", "-d", "-x", "110", "-y", "40", "sh", "-c", &line]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.socket, "-f", "/dev/null"])
            .args(arguments)
            .output()
            .expect("tmux is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the screen shows.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// All that the screen has shown.
    pub fn history(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"])
    }

    /// Waits until the screen shows a text, and gives the screen.
    #[track_caller]
    pub fn until(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(began.elapsed() < SOON, "the screen never showed {text:?}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes a line.
    pub fn enter(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.keys("Enter");
    }

    /// Presses one key, by tmux's name of it.
    pub fn keys(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}
