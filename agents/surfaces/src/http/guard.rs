//! Who may ask: the key, and against pages that rebind a name to this machine,
//! the host and the origin that a request names.

use super::problem::Problem;
use axum::http::{HeaderMap, header};
use charter::digest::Digest;
use charter::ports::Entropy;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Names under which this machine knows itself.
const OWN_NAMES: &[&str] = &["localhost", "127.0.0.1", "::1"];
/// Shortest key that is taken from the file, in bytes.
const KEY_BYTES_MIN: usize = 32;
/// Longest one.
const KEY_BYTES_MAX: u64 = 1_024;

/// The key cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("could not {operation} the key {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("the key {path} can be read by others: chmod 600 it, or delete it to get a new one")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is no key.
    #[error(
        "{path} holds no key of at least {KEY_BYTES_MIN} characters: delete it to get a new one"
    )]
    Short {
        /// The file.
        path: PathBuf,
    },
}

/// What the key is compared with: its digest, so that comparing tells nothing
/// about the key.
#[derive(Clone, Copy)]
pub(super) struct Key(Digest);

impl Key {
    pub(super) fn new(text: &str) -> Self {
        Self(Digest::of(text.as_bytes()))
    }

    /// Compares in constant time.
    fn is(&self, given: &str) -> bool {
        let given = Digest::of(given.as_bytes());
        let differs = self.0.0.iter().zip(given.0).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differs) == 0
    }
}

/// Reads the key, or makes one that only the owner can read.
pub(super) fn key(path: &Path, entropy: &dyn Entropy) -> Result<Key, KeyError> {
    let fail = |operation| move |source| KeyError::Io { operation, path: path.to_owned(), source };
    match std::fs::File::open(path) {
        Ok(file) => {
            let mode = file.metadata().map_err(fail("look at"))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(KeyError::Open { path: path.to_owned() });
            }
            let mut text = String::new();
            file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(fail("read"))?;
            match text.trim() {
                text if text.len() < KEY_BYTES_MIN => {
                    Err(KeyError::Short { path: path.to_owned() })
                }
                text => Ok(Key::new(text)),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            let text = format!("alma_{}", Digest(bytes));
            // Whole or not at all, and owner-only from the beginning.
            let folder = path.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail("make"))?;
            writeln!(file, "{text}").map_err(fail("write"))?;
            file.as_file().sync_all().map_err(fail("write"))?;
            match file.persist_noclobber(path) {
                Ok(_) => Ok(Key::new(&text)),
                // Another process made one meanwhile.
                Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                    key(path, entropy)
                }
                Err(error) => Err(fail("keep")(error.error)),
            }
        }
        Err(error) => Err(fail("read")(error)),
    }
}

/// What is asked of every request before anything else is done about it.
pub(super) struct Guard {
    key: Key,
    names: Vec<String>,
    configured: Vec<String>,
}

impl Guard {
    pub(super) fn new(key: Key, bind: IpAddr, configured: &[String]) -> Self {
        let configured: Vec<String> = configured.iter().map(|n| n.to_ascii_lowercase()).collect();
        let mut names: Vec<String> = OWN_NAMES.iter().map(|name| (*name).to_owned()).collect();
        if !bind.is_unspecified() {
            names.push(bind.to_string());
        }
        names.extend(configured.iter().cloned());
        Self { key, names, configured }
    }

    /// Whether the request names this machine, and comes from no other site.
    pub(super) fn place(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (host, more) = (hosts.next(), hosts.next());
        let host = host.filter(|_| more.is_none()).and_then(|host| host.to_str().ok());
        let Some(host) = host else {
            return Err(Problem::malformed("the request must name one host"));
        };
        let allowed = |authority: &str, names: &[String]| {
            name(authority).is_some_and(|name| names.contains(&name))
        };
        if !allowed(host, &self.names) {
            return Err(Problem::host(
                "the request names a host that is not this one; add the name to http.hosts if it is",
            ));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let authority = origin.to_str().ok().and_then(|origin| {
                origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
            });
            let same = |authority: &str| {
                authority.eq_ignore_ascii_case(host) || allowed(authority, &self.configured)
            };
            if !authority.is_some_and(same) {
                return Err(Problem::origin("the request comes from a page of another site"));
            }
        }
        Ok(())
    }

    /// Whether the request carries the key.
    pub(super) fn known(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let text =
            |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
        let given = text(header::HeaderName::from_static("x-api-key")).or_else(|| {
            let (scheme, rest) = text(header::AUTHORIZATION)?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
        });
        match given {
            Some(given) if self.key.is(given) => Ok(()),
            Some(_) => {
                Err(Problem::unauthorized("the key is wrong; it stands in $ALMA_HOME/api.key"))
            }
            None => Err(Problem::unauthorized(
                "send the key from $ALMA_HOME/api.key as X-API-Key or as a bearer token",
            )),
        }
    }
}

/// The name in an authority, without its port.
fn name(authority: &str) -> Option<String> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    let port_is_one = match port.strip_prefix(':') {
        Some(port) => !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    port_is_one.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn guard() -> Guard {
        let own = ["alma.example".to_owned()];
        Guard::new(Key::new("sesame"), IpAddr::from([127, 0, 0, 1]), &own)
    }

    fn place(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        guard().place(&headers).is_ok()
    }

    #[test]
    fn only_names_of_this_machine_are_served() {
        for good in ["localhost", "LOCALHOST:7717", "127.0.0.1:1", "[::1]:80", "alma.example"] {
            assert!(place(good, None), "{good}");
        }
        for bad in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil", "", "localhost:", "[::1"]
        {
            assert!(!place(bad, None), "{bad}");
        }
    }

    #[test]
    fn only_pages_of_this_server_may_ask() {
        assert!(place("localhost:7", Some("http://localhost:7")));
        assert!(place("localhost:7", Some("https://alma.example")));
        for bad in ["null", "http://localhost:8", "http://evil.example", "ftp://localhost:7"] {
            assert!(!place("localhost:7", Some(bad)), "{bad}");
        }
    }

    #[test]
    fn the_key_comes_in_two_ways() {
        let check = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            guard().known(&headers).is_ok()
        };
        assert!(check("x-api-key", "sesame"));
        assert!(check("authorization", "Bearer sesame"));
        assert!(!check("x-api-key", "sesam"));
        assert!(!check("authorization", "Basic YWxtYTpzZXNhbWU="));
        assert!(!check("authorization", "sesame"));
    }

    #[test]
    fn a_key_is_made_once_and_kept_to_oneself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.key");
        assert!(key(&path, &Fixed).is_ok());
        let made = std::fs::read_to_string(&path).unwrap();
        assert!(key(&path, &Fixed).unwrap().is(made.trim()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(key(&path, &Fixed), Err(KeyError::Open { .. })));
        std::fs::remove_file(&path).unwrap();
        let mut empty = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        empty.write_all(b"short\n").unwrap();
        empty.persist(&path).unwrap();
        assert!(matches!(key(&path, &Fixed), Err(KeyError::Short { .. })));
    }
}
