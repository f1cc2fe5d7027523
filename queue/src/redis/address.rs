//! Where a Redis stands, read from one line of configuration.
//!
//! | address | what it names |
//! |---|---|
//! | `redis://[user[:password]@]host[:port][/db]` | one server |
//! | `rediss://…[?ca_file=/path.pem]` | the same over TLS; without a file the machine's roots are trusted |
//! | `unix://[user[:password]@]/path[?db=n]` | a server on this machine |
//! | `redis+sentinel://[user[:password]@]host[:port],…/master[/db]` | whichever server the Sentinels call the master |
//! | `rediss+sentinel://…` | the same, everything over TLS |
//!
//! Sentinels that want a password of their own get it from
//! `?sentinel_user=…&sentinel_password=…`. What stands before the `@`, and what
//! options hold, is percent-encoded. No error repeats a part of the address,
//! because a password that was written wrongly may be anywhere in it.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Ports where none is given.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// Longest address, and most Sentinels in one.
const LONGEST: usize = 4_096;
const SENTINELS_MAX: usize = 16;
/// Longest name of a host.
const HOST_MAX: usize = 253;

/// An address that names no Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Too long to be one.
    #[error("the address of the queue is longer than {LONGEST} characters")]
    TooLong,
    /// Another kind of address.
    #[error(
        "the address of the queue must begin with redis://, rediss://, unix://, \
         redis+sentinel:// or rediss+sentinel://"
    )]
    Scheme,
    /// A character that ends a part stands inside it.
    #[error(
        "the address of the queue cannot be taken apart: in a user name, a password or an option \
         write each of : / ? # & = @ % as % and two hexadecimal digits (@ is %40)"
    )]
    Unescaped,
    /// A bad percent-encoding.
    #[error(
        "in the address of the queue each % must be followed by two hexadecimal digits, \
         and what they spell must be UTF-8"
    )]
    Encoding,
    /// No host, or no good one.
    #[error("the address of the queue names no host: expected one as in redis://localhost:6379/0")]
    Host,
    /// A bad port.
    #[error("a port in the address of the queue is not a number from 1 to 65535")]
    Port,
    /// A bad database.
    #[error("the database in the address of the queue is not a number, as in redis://localhost/0")]
    Database,
    /// Several hosts without Sentinels.
    #[error(
        "the address of the queue names several hosts: only Sentinels come in numbers \
         (redis+sentinel://one,two,three/MASTER); a Redis Cluster cannot hold the queue"
    )]
    SeveralHosts,
    /// More Sentinels than anybody runs.
    #[error("the address of the queue names more than {SENTINELS_MAX} Sentinels")]
    TooManySentinels,
    /// No master.
    #[error(
        "the address of the queue must name the master that the Sentinels watch: \
         redis+sentinel://host:26379/MASTER"
    )]
    Master,
    /// A relative path.
    #[error(
        "the address of the queue must name the socket by its whole path: unix:///run/redis.sock"
    )]
    Socket,
    /// An option that does not belong there.
    #[error(
        "an option in the address of the queue is unknown here: ca_file belongs to rediss://, db \
         to unix://, sentinel_user and sentinel_password to Sentinels, each at most once"
    )]
    Option,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// Redis' own name of who gives no name is `default`.
    pub(super) user: String,
    pub(super) password: Secret,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// How a server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Host(Host),
    Socket(PathBuf),
    Sentinels { hosts: Vec<Host>, master: String, login: Option<Login> },
}

/// Whom to trust over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// The authorities that the machine trusts.
    Machine,
    /// Those in this file, and no others.
    File(PathBuf),
}

/// Where a Redis stands, and how to log in. Shown without its passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) place: Place,
    pub(super) login: Option<Login>,
    /// `None`: no TLS.
    pub(super) trust: Option<Trust>,
    pub(super) database: u32,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login.as_ref().map(|login| format!("{}@", login.user)).unwrap_or_default();
        let secure = if self.trust.is_some() { "s" } else { "" };
        match &self.place {
            Place::Host(host) => write!(f, "redis{secure}://{user}{host}/{}", self.database),
            Place::Socket(path) => {
                write!(f, "unix://{user}{}?db={}", path.display(), self.database)
            }
            Place::Sentinels { hosts, master, .. } => {
                let hosts: Vec<String> = hosts.iter().map(Host::to_string).collect();
                let hosts = hosts.join(",");
                write!(f, "redis{secure}+sentinel://{user}{hosts}/{master}/{}", self.database)
            }
        }
    }
}

impl FromStr for RedisAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > LONGEST {
            return Err(AddressError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let (secure, kind) = match scheme {
            "redis" => (false, Kind::Server),
            "rediss" => (true, Kind::Server),
            "unix" => (false, Kind::Socket),
            "redis+sentinel" => (false, Kind::Sentinels),
            "rediss+sentinel" => (true, Kind::Sentinels),
            _ => return Err(AddressError::Scheme),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(read_login(login)?), hosts),
            None => (None, authority),
        };
        // A piece of a password would otherwise be taken for something else.
        if [path, options].iter().any(|part| part.contains('@')) || rest.contains('#') {
            return Err(AddressError::Unescaped);
        }
        let mut options = Options::read(options)?;
        let (place, database) = match kind {
            Kind::Server => {
                if hosts.contains(',') {
                    return Err(AddressError::SeveralHosts);
                }
                (Place::Host(read_host(hosts, PORT)?), read_database(path)?)
            }
            Kind::Socket => {
                if !hosts.is_empty() || path.is_empty() {
                    return Err(AddressError::Socket);
                }
                let database = options.db.take().unwrap_or_default();
                (Place::Socket(format!("/{}", decode(path)?).into()), read_database(&database)?)
            }
            Kind::Sentinels => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                let master = decode(master)?;
                if master.is_empty() {
                    return Err(AddressError::Master);
                }
                let hosts: Vec<Host> = hosts
                    .split(',')
                    .take(SENTINELS_MAX + 1)
                    .map(|host| read_host(host, SENTINEL_PORT))
                    .collect::<Result<_, _>>()?;
                if hosts.len() > SENTINELS_MAX {
                    return Err(AddressError::TooManySentinels);
                }
                let login = options.sentinel_login();
                (Place::Sentinels { hosts, master, login }, read_database(database)?)
            }
        };
        let trust = secure.then(|| match options.ca_file.take() {
            Some(path) => Trust::File(Path::new(&path).to_owned()),
            None => Trust::Machine,
        });
        // What was not taken belongs to another kind of address.
        if options != Options::default() {
            return Err(AddressError::Option);
        }
        Ok(Self { place, login, trust, database })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Server,
    Socket,
    Sentinels,
}

#[derive(Default, PartialEq, Eq)]
struct Options {
    ca_file: Option<String>,
    db: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
}

impl Options {
    fn read(text: &str) -> Result<Self, AddressError> {
        let mut options = Self::default();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or(AddressError::Option)?;
            let slot = match name {
                "ca_file" => &mut options.ca_file,
                "db" => &mut options.db,
                "sentinel_user" => &mut options.sentinel_user,
                "sentinel_password" => &mut options.sentinel_password,
                _ => return Err(AddressError::Option),
            };
            if value.contains('=') {
                return Err(AddressError::Unescaped);
            }
            if value.is_empty() || slot.replace(decode(value)?).is_some() {
                return Err(AddressError::Option);
            }
        }
        Ok(options)
    }

    fn sentinel_login(&mut self) -> Option<Login> {
        let (user, password) = (self.sentinel_user.take(), self.sentinel_password.take());
        (user.is_some() || password.is_some()).then(|| Login {
            user: user.unwrap_or_else(default_user),
            password: Secret(password.unwrap_or_default()),
        })
    }
}

fn default_user() -> String {
    "default".to_owned()
}

fn read_login(text: &str) -> Result<Login, AddressError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    if text.contains('@') || password.contains(':') {
        return Err(AddressError::Unescaped);
    }
    let user = decode(user)?;
    let user = if user.is_empty() { default_user() } else { user };
    Ok(Login { user, password: Secret(decode(password)?) })
}

fn read_host(text: &str, otherwise: u16) -> Result<Host, AddressError> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or(AddressError::Host)?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| AddressError::Host)?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or(AddressError::Port)?),
            };
            (name, port)
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if name.is_empty() || name.len() > HOST_MAX || !name.chars().all(known) {
        return Err(AddressError::Host);
    }
    let port = match port {
        None => otherwise,
        Some(port) => number(port).filter(|port| *port > 0).ok_or(AddressError::Port)?,
    };
    Ok(Host { name: name.to_owned(), port })
}

fn read_database(text: &str) -> Result<u32, AddressError> {
    match text {
        "" => Ok(0),
        text => number(text).ok_or(AddressError::Database),
    }
}

/// Digits alone: no sign.
fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn decode(text: &str) -> Result<String, AddressError> {
    let encoded =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(encoded) {
        return Err(AddressError::Encoding);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| AddressError::Encoding)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: Result<&str, AddressError>) {
        let shown = text.parse::<RedisAddress>().map(|address| address.to_string());
        assert_eq!(shown, expect.map(str::to_owned), "{text}");
    }

    #[test]
    fn each_kind_of_address_is_read() {
        check("redis://localhost", Ok("redis://localhost:6379/0"));
        check("redis://localhost/", Ok("redis://localhost:6379/0"));
        check("redis://10.0.0.1:7000/15", Ok("redis://10.0.0.1:7000/15"));
        check("redis://[::1]:7000", Ok("redis://[::1]:7000/0"));
        check("redis://[::1]", Ok("redis://[::1]:6379/0"));
        check("rediss://h/3?ca_file=/etc/ca.pem", Ok("rediss://h:6379/3"));
        check("unix:///run/redis.sock", Ok("unix:///run/redis.sock?db=0"));
        check("unix:///run/a%20b?db=2", Ok("unix:///run/a b?db=2"));
        check("redis+sentinel://a:1,b/mine/2", Ok("redis+sentinel://a:1,b:26379/mine/2"));
        check("rediss+sentinel://a/mine", Ok("rediss+sentinel://a:26379/mine/0"));
    }

    #[test]
    fn names_and_passwords_are_read_and_never_shown() {
        check("redis://alma:s%40cret@h", Ok("redis://alma@h:6379/0"));
        check("redis://:secret@h", Ok("redis://default@h:6379/0"));
        check("redis://alma@h", Ok("redis://alma@h:6379/0"));
        let text = "redis+sentinel://alma:s%3Acret@a/m?sentinel_password=other%2Fsecret";
        let address: RedisAddress = text.parse().unwrap();
        assert_eq!(address.login.as_ref().unwrap().password.0, "s:cret");
        let Place::Sentinels { login: Some(login), .. } = &address.place else { panic!() };
        assert_eq!((login.user.as_str(), login.password.0.as_str()), ("default", "other/secret"));
        let shown = format!("{address} {address:?} {address:#?}");
        assert!(!shown.contains("cret"), "{shown}");
    }

    #[test]
    fn nonsense_is_refused() {
        check("", Err(AddressError::Scheme));
        check("localhost:6379", Err(AddressError::Scheme));
        check("http://localhost", Err(AddressError::Scheme));
        check(&"r".repeat(LONGEST + 1), Err(AddressError::TooLong));
        check("redis://", Err(AddressError::Host));
        check("redis://:6379", Err(AddressError::Host));
        check("redis://a b", Err(AddressError::Host));
        check("redis://[::1", Err(AddressError::Host));
        check("redis://[nonsense]", Err(AddressError::Host));
        check("redis://h:0", Err(AddressError::Port));
        check("redis://h:65536", Err(AddressError::Port));
        check("redis://h:+1", Err(AddressError::Port));
        check("redis://h:", Err(AddressError::Port));
        check("redis://h/x", Err(AddressError::Database));
        check("redis://h/-1", Err(AddressError::Database));
        check("redis://h/1/2", Err(AddressError::Database));
        check("redis://a,b/0", Err(AddressError::SeveralHosts));
        check("redis+sentinel://a,b", Err(AddressError::Master));
        check("redis+sentinel://a,/m", Err(AddressError::Host));

        check(
            &format!("redis+sentinel://{}a/m", "a,".repeat(16)),
            Err(AddressError::TooManySentinels),
        );
        check("unix://h/sock", Err(AddressError::Socket));
        check("unix://", Err(AddressError::Socket));
    }

    #[test]
    fn an_option_of_another_kind_is_refused() {
        check("redis://h?ca_file=/ca", Err(AddressError::Option));
        check("redis://h?db=1", Err(AddressError::Option));
        check("rediss://h?sentinel_password=x", Err(AddressError::Option));
        check("rediss://h?ca_file=/a&ca_file=/b", Err(AddressError::Option));
        check("rediss://h?ca_file=", Err(AddressError::Option));
        check("rediss://h?insecure", Err(AddressError::Option));
        check("unix:///s?db=x", Err(AddressError::Database));
    }

    #[test]
    fn a_password_that_was_not_encoded_is_refused() {
        check("redis://u:pa/ss@h", Err(AddressError::Unescaped));
        check("redis://u:pa?ss@h", Err(AddressError::Unescaped));
        check("redis://u:pa#ss@h", Err(AddressError::Unescaped));
        check("redis://u:pa@ss@h", Err(AddressError::Unescaped));
        check("redis://u:pa:ss@h", Err(AddressError::Unescaped));
        check("redis://u:pa%ss@h", Err(AddressError::Encoding));
        check("redis://u:pa%f@h", Err(AddressError::Encoding));
        check("redis://u:%ff@h", Err(AddressError::Encoding));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader_and_no_error_repeats_it(text in "(redis|rediss|unix|redis\\+sentinel)://\\PC{0,40}hunter2\\PC{0,40}") {
            if let Err(error) = text.parse::<RedisAddress>() {
                prop_assert!(!error.to_string().contains("hunter2"));
            }
        }

        #[test]
        fn what_is_shown_names_the_same_place(host in "[a-z]{1,9}", port in 1u16.., db: u32) {
            let address: RedisAddress = format!("redis://{host}:{port}/{db}").parse().unwrap();
            prop_assert_eq!(address.to_string().parse::<RedisAddress>(), Ok(address));
        }
    }
}
