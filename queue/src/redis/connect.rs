//! A connection to whichever server holds the queue: sockets, TLS, Sentinels, and
//! the greeting that says whether the server fits. Everything has a time limit.

use super::address::{Host, Login, Place, RedisAddress, Trust};
use super::fault::{Fault, Hello, explain};
use redis::aio::{AsyncStream, MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, Value};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long a server has to take a connection and to greet.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a Sentinel has to say who the master is.
const ASK: Duration = Duration::from_millis(500);
/// How long a server has to answer a call.
pub(super) const CALL: Duration = Duration::from_secs(2);

/// A stream of any kind.
type Stream = Box<dyn AsyncStream + Send + Unpin>;

/// A connection for calls.
pub(super) struct Link {
    /// Where it leads, for messages.
    pub(super) at: String,
    /// What the server said of itself.
    pub(super) hello: Hello,
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Sends one command. `about` is the key or channel it is about, for messages.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        command: &'static str,
        about: &str,
        cmd: &Cmd,
    ) -> Result<T, Fault> {
        let mut connection = self.connection.clone();
        cmd.query_async(&mut connection)
            .await
            .map_err(|error| explain(&self.at, command, about, CALL, error))
    }

    async fn over(stream: Stream, at: String) -> Result<Self, Fault> {
        let plain = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(CALL));
        let (connection, driver) = MultiplexedConnection::new_with_config(&plain, stream, config)
            .await
            .map_err(|error| explain(&at, "the greeting", "", CALL, error))?;
        let driver = tokio::spawn(driver);
        Ok(Self { at, hello: Hello::default(), connection, driver })
    }

    /// Logs in and hears what the server is. Needs no permission.
    async fn greet(&mut self, login: Option<&Login>) -> Result<(), Fault> {
        let mut hello = redis::cmd("HELLO");
        hello.arg(2);
        if let Some(login) = login {
            hello.arg("AUTH").arg(&login.user).arg(&login.password.0);
        }
        let said: Vec<Value> = self.call("HELLO", "", &hello).await?;
        for pair in said.chunks_exact(2) {
            let [name, value] = pair else { continue };
            let (Ok(name), Ok(value)) = (
                redis::from_redis_value_ref::<String>(name),
                redis::from_redis_value_ref::<String>(value),
            ) else {
                continue;
            };
            match name.as_str() {
                "version" => self.hello.version = value,
                "mode" => self.hello.mode = value,
                "role" => self.hello.role = value,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Connects to the server that takes steps, and sees that it can hold the queue.
pub(super) async fn connect(address: &RedisAddress) -> Result<Link, Fault> {
    let server = find(address).await?;
    within(CONNECT, &server.name(), async {
        let stream = server.open(address.trust.as_ref()).await?;
        let mut link = Link::over(stream, server.name()).await?;
        link.greet(address.login.as_ref()).await?;
        link.hello.fits().map_err(Fault::Unfit)?;
        if address.database != 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(address.database);
            link.call::<()>("SELECT", "", &select).await?;
        }
        Ok(link)
    })
    .await
}

/// A connection that hears what is said on a channel, and the name of the server.
pub(super) async fn listen(
    address: &RedisAddress,
    channel: &str,
) -> Result<(PubSub, String), Fault> {
    let server = find(address).await?;
    let at = server.name();
    within(CONNECT, &at, async {
        let stream = server.open(address.trust.as_ref()).await?;
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(login) = &address.login {
            info = info.set_username(&login.user).set_password(&login.password.0);
        }
        let broken = |error| explain(&at, "SUBSCRIBE", channel, CONNECT, error);
        let mut pubsub = PubSub::new(&info, stream).await.map_err(broken)?;
        pubsub.subscribe(channel).await.map_err(broken)?;
        Ok((pubsub, at.clone()))
    })
    .await
}

async fn within<T>(
    limit: Duration,
    at: &str,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Fault::Silent { at: at.to_owned(), waited: limit }))
}

/// One server.
enum Server<'a> {
    Host(std::borrow::Cow<'a, Host>),
    Socket(&'a Path),
}

impl Server<'_> {
    fn name(&self) -> String {
        match self {
            Self::Host(host) => host.to_string(),
            Self::Socket(path) => path.display().to_string(),
        }
    }

    async fn open(&self, trust: Option<&Trust>) -> Result<Stream, Fault> {
        let unreachable = |source| Fault::Unreachable { at: self.name(), source };
        let host = match self {
            Self::Socket(path) => {
                return Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?));
            }
            Self::Host(host) => host,
        };
        let socket =
            TcpStream::connect((host.name.as_str(), host.port)).await.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let Some(trust) = trust else { return Ok(Box::new(socket)) };
        let tls = |source| Fault::Tls { at: self.name(), source };
        let connector = TlsConnector::from(Arc::new(client(trust).await?));
        let name = ServerName::try_from(host.name.clone())
            .map_err(|error| tls(io::Error::other(error)))?;
        Ok(Box::new(connector.connect(name, socket).await.map_err(tls)?))
    }
}

/// Which server it is at the moment.
async fn find(address: &RedisAddress) -> Result<Server<'_>, Fault> {
    let (hosts, master, login) = match &address.place {
        Place::Host(host) => return Ok(Server::Host(std::borrow::Cow::Borrowed(host))),
        Place::Socket(path) => return Ok(Server::Socket(path)),
        Place::Sentinels { hosts, master, login } => (hosts, master, login.as_ref()),
    };
    let mut causes = Vec::new();
    for host in hosts {
        let sentinel = Server::Host(std::borrow::Cow::Borrowed(host));
        let asked = within(ASK, &host.to_string(), async {
            let stream = sentinel.open(address.trust.as_ref()).await?;
            let mut link = Link::over(stream, host.to_string()).await?;
            link.greet(login).await?;
            let mut who = redis::cmd("SENTINEL");
            who.arg("get-master-addr-by-name").arg(master);
            link.call::<Option<(String, u16)>>("SENTINEL", master, &who).await
        })
        .await;
        match asked {
            Ok(Some((name, port))) => {
                return Ok(Server::Host(std::borrow::Cow::Owned(Host { name, port })));
            }
            Ok(None) => causes.push(format!("{host} does not watch it")),
            Err(fault) => causes.push(fault.to_string()),
        }
    }
    Err(Fault::Sentinels { master: master.clone(), causes: causes.join("; ") })
}

/// TLS as a client. The file is read each time, so that it can be renewed.
async fn client(trust: &Trust) -> Result<ClientConfig, Fault> {
    let trust = trust.clone();
    let path = match &trust {
        Trust::File(path) => path.clone(),
        Trust::Machine => Path::new("this machine").to_owned(),
    };
    let authority = |why: String| Fault::Authority { path: path.clone(), why };
    let roots = tokio::task::spawn_blocking(move || roots(&trust))
        .await
        .map_err(|error| authority(error.to_string()))?
        .map_err(authority)?;
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| authority(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn roots(trust: &Trust) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Machine => {
            // One that is malformed is no reason to distrust the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::File(path) => {
            let certificates = CertificateDer::pem_file_iter(path).map_err(|e| e.to_string())?;
            for certificate in certificates {
                let certificate = certificate.map_err(|e| e.to_string())?;
                roots.add(certificate).map_err(|e| e.to_string())?;
            }
        }
    }
    match roots.is_empty() {
        true => Err("there is none in it".to_owned()),
        false => Ok(roots),
    }
}
