//! `alma serve` as a program on the network sees it: bytes on a socket, and
//! nothing that would make up for a wrong answer.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long any answer may take.
pub const TIME: Duration = Duration::from_secs(30);

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    pub address: String,
    /// The key.
    pub key: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// It has this status and, below 400, is no problem; from 400 on it is a
    /// whole problem document with this code.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        if status < 400 {
            return if self.body.is_empty() { Value::Null } else { self.json() };
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:#?}");
        let problem = self.json();
        for field in ["type", "title", "detail", "error_code", "timestamp", "instance"] {
            assert!(problem[field].is_string(), "{field}: {problem:#}");
        }
        assert_eq!(problem["status"], status, "{problem:#}");
        assert_eq!(problem["error_code"], code, "{problem:#}");
        problem
    }
}

impl Server {
    /// Starts the server on a free port and waits until it says where.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        command.args(["--json", "serve", "--port", "0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ = child.kill();
            let mut complaint = String::new();
            if let Some(mut err) = child.stderr.take() {
                let _ = err.read_to_string(&mut complaint);
            }
            panic!("{error}: {line:?} {complaint:?}")
        });
        let address = said["url"].as_str().expect("a url").trim_start_matches("http://");
        // As the server sees it: its data folder may be on a disk of its own.
        let file =
            format!("/proc/{}/root{}", child.id(), said["key_file"].as_str().expect("a file"));
        let key = std::fs::read_to_string(file).expect("a key");
        Self { address: address.to_owned(), key: key.trim().to_owned(), child }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Asks it to end, and gives its exit code.
    #[track_caller]
    pub fn stop(mut self) -> Option<i32> {
        // The shell has its own `kill`; the program comes with a package.
        let kill = format!("kill -TERM {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status.code();
            }
            assert!(began.elapsed() < TIME, "it did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends bytes and reads the answer until the connection is closed or whole.
    #[track_caller]
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that has answered already may not want the rest.
        let _ = stream.write_all(bytes);
        read(&mut BufReader::new(stream)).expect("an answer")
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(TIME)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        let own = [("host", self.address.as_str()), ("x-api-key", self.key.as_str())];
        for (name, value) in own.iter().filter(|(own, _)| !headers.iter().any(|(n, _)| n == own)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// Asks with headers of one's own; they go before the usual ones.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut bytes = self.head(method, path, headers).into_bytes();
        bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
        bytes.extend(body);
        self.raw(&bytes)
    }

    /// Looks.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// Does.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body)
    }

    /// Does, with headers.
    #[track_caller]
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.ask("POST", path, &all, body.to_string().as_bytes())
    }

    /// Submits a wish and gives the mission.
    #[track_caller]
    pub fn submit(&self, body: &Value) -> String {
        let answer = self.post("/api/v1/missions", body);
        let accepted = answer.is(201, "");
        let mission = accepted["mission"].as_str().expect("a mission").to_owned();
        let place = format!("/api/v1/missions/{mission}");
        assert_eq!(answer.header("location"), Some(place.as_str()));
        mission
    }

    /// Waits until a mission has ended, and gives its state.
    #[track_caller]
    pub fn ended(&self, mission: &str) -> String {
        let began = Instant::now();
        loop {
            let shown = self.get(&format!("/api/v1/missions/{mission}")).is(200, "");
            let state = shown["state"].as_str().expect("a state");
            if !["running", "waiting"].contains(&state) {
                return state.to_owned();
            }
            assert!(began.elapsed() < TIME, "{shown:#}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Opens the event stream of a mission.
    #[track_caller]
    pub fn stream(&self, mission: &str, last: Option<&str>) -> Stream {
        let mut stream = self.connect();
        let last: Vec<(&str, &str)> =
            last.map(|last| ("last-event-id", last)).into_iter().collect();
        let path = format!("/api/v1/missions/{mission}/events");
        let head = self.head("GET", &path, &last);
        stream.write_all(head.as_bytes()).expect("a socket");
        stream.write_all(b"accept: text/event-stream\r\n\r\n").expect("a socket");
        let mut reader = BufReader::new(stream);
        let (status, headers) = self::head(&mut reader).expect("an answer");
        Stream { reader, status, headers, text: String::new() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its number; none for `reset`.
    pub id: Option<u64>,
    /// Its kind.
    pub kind: String,
    /// Its data.
    pub data: Value,
}

/// An open event stream.
pub struct Stream {
    reader: BufReader<TcpStream>,
    /// The status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    text: String,
}

impl Stream {
    /// The next event; `None` when the stream has ended.
    pub fn event(&mut self) -> Option<Sent> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let sent = parse(event);
                self.text = rest.to_owned();
                if sent.is_some() {
                    return sent;
                }
                continue;
            }
            let chunk = chunk(&mut self.reader)?;
            self.text.push_str(&chunk);
        }
    }

    /// All events to the end.
    pub fn all(mut self) -> Vec<Sent> {
        std::iter::from_fn(|| self.event()).collect()
    }
}

fn parse(text: &str) -> Option<Sent> {
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(Sent {
        id: field("id").map(|id| id.parse().expect("a number")),
        kind: field("event")?.to_owned(),
        data: serde_json::from_str(field("data")?).expect("JSON"),
    })
}

/// One chunk of a chunked body.
fn chunk(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let size = usize::from_str_radix(line.trim(), 16).ok()?;
    let mut bytes = vec![0; size + 2];
    reader.read_exact(&mut bytes).ok()?;
    bytes.truncate(size);
    (size > 0).then(|| String::from_utf8(bytes).expect("UTF-8"))
}

fn head(reader: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => return Some((status, headers)),
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Answer> {
    let (status, headers) = head(reader)?;
    let told =
        |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
    let mut body = String::new();
    match told("content-length").map(|length| length.parse().expect("a number")) {
        Some(length) => {
            let mut bytes = vec![0; length];
            reader.read_exact(&mut bytes).ok()?;
            body = String::from_utf8(bytes).expect("UTF-8");
        }
        None => {
            while let Some(chunk) = chunk(reader) {
                body.push_str(&chunk);
            }
        }
    }
    Some(Answer { status, headers, body })
}
