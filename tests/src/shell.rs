//! The real binary on folders of its own, as a person at a shell has it: words
//! in, exit code and text out.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long any command may take.
const TIME: Duration = Duration::from_secs(90);
/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// The library that gives a program another clock.
pub fn other_clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let found = folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|library| library.is_file());
    found.expect("the Debian package faketime is missing")
}

/// A data folder, a workspace, and the program.
pub struct Shell {
    program: PathBuf,
    root: TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub struct Out {
    /// Exit code; 128 and more for signals.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Out {
    /// The exit code, and texts that must all stand in what was said.
    #[track_caller]
    pub fn says(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        let all = format!("{}\n{}", self.out, self.err);
        for text in texts {
            assert!(all.contains(text), "{text:?} is not said: {self:#?}");
        }
        assert!(!all.contains("panicked"), "{self:#?}");
        self
    }

    /// The JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Shell {
    /// On empty folders.
    pub fn new(program: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join("work")).expect("writable");
        Self { program: program.into(), root }
    }

    /// The data folder.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The folder that missions work in.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// A place beside both.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Puts a file into the workspace.
    pub fn put(&self, path: impl AsRef<OsStr>, bytes: impl AsRef<[u8]>) {
        write(&self.work().join(Path::new(path.as_ref())), bytes.as_ref());
    }

    /// Puts a file into the data folder.
    pub fn put_home(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write(&self.home().join(path), bytes.as_ref());
    }

    /// A command that has not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        self.dressed(command)
    }

    /// The command line of a shell, in which `$ALMA` is the program.
    pub fn script(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]).env("ALMA", &self.program);
        self.dressed(command)
    }

    fn dressed(&self, mut command: Command) -> Command {
        command
            .current_dir(self.work())
            .env("ALMA_HOME", self.home())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Out {
        ended(self.command(args).spawn().expect("the program starts"))
    }

    /// Plans and carries out a wish.
    #[track_caller]
    pub fn wish(&self, words: &str) -> Out {
        self.run(&["mission", "run", "--again", words])
    }

    /// Carries out a mission of one step.
    #[track_caller]
    pub fn step(&self, tool: &str, args: &Value) -> Out {
        let mission = serde_json::json!({
            "goal": format!("try {tool}"),
            "steps": [{ "tool": tool, "title": "Try", "args": args }],
        });
        let file = self.beside("mission.yaml");
        write(&file, mission.to_string().as_bytes());
        self.run(&["mission", "run", "--again", "--file", &file.to_string_lossy()])
    }

    /// Runs a command as a user who is not root and owns both folders.
    #[track_caller]
    pub fn nobody(&self, args: &[&str]) -> Out {
        ended(self.as_nobody(args).spawn().expect("setpriv is installed"))
    }

    /// A command of a user who is not root and owns both folders.
    pub fn as_nobody(&self, args: &[&str]) -> Command {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        std::fs::create_dir_all(self.home()).expect("writable");
        let me = std::fs::metadata("/proc/self").expect("Linux").uid();
        if me != 0 {
            return self.command(args);
        }
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.root.path(), open).expect("ours");
        for folder in [self.home(), self.work()] {
            chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let mut command = Command::new("setpriv");
        let (uid, gid) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
        command.args([&uid, &gid, "--clear-groups"]).arg(&self.program).args(args);
        self.dressed(command)
    }

    /// Nothing is lost: the record is whole.
    #[track_caller]
    pub fn intact(&self) {
        let out = self.run(&["--json", "audit", "verify"]);
        out.says(0, &[]);
        assert_eq!(out.json()["intact"], true, "{out:#?}");
    }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a folder above")).expect("writable");
    std::fs::write(path, bytes).expect("writable");
}

/// Waits for a process, bounded, and gives what it said.
#[track_caller]
pub fn ended(mut child: Child) -> Out {
    use std::os::unix::process::ExitStatusExt;
    // Both pipes are read beside the waiting, so that none of them fills up.
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).expect("a pipe");
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if began.elapsed() > TIME {
            child.kill().expect("our child");
            child.wait().expect("our child");
            panic!("the command did not end: {:?} {:?}", out.join(), err.join());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    let text = |reader: std::thread::JoinHandle<String>| reader.join().expect("a reader");
    Out { code: code.unwrap_or(-1), out: text(out), err: text(err) }
}
